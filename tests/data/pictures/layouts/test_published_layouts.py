"""The layouts of the field: Karpathy's JSON, Flickr8K, Flickr30K, COCO."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from picture_folders import PICTURE, list_shades, open_error, open_split, show, write_pictures

from vsezoo.data.lookup import find_source, open_data
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VSEZOO_DATA", raising=False)


def image(name: str, split: str, captions: int = 5, **more: str) -> dict[str, object]:
    return {"filename": name, "split": split, "sentences": [{"raw": f"{name} {k}"} for k in range(captions)], **more}


def write_karpathy(folder: Path, images: object, name: str = "dataset_flickr8k.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps({"images": images, "dataset": "x"}))
    return folder


def test_karpathy(tmp_path: Path) -> None:
    folder = write_karpathy(
        tmp_path / "mine",
        [image("b.jpg", "train", 7), image("v.jpg", "val", 2), image("a.jpg", "train", 1), image("t.jpg", "test")],
    )
    write_pictures(folder / "images", ["a.jpg", "b.jpg", "v.jpg", "t.jpg"])
    train = open_split(folder)
    assert (train.name, train.split, train.kind) == ("mine", "train", "picture")
    assert show(train) == {"b.jpg": [f"b.jpg {k}" for k in range(5)], "a.jpg": ["a.jpg 0"]}  # the first five, or fewer
    assert train.image_of.tolist() == [0, 0, 0, 0, 0, 1]
    assert train.image_of.dtype == np.int64
    assert list_shades(train) == [2, 1]
    assert show(open_split(folder, "dev")) == {"v.jpg": ["v.jpg 0", "v.jpg 1"]}
    assert list_shades(open_split(folder, "test")) == [4]


def test_karpathy_with_folders_and_restval(tmp_path: Path) -> None:
    folder = write_karpathy(
        tmp_path / "coco2014",
        [
            image("r.jpg", "restval", filepath="val2014"),
            image("t.jpg", "train", filepath="train2014"),
            image("v.jpg", "val", filepath="val2014"),
        ],
        "dataset_coco.json",
    )
    write_pictures(folder / "images", ["train2014/t.jpg", "val2014/r.jpg", "val2014/v.jpg"])
    assert list_shades(open_split(folder)) == [1]
    assert list_shades(open_split(folder, use_restval=True)) == [1, 2]
    assert open_split(folder, "dev", use_restval=True).image_ids == ["val2014/v.jpg"]
    assert list_shades(open_split(folder, "restval")) == [2]
    registered = open_data("coco2014", "train", PICTURE, OpenOptions(tmp_path, use_restval=True))
    assert registered.image_ids == ["train2014/t.jpg", "val2014/r.jpg"]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (None, "does not have a list `images`"),
        ([image("a.jpg", "train"), {"filename": "b.jpg"}], r"images[1] lacks 'split'"),
        ([["a.jpg"]], "images[0] is not an object"),
        ([{**image("a.jpg", "train"), "sentences": []}], "images[0] needs texts"),
        ([{**image("a.jpg", "train"), "sentences": ["a dog"]}], "images[0] has a sentence that is not"),
        ([{**image("a.jpg", "train"), "sentences": [{"tokens": ["a"]}]}], "images[0] lacks 'raw'"),
        ([image("a.jpg", "train"), image("a.jpg", "train")], "has 'a.jpg' twice in the split train"),
    ],
)
def test_json_of_another_form(tmp_path: Path, images: object, words: str) -> None:
    message = open_error(write_karpathy(tmp_path, images))
    assert words in message
    assert "dataset_flickr8k.json: " in message


@pytest.mark.parametrize(
    ("content", "words"),
    [(b'{"images": [', "is not JSON"), (b"[]", "not contain a JSON object"), (b"\xff\xfe", "is not")],
)
def test_file_that_is_no_json(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "dataset_x.json").write_bytes(content)
    assert words in open_error(tmp_path)


def test_several_lists(tmp_path: Path) -> None:
    for name in ("dataset_a.json", "dataset_b.json"):
        write_karpathy(tmp_path, [image("a.jpg", "train")], name)
    assert "several lists of pictures: dataset_a.json, dataset_b.json" in open_error(tmp_path)


def test_registered_name_takes_its_own_list_alone(tmp_path: Path) -> None:
    write_karpathy(tmp_path / "flickr8k", [image("a.jpg", "train")], "dataset_flickr30k.json")
    with pytest.raises(DataError, match="pictures of data set 'flickr8k' were not found") as caught:
        open_data("flickr8k", "train", PICTURE, OpenOptions(tmp_path))
    for part in ("Flickr8k.token.txt", "Hodosh", str(tmp_path / "flickr8k"), "contains dataset_flickr30k.json"):
        assert part in caught.value.remedy


@pytest.mark.parametrize("name", ["flickr8k", "flickr30k", "coco2014"])
def test_every_data_set_is_registered_and_tells_where_it_comes_from(name: str, tmp_path: Path) -> None:
    source = find_source(name)
    assert (source.name, source.kinds) == (name, PICTURE)
    with pytest.raises(DataError, match=rf"(?s)'{name}' were not found.*Origin: "):
        source.open("train", PICTURE, OpenOptions(tmp_path))


def write_flickr8k(folder: Path, newline: str = "\n") -> Path:
    write_pictures(folder / "Flicker8k_Dataset", ["a.jpg", "b.jpg", "c.jpg"])
    tokens = [f"{name}#{k}\t{name} , {k} ." for name in ("a.jpg", "b.jpg", "c.jpg", "c.jpg.1") for k in (0, 2, 1)]
    files = {
        "Flickr8k.token.txt": tokens,
        "Flickr_8k.trainImages.txt": ["c.jpg", "a.jpg"],
        "Flickr_8k.devImages.txt": ["b.jpg"],
    }
    for name, lines in files.items():
        (folder / name).write_bytes("".join(f"{line}{newline}" for line in lines).encode())
    return folder


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_flickr8k_by_its_lists(tmp_path: Path, newline: str) -> None:
    folder = write_flickr8k(tmp_path / "flickr8k", newline)
    train = open_data("flickr8k", "train", PICTURE, OpenOptions(tmp_path))
    assert show(train) == {name: [f"{name} , {k} ." for k in range(3)] for name in ("c.jpg", "a.jpg")}
    assert list_shades(train) == [3, 1]
    assert open_split(folder, "dev").image_ids == ["b.jpg"]
    message = open_error(folder, "test")
    assert "no split 'test'" in message
    assert "Its splits are train, dev. The lists are Flickr_8k.trainImages.txt" in message


def test_flickr8k_that_does_not_fit(tmp_path: Path) -> None:
    folder = write_flickr8k(tmp_path)
    (folder / "Flickr_8k.testImages.txt").write_text("b.jpg\nd.jpg\n")
    assert "testImages.txt: line 2 names d.jpg, which has no captions in Flickr8k.token.txt" in open_error(folder)
    (folder / "Flickr8k.token.txt").write_text("a.jpg#0\ta dog\na.jpg#1\t\n")
    assert "Flickr8k.token.txt: line 2 is not IMAGE#NUMBER, a tab, and a caption: 'a.jpg#1'" in open_error(folder)
    (folder / "Flickr8k.token.txt").write_bytes(b"a.jpg#0\ta dog\na.jpg#1\ta caf\xe9\n")
    assert "Flickr8k.token.txt: line 2 is not UTF-8" in open_error(folder)
    for file in folder.glob("*Images.txt"):
        file.unlink()
    assert "there are no lists of the pictures in each split" in open_error(folder)


RESULTS = """\
image_name| comment_number| comment
1.jpg| 0| Two men | in green .
1.jpg| 1| A man .
2.jpg| 1| A cat .
2.jpg| 0   A dog runs .
"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("results.csv", RESULTS),
        (
            "results_20130124.token",
            "1.jpg#0\tTwo men | in green .\n1.jpg#1\tA man .\n2.jpg#1\tA cat .\n2.jpg#0\tA dog runs .\n",
        ),
    ],
)
def test_flickr30k(tmp_path: Path, name: str, content: str) -> None:
    folder = tmp_path / "flickr30k"
    write_pictures(folder / "flickr30k-images", ["1.jpg", "2.jpg"])
    (folder / name).write_text(content)
    (folder / "train.txt").write_text("2\n")
    (folder / "val.txt").write_text("1")
    train, dev = (open_data("flickr30k", split, PICTURE, OpenOptions(tmp_path)) for split in ("train", "dev"))
    assert show(train) == {"2.jpg": ["A dog runs .", "A cat ."]}
    assert show(dev) == {"1.jpg": ["Two men | in green .", "A man ."]}
    assert list_shades(dev) == [1]


