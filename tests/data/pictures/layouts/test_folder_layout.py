"""A folder of pictures with a table of captions."""

import json
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_folders import list_shades, open_error, open_split, show, write_pictures
from strategies import LETTERS

from vsezoo.data.pictures.splits import draw_all, draw_split
from vsezoo.errors import DataError

SPLITS = ("train", "dev", "test")


def open_all(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Return the captions of each picture in each split that is there."""
    found = {}
    for split in SPLITS:
        try:
            found[split] = show(open_split(folder, split))
        except DataError as error:
            assert "no split" in error.problem  # noqa: PT017
    return found


QUOTED = ['a.jpg,"a dog, running",train', "b.jpg,a cat,val", 'a.jpg,"a ""big"" dog",train']
OF_WINDOWS = ['a.jpg,"a dog, running",train', "b.jpg,a cat, Valid", "", 'a.jpg,"a ""big""', 'dog",Train', ""]
OF_TABS = ["a.jpg\ta dog, running\ttrain", "b.jpg\ta cat\tvalidation", 'a.jpg\ta "big" dog\ttrain', ""]
OF_SPLITS = ['train,a.jpg,"a dog, running"', "dev,b.jpg,a cat", 'train,a.jpg,"a ""big""  dog"']
DOGS, CAT = ["a dog, running", 'a "big" dog'], "a cat"


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("captions.csv", ["image,caption,split", *QUOTED]),
        ("captions.csv", ["\ufeffFile_Name , TEXT,split", *OF_WINDOWS]),
        ("captions.txt", ["file,caption,split", *QUOTED]),
        ("captions.tsv", ["filename\tsentence\tsplit", *OF_TABS]),
        ("metadata.csv", ["split,file_name,text", *OF_SPLITS]),
        (
            "captions.jsonl",
            [
                json.dumps({"image": "a.jpg", "caption": DOGS, "split": "train"}),
                "",
                json.dumps({"image": "b.jpg", "text": CAT, "split": "val"}),
            ],
        ),
        (
            "metadata.jsonl",
            [
                json.dumps({"file_name": "b.jpg", "text": CAT, "split": "dev", "width": 3}),
                json.dumps({"file_name": "a.jpg", "captions": DOGS, "split": "train"}),
                "",
            ],
        ),
    ],
)
def test_tables_of_every_form_say_the_same(tmp_path: Path, name: str, lines: list[str]) -> None:
    write_pictures(tmp_path, ["a.jpg", "b.jpg", "unlisted.jpg"])
    newline = "\r\n" if lines[0].startswith("\ufeff") else "\n"
    (tmp_path / name).write_bytes(newline.join(lines).encode())
    assert open_all(tmp_path) == {"train": {"a.jpg": DOGS}, "dev": {"b.jpg": [CAT]}}
    train = open_split(tmp_path)
    assert train.image_of.tolist() == [0, 0]
    assert list_shades(train) == [1]


def test_captions_of_a_picture_become_neighbours_all_of_them(tmp_path: Path) -> None:
    rows = [f"{name}.jpg,{name} {k},train" for k in range(7) for name in "ab"]
    (tmp_path / "captions.csv").write_text("\n".join(["image,caption,split", *rows, "c.jpg,c,train"]))
    write_pictures(tmp_path / "photos", ["a.jpg", "b.jpg", "c.jpg"])
    train = open_split(tmp_path)
    assert show(train) == {"a.jpg": [f"a {k}" for k in range(7)], "b.jpg": [f"b {k}" for k in range(7)], "c.jpg": ["c"]}
    assert train.image_of.tolist() == [0] * 7 + [1] * 7 + [2]
    assert list_shades(train) == [1, 2, 3]


def test_split_by_the_folder_in_the_name(tmp_path: Path) -> None:
    names = ["train/a.jpg", "valid/a.jpg", "test/c.jpg"]
    write_pictures(tmp_path, names)
    (tmp_path / "captions.csv").write_text("image,caption\n" + "".join(f"{name},a dog\n" for name in names))
    assert {split: list(images) for split, images in open_all(tmp_path).items()} == {
        "train": ["train/a.jpg"],
        "dev": ["valid/a.jpg"],
        "test": ["test/c.jpg"],
    }


def test_table_in_each_folder_of_a_split(tmp_path: Path) -> None:
    for split, table in (("train", "metadata.jsonl"), ("validation", "metadata.csv"), ("other", "metadata.csv")):
        write_pictures(tmp_path / split, ["a.jpg", "b.jpg"])
        text = '{"file_name": "a.jpg", "text": "a dog"}' if table.endswith("jsonl") else "file_name,text\nb.jpg,a dog"
        (tmp_path / split / table).write_text(text)
    assert open_all(tmp_path) == {"train": {"train/a.jpg": ["a dog"]}, "dev": {"validation/b.jpg": ["a dog"]}}
    assert list_shades(open_split(tmp_path, "dev")) == [2]


def test_without_a_split_the_name_draws_one(tmp_path: Path) -> None:
    names = [f"{index}.jpg" for index in range(60)]
    write_pictures(tmp_path, names)
    text = "image,caption\n" + "".join(f"{name},a dog\n" for name in names)
    (tmp_path / "captions.csv").write_text(text)
    before = open_all(tmp_path)
    assert sorted(name for images in before.values() for name in images) == sorted(names)
    (tmp_path / "captions.csv").write_text(text.replace("7.jpg,a dog\n", "7.jpg,a cat\n8.jpg,a cat\n"))
    after = open_all(tmp_path)
    assert {s: set(images) for s, images in after.items()} == {s: set(images) for s, images in before.items()}


def test_drawn_splits_are_80_10_10_and_those_of_every_machine() -> None:
    count = Counter(draw_split(f"{index}.jpg") for index in range(10_000))
    assert [abs(count[split] - share) < 150 for split, share in (("train", 8000), ("dev", 1000), ("test", 1000))]
    # SHA-256 of the name: its first eight bytes as a number, modulo ten
    assert {name: draw_split(name) for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "0.jpg")} == {
        "a.jpg": "train",
        "b.jpg": "test",
        "c.jpg": "dev",
        "d.jpg": "train",
        "0.jpg": "train",
    }


def test_of_three_pictures_one_is_drawn_for_each_split() -> None:
    """Numbers are the SHA-256 of the name, of which the lowest of the largest split is taken."""
    assert draw_all(["a.jpg", "d.jpg"]) == ["train", "train"]
    assert draw_all(["a.jpg", "d.jpg", "c.jpg"]) == ["test", "train", "dev"]
    assert draw_all(["a.jpg", "d.jpg", "0.jpg"]) == ["dev", "train", "test"]  # 509b…, 53e7…, 3938…: all were in train
    for count in range(3, 40):
        names = [f"{index}.png" for index in range(count)]
        drawn = draw_all(names)
        assert set(drawn) == {"train", "dev", "test"}
        changed = [index for index, name in enumerate(names) if drawn[index] != draw_split(name)]
        assert len(changed) == 3 - len({*map(draw_split, names)})


def test_empty_draw_says_how_it_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("image,caption\na.jpg,a dog\n")
    message = open_error(tmp_path, "dev")
    assert "captions.csv: has no split 'dev'.\nIts splits are train. There is no column `split`, and three" in message


BAD_TABLES = [
    (
        "picture,caption\na.jpg,x\n",
        "has no column for image (image, file_name, filename, file, filepath, …); its columns are 'picture', ",
    ),
    (
        "image,words\na.jpg,x\n",
        "has no column for captions (caption, captions, text, texts, sentence, …, or caption_0, caption_1, …); its ",
    ),
    ("a.jpg,3,a dog\nb.jpg,4,a cat\n", "no names of columns in its first line, but 'a.jpg', '3', 'a_dog'"),
    ("image,caption\na.jpg,a dog, running\n", "line 2 has 3 cells, the first line has 2"),
    ('image,caption\na.jpg,"a dog\n', "line 2 is not a table row: unexpected end of data"),
    ("image,caption,split\na.jpg,a dog,train\nb.jpg,,train\n", "have no caption, or an empty one: b.jpg (line 3)"),
    ("image,split,caption\na.jpg,train,a dog\nb.jpg,train\n", "have no caption, or an empty one: b.jpg (line 3)"),
    ("image,caption\n,a dog\n", "line 2 names no picture in the column 'image'"),
    ("image,caption,split\na.jpg,a dog,train\nb.jpg,a cat,\n", "line 3 has no split, but others do"),
    (
        "image,caption,split\na.jpg,a,train\na.jpg,b,test\n",
        "line 3 has a.jpg in the split test, another line has it in train",
    ),
    ("", "names no picture."),
    ("image,caption,split\n\n", "names no picture."),
]
BAD_OBJECTS = [
    ("\n", "names no picture."),
    ('{"image": "a.jpg", "caption": "a dog"}\n{"image": "b.jpg"\n', "line 2 is not JSON"),
    ('["a.jpg", "a dog"]\n', "line 1 is not a JSON object"),
    ('{"image": "a.jpg", "caption": "a dog"}\n{"image": "b.jpg"}\n', "line 2 has no column for captions"),
    ('{"image": 3, "caption": "a dog"}\n', "line 1 names no picture"),
    ('{"image": "a.jpg", "caption": ["a dog", " "]}\n', "have no caption, or an empty one: a.jpg (line 1)"),
    ('{"image": "a.jpg", "caption": 3}\n', "line 1 has a caption that is not text: 3 (a.jpg)"),
    ('{"image": "a.jpg", "caption": "a dog", "split": 3}\n', "line 1 has an invalid split: 3 (a.jpg)"),
]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        *(("captions.csv", *bad) for bad in BAD_TABLES),
        *(("captions.jsonl", *bad) for bad in BAD_OBJECTS),
        ("captions.tsv", "image\tcaption\na.jpg\ta\tdog\n", "line 2 has 3 cells"),
    ],
)
def test_table_that_cannot_be_read(tmp_path: Path, name: str, content: str, words: str) -> None:
    write_pictures(tmp_path, ["a.jpg", "b.jpg"])
    (tmp_path / name).write_text(content)
    message = open_error(tmp_path)
    assert f"{tmp_path / name}: " in message
    assert words in message


def test_encoding_names_the_line(tmp_path: Path) -> None:
    table = "image,caption\na.jpg,a dog\nb.jpg,a café\n"
    (tmp_path / "captions.csv").write_bytes(table.encode("latin1"))
    assert (
        "captions.csv: line 3 is not UTF-8 text.\nConvert the file, for example with `iconv -f windows-1252"
        in open_error(tmp_path)
    )
    (tmp_path / "captions.csv").write_bytes(table.encode("utf-16")[:-1])
    assert "captions.csv: is not valid UTF-16 text" in open_error(tmp_path)


def test_several_tables(tmp_path: Path) -> None:
    for name in ("captions.csv", "metadata.jsonl"):
        (tmp_path / name).write_text("")
    assert "several caption tables: captions.csv, metadata.jsonl" in open_error(tmp_path)
    for split in ("val", "dev"):
        (tmp_path / "own" / split).mkdir(parents=True)
        (tmp_path / "own" / split / "metadata.csv").write_text("")
    assert "several caption tables: dev/metadata.csv, val/metadata.csv" in open_error(tmp_path / "own")


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.integers(0, 9), st.lists(st.text(LETTERS), min_size=1, max_size=4), min_size=1))
def test_any_text_comes_back_with_single_spaces(captions: dict[int, list[str]]) -> None:
    captions = {index: [f"{text} end" for text in texts] for index, texts in captions.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pictures(folder, [f"{index}.jpg" for index in captions])
        rows = [{"image": f"{index}.jpg", "caption": texts, "split": "train"} for index, texts in captions.items()]
        (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
        assert show(open_split(folder)) == {
            f"{index}.jpg": [" ".join(text.split()) for text in texts] for index, texts in captions.items()
        }
