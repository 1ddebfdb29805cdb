"""Completion: the scripts, and what a shell gets to complete."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import processes
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from vsezoo.cli import main
from vsezoo.storage.checkpoint_layout import CONFIG

Complete = Callable[[str], list[str]]


@pytest.fixture
def complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Complete:
    """A function that completes the last word of a line, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def list_completions(line: str) -> list[str]:
        *words, incomplete = line.split(" ")
        shell = ShellComplete(main, {}, "vsezoo", "_VSEZOO_COMPLETE")
        return [item.value for item in shell.get_completions(words, incomplete)]

    return list_completions


def test_models_and_recipe_files(complete: Complete) -> None:
    assert complete("train vsepp-v") == ["vsepp-vgg19", "vsepp-vgg19-finetuned"]
    Path("mine.json").touch()
    Path("mine.txt").touch()
    assert complete("train mi") == ["mine.json"]


def test_checkpoints(complete: Complete) -> None:
    run = Path("runs/vsepp-shapes/best")
    run.mkdir(parents=True)
    (run / CONFIG).touch()
    assert complete("eval r") == ["runs/vsepp-shapes", "runs/"]
    assert complete("eval runs/") == ["runs/vsepp-shapes", "runs/vsepp-shapes/"]
    assert "clip-vit-b32.openai" in complete("search clip-v")
    assert "clip-vit-b32.openai" in complete("show clip-v")
    assert complete("show vse-bo") == ["vse-bow"]


def test_data_sets_and_folders_of_data(complete: Complete) -> None:
    Path("data/mine_precomp").mkdir(parents=True)
    assert complete("train vsepp --data data/m") == ["data/mine_precomp", "data/mine_precomp/"]
    assert complete("eval x --data f8k_p") == ["f8k_precomp"]
    for line in ("data check", "features", "embed x --data", "index build x y --data", "show vsepp --data"):
        assert complete(f"{line} f8k_p") == ["f8k_precomp"]
    assert complete("train vsepp --data absent/") == complete("train vsepp --data ~nobody-has-this-name/") == []


def test_settings_are_those_of_the_model(complete: Complete) -> None:
    assert complete("train vsepp --set training.num") == ["training.num_epochs="]
    assert complete("train vsepp --set loss.ma") == ["loss.margin=", "loss.mask_same_image=", "loss.max_violation="]
    assert complete("train kiros-lstm --set optimizer.e") == ["optimizer.eps="]
    assert complete("train no-such-model --set emb") == ["embed_size="]
    assert complete("train no-such-model --set loss.") == []


def test_names_of_parts(complete: Complete) -> None:
    assert complete("train vsepp --loss inf") == ["infonce"]
    assert complete("train vsepp --measure cos") == ["cosine"]
    assert complete("train vsepp --text-encoder lst") == ["lstm"]
    assert complete("train vsepp --schedule cons") == ["constant"]


@pytest.mark.process
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(shell: str) -> None:
    done = CliRunner(env={"SHELL": f"/usr/bin/{shell}"}).invoke(main, ["completion"])
    assert done.exit_code == 0
    assert done.stdout == CliRunner().invoke(main, ["completion", shell]).stdout
    assert "_VSEZOO_COMPLETE" in done.stdout
    if shutil.which(shell):
        check = subprocess.run([shell, "-n"], input=done.stdout, text=True, capture_output=True, check=False)
        assert (check.returncode, check.stderr) == (0, "")


def test_an_unknown_shell() -> None:
    done = CliRunner(env={"SHELL": "/bin/csh"}).invoke(main, ["completion"])
    processes.assert_one_message(done, 2, r"^\$SHELL names none of bash, zsh and fish\.\n")
