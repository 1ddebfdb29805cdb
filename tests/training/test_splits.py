"""The splits of a run: each is opened once, and all dev captions make the vocabulary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny

import vsezoo
from vsezoo import registry
from vsezoo.data.precomputed.source import PrecomputedSource
from vsezoo.data.source import DEFAULT_OPTIONS, OpenOptions
from vsezoo.errors import DataError
from vsezoo.interfaces import PairDataset
from vsezoo.training.splits import open_splits

KINDS = ("vector",)


class CountingSource(PrecomputedSource):
    """Counts how often each split is opened."""

    def open(self, split: str, kinds: Sequence[str], options: OpenOptions = DEFAULT_OPTIONS) -> PairDataset:
        self.opened.update([split])
        return super().open(split, kinds, options)

    @property
    def opened(self) -> Counter[str]:
        counted: Counter[str] = self.__dict__.setdefault("counted", Counter())
        return counted


@pytest.fixture
def source(tmp_path: Path) -> CountingSource:
    source = CountingSource("counted", "Counts.", folder=tiny.write_data(tmp_path / "data"))
    registry.register("datasets", "counted")(source)
    return source


@pytest.mark.slow
def test_a_run_opens_each_split_once(source: CountingSource, tmp_path: Path) -> None:
    settings = {**tiny.SETTINGS, "training.num_epochs": 1}
    vsezoo.train("vsepp", "counted", output=tmp_path / "run", settings=settings, device="cpu", overrides=False)
    assert source.opened == {"train": 1, "dev": 1, "test": 1}
    more = {"training.num_epochs": 2}
    vsezoo.train("vsepp", "counted", output=tmp_path / "run", settings=more, device="cpu", resume=True)
    assert source.opened == {"train": 2, "dev": 2, "test": 2}
    vsezoo.train("vsepp", "counted", output=tmp_path / "run", settings=more, device="cpu", resume=True)
    assert source.opened == {"train": 2, "dev": 2, "test": 2}  # it was done


def test_a_test_split_that_does_not_open_is_a_warning(source: CountingSource) -> None:
    assert open_splits("counted", KINDS, DEFAULT_OPTIONS).warnings == ()
    (source.folder / "test_caps.txt").write_text("one\n" * 7)  # type: ignore[operator]
    splits = open_splits("counted", KINDS, DEFAULT_OPTIONS)
    assert splits.test is None
    (warning,) = splits.warnings
    assert warning.startswith("The test split cannot be used, so the dev split will be reported. ")
    assert "7 captions" in warning


@pytest.mark.parametrize("split", ["train", "dev"])
def test_a_split_that_is_needed_and_does_not_open_is_an_error(source: CountingSource, split: str) -> None:
    (source.folder / f"{split}_ims.npy").unlink()  # type: ignore[operator]
    with pytest.raises(DataError, match=f"has no split '{split}'"):
        open_splits("counted", KINDS, DEFAULT_OPTIONS)


def test_all_dev_captions_make_the_vocabulary(tmp_path: Path) -> None:
    folder = tiny.write_data(tmp_path / "data", images={"train": 4, "dev": 3, "test": 2})
    np.save(folder / "dev_ims.npy", np.ones((1003, tiny.WIDTH), np.float32))
    lines = [f"caption {line}" for line in range(5015)]
    (folder / "dev_caps.txt").write_text("\n".join(lines) + "\n")
    splits = open_splits(str(folder), KINDS, DEFAULT_OPTIONS)
    assert len(splits.dev.captions) == 5000
    assert splits.vocabulary_captions == [*splits.train.captions, *lines]
    whole = open_splits(str(folder), KINDS, OpenOptions(full_dev=True))
    assert whole.vocabulary_captions == splits.vocabulary_captions
