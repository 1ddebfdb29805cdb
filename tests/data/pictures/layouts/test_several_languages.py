"""Captions in several languages: lists as Multi30K has them, columns of tables, tags of lines."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from picture_folders import open_error, open_split, show, write_pictures

CAPTIONS = {"en": ["a dog", "a cat"], "de": ["ein Hund", "eine Katze"]}


def write_lists(folder: Path, names: dict[str, list[str]]) -> None:
    for name, lines in names.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        content = "".join(f"{line}\n" for line in lines).encode()
        file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)


@pytest.mark.parametrize(
    ("en", "de", "images"),
    [
        ("train.en", "train.de", "train_images.txt"),
        ("train.en.gz", "train.de.gz", "train.split.txt.gz"),
        ("data/task1/raw/train.en.gz", "data/task1/raw/train.de.gz", "data/task1/image_splits/train.txt"),
        ("raw/train.en", "raw/train.de", "train_images.txt"),
    ],
)
def test_lists_of_multi30k(tmp_path: Path, en: str, de: str, images: str) -> None:
    write_lists(tmp_path, {en: CAPTIONS["en"], de: CAPTIONS["de"], images: ["1000.jpg", "1001.jpg"]})
    write_pictures(tmp_path / "flickr30k-images", ["1000.jpg", "1001.jpg"])
    pairs = open_split(tmp_path)
    assert show(pairs) == {"1000.jpg": ["ein Hund", "a dog"], "1001.jpg": ["eine Katze", "a cat"]}
    assert list(pairs.languages) == ["de", "en", "de", "en"]
    assert (pairs.account["layout"], pairs.account["rule"]) == ("multi30k", "given by the names of the lists")


def test_several_captions_and_several_tests(tmp_path: Path) -> None:
    """Task 2 has five captions of each picture in each language, and there are tests of three years."""
    tests = {
        f"test_{year}_flickr{end}": [line]
        for year in (2016, 2017)
        for end, line in ((".1.en", "a dog"), (".2.en", f"a dog of {year}"), ("_images.txt", f"{year}"))
    }
    write_lists(tmp_path, {"val.1.en": ["a cat"], "val_images.txt": ["1.jpg#0"], **tests})
    write_pictures(tmp_path / "images", ["1.jpg", "2016.jpg", "2017.jpg"])
    assert show(open_split(tmp_path, "dev")) == {"1.jpg": ["a cat"]}
    assert show(open_split(tmp_path, "test")) == {"2016.jpg": ["a dog", "a dog of 2016"]}
    assert show(open_split(tmp_path, "test_2017_flickr")) == {"2017.jpg": ["a dog", "a dog of 2017"]}


def test_lists_of_different_lengths_are_refused(tmp_path: Path) -> None:
    write_lists(tmp_path, {"train.en": ["a dog"], "train_images.txt": ["1.jpg", "2.jpg"]})
    message = open_error(tmp_path)
    assert "train.en: has 1 lines, and train_images.txt names 2 pictures." in message


def test_a_truncated_list_is_one_message(tmp_path: Path) -> None:
    write_lists(tmp_path, {"train.en.gz": ["a dog"], "train_images.txt": ["1.jpg"]})
    (tmp_path / "train.en.gz").write_bytes((tmp_path / "train.en.gz").read_bytes()[:-9])
    assert "train.en.gz: is not a whole gzip file" in open_error(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "languages"),
    [
        ("captions.csv", "image,caption,language\na.jpg,a dog,en\na.jpg,ein Hund,de\n", ["en", "de"]),
        ("captions.csv", "image,caption,lang\na.jpg,a dog,en\na.jpg,ein Hund,\n", ["en", ""]),
        ("captions.csv", "image,caption_en,caption_de\na.jpg,a dog,ein Hund\n", ["en", "de"]),
        ("captions.csv", "image,caption\na.jpg,a dog\na.jpg,ein Hund\n", []),
        ("captions.csv", ",image,caption\n0,a.jpg,a dog\n1,a.jpg,ein Hund\n", []),  # the index of pandas
        (
            "captions.jsonl",
            '{"image": "a.jpg", "text": ["a dog", "ein Hund"], "lang": ["en", "de"]}\n',
            ["en", "de"],
        ),
        ("captions.csv", "image,caption_no,caption\na.jpg,0,a dog\na.jpg,1,ein Hund\n", []),
        ("captions.csv", "image,caption,caption_is_good\na.jpg,a dog,1\na.jpg,ein Hund,0\n", []),
        ("captions.csv", "image,caption,Caption\na.jpg,a dog,ein Hund\n", []),
        ("captions.csv", "image,caption_en,caption_it\na.jpg,a dog,ein Hund\n", ["en", "it"]),
        ("captions.csv", "image,caption_it\na.jpg,a dog\na.jpg,ein Hund\n", ["it", "it"]),
        ("captions.csv", "no,image,en,de\n1,a.jpg,a dog,ein Hund\n", ["en", "de"]),
        ("captions.csv", "image,en_caption,de_caption\na.jpg,a dog,ein Hund\n", ["en", "de"]),
        ("of_any_name.json", '{"a.jpg": {"en": "a dog", "de": ["ein Hund"]}}', ["en", "de"]),
        (
            "xm3600.jsonl",
            '{"en": {"caption": ["a dog"]}, "fil": {"caption": ["ein Hund"]}, "image/key": "a"}\n',
            ["en", "fil"],
        ),
        (
            "captions.jsonl",
            '{"image": "a.jpg", "caption": "a dog"}\n{"image": "a.jpg", "caption": null, "caption_de": "ein Hund"}\n',
            ["", "de"],
        ),
        ("flickr8kcn.txt", "a.jpg#en#0 a dog\na.jpg#zhm#0 ein Hund\n", ["en", "zh"]),
    ],
)
def test_languages_of_tables(tmp_path: Path, name: str, content: str, languages: list[str]) -> None:
    write_pictures(tmp_path, ["train/a.jpg"])
    (tmp_path / name).write_text(content)
    pairs = open_split(tmp_path, on_bad_image="skip")
    assert list(pairs.captions) == ["a dog", "ein Hund"]
    assert list(pairs.languages) == languages


def test_languages_in_the_json_beside_a_picture(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["train/a.jpg", "train/b.jpg"])
    (tmp_path / "train" / "a.json").write_text('{"captions": ["a dog", "ein Hund"], "language": ["en", "de"]}')
    (tmp_path / "train" / "b.json").write_text('{"caption": "a cat", "language": "en"}')
    assert list(open_split(tmp_path).languages) == ["en", "de", "en"]
    (tmp_path / "train" / "b.json").write_text('{"caption": "a cat", "language": ["en", "de"]}')
    assert "b.json: has 2 languages for 1 caption." in open_error(tmp_path)


def test_an_empty_caption_is_left_out_with_its_language(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["train/a.jpg"])
    (tmp_path / "captions.csv").write_text("image,caption_en,caption_de,caption_id\na.jpg,,ein Hund,17\n")
    pairs = open_split(tmp_path, on_bad_image="skip")
    assert (list(pairs.captions), list(pairs.languages)) == (["ein Hund"], ["de"])


TABLES = {
    "captions_en.csv": "image,caption\na.jpg,a dog\n",
    "captions_de.csv": "image,caption\na.jpg,ein Hund\n",
    "flickr8kenc.txt": "a.jpg#enc#0 a dog\n",
    "flickr8kzhc.txt": "a.jpg#zhc#0 一只 狗\n",
    "flickr8kzhb.txt": "a.jpg#zhb#0 狗\n",
    "cut.txt": "a.jpg#zhb#0 一 只 狗\n",
    "test.txt": "b.jpg#zhb#0 狗\n",
}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["captions_en.csv", "captions_de.csv"], {("de", "ein Hund"), ("en", "a dog")}),
        (["flickr8kenc.txt", "flickr8kzhc.txt", "flickr8kzhb.txt"], {("en", "a dog"), ("zh", "一只 狗"), ("zh", "狗")}),
        (["captions_en.csv", "flickr8kzhc.txt"], "has several caption tables: captions_en.csv, flickr8kzhc.txt."),
        (["flickr8kzhb.txt", "cut.txt"], "has a.jpg#zhb#0, and so has cut.txt: they seem to be the same captions"),
        (["flickr8kzhc.txt", "test.txt"], "has several caption tables: flickr8kzhc.txt, test.txt."),
    ],
)
def test_tables_that_are_read_together(tmp_path: Path, names: list[str], expected: str | set[tuple[str, str]]) -> None:
    write_pictures(tmp_path, ["train/a.jpg"])
    for name in names:
        (tmp_path / name).write_text(TABLES[name], encoding="utf-8")
    if isinstance(expected, str):
        assert expected in open_error(tmp_path)
    else:
        pairs = open_split(tmp_path)
        assert {*zip(pairs.languages, pairs.captions, strict=True)} == expected
        assert len(pairs.captions) == len(expected)


def test_tables_of_each_split_and_language(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a.jpg", "b.jpg"])
    for split, image in (("train", "a.jpg"), ("val", "b.jpg")):
        for language, (caption, _) in CAPTIONS.items():
            (tmp_path / f"{split}_{language}.csv").write_text(f"image,caption\n{image},{caption}\n")
    for split, image in (("train", "a.jpg"), ("dev", "b.jpg")):
        pairs = open_split(tmp_path, split)
        assert show(pairs) == {image: ["ein Hund", "a dog"]}
        assert list(pairs.languages) == ["de", "en"]
