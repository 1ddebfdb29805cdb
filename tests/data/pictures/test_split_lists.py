"""Lists of the pictures of each split, as text files beside captions that name no splits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from picture_folders import open_error, open_split, show, write_pictures

NAMES = [f"{letter}.jpg" for letter in "abcdef"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "train2014", NAMES)  # whose name is not that of a split for these data
    rows = "".join(f"{name},caption of {name}\n" for name in NAMES)
    (tmp_path / "captions.csv").write_text(f"image,caption\n{rows}")
    return tmp_path


@pytest.mark.parametrize(
    ("names", "form"),
    [
        (("train.txt", "val.txt", "test.txt"), "{}.jpg"),
        (("splits/train.csv", "splits/val.csv", "splits/test.csv"), "./train2014/{}.jpg"),
        (("coco-cn_train.txt", "coco-cn_val.txt", "coco-cn_test.txt"), "{}"),
        (("Flickr_8k.trainImages.txt", "Flickr_8k.devImages.txt", "Flickr_8k.testImages.txt"), "{}.jpg"),
    ],
)
def test_lists_decide_before_folders(folder: Path, names: tuple[str, ...], form: str) -> None:
    (folder / "splits").mkdir()
    for name, letters in zip(names, ("abc", "d", "e"), strict=True):
        (folder / name).write_text("image\n" * name.endswith("csv"))
        with (folder / name).open("a") as stream:
            stream.write("".join(f"{form.format(letter)}\n" for letter in letters))
    (folder / "notes_on_training.txt").write_text("a line of words\n")
    train = open_split(folder)
    assert list(show(train)) == ["a.jpg", "b.jpg", "c.jpg"]
    assert list(show(open_split(folder, "dev"))) == ["d.jpg"]
    assert list(show(open_split(folder, "test"))) == ["e.jpg"]
    assert train.account["rule"].startswith("given by the lists ")
    assert train.account["left_out"] == {"named by no list": 1}


def test_lists_of_json(folder: Path) -> None:
    lists = {"train": ["a.jpg", "b.jpg"], "validation": ["train2014/c.jpg"], "seed": 3}
    (folder / "splits.json").write_text(json.dumps(lists))
    train = open_split(folder)
    assert list(show(train)) == ["a.jpg", "b.jpg"]
    assert train.account["rule"] == "given by the list splits.json"
    assert list(show(open_split(folder, "dev"))) == ["c.jpg"]
    (folder / "splits.json").write_text(json.dumps({**lists, "test": ["d.jpg", "e.jpg", "gone.jpg"]}))
    assert "splits.json: entry 2 of test names gone.jpg, which has no captions." in open_error(folder)


def test_lists_that_do_not_fit(folder: Path) -> None:
    (folder / "train.txt").write_text("a.jpg\nb.jpg\ngone.jpg\n")
    assert list(show(open_split(folder))) == NAMES  # one list decides nothing
    (folder / "val.txt").write_text("c.jpg\n")
    assert "train.txt: line 3 names gone.jpg, which has no captions." in open_error(folder)
    assert list(show(open_split(folder, on_bad_image="skip"))) == ["a.jpg", "b.jpg"]
    (folder / "dev.txt").write_text("d.jpg\n")
    assert "has two lists of the split dev: dev.txt, val.txt." in open_error(folder)
    (folder / "dev.txt").unlink()
    (folder / "val.txt").write_text("a.jpg\n")
    assert "val.txt: line 1 has a.jpg in the split dev, another list has it in train." in open_error(folder)


def test_a_column_decides_before_lists(folder: Path) -> None:
    rows = "".join(f"{name},a dog,train\n" for name in NAMES)
    (folder / "captions.csv").write_text(f"image,caption,split\n{rows}")
    for name, letter in (("train.txt", "a"), ("test.txt", "b")):
        (folder / name).write_text(f"{letter}.jpg\n")
    assert list(show(open_split(folder))) == NAMES
