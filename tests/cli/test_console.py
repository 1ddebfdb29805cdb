"""What strangers wrote does nothing to the terminal: it is shown."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import click
import commands
import pictures
import processes
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import LETTERS

from vsezoo import registry
from vsezoo.cli import console, shared_options
from vsezoo.cli.bars import show_progress
from vsezoo.cli.command import Command
from vsezoo.construction import create_model

RED, TITLE, CLEAR = "\x1b[31m", "\x1b]0;title\x07", "\x9b2J"
NAMES = [f"red{RED}\nError: forged.png", f"{CLEAR}\u202ec1.png", "[bold]x.png"]
SHOWN = [r"red\x1b[31m\nError: forged.png", r"\x9b2J\u202ec1.png", "[bold]x.png"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of pictures, and with pictures that have names of strangers, one of them broken."""
    folder = tmp_path_factory.mktemp("console")
    data = pictures.PicturePairs()
    weights = pictures.write_weights(folder / "net.safetensors")
    options = {"image_encoder.weights": str(weights), "image_encoder.image_size": 32, **pictures.SIZES}
    given = {name.replace(".", "__"): value for name, value in options.items()}
    tiny.save_model(
        folder / "run",
        create_model("vsepp", data, settings={"image_encoder": pictures.BACKBONE, **tiny.dotted(given)}),
        data,
    )
    (folder / "photos").mkdir()
    for index, name in enumerate(NAMES):
        pictures.draw(index).save(folder / "photos" / name, "PNG")
    (folder / "photos" / f"bad{TITLE}\n.png").write_bytes(b"no picture")
    return folder


def run(folder: Path, *arguments: str) -> processes.Done:
    done = commands.run_command(folder, *arguments, before=processes.set_cache)
    assert not console.CONTROLS.search(done.stdout.replace("\n", ""))
    assert not console.CONTROLS.search(done.stderr.replace("\n", ""))
    return done


@pytest.mark.slow
def test_a_table_and_a_warning(folder: Path) -> None:
    done = run(folder, "search", "run", "a red thing", "--images", "photos")
    assert done.code == 0, done.stderr
    heading, *rows = done.stdout.splitlines()
    assert heading.split() == ["rank", "score", "id"]
    assert sorted(row.split(maxsplit=2)[2].rstrip() for row in rows) == sorted(SHOWN)
    warning, line = done.stderr.splitlines()
    assert warning == "Warning: 1 image was skipped:"
    assert line.startswith(r"  bad\x1b]0;title\x07\n.png: is not a picture")


def test_names_stay_whole_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    rows = [["runs/vsepp/seed-1", "complete", "467.1 (rsum)", "412.4 (test)"]]
    console.print_table(["run", "state", "best on dev", "rsum"], rows)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("runs/vsepp/seed-1 ") for line in lines) == 1
    assert max(map(len, lines)) == 40


@pytest.mark.slow
def test_json_keeps_the_names(folder: Path) -> None:
    done = run(folder, "search", "run", "a red thing", "--images", "photos", "--json")
    assert sorted(hit["id"] for hit in json.loads(done.stdout)["hits"]) == sorted(NAMES)


def test_errors(folder: Path) -> None:
    done = run(folder, "embed", "run", "--images", "photos", "--output", "o.npy", "--on-bad-image", "error")
    processes.assert_one_message(done, 1, r"^photos/bad\\x1b\]0;title\\x07\\n\.png: ")
    done = run(folder, "eval", f"no{RED}\nrun")
    processes.assert_one_message(done, 2, r"^no\\x1b\[31m\\nrun: does not exist\.\n")
    done = run(folder, "card", "run", f"photos/{RED}.png")
    processes.assert_one_message(done, 2, r"^Got unexpected extra argument \(photos/\\x1b\[31m\.png\).* in quotes\.")


