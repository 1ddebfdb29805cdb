"""`vsezoo train` with what needs no data to be wrong: each mistake is one message, before anything is written."""

from __future__ import annotations

from pathlib import Path

import processes
import pytest
from click.testing import CliRunner, Result

from vsezoo.cli import main


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


MISTAKES = [
    ("vsep", [], r"^There is no model 'vsep'\.\nDid you mean 'vsepp'\?"),
    ("VSE++", [], r"^There is no model 'VSE\+\+'\.\nDid you mean 'vse\+\+'\?"),
    (
        "vsepp",
        ["--data", "shape"],
        r"^There is no data set 'shape'\.\nDid you mean 'shapes'\?.* a path with a slash: \./FOLDER",
    ),
    ("vsepp", ["--max-violatoin"], r"^No such option '?--max-violatoin'?"),
    ("vsepp", ["--batch-size", "x"], r"'--batch-size': 'x' is not a valid integer"),
    ("vsepp", ["--batch-size", "0"], r"^training\.batch_size is 0; it must be at least 1"),
    ("vsepp", ["--num-epochs", "0"], r"^training\.num_epochs is 0; it must be at least 1"),
    ("vsepp", ["--learning-rate", "nan"], r"^training\.learning_rate is nan"),
    ("vsepp", ["--precision", "fp8"], r"^training\.precision is 'fp8'; it must be one of fp32, bf16"),
    ("vsepp", ["--device", "nonsense"], r"^the device 'nonsense' cannot be used: .*\nTry --device cpu"),
    ("vsepp", ["--workers", "-1"], r"'--workers': -1 is not in the range x>=0"),
    ("vsepp", ["--embed-size", "0"], r"^embed_size is 0; it must be at least 1"),
    ("vsepp", ["--word-dim", "-3"], r"word_dim"),
    ("vsepp", ["--num-layers", "0"], r"num_layers"),
    ("vsepp", ["--measure", "cosin"], r"^There is no similarity 'cosin'\.\nDid you mean 'cosine'"),
    ("vsepp", ["--set", "margin"], r"^--set takes NAME=VALUE, not 'margin'"),
    ("vsepp", ["--set", "loss.margn=1"], r"^loss 'hinge' has no option 'margn'\.\nDid you mean 'margin'"),
    ("vsepp", ["--set", "loss.margin=much"], r"^loss\.margin is 'much'; it must be of type float"),
    ("vsepp", ["--set", "training.criterion=foo"], r"^'foo' is not a selection criterion\.\n.*rsum, r1\+r5, search"),
    (
        "vsepp",
        ["--set", "training.epochs=3"],
        r"^'training\.epochs' is not a setting of a recipe\.\nDid you mean 'training\.num_epochs'",
    ),
    ("vsepp", ["--set", "epochs=3"], r"^'epochs' is not a setting of a recipe"),
]


@pytest.mark.parametrize(("model", "arguments", "message"), MISTAKES, ids=lambda value: " ".join(value)[:40])
def test_mistakes(model: str, arguments: list[str], message: str, tmp_path: Path) -> None:
    result = invoke("train", model, "--output", tmp_path / "run", *arguments)
    processes.assert_one_message(result, 2, message)
    assert not (tmp_path / "run").exists()


def test_data_that_are_not_there(tmp_path: Path) -> None:
    folder = invoke("train", "vsepp", "--data", tmp_path / "none", "--output", tmp_path / "run")
    processes.assert_one_message(folder, 2, rf"^{tmp_path}/none: does not exist\.")
    result = invoke("train", "vsepp", "--data", "f8k_precomp", "--data-root", tmp_path, "--output", tmp_path / "run")
    processes.assert_one_message(result, 1, "The features of data set 'f8k_precomp' were not found")
    for wanted in ("train_ims.npy", "dev_caps.txt", str(tmp_path / "f8k_precomp"), "Origin: data.tar of VSE++"):
        assert wanted in result.stderr


@pytest.mark.parametrize("arguments", [["--output", ""], ["--output="], ["--data", ""]])
def test_an_empty_argument(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of the shell that is not set must not make a run in the present folder."""
    monkeypatch.chdir(tmp_path)
    processes.assert_one_message(invoke("train", "vsepp", *arguments), 2, r"^An argument is empty\.\n.*variable")
    assert not list(tmp_path.iterdir())