def write_coco(folder: Path) -> Path:
    """Three pictures of val2014 and one of train2014; the numbers of annotations are 10 times the picture, plus k."""
    notes = folder / "annotations"
    notes.mkdir(parents=True)
    for part, pictures in (("train2014", (1,)), ("val2014", (2, 3, 4))):
        images = [{"id": i, "file_name": f"COCO_{part}_{i}.jpg"} for i in pictures]
        texts = [{"id": 10 * i + k, "image_id": i, "caption": f"cat {i} {k}\n"} for i in pictures for k in range(7)]
        (notes / f"captions_{part}.json").write_text(json.dumps({"images": images, "annotations": texts}))
        for i in pictures:
            write_pictures(folder / "images" / part, [f"COCO_{part}_{i}.jpg"])
    for split, i in (("train", 1), ("dev", 2), ("test", 3), ("restval", 4)):
        np.save(notes / f"coco_{split}_ids.npy", 10 * i + np.arange(5))
    return folder


def test_coco(tmp_path: Path) -> None:
    folder = write_coco(tmp_path / "coco2014")
    for split, name in (("train", "train2014/COCO_train2014_1"), ("dev", "val2014/COCO_val2014_2")):
        pairs = open_data("coco2014", split, PICTURE, OpenOptions(tmp_path))
        assert show(pairs) == {f"{name}.jpg": [f"cat {name[-1]} {k}" for k in range(5)]}
        assert list_shades(pairs) == [1]
    assert [name[-5] for name in open_split(folder, use_restval=True).image_ids] == ["1", "4"]


