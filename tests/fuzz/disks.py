"""Give every command that writes a disk on which it cannot, and look at what was there before.

    python tests/fuzz/disks.py

Files limited to 0, 300 and 3,000 bytes (`ulimit -f`), a full disk and one with 8 KiB left, a read-only one (both are
mounted, which only root may do), a pipe in the place of the output, and an output with a second name (hard link). A
command must end with one message, leave nothing behind, and leave what was there, unless it did without.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "features"))

import commands
import numpy as np
import picture_folders
import processes
import tiny
import torch
from made_pictures import extract

from vsezoo.errors import VsezooError
from vsezoo.features.extractor import FeatureForm

PATIENCE = 300
"""Seconds after which a command counts as hung."""
BEFORE = b"what was there before"
LEFT = re.compile(r"\.tmp$|\.part$|\.previous$")
SET = tiny.make_flags(training__num_epochs=1)
EVAL, CONVERT = ["eval", "run", "--data", "data"], ["data", "convert", "pictures"]
COMMANDS: dict[str, tuple[str, list[str]]] = {
    "train": ("out", ["train", "vsepp", "--data", "data", *SET, "--output"]),
    "features": ("out", []),
    "embed .npy": ("out.npy", ["embed", "run", "--texts", "texts.txt", "--output"]),
    "embed .safetensors": ("out.safetensors", ["embed", "run", "--texts", "texts.txt", "--output"]),
    "convert": ("out", ["convert", "other.pth.tar", "--data", "data", "--output"]),
    "convert --to": ("out.pth.tar", ["convert", "run", "--to", "vsepp", "--data", "data", "--overwrite", "--output"]),
    "index build": ("out", ["index", "build", "run", "--images", "rows.npy"]),
    "eval --predictions .jsonl": ("out.jsonl", [*EVAL, "--predictions"]),
    "eval --predictions .parquet": ("out.parquet", [*EVAL, "--predictions"]),
    "eval --html": ("out.html", [*EVAL, "--html"]),
    "eval --output": ("out.json", [*EVAL, "--output"]),
    "data convert folder": ("out", [*CONVERT, "--to", "folder"]),
    "data convert parquet": ("out", [*CONVERT, "--to", "parquet"]),
    "data convert webdataset": ("out", [*CONVERT, "--to", "webdataset"]),
    "data check --html": ("out.html", ["data", "check", "pictures", "--html"]),
    "compare --html": ("out.html", ["compare", "a.jsonl", "b.jsonl", "--html"]),
    "new-plugin": ("out", ["new-plugin", "own", "--kind", "loss", "--output"]),
    "search --html": ("out.html", ["search", "run", "red", "--images", "rows.npy", "--html"]),
}
"""The name of the output of each, and its words before it; those of `features` are a call."""
FOUND = {"data check --html": 1}
"""Exit codes that say what was found in the data."""


def prepare(folder: Path) -> None:
    """Write what the commands read."""
    tiny.write_data(folder / "data")
    names = [f"{number}.png" for number in range(12)]
    picture_folders.write_pictures(folder / "pictures", names)
    rows = [json.dumps({"image": name, "split": "train", "captions": ["a thing", "b"]}) for name in names]
    (folder / "pictures" / "captions.jsonl").write_text("\n".join(rows))
    (folder / "texts.txt").write_text("red\ngreen thing\nblue one\n" * 400)
    np.save(folder / "rows.npy", np.random.default_rng(0).normal(size=(3000, tiny.WIDTH)).astype(np.float32))
    for words in (
        [*COMMANDS["train"][1], "run"],
        [*COMMANDS["convert --to"][1], "other.pth.tar"],
        [*EVAL, "--predictions", "a.jsonl"],
    ):
        done = commands.run_command(folder, *words)
        assert done.code == 0, done.stderr
    shutil.copy(folder / "a.jsonl", folder / "b.jsonl")


def run(folder: Path, name: str, output: Path, limit: int | None) -> tuple[int, str]:
    """Run a command in a process of its own; return its exit code and its errors."""
    report = folder / "report"
    child = os.fork()
    if not child:
        signal.alarm(PATIENCE)
        code, text = 99, ""
        try:
            done = call(folder, name, output, limit)
            code, text = done.code, done.stderr
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        finally:
            report.write_text(text)
            os._exit(code)
    _, status = os.waitpid(child, 0)
    text = report.read_text() if report.exists() else ""
    report.unlink(missing_ok=True)
    return os.waitstatus_to_exitcode(status), text


def call(folder: Path, name: str, output: Path, limit: int | None) -> processes.Done:
    """Run a command in this process."""

    def restrict() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    words = COMMANDS[name][1]
    if words:
        return commands.run_command(folder, *words, output, before=restrict)
    restrict()
    try:
        extract(output, form=FeatureForm(batch_size=2))
        done = processes.Done(0, "", "")
    except VsezooError as error:
        done = processes.Done(error.exit_code, "", f"Error: {error}")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return done


@contextlib.contextmanager
def mount(place: Path, *options: str) -> Iterator[None]:
    """Mount something while the block runs."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", *options, str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextlib.contextmanager
