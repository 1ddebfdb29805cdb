"""What is found out before the first step, and what a mistake leaves behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny

import vsezoo
from vsezoo.errors import DataError, UsageError
from vsezoo.training.callbacks import Callback
from vsezoo.training.preparation import ProgressPairs
from vsezoo.training.resume import find_run
from vsezoo.training.run_folder import hold_run
from vsezoo.training.splits import describe_skipped


@pytest.mark.slow
def test_a_mistake_before_the_first_step_leaves_the_folder_free(tmp_path: Path) -> None:
    data, run = tiny.write_data(tmp_path / "data"), tmp_path / "run"
    mistaken = {**tiny.SETTINGS, "training.last_batch": "drop", "training.batch_size": 1000}
    for _ in range(2):
        with pytest.raises(DataError, match="drops the last batch"):
            vsezoo.train("vsepp", data, output=run, settings=mistaken, device="cpu", overrides=False)
        assert not run.exists()
    run.mkdir()
    (run / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match="drops the last batch"):
        vsezoo.train("vsepp", data, output=run, settings=mistaken, device="cpu", overrides=False)
    assert [file.name for file in run.iterdir()] == ["notes.txt"]


@pytest.mark.slow
def test_captions_without_a_word_that_is_frequent_enough(tmp_path: Path) -> None:
    data, run = tiny.write_data(tmp_path / "data"), tmp_path / "run"
    for rule in ("nltk", "split", "letters", "characters"):
        settings = {**tiny.SETTINGS, "text_encoder.vocab_threshold": 999, "text_encoder.words": rule}
        with pytest.raises(DataError, match=r"^no word occurs 999 times in the captions of 'data': all") as caught:
            vsezoo.train("vsepp", data, output=run, settings=settings, device="cpu", overrides=False)
        assert caught.value.remedy.endswith("a lower threshold: --set text_encoder.vocab_threshold=1.")
        assert not run.exists()


class Told(Callback):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []

    def prepare(self, what: str, done: int, total: int) -> None:
        self.told.append((what, done, total))


def test_reading_all_images_once_is_told() -> None:
    data, callback = tiny.TinyPairs(), Told()
    told = ProgressPairs(data, [callback])
    assert (told.images([0, 3]) == data.images([0, 3])).all()
    assert (told.images([1, 2, 4, 5]) == data.images([1, 2, 4, 5])).all()
    told.images([0])
    assert callback.told == [("images", 2, 6), ("images", 6, 6), ("images", 6, 6)]
    assert (told.image_ids, told.image_shape, told.kind) == (data.image_ids, data.image_shape, data.kind)


def test_images_that_were_left_out_are_told_with_their_reasons() -> None:
    whole, short = tiny.TinyPairs(), tiny.TinyPairs()
    short.skipped = {f"{index}.jpg": "is truncated" for index in range(7)}
    assert list(describe_skipped(whole, None)) == []
    (told,) = describe_skipped(whole, short)
    first, *rest = told.splitlines()
    assert first == "7 of the 13 images of the split train are skipped, with their captions:"
    assert rest == [*(f"{index}.jpg: is truncated" for index in range(5)), "… and 2 more"]


def test_a_run_is_held_by_one_training(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "run"
    with hold_run(folder, None):
        with pytest.raises(UsageError, match="in use by another training run"), hold_run(folder, None):
            pass
        assert folder.is_dir()
    assert not folder.exists()  # nothing was begun


@pytest.mark.slow
def test_what_another_training_did_meanwhile_is_noticed(tmp_path: Path) -> None:
    data, run = tiny.write_data(tmp_path / "data"), tmp_path / "run"
    vsezoo.train("vsepp", data, output=run, settings=tiny.SETTINGS, device="cpu")
    state = find_run(run, resume=True)
    with hold_run(run, state):
        pass
    for known in (None, replace(state, progress=replace(state.progress, step=1))):
        with pytest.raises(UsageError, match="changed by another training run"), hold_run(run, known):
            pass