def test_coco_that_does_not_fit(tmp_path: Path) -> None:
    notes = write_coco(tmp_path) / "annotations"
    np.save(notes / "coco_test_ids.npy", np.array([10, 99]))
    assert "coco_test_ids.npy: names the annotation 99, which is not in captions_train2014.json or" in open_error(
        tmp_path
    )
    np.save(notes / "coco_test_ids.npy", np.array(["a"]))
    assert "coco_test_ids.npy: is not an array of annotation numbers" in open_error(tmp_path)
    np.save(notes / "coco_test_ids.npy", np.array([{}]), allow_pickle=True)
    assert "coco_test_ids.npy: is not an array of annotation numbers" in open_error(tmp_path)
    np.save(notes / "coco_test_ids.npy", np.array([10]))
    (notes / "captions_val2014.json").write_text('{"images": [{"id": 1}], "annotations": []}')
    assert "captions_val2014.json: images[0] lacks 'file_name'" in open_error(tmp_path)
    for file in notes.glob("*.npy"):
        file.unlink()
    assert "no files that assign them to splits" in open_error(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif("VSEZOO_SHARED" not in os.environ, reason="VSEZOO_SHARED is not set")
def test_real_flickr8k(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """By the JSON and by the token file the same, and the same as the features that were made of the pictures."""
    root = (pytestconfig.invocation_params.dir / os.environ["VSEZOO_SHARED"] / "data").resolve()
    for name in ("images", "Flickr8k.token.txt", *(f"Flickr_8k.{s}Images.txt" for s in ("train", "dev", "test"))):
        (tmp_path / name).symlink_to(root / "flickr8k" / name)
    for split, count in (("dev", 1000), ("test", 1000)):
        by_json = open_data("flickr8k", split, PICTURE, OpenOptions(root, on_bad_image="skip"))
        by_tokens = open_split(tmp_path, split)
        features = open_data("f8k_precomp", split, ("vector",), OpenOptions(root))
        assert (len(by_json.image_ids), len(by_json.captions)) == (count, 5 * count)
        for other in (by_tokens, features):
            assert list(other.captions) == by_json.captions
            assert list(other.image_ids) == by_json.image_ids
            np.testing.assert_array_equal(other.image_of, by_json.image_of)
        assert by_json.skipped == {}
        assert [picture.size for picture in by_tokens.images([0, count - 1])] == [(224, 224)] * 2
