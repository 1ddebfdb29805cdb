"""An installation without any extra: what works all the same, and what names the command that installs the rest."""

from __future__ import annotations

import sys
from pathlib import Path

import processes
import pytest
import tiny

from vsezoo.errors import EXTRAS, MissingPackageError, require_package

OPTIONAL = (*EXTRAS, "nltk", "s3fs", "tensorboard")


def block() -> None:
    """Have the process find none of the optional packages."""
    for name in [name for name in sys.modules if name.partition(".")[0] in OPTIONAL]:
        del sys.modules[name]
    sys.modules.update(dict.fromkeys(OPTIONAL))  # type: ignore[arg-type]
    processes.set_cache()


def run(folder: Path, *arguments: str) -> processes.Done:
    return processes.run_command(folder, *arguments, before=block)


@pytest.mark.process
def test_a_model_is_trained_evaluated_and_described(tmp_path: Path) -> None:
    tiny.write_data(tmp_path / "data")
    flags = ("--data", "./data", "--output", "run", "--device", "cpu", *tiny.make_flags())
    done = run(tmp_path, "train", "vsepp", *flags)
    assert done.code == 0, done.stderr
    assert not [name for name in OPTIONAL if name in done.stderr]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["best", "last", "log.jsonl", "tensorboard"]
    assert len(list((tmp_path / "run/tensorboard").iterdir())) == 1
    assert run(tmp_path, "eval", "run", "--device", "cpu").code == 0
    done = run(tmp_path, "card", "run")
    assert (done.code, done.stdout.splitlines()[0]) == (0, "run/best/README.md")
    text = "The plot of the training curves needs matplotlib, which is not installed. Install it: "
    assert f"{text}python -m pip install 'vsezoo[plot]'" in " ".join(done.stderr.split())


@pytest.mark.process
@pytest.mark.parametrize(
    "command",
    [
        ("data", "check", "photos"),
        ("features", "photos", "--backbone", "torchvision:resnet18", "--weights", "none", "--output", "out"),
        ("train", "vsepp-resnet152", "--data", "photos"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize(
    ("address", "package", "wanted"),
    [("https://example.org/train.tar", "aiohttp", "'vsezoo[network]'"), ("s3://bucket/train.tar", "s3fs", "s3fs")],
)
def test_shards_on_a_server(tmp_path: Path, command: tuple[str, ...], address: str, package: str, wanted: str) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "shards.txt").write_text(address, encoding="utf-8")
    done = run(tmp_path, *command)
    assert "Traceback" not in done.stderr
    assert done.code != 0
    text = f"{address}: Reading it needs {package}, which is not installed. Install it: python -m pip install {wanted}"
    assert text in " ".join((done.stdout + done.stderr).split())


def test_a_package_that_is_there() -> None:
    assert require_package("json.decoder", "Reading JSON") is sys.modules["json.decoder"]


def test_a_package_that_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made_broken.py").write_text("raise ImportError('libGL.so.1 is missing')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingPackageError) as caught:
        require_package("made_broken", "Drawing")
    assert caught.value.problem == "Drawing needs made_broken, which cannot be imported: libGL.so.1 is missing."
    assert caught.value.remedy == "Install it: python -m pip install made_broken"
