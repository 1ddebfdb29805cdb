"""Tables and texts as people have them: paths of other machines, ids for names, no line of names, Excel's tabs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from picture_folders import open_error, open_split, show, write_pictures

from vsezoo.data.doctor.check import check_data
from vsezoo.data.lookup import open_data
from vsezoo.errors import DataError

CAPTIONS = ["a dog, running", "a cat"]
PAIRS = list(zip("ab", CAPTIONS, strict=True))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "captions.csv",
            'image,caption\n/home/me/data/train/a.jpg,"a dog, running"\n/home/me/data/train/b.jpg,a cat\n',
        ),
        ("captions.csv", 'image,caption\nC:\\me\\train\\a.jpg,"a dog, running"\nC:\\me\\train\\b.jpg,a cat\n'),
        ("captions.csv", 'image,caption\n/data/local-files/?d=train/a.jpg,"a dog, running"\ntrain/%62.jpg,a cat\n'),
        ("captions.csv", 'image_id,caption\na,"a dog, running"\nb,a cat\n'),
        ("captions.csv", 'image,caption\ntrain/a,"a dog, running"\nb,a cat\n'),
        ("captions.csv", 'a.jpg,"a dog, running"\nb.jpg,a cat\n'),
        ("labels.tsv", "a.jpg\ta dog, running\nb.jpg\ta cat\n"),
        ("labels.csv", '"a dog, running",a.jpg\na cat,b.jpg\n'),
        ("labels.csv", 'image,caption\ra.jpg,"a dog, running"\rb.jpg,a cat\r'),  # of old Macintoshes
        ("labels.csv", "a dog, running;a.jpg\na cat;b.jpg\n"),
        ("captions.csv", 'Image Name,Caption Text\na.jpg,"a dog, running"\nb.jpg,a cat\n'),
        ("captions.tsv", 'image\tcaption\na.jpg\t"a dog,\trunning"\nb.jpg\t"a\ncat"\n'),
        ("labels.json", '{"image": "a.jpg", "caption": "a dog, running"}\n{"image": "b.jpg", "caption": "a cat"}\n'),
        ("labels.json", json.dumps({"images": [{"file": f"{n}.jpg", "captions": [t]} for n, t in PAIRS]})),
    ],
)
def test_tables_of_others(tmp_path: Path, name: str, content: str) -> None:
    write_pictures(tmp_path / "train", ["a.jpg", "b.jpg"])
    (tmp_path / name).write_text(content)
    pairs = open_split(tmp_path)
    assert list(pairs.captions) == CAPTIONS
    assert [place.file for place in pairs.places] == [str(tmp_path / "train" / f"{stem}.jpg") for stem in "ab"]


@pytest.mark.parametrize("name", ["val2017/000000000139.jpg", "val2014/COCO_val2014_000000000139.jpg", "val/139.png"])
@pytest.mark.parametrize("table", ["captions.csv", "captions.jsonl"])
def test_numbers_of_coco(tmp_path: Path, name: str, table: str) -> None:
    write_pictures(tmp_path, [name])
    content = "image_id,caption\n139,a dog\n" if table.endswith("csv") else '{"image_id": 139, "caption": "a dog"}\n'
    (tmp_path / table).write_text(content)
    pairs = open_split(tmp_path, "dev")
    assert (show(pairs), pairs.places[0].file) == ({"139": ["a dog"]}, str(tmp_path / name))


def test_a_whole_path_is_not_matched_by_its_name_alone(tmp_path: Path) -> None:
    """The picture of another split may have the same name."""
    write_pictures(tmp_path / "train", ["a.jpg", "b.jpg"])
    (tmp_path / "captions.csv").write_text("image,caption,split\n/data/test/a.jpg,a dog,test\n/data/b,a cat,train\n")
    assert "1 of the 1 pictures of the split test are absent: /data/test/a.jpg" in open_error(tmp_path, "test")
    write_pictures(tmp_path / "train", ["c.jpg", "c.png"])
    (tmp_path / "captions.csv").write_text("image,caption,split\nc,a dog,train\n")
    assert "absent: c." in open_error(tmp_path)


def test_two_names_of_one_picture(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["a.jpg"])
    table = tmp_path / "captions.csv"
    table.write_text("image,caption,split\na.jpg,a dog,train\nimages/a.jpg,a brown dog,train\n")
    assert show(open_split(tmp_path)) == {"a.jpg": ["a dog", "a brown dog"]}
    table.write_text("image,caption,split\na.jpg,a dog,train\nimages/a.jpg,a brown dog,test\n")
    assert "has one picture as a.jpg in the split train, and as images/a.jpg in test" in open_error(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("captions.csv", b"image,text\na.jpg,3\n", "has numbers for the captions of the split train: '3'"),
        ("train/a.txt", b"0 0.5 0.5 0.1 0.2\n", "has numbers for the captions of the split train: '0 0.5 0.5 0.1 0.2'"),
        ("captions.csv", b"PK\x03\x04\xff", "captions.csv: is a spreadsheet or a zip archive, not text."),
        ("captions.csv", b"image,caption\n/9j/" + b"A" * 999 + b",a dog\n", "They are pictures as text (Base64)"),
    ],
)
def test_what_is_no_caption_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    write_pictures(tmp_path, ["train/a.jpg"])
    (tmp_path / name).write_bytes(content)
    message = open_error(tmp_path)
    assert words in message
    assert len(message) < 700


def test_a_second_table_is_told(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a.jpg"])
    (tmp_path / "captions.csv").write_text("image,caption,split\na.jpg,a dog,train\n")
    (tmp_path / "more.csv").write_text("image,caption\na.jpg,nan\n")
    (tmp_path / "sizes.csv").write_text("image,width\na.jpg,8\n")
    account = open_split(tmp_path).account
    assert account["unread"] == ["more.csv"]
    assert account["summary"].endswith("Not read, since another is: more.csv.")
    (tmp_path / "captions.csv").write_text("image,caption,split\na.jpg,nan,train\n")
    told = [finding.what for finding in check_data(f"{tmp_path}/").findings]
    assert "more.csv also looks like a table of captions, and is not read." in told
    assert "1 caption 'nan', 'None' or 'null', which programs write for one that is missing." in told


def test_texts_in_a_folder_of_their_own(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images" / "train" / "birds", ["a.jpg"])
    (tmp_path / "text" / "train" / "birds").mkdir(parents=True)
    (tmp_path / "text" / "train" / "birds" / "a.txt").write_text("a red bird\na bird\n")
    assert show(open_split(tmp_path)) == {"images/train/birds/a.jpg": ["a red bird", "a bird"]}
    (tmp_path / "text").rename(tmp_path / "labels")  # which are boxes, as YOLO has them
    with pytest.raises(DataError, match="folder of 1 image without captions"):
        open_data(f"{tmp_path}/", "train", ("picture",))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("captions.xlsx", r"captions\.xlsx is a spreadsheet, which is not read\. Save it as CSV"),
        ("captions.csv.gz", r"captions\.csv\.gz is a compressed table\. Decompress it: gunzip captions\.csv\.gz"),
    ],
)
def test_tables_that_are_not_text_are_told(tmp_path: Path, name: str, words: str) -> None:
    write_pictures(tmp_path, ["a.jpg"])
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(DataError, match=words):
        open_data(f"{tmp_path}/", "train", ("picture",))


def test_pictures_that_are_not_unpacked_are_told(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("image,caption,split\na.jpg,a dog,train\n")
    (tmp_path / "images.zip").write_bytes(b"PK")
    assert "Unpack images.zip, or copy the pictures to" in open_error(tmp_path)
    (tmp_path / "images.zip").rename(tmp_path / "images.tar")
    assert "Unpack images.tar, or copy the pictures to" in open_error(tmp_path)
    (tmp_path / "images.tar").unlink()
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "a.npy").write_bytes(b"")
    assert "There are no pictures, but arrays: features/a.npy.\nFeatures are read from one file" in open_error(tmp_path)
