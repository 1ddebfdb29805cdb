"""The forms in which people hold tables of captions, and what decides the splits of the pictures in them."""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from picture_folders import list_shades, open_error, open_split, show, write_pictures

from vsezoo.data.pictures.cells import read_captions
from vsezoo.data.pictures.listing import name_split
from vsezoo.data.pictures.splits import draw_split

LETTERS = "abcdefghijklmno"


def write_table(file: Path, rows: Sequence[Sequence[object]], separator: str = ",", encoding: str = "utf-8") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding=encoding) as stream:
        csv.writer(stream, delimiter=separator).writerows(rows)
    return file


def list_splits(folder: Path, *splits: str) -> dict[str, list[str]]:
    return {split: list(show(open_split(folder, split))) for split in splits or ("train", "dev", "test")}


@pytest.mark.parametrize(
    "spell",
    [
        "{0}/{1}",
        "./{0}/{1}",
        "{0}//{1}",
        "{0}/./{1}",
        "dev/../{0}/{1}",
        "{1}",
        "{folder}/{0}/{1}",
    ],
)
@pytest.mark.parametrize("above", ["", "images/", "a/b/"])
def test_folder_of_a_splits_name_decides_at_any_depth(tmp_path: Path, spell: str, above: str) -> None:
    files = [("train", "a.jpg"), ("training", "b.jpg"), ("val", "c.jpg"), ("test", "d.jpg")]
    write_pictures(tmp_path, [f"{above}{split}/{name}" for split, name in files])
    names = [spell.format(f"{above}{split}", name, folder=tmp_path) for split, name in files]
    if spell.startswith("dev/.."):
        (tmp_path / "dev").mkdir()
    if spell == "{1}" and above == "a/b/":
        names = [f"b/{split}/{name}" for split, name in files]
    write_table(tmp_path / "captions.csv", [("image", "caption"), *((name, "a dog") for name in names)])
    assert [list_shades(open_split(tmp_path, split)) for split in ("train", "dev", "test")] == [[1, 2], [3], [4]]
    assert open_split(tmp_path).account["rule"] == "given by the folders that the images are in"


def test_draw_does_not_depend_on_the_spelling(tmp_path: Path) -> None:
    names = [f"photos/{letter}.jpg" for letter in LETTERS]
    expected = {split: [name for name in names if draw_split(name) == split] for split in ("train", "dev", "test")}
    assert all(expected.values())
    for number, spell in enumerate(("{}", "./{}", ".//photos/../{}", "{folder}/{}")):
        folder = tmp_path / str(number)
        write_pictures(folder, names)
        rows = [(spell.format(name, folder=folder), "a dog") for name in names]
        write_table(folder / "captions.csv", [("image", "caption"), *rows])
        assert list_splits(folder) == expected
        account = open_split(folder).account
        assert account["rule"] == "drawn by the SHA-256 of each image's path"
        assert "drawn by the SHA-256" in account["summary"]


def test_two_names_of_one_file_are_one_picture(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["photos/a.jpg"])
    rows = [("photos/a.jpg", "one"), ("a.jpg", "two"), ("./photos/a.jpg", "three")]
    write_table(tmp_path / "captions.csv", [("image", "caption"), *rows])
    split = draw_split("photos/a.jpg")
    assert show(open_split(tmp_path, split)) == {"photos/a.jpg": ["one", "three", "two"]}


def test_folders_that_name_some_splits_only_are_refused(tmp_path: Path) -> None:
    names = ["train/a.jpg", "test/b.jpg", "more/c.jpg"]
    write_pictures(tmp_path, names)
    write_table(tmp_path / "captions.csv", [("image", "caption"), *((name, "a dog") for name in names)])
    message = open_error(tmp_path)
    assert "has 2 pictures in folders named after splits, and 1 in none: more/c.jpg" in message
    write_table(tmp_path / "captions.csv", [("image", "caption"), ("train/a.jpg", "x"), ("test/val/b.jpg", "y")])
    assert "has test/val/b.jpg, which is in folders of several splits: dev and test" in open_error(tmp_path)


def test_absent_picture_is_absent_where_folders_decide(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["train/a.jpg", "test/b.jpg"])
    write_table(tmp_path / "captions.csv", [("image", "caption"), ("a.jpg", "x"), ("b.jpg", "y"), ("c.jpg", "z")])
    assert "1 of the 2 pictures of the split train are absent: c.jpg" in open_error(tmp_path)
    assert list(show(open_split(tmp_path, "test"))) == ["b.jpg"]