def test_a_text_in_place_of_a_file(folder: Path) -> None:
    text = "two red balls " * 30
    done = run(folder, "search", text, "run")
    processes.assert_one_message(done, 1, r"^two red balls .*: File name too long\.\nThe path is too long")


def test_a_group_without_a_command_prints_its_help(folder: Path) -> None:
    done = run(folder, "data")
    assert done.code == 2
    assert done.stderr.startswith("Usage: vsezoo data [OPTIONS] COMMAND")
    assert "Error" not in done.stderr


def test_captions_of_a_stranger(tmp_path: Path) -> None:
    data = tiny.write_data(tmp_path / "data")
    captions = (data / "test_caps.txt").read_text(encoding="utf-8").splitlines()
    captions[3] = captions[4] = f"a {RED} thing {CLEAR}"
    (data / "test_caps.txt").write_text("\n".join(captions) + "\n", encoding="utf-8")
    done = run(tmp_path, "data", "check", "./data", "--split", "test")
    assert r"a \x1b[31m thing \x9b2J" in done.stdout


def test_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    for name, value in {"TERM": "dumb-not", "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    with show_progress(f"[/x] {CLEAR}") as advance:
        advance(1, 2)
    assert r"[/x] \x9b2J" in terminal.getvalue()
    assert CLEAR not in terminal.getvalue()


@pytest.mark.slow
@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\\")))
def test_what_is_escaped_can_be_read_back(text: str) -> None:
    shown = console.escape(text)
    assert not console.CONTROLS.search(shown)
    assert shown.encode("ascii", "backslashreplace").decode("unicode_escape") == text
    assert console.escape(shown) == shown
    assert console.escape_lines(text).replace("\n", r"\n") == shown


@pytest.mark.slow
@settings(deadline=None)
@given(st.text(LETTERS))
def test_json_of_any_text(text: str) -> None:
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", stream)
        console.print_json({text: [text]})
    assert json.loads(stream.getvalue()) == {text: [text]}
    assert not console.CONTROLS.search(stream.getvalue().replace("\n", ""))


def test_quiet_writes_results_and_warnings_alone(folder: Path) -> None:
    done = run(folder, "search", "run", "a red thing", "--images", "photos", "-q", "--html", "page.html")
    assert done.code == 0
    assert done.stderr.splitlines()[0] == "Warning: 1 image was skipped:"
    assert "page.html" not in done.stderr
    assert done.stdout.startswith("rank")


@pytest.mark.process
@pytest.mark.parametrize("flags", [["--json"], []])
def test_what_a_plugin_prints_stays_out_of_json(flags: list[str], tmp_path: Path) -> None:
    """Also by the descriptor, as C libraries do, and by a process that it starts."""
    done = processes.run_command(tmp_path, "noise", *flags, before=register_noise)
    assert done.code == 0
    if flags:
        assert json.loads(done.stdout) == {"value": 1}
        assert "python" in done.stderr
        assert "descriptor" in done.stderr
        assert "process" in done.stderr
        assert "value" not in done.stderr
    else:
        assert sorted(done.stdout.split()) == sorted(["python", "descriptor", "process", "{", '"value":', "1", "}"])


def register_noise() -> None:
    """Register a command, as one of vsezoo's own, in which something prints in several ways."""

    @click.command(cls=Command)
    @shared_options.as_json
    def noise(as_json: bool) -> None:
        print("python", flush=True)
        os.write(1, b"descriptor\n")
        os.system("echo process")
        console.print_json({"value": 1})

    assert noise.callback is not None
    noise.callback.__module__ = "vsezoo.cli.noise"
    registry.register("commands", "noise")(noise)


@pytest.mark.process
def test_json_on_a_full_disk_is_one_message(tmp_path: Path) -> None:
    done = processes.run_command(tmp_path, "noise", "--json", before=fill_output)
    processes.assert_one_message(done, 1, "No space left on device")


def fill_output() -> None:
    """Let standard output be a full disk."""
    register_noise()
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
