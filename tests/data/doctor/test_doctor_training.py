"""What the data doctor says of broken data is what a training on them does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny

import vsezoo
from vsezoo.data.doctor.check import check_data
from vsezoo.errors import VsezooError


def edit(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Return what writes an array of the folder anew."""

    def apply(folder: Path) -> None:
        path = folder / f"{name}_ims.npy"
        np.save(path, change(np.load(path)))

    return apply


def spoil(row: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return what puts a value into a row."""

    def change(array: np.ndarray) -> np.ndarray:
        array[row, 1] = value
        return array

    return change


def rewrite(name: str, change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    """Return what writes the captions of a split anew."""

    def apply(folder: Path) -> None:
        path = folder / f"{name}_caps.txt"
        path.write_bytes(b"".join(line + b"\n" for line in change(path.read_bytes().splitlines())))

    return apply


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


BROKEN: dict[str, tuple[Callable[[Path], None], bool]] = {
    "sound": (lambda folder: None, False),
    "NaN in train": (edit("train", spoil(5, np.nan)), True),
    "NaN in dev": (edit("dev", spoil(5, np.nan)), True),
    "NaN in test": (edit("test", spoil(5, np.nan)), False),
    "cut off": (lambda folder: os.truncate(folder / "train_ims.npy", 1000), True),
    "a row too few": (edit("dev", lambda array: array[1:]), True),
    "a row too few in test": (edit("test", lambda array: array[1:]), False),
    "integers": (edit("train", lambda array: array.astype(np.int32)), True),
    "no dev": (remove("dev_ims.npy"), True),
    "no captions": (remove("dev_caps.txt"), True),
    "no test": (remove("test_ims.npy"), False),
    "width of dev": (edit("dev", lambda array: array[:, :7]), True),
    "width of test": (edit("test", lambda array: array[:, :7]), True),
    "regions in dev": (edit("dev", lambda array: np.stack([array, array], axis=1)), True),
    "regions in test": (edit("test", lambda array: np.stack([array, array], axis=1)), False),
    "zeros": (edit("train", lambda array: array * (np.arange(len(array)) != 3)[:, None].astype("f4")), False),
    "equal rows": (edit("train", lambda array: np.repeat(array[::2], 2, axis=0)), False),
    "Latin-1": (rewrite("train", lambda lines: [b"caf\xe9", *lines[1:]]), True),
    "bytes": (rewrite("train", lambda lines: [b"b'" + line + b"'" for line in lines]), False),
    "empty captions": (rewrite("train", lambda lines: [b"", b"", *lines[2:]]), False),
    "unknown words": (rewrite("dev", lambda lines: [b"quokka"] * len(lines)), False),
    "a caption too few": (rewrite("train", lambda lines: lines[1:]), True),
    "ids too few": (lambda folder: (folder / "train_ids.txt").write_text("a\nb\n", encoding="utf-8") and None, True),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.slow
def test_the_doctor_and_a_training_agree(name: str, tmp_path: Path) -> None:
    folder = tiny.write_data(tmp_path / "mine", images={"train": 16, "dev": 6, "test": 6})
    breaks, fails = BROKEN[name]
    breaks(folder)
    settings = tiny.SETTINGS | {"training.num_epochs": 1}
    failed = False
    try:
        vsezoo.train("vsepp", str(folder), output=tmp_path / "run", settings=settings, device="cpu")
    except VsezooError:
        failed = True
    report = check_data(str(folder), vocab_threshold=1)
    assert failed == fails
    assert report.fails == fails, report.findings
    if name != "sound":
        assert [finding for finding in report.findings if finding.level in ("error", "warning")]


@pytest.mark.slow
def test_what_is_read_at_the_end_of_a_training_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large file, opening looks at samples: the training fails when it reads the rest."""
    monkeypatch.setattr("vsezoo.data.precomputed.feature_file.CHECKED_WHOLE", 0)
    monkeypatch.setattr("vsezoo.data.precomputed.feature_file.SAMPLED_IMAGES", 2)
    folder = tiny.write_data(tmp_path / "mine", images={"train": 16, "dev": 6, "test": 6})
    edit("test", spoil(3, np.nan))(folder)
    with pytest.raises(VsezooError, match="row 3"):
        vsezoo.train("vsepp", str(folder), output=tmp_path / "run", settings=tiny.SETTINGS, device="cpu")
    assert check_data(str(folder)).fails