def disturb(attack: str, folder: Path, name: str) -> Iterator[tuple[Path, Path]]:
    """Yield the output for a command, and the file that must stay as it is."""
    place, disk, file = folder / "place", folder / "disk", COMMANDS[name][0]
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    with contextlib.ExitStack() as mounted:
        if attack.startswith("full"):
            mounted.enter_context(mount(disk, "-t", "tmpfs", "-o", "size=64k", "tmpfs"))
            place = disk
        output = place / file
        if attack == "pipe":
            os.mkfifo(output)
        elif output.suffix:
            output.write_bytes(BEFORE)
        if attack.startswith("full"):
            with contextlib.suppress(OSError), (disk / "rest").open("wb", buffering=0) as rest:
                while True:
                    rest.write(bytes(4096))
            if attack == "full but 8 KiB":
                os.truncate(disk / "rest", (disk / "rest").stat().st_size - 8192)
        if attack == "read-only":
            mounted.enter_context(mount(disk, "--bind", str(place)))
            subprocess.run(["mount", "-o", "remount,bind,ro", str(disk)], check=True)
            output = disk / file
        if attack == "two names":
            os.link(output, place / "other")
            yield output, place / "other"
        else:
            yield output, output


def describe(file: Path) -> str:
    """Return what a file is, by its content."""
    if file.is_file():
        return hashlib.sha256(file.read_bytes()).hexdigest()
    return "a pipe" if file.is_fifo() else "a folder" if file.is_dir() else "absent"


ATTACKS = ("0 bytes", "300 bytes", "3000 bytes", "full", "full but 8 KiB", "read-only", "pipe", "two names")


def main() -> int:
    """Try each command with each disk, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--command", choices=COMMANDS, action="append")
    parser.add_argument("--attack", choices=ATTACKS, action="append")
    given = parser.parse_args()
    torch.set_num_threads(1)
    failed = 0
    print(f"{'disk':16}" + "".join(f"{word:>12}" for word in ("tried", "message", "did without", "sound")))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["VSEZOO_CACHE"] = str(folder / "cache")
        prepare(folder)
        for attack in given.attack or ATTACKS:
            limit = int(attack.split()[0]) if attack.endswith("bytes") else None
            results = Counter[str]()
            for name in given.command or COMMANDS:
                if attack == "two names" and not Path(COMMANDS[name][0]).suffix:
                    continue  # a new folder
                shutil.rmtree(folder / "cache", ignore_errors=True)
                with disturb(attack, folder, name) as (output, kept):
                    before = describe(kept)
                    code, text = run(folder, name, output, limit)
                    did = code in (0, FOUND.get(name)) and "Error: " not in text
                    same = describe(kept) == before or before == "absent"
                    left = [file.name for file in output.parent.rglob("*") if LEFT.search(file.name)]
                sound = not left and (same or (did and attack != "two names"))
                sound = sound and (did or (code in (1, 2) and text.count("Error: ") == 1))
                results.update(["tried", "did without" if did else "message", *(["sound"] if sound else [])])
                if not sound:
                    failed += 1
                    print(f"{attack}, {name}: {code}, {text[-500:]!r}; same {same}; left {left}", file=sys.stderr)
            counts = [results[word] for word in ("tried", "message", "did without", "sound")]
            print(f"{attack:16}" + "".join(f"{count:12}" for count in counts), flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
