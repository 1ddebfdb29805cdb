"""What can be searched."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from colours import COLOURS, paint, paint_folder
from tiny import TinyPairs
from web import serve

from vsezoo.data.pictures.picture_file import Place
from vsezoo.errors import DataError, ServerError, UsageError
from vsezoo.search import sources
from vsezoo.search.collection import FeatureRows, Sentences, SplitImages, list_captions
from vsezoo.search.picture_folder import PictureFolder
from vsezoo.search.sentence_file import Sentence, read_sentences
from vsezoo.search.sources import collect_images, collect_texts, find_default_split


def test_the_pictures_of_a_folder(tmp_path: Path) -> None:
    folder = paint_folder(tmp_path / "photos")
    paint(folder / ".hidden.png", COLOURS["red"])
    pictures = PictureFolder(folder, skips=True)
    assert pictures.ids == ["a-red.png", "b-green.png", "more/c-blue.png"]
    assert pictures.find_picture(2) == folder / "more" / "c-blue.png"
    (folder / "b-green.png").write_bytes(b"no picture")
    block = PictureFolder(folder, skips=True).read([2, 1, 0])
    assert [picture.getpixel((0, 0)) for picture in block.content] == [COLOURS["blue"], COLOURS["red"]]
    assert list(block.bad) == [1]
    assert "is not a picture" in block.bad[1].problem
    with pytest.raises(DataError, match=r"b-green\.png: is not a picture"):
        PictureFolder(folder, skips=False).read([0, 1])


def test_pictures_that_are_named(tmp_path: Path) -> None:
    red, blue = (paint(tmp_path / f"a {name}.PNG", COLOURS[name]) for name in ("red", "blue"))
    for source, ids in ((red, [red.name]), ([blue, str(red)], [str(blue), str(red)])):
        assert collect_images(source).ids == ids
    assert [picture.getpixel((0, 0)) for picture in collect_images([blue, red]).read([0, 1]).content] == [
        COLOURS["blue"],
        COLOURS["red"],
    ]
    blue.write_bytes(b"no picture")
    assert list(collect_images([blue, red]).read([0, 1]).bad) == [0]
    with pytest.raises(DataError, match=r"a blue\.PNG: is not a picture, .*\nConvert it to JPEG or PNG\.$"):
        collect_images(blue).read([0])  # there is nothing left if it is skipped
    with pytest.raises(UsageError, match="images is an empty list"):
        collect_images([])


def test_keys_change_with_the_files(tmp_path: Path) -> None:
    folder = paint_folder(tmp_path / "photos")
    before = PictureFolder(folder, skips=True).keys()
    assert (before.shape, before.dtype) == ((3, 16), np.uint8)
    assert len(np.unique(before, axis=0)) == 3
    assert np.array_equal(PictureFolder(folder, skips=True).keys(), before)
    os.utime(folder / "b-green.png", ns=(1, 1))
    after = PictureFolder(folder, skips=True).keys()
    assert (after == before).all(axis=1).tolist() == [True, False, True]


def test_rows_of_features(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    features = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.save(path, features)
    rows = FeatureRows(path)
    assert (rows.kind, rows.ids) == ("vector", [f"{path}:{row}" for row in range(4)])
    assert np.array_equal(rows.read([3, 1]).content, features[[3, 1]])
    keys = rows.keys()
    os.utime(path, ns=(1, 1))
    assert not (FeatureRows(path).keys() == keys).all(axis=1).any()
    features[2, 1] = np.nan
    np.save(path, features)
    with pytest.raises(DataError, match=r"a\.npy: row 2 .* contains NaN"):
        FeatureRows(path).read([0, 1, 2])


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (b"x.jpg\ny.jpg\n", ["x.jpg", "y.jpg"]),
        (b"x.jpg\nx.jpg\nx.jpg\ny.jpg\n", ["x.jpg", "y.jpg"]),  # once for each caption
        (b"x.jpg\ny.jpg\nz.jpg\n", []),
        (b"x.jpg\n\xe9.jpg\n", []),
    ],
)
def test_rows_are_called_by_the_ids_beside_them(lines: bytes, named: list[str], tmp_path: Path) -> None:
    for name in ("a_ims.npy", "a.npy"):
        np.save(tmp_path / name, np.eye(2, dtype=np.float32))
    (tmp_path / "a_ids.txt").write_bytes(lines)
    rows = FeatureRows(tmp_path / "a_ims.npy")
    assert rows.ids == (named or [f"{tmp_path}/a_ims.npy:{row}" for row in (0, 1)])
    assert rows.label(1) == (named or ["", "a_ims.npy:1"])[1]
    assert FeatureRows(tmp_path / "a.npy").label(1) == "a.npy:1"


def test_images_of_a_split() -> None:
    data = TinyPairs(images=70)
    images = SplitImages(data)
    assert images.ids == data.image_ids
    keys = images.keys()
    assert len(np.unique(keys, axis=0)) == 70
    data.features[66] += 1
    assert np.flatnonzero((SplitImages(data).keys() != keys).any(axis=1)).tolist() == [66]


@pytest.mark.slow
def test_pictures_of_shards_on_a_server(tmp_path: Path) -> None:
    for name in ("0.tar", "1.tar"):
        (tmp_path / name).write_bytes(b"pictures")
        os.utime(tmp_path / name, (1, 1))

    def digest(signature: str) -> np.ndarray:
        data = TinyPairs(images=6)
        places = [Place(f"{web.address}/{n % 2}.tar?token={signature}", n // 2) for n in range(6)]
        vars(data)["places"] = places
        return SplitImages(data).keys()

    with serve(tmp_path) as web:
        keys = digest("a")
        assert len(web.asked) == 2  # each shard is asked for once
        assert len(np.unique(keys, axis=0)) == 6
        assert np.array_equal(digest("b"), keys)
        os.utime(tmp_path / "1.tar", (9, 9))
        assert (digest("a") == keys).all(axis=1).tolist() == [True, False] * 3
        (tmp_path / "1.tar").unlink()
        with pytest.raises(ServerError, match=r"1\.tar: cannot be read: it does not exist\.\nCheck that the server"):
            digest("a")


def test_captions_are_named_by_their_image() -> None:
    data = TinyPairs(images=2)
    captions = list_captions(data)
    assert [caption.id for caption in captions] == [f"image{image}#{n}" for image in (0, 1) for n in range(5)]
    assert [caption.text for caption in captions] == data.captions
    data.image_of = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    assert [caption.id for caption in list_captions(data)][:4] == ["image1#0", "image1#1", "image0#0", "image0#1"]


def test_keys_of_sentences_are_those_of_the_text() -> None:
    first, second = (
        Sentences([Sentence(str(n), text) for n, text in enumerate(texts)], "x").keys()
        for texts in (("a", "b", "a"), ("b", "a", "c"))
    )
    assert np.array_equal(first[0], first[2])
    assert np.array_equal(first[:2], second[[1, 0]])


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "a dog\r\n\r\n two cats \n", [("1", "a dog"), ("3", "two cats")]),
        ("a.jsonl", '{"id": 7, "caption": "a dog"}\n{"text": "x", "caption": "b"}\n', [("7", "a dog"), ("2", "b")]),
        ("a.jsonl", '{"id": 0, "text": "a"}\n{"text": null}\n{"id": null, "text": "b"}\n', [("0", "a"), ("3", "b")]),
        ("a.jsonl", '{"captions": ["a", " ", "b"], "id": "x.jpg"}\n', [("x.jpg#0", "a"), ("x.jpg#2", "b")]),
        ("a.jsonl", '{"caption": "a"}\n{"caption": ["b"]}\n{"caption": []}\n', [("1", "a"), ("2#0", "b")]),
        ("a.csv", 'id,text\nx,"a dog, running"\n,b\n', [("x", "a dog, running"), ("3", "b")]),
        ("a.tsv", 'sentence\na "dog"\n', [("2", 'a "dog"')]),
    ],
)
def test_files_of_sentences(tmp_path: Path, name: str, content: str, expected: list[tuple[str, str]]) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    assert read_sentences(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", r"a\.txt: contains no sentences\.\nWrite one sentence per line"),
        ("a.txt", b"\n  \n", r"contains no sentences"),
        ("a.txt", b"a dog\nl'\xe9t\xe9\n", r"a\.txt: line 2 is not UTF-8 text\.\n.*iconv"),
        (
            "a.csv",
            b"id,words\n1,a dog\n",
            r"column for captions \(caption, .*\); its columns are 'id', 'words'",
        ),
        ("a.jsonl", b"a dog\n", r"line 1 is not JSON"),
        (
            "a.jsonl",
            b'{"text": ["a dog"]}\n{"text": ["a", ["b"]]}\n',
            r"line 2: 'text' is a caption that is not text: \['b'\]\.\nWrite one",
        ),
    ],
)
def test_bad_files_of_sentences(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        collect_texts(tmp_path / name)


def test_the_split_that_is_opened_is_the_one_that_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "find_measured_split", {"small": "dev", "new": None}.get)
    chosen = [find_default_split(*named) for named in (("small", None), ("small", "photos"), ("new", None))]  # type: ignore[arg-type]
    assert chosen == ["dev", "test", "test"]


def test_what_is_no_collection(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "features").mkdir()
    np.save(tmp_path / "features" / "test_ims.npy", np.ones((2, 3), np.float32))
    for place, file in (("shards", "train.tar"), ("photos", "a.nef")):
        (tmp_path / place).mkdir()
        (tmp_path / place / file).touch()
    words = tmp_path / "a.doc"
    words.touch()
    for path, message in (
        (tmp_path / "none", r"none: does not exist"),
        (tmp_path / "none.npy", r"none\.npy: does not exist"),
        (tmp_path / "empty", r"empty: is empty: it contains no pictures\.\nName a folder of pictures, .*\.jpg"),
        (
            tmp_path / "features",
            r"contains no pictures, only test_ims\.npy\.\nIt contains features: .* --data .*features",
        ),
        (
            tmp_path / "shards",
            r"contains no pictures, only train\.tar\.\nIt is a data set .* layout shards: use --data .*shards",
        ),
        (
            tmp_path / "photos",
            r"contains no usable picture, only 1 such as a\.nef: camera raw, which cannot be decoded here: convert",
        ),
        (words, r"a\.doc: is neither a folder of pictures, nor a picture, nor .*\nName a folder of pictures, or"),
        (tmp_path / "one.png", r"one\.png: does not exist"),
    ):
        with pytest.raises(DataError, match=message):
            collect_images(path)
    with pytest.raises(UsageError, match=r"texts is not a list of sentences"):
        collect_texts([])
    with pytest.raises(UsageError, match=r"on_bad_image is 'warn'"):
        collect_images(tmp_path, "warn")