@pytest.mark.parametrize(
    ("word", "split"),
    [
        ("Training", "train"),
        ("train2014", "train"),
        ("train_2017", "train"),
        ("eval", "dev"),
        ("validation", "dev"),
        ("val2017", "dev"),
        ("development", "dev"),
        ("testing", "test"),
        ("test2015", "test"),
        ("restval", "restval"),
        ("2014", "2014"),
        ("trains", "trains"),
    ],
)
def test_words_for_splits(word: str, split: str) -> None:
    assert name_split(word) == split


def test_splits_of_unknown_words_are_named(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a.jpg", "b.jpg"])
    write_table(tmp_path / "captions.csv", [("image", "caption", "split"), ("a.jpg", "x", "0"), ("b.jpg", "y", "1")])
    message = open_error(tmp_path)
    assert "Its splits are 0, 1. Name them train, dev and test" in message


@pytest.mark.parametrize("column", ["set", "Subset", "partition"])
def test_column_of_splits_by_another_name(tmp_path: Path, column: str) -> None:
    write_pictures(tmp_path, ["a.jpg", "b.jpg"])
    rows = [("image", "caption", column), ("a.jpg", "x", "test"), ("b.jpg", "y", "training")]
    write_table(tmp_path / "captions.csv", rows)
    assert list_splits(tmp_path, "train", "test") == {"train": ["b.jpg"], "test": ["a.jpg"]}
    assert open_split(tmp_path).account["rule"] == f"given by the column `{column.lower()}`"
    write_table(tmp_path / "captions.csv", [*rows[:2], ("b.jpg", "y", "animals")])  # a set of another meaning
    assert "drawn" in open_split(tmp_path, draw_split("a.jpg")).account["rule"]


def test_columns_of_one_stem_are_captions(tmp_path: Path) -> None:
    for split, name in (("train", "a.jpg"), ("validation", "b.jpg")):
        write_pictures(tmp_path / "data" / split, [name])
        columns = ("file_name", "split", *(f"caption_{number}" for number in range(5)))
        texts = [f"{name} {number}" for number in range(5)]
        write_table(tmp_path / "data" / split / "metadata.csv", [columns, (name, split, *texts)])
    for folder, prefix in ((tmp_path / "data", ""), (tmp_path, "data/")):
        assert show(open_split(folder)) == {f"{prefix}train/a.jpg": [f"a.jpg {number}" for number in range(5)]}
        assert show(open_split(folder, "dev")) == {
            f"{prefix}validation/b.jpg": [f"b.jpg {number}" for number in range(5)]
        }


def test_table_in_the_folder_of_another_split_is_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train", ["a.jpg"])
    write_table(tmp_path / "train" / "metadata.csv", [("file_name", "text", "split"), ("a.jpg", "a dog", "test")])
    assert "line 2 has the split test, and the table is that of train" in open_error(tmp_path)


PAIR = ["a dog's bone", "two [big] cats"]


@pytest.mark.parametrize(
    "cell",
    [
        json.dumps(PAIR),
        str(PAIR),
        str(tuple(PAIR)),
        "[\"a dog's bone\" 'two [big] cats']",  # numpy's, which Python takes for one text
        "[\"a dog's bone\"\n 'two [big] cats']",
        "[b\"a dog's bone\", b'two [big] cats']",
        " [\"a dog's bone\" ,  u'two [big]  cats', ] ",
    ],
)
def test_list_in_a_cell_is_a_list_of_captions(tmp_path: Path, cell: str) -> None:
    assert read_captions(cell) == PAIR
    write_pictures(tmp_path, ["a.jpg"])
    write_table(
        tmp_path / "annotations.csv", [("raw", "sentids", "split", "filename"), (cell, "[0, 1]", "train", "a.jpg")]
    )
    assert show(open_split(tmp_path)) == {"a.jpg": PAIR}


@pytest.mark.parametrize("text", ["[a sign] on a wall", "(left) two dogs", "a ['dog']", "[", "[]x", "«[»"])
def test_text_with_brackets_is_a_caption(text: str) -> None:
    assert read_captions(text) == [text]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("[0, 1, 2]", "a list that contains something other than texts"),
        ('["a", ["b"]]', "a list that contains something other than texts"),
        ("['a', 3]", "a list that cannot be read"),
        ("['a', __import__('os')]", "a list that cannot be read"),
        ("['a', 'b", "a list without an end"),
    ],
)
def test_other_lists_are_refused(tmp_path: Path, cell: str, words: str) -> None:
    write_pictures(tmp_path, ["a.jpg"])
    write_table(tmp_path / "captions.csv", [("image", "caption"), ("a.jpg", cell)])
    message = open_error(tmp_path)
    assert f"captions.csv: line 2 has {words}" in message


