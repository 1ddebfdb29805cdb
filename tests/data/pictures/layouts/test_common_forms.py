"""Text next to picture, lists in JSON, COCO's form, and the archives of Flickr as they unpack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from picture_folders import list_shades, open_error, open_split, show, write_pictures

from vsezoo.data.lookup import open_data
from vsezoo.data.pictures.splits import draw_split
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError

FIVE = [f"caption {number}" for number in range(5)]


def write_texts(folder: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def test_text_beside_picture(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["train/a.png", "train/b.JPG", "validation/c.webp"])
    write_texts(
        tmp_path, {"train/a.txt": "one\n\ntwo \n", "train/b.caption": "\ufeffa café", "validation/c.txt": "three"}
    )
    write_texts(tmp_path, {"README.txt": "mine", "train/b.txt.bak": "old"})
    train = open_split(tmp_path)
    assert show(train) == {"train/a.png": ["one", "two"], "train/b.JPG": ["a café"]}
    assert list_shades(train) == [1, 2]
    assert show(open_split(tmp_path, "dev")) == {"validation/c.webp": ["three"]}
    assert train.account["layout"] == "texts"


def test_picture_without_its_text_is_named(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["train/a.png", "train/b.png", "train/c.png"])
    write_texts(tmp_path, {"train/a.txt": "one", "train/b.txt": "\n"})
    message = open_error(tmp_path)
    assert (
        "2 of the 3 pictures of the split train have no caption, or an empty one: train/b.png (b.txt is empty)"
        in message
    )
    assert "train/c.png (no c.txt)" in message
    train = open_split(tmp_path, on_bad_image="skip")
    assert show(train) == {"train/a.png": ["one"]}
    assert list(train.skipped) == ["train/b.png", "train/c.png"]


@pytest.mark.parametrize(
    ("picture", "texts"),
    [
        ("train/a.JPG", {"train/a.TXT": "a dog\n"}),
        ("train/a.jpg", {"train/a.jpg.txt": "a dog\n"}),
        ("train/a.jpg", {"train/a.json": '{"key": 1, "caption": "a dog"}'}),
        ("train/a.jpg", {"train/a.txt": "a dog\n", "train/a.json": '{"caption": "b"}', "train/a.caption": "b"}),
        ("images/x/a.jpg", {"Sentences/x/a.txt": "[/EN#1/people/x a dog]\n"}),  # of Flickr30K Entities
    ],
)
def test_names_of_texts(tmp_path: Path, picture: str, texts: dict[str, str]) -> None:
    write_pictures(tmp_path, [picture])
    write_texts(tmp_path, texts)
    assert show(open_split(tmp_path)) == {picture: ["a dog"]}


def test_texts_that_are_not_read_are_told(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["train/a.jpg", "train/b.jpg"])
    write_texts(tmp_path, {f"train/{name}": "x\n" for name in ("a.txt", "a.caption", "b.caption", "c.txt")})
    write_texts(tmp_path, {"train/a.json": '{"caption": "other"}'})
    account = open_split(tmp_path).account
    assert account["unread"] == ["1 *.caption"]
    assert account["summary"].endswith("Not read, since another is: 1 *.caption.")


def test_a_title_that_is_the_name_of_the_picture_is_no_caption(tmp_path: Path) -> None:
    """Google Takeout writes both."""
    write_pictures(tmp_path, ["train/a.jpg"])
    write_texts(tmp_path / "train", {"a.jpg.json": '{"title": "a.jpg", "description": "a dog"}'})
    assert show(open_split(tmp_path)) == {"train/a.jpg": ["a dog"]}


def test_objects_without_captions_are_no_texts_and_bad_ones_are_named(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["train/a.jpg", "train/b.jpg"])
    write_texts(tmp_path, {"train/a.json": '{"shapes": []}', "train/b.json": "{"})
    with pytest.raises(DataError, match="were not found"):
        open_split(tmp_path)
    write_texts(tmp_path, {"train/a.json": '{"caption": ["a dog", "a cat"]}'})
    assert "b.json: is not JSON" in open_error(tmp_path)
    assert show(open_split(tmp_path, on_bad_image="skip")) == {"train/a.jpg": ["a dog", "a cat"]}


def test_numbered_folders_of_img2dataset(tmp_path: Path) -> None:
    names = [f"{index // 10:05}/{index:09}.jpg" for index in range(20)]
    write_pictures(tmp_path, names)
    for name in names:
        write_texts(
            tmp_path, {name.replace(".jpg", ".txt"): name, name.replace(".jpg", ".json"): '{"caption": "other"}'}
        )
    write_texts(tmp_path, {"00000_stats.json": '{"count": 10}', "00000.parquet": "x"})
    train = open_split(tmp_path)
    assert show(train) == {name: [name] for name in names if draw_split(name) == "train"}
    assert "drawn" in train.account["rule"]


def test_folder_of_pictures_without_any_text_has_no_layout(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a.jpg"])
    write_texts(tmp_path, {"notes.txt": "x"})
    with pytest.raises(DataError, match="were not found"):
        open_split(tmp_path)


def test_json_lists_of_blip(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", ["a.jpg", "b.jpg", "c.jpg"])
    rows = [{"image": "images/a.jpg", "caption": text, "image_id": "coco_0"} for text in FIVE]
    (tmp_path / "coco_karpathy_train.json").write_text(json.dumps(rows))
    for split, name in (("val", "b.jpg"), ("test", "c.jpg")):
        entry = {"image": f"images/{name}", "caption": FIVE}
        (tmp_path / f"coco_karpathy_{split}.json").write_text(json.dumps([entry]))
    found = {split: show(open_split(tmp_path, split)) for split in ("train", "dev", "test")}
    assert found == {
        "train": {"images/a.jpg": FIVE},
        "dev": {"images/b.jpg": FIVE},
        "test": {"images/c.jpg": FIVE},
    }
    (tmp_path / "coco_karpathy_test.json").write_text(json.dumps([entry, {"image": "images/c.jpg"}]))
    assert "coco_karpathy_test.json: entry 1 has no column for captions" in open_error(tmp_path, "test")
    (tmp_path / "coco_karpathy_test.json").write_text(json.dumps([entry])[:-4])
    assert "coco_karpathy_test.json: is not JSON" in open_error(tmp_path)


def write_coco(file: Path, names: list[str], captions: int = 6) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    images = [{"id": index, "file_name": name} for index, name in enumerate(names)]
    annotations = [
        {"id": 10 * index + number, "image_id": index, "caption": f"{name} {number}\n"}
        for number in range(captions)
        for index, name in enumerate(names)
    ]
    file.write_text(json.dumps({"info": {}, "images": images, "annotations": annotations}))


@pytest.mark.parametrize(("below", "place"), [("", "annotations"), ("images/", "annotations_trainval2017/annotations")])
def test_coco_2017(tmp_path: Path, below: str, place: str) -> None:
    for split, names in (("train2017", ["000000000001.jpg", "000000000002.jpg"]), ("val2017", ["000000000001.jpg"])):
        write_pictures(tmp_path / f"{below}{split}", names)
        write_coco(tmp_path / place / f"captions_{split}.json", names)
    (tmp_path / place / "instances_train2017.json").write_text('{"images": [], "annotations": []}')
    assert show(open_split(tmp_path)) == {
        f"train2017/{name}": [f"{name} {number}" for number in range(5)]
        for name in ("000000000001.jpg", "000000000002.jpg")
    }
    assert list(show(open_split(tmp_path, "dev"))) == ["val2017/000000000001.jpg"]


def test_a_folder_of_data_sets_of_coco_is_none(tmp_path: Path) -> None:
    write_pictures(tmp_path / "mine" / "val2017", ["a.jpg"])
    write_coco(tmp_path / "mine" / "annotations" / "captions_val2017.json", ["a.jpg"])
    with pytest.raises(DataError, match="contains a folder in a known form: mine"):
        open_split(tmp_path)


def test_tokenised_captions_of_stair(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["train2014/a.jpg"])
    content = {"images": [{"id": 1, "file_name": "a.jpg"}]}
    entry = {"id": 1, "image_id": 1, "tokenized_caption": "犬 が 走る"}
    for more, captions in (({}, ["犬 が 走る"]), ({"caption": "犬が走る"}, ["犬が走る"])):
        write_texts(tmp_path, {"stair_train.json": json.dumps({**content, "annotations": [entry | more]})})
        assert show(open_split(tmp_path)) == {"a.jpg": captions}
    write_texts(tmp_path, {"stair_train_tokenized.json": (tmp_path / "stair_train.json").read_text()})
    assert "has several caption files" in open_error(tmp_path)


def test_coco_form_of_ones_own(tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos" / "train", ["a.jpg"])
    write_pictures(tmp_path / "photos" / "val", ["b.jpg"])
    write_coco(tmp_path / "labels.json", ["a.jpg", "b.jpg"])
    train = open_split(tmp_path)
    assert show(train) == {"a.jpg": [f"a.jpg {number}" for number in range(6)]}
    assert train.account["rule"] == "given by the folders that the images are in"
    content = json.loads((tmp_path / "labels.json").read_text())
    content["images"][0]["split"], content["images"][1]["split"] = "validation", "train"
    (tmp_path / "labels.json").write_text(json.dumps(content))
    train = open_split(tmp_path)
    assert (list(show(train)), train.account["rule"]) == (["b.jpg"], "given by the column `split`")
    del content["images"][0]["split"]
    (tmp_path / "labels.json").write_text(json.dumps(content))
    assert "a.jpg has no split, but others do" in open_error(tmp_path)
    write_coco(tmp_path / "more.json", ["a.jpg"])
    assert "has several caption files: labels.json, more.json" in open_error(tmp_path)
    (tmp_path / "more.json").unlink()
    (tmp_path / "labels.json").write_text('{"images": [{"id": 1}], "annotations": [{"image_id": 1, "caption": "x"}]}')
    assert "labels.json: images[0] lacks 'file_name'" in open_error(tmp_path)


@pytest.mark.parametrize("below", ["", "images"])
@pytest.mark.parametrize("form", ["_annotations.coco.json", "captions.csv"])
def test_a_list_in_the_folder_of_each_split(tmp_path: Path, form: str, below: str) -> None:
    """Names are seen from that folder, or from a folder in it, as they are from the data folder."""
    for folder, name in (("train", "a.jpg"), ("valid", "b.jpg")):
        write_pictures(tmp_path / folder / below, [name])
        if form == "captions.csv":
            (tmp_path / folder / form).write_text(f"image,caption\n{name},{name} 0\n")
        else:
            write_coco(tmp_path / folder / form, [name], 1)
    assert show(open_split(tmp_path)) == {"train/a.jpg": ["a.jpg 0"]}
    dev = open_split(tmp_path, "dev")
    assert dev.places[0].file == str(tmp_path / "valid" / below / "b.jpg")
    assert dev.account["left_out"] == {}


def test_karpathys_list_beside_the_names_of_2017(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train2017", ["000000000001.jpg", "000000000002.jpg"])
    images = [
        {
            "filepath": f"{part}2014",
            "filename": f"COCO_{part}2014_00000000000{number}.jpg",
            "split": "train",
            "sentences": [{"raw": "x"}],
        }
        for part, number in (("train", 2), ("val", 1))
    ]
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": images}))
    assert list_shades(open_split(tmp_path)) == [2, 1]


def test_flickr30k_without_lists(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(100, 130)]
    folder = tmp_path / "flickr30k"
    write_pictures(folder / "flickr30k_images", names)
    rows = [f"{name}| {number}{'|' * (number < 4)} dog {number} ." for name in names for number in range(5)]
    (folder / "results.csv").write_text("\n".join(["image_name| comment_number| comment", *rows]))
    train = open_split(folder)
    in_train = [name for name in names if draw_split(name) == "train"]
    assert show(train) == {name: [f"dog {number} ." for number in range(5)] for name in in_train}
    assert "drawn" in train.account["summary"]
    with pytest.raises(DataError) as caught:  # the data set of the field is that of its lists
        open_data("flickr30k", "train", None, OpenOptions(tmp_path))
    assert "Copy train.txt, val.txt, test.txt to the same folder (they come with Flickr30K Entities)" in str(
        caught.value
    )


def test_flickr8k_as_its_archives_unpack(tmp_path: Path) -> None:
    names = ["a.jpg", "b.jpg", "c.jpg"]
    write_pictures(tmp_path / "Flickr8k_Dataset" / "Flicker8k_Dataset", names)
    splits = dict(zip(("train", "dev", "test"), names, strict=True))
    lists = {f"Flickr8k_text/Flickr_8k.{split}Images.txt": name for split, name in splits.items()}
    tokens = "".join(f"{name}#{number}\t{name} {number}\n" for name in names for number in range(5))
    write_texts(tmp_path, lists | {"Flickr8k_text/Flickr8k.token.txt": tokens})
    assert show(open_split(tmp_path, "test")) == {"c.jpg": [f"c.jpg {number}" for number in range(5)]}
    assert list_shades(open_split(tmp_path, "dev")) == [2]
