"""Captions in lines `IMAGE#NUMBER CAPTION`, as of Flickr8k-CN and COCO-CN; and columns of other public sets."""

from __future__ import annotations

from pathlib import Path

import pytest
from picture_folders import open_error, open_split, show, write_pictures


@pytest.mark.parametrize(
    ("file", "lines", "picture"),
    [
        ("flickr8kcn.txt", ["a.jpg#zhm#0 一只 狗", "a.jpg#zhm#1 狗"], "a.jpg"),
        ("flickr8kzhc.caption.txt", ["a.jpg#zhc#0\t一只 狗", "a.jpg#zhc#1\t狗"], "a.jpg"),
        ("mine.token", ["a.jpg#0\t一只  狗", "a.jpg#1\t狗"], "a.jpg"),
        (
            "imageid.human-written-caption.txt",
            ["COCO_train2014_000000000009#zhm#0\t一只 狗", "COCO_train2014_000000000009#zhm#1\t狗"],
            "COCO_train2014_000000000009.jpg",
        ),
    ],
)
def test_lines_with_the_number_of_the_caption(tmp_path: Path, file: str, lines: list[str], picture: str) -> None:
    write_pictures(tmp_path, [f"train/{picture}"])
    (tmp_path / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert show(open_split(tmp_path)) == {picture: ["一只 狗", "狗"]}
    with (tmp_path / file).open("a", encoding="utf-8") as stream:
        stream.write("no number\n")
    assert "line 3 is not IMAGE#NUMBER and a caption" in open_error(tmp_path)
    assert len(open_split(tmp_path, on_bad_image="skip").captions) == 2


@pytest.mark.parametrize(
    "header", ["name,caption", "file_name,alt_text", "image,utterance", "image_path,caption_str", "image,raw"]
)
def test_columns_of_public_sets(tmp_path: Path, header: str) -> None:
    write_pictures(tmp_path, ["train/a.jpg"])
    (tmp_path / "metadata.csv").write_text(f"{header}\na.jpg,a dog\n")
    assert show(open_split(tmp_path)) == {"a.jpg": ["a dog"]}


def test_text_files_without_numbers_are_no_tables(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["train/a.jpg"])
    (tmp_path / "README.txt").write_text("image,caption\n")
    (tmp_path / "mine.csv").write_text("image,caption\na.jpg,a dog\n")
    assert show(open_split(tmp_path)) == {"a.jpg": ["a dog"]}