@pytest.mark.parametrize("name", ["train_data.csv", "mine.tsv", "captions.csv", "annotations.CSV"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_names_separators_and_columns_of_others(tmp_path: Path, name: str, separator: str) -> None:
    text = 'a "big" dog, running; a\tcat | x' if separator != "\t" else 'a "big" dog, running; a cat | x'
    write_pictures(tmp_path / "images", ["a.jpg"])
    rows = [("", "filepath", "title", "split"), (0, "images/a.jpg", text, "train")]
    write_table(tmp_path / name, rows, separator)
    (tmp_path / "other.csv").write_text("width,height\n3,4\n")
    assert show(open_split(tmp_path)) == {"images/a.jpg": [" ".join(text.split())]}


def test_tables_named_for_splits(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["a.jpg", "b.jpg"])
    for name, image in (("train.csv", "a.jpg"), ("my-val.csv", "b.jpg")):
        write_table(tmp_path / name, [("image", "caption"), (image, "a dog")])
    assert list_splits(tmp_path, "train", "dev") == {"train": ["a.jpg"], "dev": ["b.jpg"]}
    write_table(tmp_path / "more.csv", [("image", "caption"), ("b.jpg", "a dog")])
    assert "several caption tables: more.csv, my-val.csv, train.csv" in open_error(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("first", ["", "sep=;\r\n", '"sep=;"\r\n'])
def test_tables_of_excel(tmp_path: Path, encoding: str, first: str) -> None:
    write_pictures(tmp_path, ["a.jpg", "b.jpg"])
    text = f'{first}image;caption;split\r\na.jpg;"ein Café; groß";train\r\nb.jpg;a "dog", running;train\r\n'
    if encoding[-1] == "e":
        text = "\ufeff" + text
    (tmp_path / "captions.csv").write_bytes(text.encode(encoding))
    assert show(open_split(tmp_path)) == {"a.jpg": ["ein Café; groß"], "b.jpg": ['a "dog", running']}
    write_table(tmp_path / "captions.csv", [("image", "caption"), ("a.jpg", "x")], ";", encoding="utf-8-sig")


def test_encodings_of_one_byte_are_named(tmp_path: Path) -> None:
    for text, encoding, named in (("the dog’s", "cp1252", "windows-1252"), ("\x81é", "latin1", "latin1")):
        (tmp_path / "captions.csv").write_bytes(f"image,caption\na.jpg,{text}\n".encode(encoding))
        assert f"iconv -f {named} -t utf-8" in open_error(tmp_path)


def test_empty_captions_are_named_or_left_out(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a.jpg", "b.jpg"])
    rows = [("a.jpg", "one"), ("a.jpg", " "), ("b.jpg", ""), ("a.jpg", "three")]
    write_table(tmp_path / "captions.csv", [("image", "caption", "split"), *((*row, "train") for row in rows)])
    assert (
        "2 of the 2 pictures of the split train have no caption, or an empty one: a.jpg (line 3), b.jpg (line 4)"
        in (open_error(tmp_path))
    )
    train = open_split(tmp_path, on_bad_image="skip")
    assert show(train) == {"a.jpg": ["one", "three"]}
    assert train.skipped == {"b.jpg": "has no caption"}
    assert train.account["empty_captions"] == 2


@pytest.mark.parametrize(("listed", "there"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_are_matched_however_they_are_written(tmp_path: Path, listed: str, there: str) -> None:
    names = ["café.jpg", "Žižkov/straße é.jpg"]
    write_pictures(tmp_path / "images", [unicodedata.normalize(there, name) for name in names])
    rows = [(unicodedata.normalize(listed, name), "a dog", "train") for name in names]
    write_table(tmp_path / "captions.csv", [("image", "caption", "split"), *rows])
    assert list_shades(open_split(tmp_path)) == [1, 2]


def test_exact_name_comes_before_its_other_spelling(tmp_path: Path) -> None:
    spellings = [unicodedata.normalize(form, "café.jpg") for form in ("NFC", "NFD")]
    write_pictures(tmp_path, spellings)
    rows = [(name, "a dog", "train") for name in spellings]
    write_table(tmp_path / "captions.csv", [("image", "caption", "split"), *rows])
    assert list_shades(open_split(tmp_path)) == [1, 2]
