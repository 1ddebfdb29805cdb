"""Captions in JSON as people and data sets have them, and lists of addresses without pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from picture_folders import open_error, open_split, show, write_pictures

from vsezoo.data.lookup import open_data
from vsezoo.errors import DataError

NAMES = ["a.jpg", "b.PNG"]
CAPTIONS = {"a.jpg": ["a dog", "a brown dog"], "b.PNG": ["a cat"]}
ROWS = [{"image": name, "caption": text} for name, texts in CAPTIONS.items() for text in texts]


RESULTS = [{"image_id": 1, "caption": "a dog"}]
"""What a captioner wrote for pictures of COCO, beside their captions."""


@pytest.mark.parametrize(
    "value",
    [
        CAPTIONS,
        {"a.jpg": ["a dog", "a brown dog"], "b.PNG": "a cat"},
        {name: {"captions": texts, "width": 8} for name, texts in CAPTIONS.items()},
        {"train": CAPTIONS},
        {"train": ROWS},
        {"dataset_name": "mine", "data": ROWS},
        ROWS,
        [{**row, "image": {"path": row["image"], "bytes": None}} for row in ROWS],
        [{"image_id": Path(row["image"]).stem, "caption": row["caption"]} for row in ROWS],
        {"train": [{"img": name, "sentences": [{"raw": text} for text in texts]} for name, texts in CAPTIONS.items()]},
    ],
)
def test_forms_of_json(tmp_path: Path, value: Any) -> None:
    write_pictures(tmp_path / "train", NAMES)
    (tmp_path / "labels.json").write_text(json.dumps(value))
    pairs = open_split(tmp_path)
    assert list(show(pairs).values()) == list(CAPTIONS.values())
    assert [Path(place.file).name for place in pairs.places] == NAMES
    assert pairs.account["layout"] == "table"


def test_splits_of_an_object_and_files_named_for_splits(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["a.jpg", "b.jpg"])
    (tmp_path / "all.json").write_text(json.dumps({"train": {"a.jpg": ["a dog"]}, "val": {"b.jpg": "a cat"}}))
    assert show(open_split(tmp_path, "dev")) == {"b.jpg": ["a cat"]}
    (tmp_path / "all.json").unlink()
    (tmp_path / "train.json").write_text(json.dumps({"a.jpg": ["a dog"]}))
    (tmp_path / "val.json").write_text(json.dumps({"b.jpg": "a cat"}))
    assert show(open_split(tmp_path)) == {"a.jpg": ["a dog"]}
    assert show(open_split(tmp_path, "dev")) == {"b.jpg": ["a cat"]}


def test_one_bad_value_is_named_or_left_out(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train", NAMES)
    (tmp_path / "labels.json").write_text(json.dumps({"a.jpg": "a dog", "b.PNG": [3, "a cat"]}))
    assert "labels.json: b.PNG has a caption that is not text: 3 (b.PNG)" in open_error(tmp_path)
    pairs = open_split(tmp_path, on_bad_image="skip")
    assert (show(pairs), pairs.account["bad_rows"]) == ({"a.jpg": ["a dog"]}, 1)


@pytest.mark.parametrize("value", [{"a": ["a dog"]}, {"width": 3}, [], {}, {"data": [1]}, {"image": "a.jpg"}, RESULTS])
def test_other_objects_are_not_tables(tmp_path: Path, value: Any) -> None:
    write_pictures(tmp_path, ["a.jpg"])
    (tmp_path / "settings.json").write_text(json.dumps(value))
    with pytest.raises(DataError, match=r"folder of 1 image without captions"):
        open_data(f"{tmp_path}/", "train", ("picture",))


def test_textcaps(tmp_path: Path) -> None:
    name, other = "0054c91397f2fe05", "b6e47fc58b9fd2c8"
    for split, key in (("train", name), ("test", other)):
        write_pictures(tmp_path / f"{split}_images", [f"{key}.jpg"])
        row = {"caption_id": 1, "image_path": f"{split}/{key}.jpg", "image_name": key, "set_name": split}
        rows = [{**row, "caption_str": text, "caption_tokens": text.split()} for text in ("a sign", "a red sign")]
        about = {"dataset_type": split, "dataset_name": "textcaps", "dataset_version": "0.1", "data": rows}
        (tmp_path / f"TextCaps_0.1_{split}.json").write_text(json.dumps(about))
    assert show(open_split(tmp_path)) == {f"train/{name}.jpg": ["a sign", "a red sign"]}
    assert show(open_split(tmp_path, "test")) == {f"test/{other}.jpg": ["a sign", "a red sign"]}


def write_fashion_iq(folder: Path, split: str, entries: list[Any]) -> None:
    (folder / "captions").mkdir(parents=True, exist_ok=True)
    (folder / "captions" / f"cap.dress.{split}.json").write_text(json.dumps(entries))


def test_fashion_iq(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["B001.jpg", "B002.png", "B003.jpg"])
    entry = {"target": "B001", "candidate": "B002", "captions": ["is red", "has  sleeves"]}
    write_fashion_iq(tmp_path, "train", [entry, {**entry, "captions": ["is longer"]}, {**entry, "target": "B002"}])
    write_fashion_iq(tmp_path, "test", [{"candidate": "B003", "captions": ["is blue"]}])
    pairs = open_split(tmp_path)
    assert show(pairs) == {"B001": ["is red", "has sleeves", "is longer"], "B002": ["is red", "has sleeves"]}
    assert pairs.account["left_out"] == {"named by no list": 1}
    assert "The lists of the split test do not name targets" in open_error(tmp_path, "test")
    write_fashion_iq(tmp_path, "train", [entry, {"captions": ["is red"]}, 3, {**entry, "captions": [3]}])
    message = open_error(tmp_path)
    assert "entry 2 is not an object with captions; 2 more rows are bad: entry 3 has a caption that is not" in message
    pairs = open_split(tmp_path, on_bad_image="skip")
    assert (show(pairs), pairs.account["bad_rows"]) == ({"B001": ["is red", "has sleeves"]}, 3)


@pytest.mark.parametrize(
    ("name", "content", "command"),
    [
        (
            "Train_GCC-training.tsv",
            "a dog\thttp://example.org/a\n" * 3,
            "(printf 'caption\\turl\\n'; cat {}) > list.tsv; img2dataset --url_list list.tsv --input_format tsv "
            "--url_col url --caption_col caption",
        ),
        ("laion.csv", "URL,TEXT\nhttps://example.org/a.jpg,a dog\nhttps://example.org/b,a cat\n", "URL TEXT"),
        (
            "wit.tsv",
            "language\tpage_url\timage_url\tcaption_alt\n" + "en\thttps://e.org\thttps://e.org/a\ta\n" * 3,
            "image_url caption_alt",
        ),
        ("laion.jsonl", '{"url": "https://example.org/a.jpg", "caption": "a dog"}\n' * 3, "url caption"),
        (
            "ids.jsonl",
            '{"image_id": "1", "image_url": "https://example.org/a.jpg", "caption": "a dog", "split": "train"}\n',
            "image_url caption",
        ),
        ("urls.txt", "https://example.org/a.jpg\n", "Put the captions into a column next to the addresses first."),
    ],
)
def test_lists_of_addresses_are_told(tmp_path: Path, name: str, content: str, command: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as caught:
        open_data(f"{tmp_path}/", "train", ("picture",))
    message, (url, *caption) = str(caught.value), command.split()
    columns = f"--url_col {url} --caption_col {caption[0]} --output_format"
    assert (columns if len(caption) == 1 else command.format(tmp_path / name)) in message
    assert "img2dataset --url_list" in message


def test_addresses_in_the_column_of_pictures_are_told(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("image,caption,split\nhttps://example.org/a.jpg,a dog,train\n")
    assert "1 of the 1 pictures of the split train are absent" in (message := open_error(tmp_path))
    assert "Download them with img2dataset" in message


def test_parquet_of_addresses_is_told(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"URL": ["https://example.org/a.jpg"], "TEXT": ["a dog"]})
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "laion.parquet")
    message = open_error(tmp_path)
    assert "laion.parquet: lists the addresses of pictures" in message
    assert "--input_format parquet" in message


def test_paths_of_windows(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images" / "train", ["a.jpg"])
    (tmp_path / "captions.csv").write_text("image,caption\nimages\\train\\a.jpg,a dog\n")
    pairs = open_split(tmp_path)
    assert (list(pairs.captions), pairs.account["rule"]) == (["a dog"], "given by the folders that the images are in")
