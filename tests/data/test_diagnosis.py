"""A folder in no known form: what it seems to be, and the one thing to do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from picture_folders import write_pictures

from vsezoo.data.lookup import open_data
from vsezoo.errors import DataError


def make_photos(folder: Path) -> None:
    write_pictures(folder, ["2024/a.jpg", "2024/@eaDir/a.jpg", "b.png"])


def make_inner(folder: Path) -> None:
    write_pictures(folder, ["mine/a.jpg"])
    (folder / "mine" / "captions.csv").write_text("image,caption\na.jpg,a dog\n")


def make_conversations(folder: Path) -> None:
    write_pictures(folder, ["a.jpg"])
    talk = [{"id": "1", "image": "a.jpg", "conversations": [{"from": "human", "value": "<image>What?"}]}]
    (folder / "chat.json").write_text(json.dumps(talk))


def make_features(folder: Path) -> None:
    np.save(folder / "resnet.npy", np.ones((3, 4)))


def make_archive(folder: Path) -> None:
    (folder / "flickr30k.zip").write_bytes(b"PK")


def make_columns(folder: Path) -> None:
    write_pictures(folder, ["a.jpg"])
    (folder / "labels.csv").write_text("photo;class\na.jpg;dog\n")


def make_keys(folder: Path) -> None:
    write_pictures(folder, ["VG_100K/1.jpg"])
    (folder / "regions.json").write_text('[{"id": 1, "regions": [{"phrase": "a clock"}]}]')


def make_labels(folder: Path) -> None:
    write_pictures(folder, ["a.jpg"])
    (folder / "annotations").mkdir()
    (folder / "annotations" / "labels.csv").write_text("ImageID,LabelName\na,/m/04\n")


def make_raw(folder: Path) -> None:
    write_pictures(folder, ["a.nef"])


def make_regions(folder: Path) -> None:
    (folder / "boxes_36.tsv").write_text(f"9\t640\t480\t36\t{'A' * 99}\t{'B' * 99}\n")


def make_lmdb(folder: Path) -> None:
    (folder / "f30k.lmdb").mkdir()
    (folder / "f30k.lmdb" / "data.mdb").write_bytes(b"")


def make_pickle(folder: Path) -> None:
    (folder / "captions.pkl").write_bytes(b"")


def make_xml(folder: Path) -> None:
    write_pictures(folder, ["a.jpg"])
    (folder / "boxes.xml").write_text("<box/>")
    (folder / "cvat.xml").write_text('<image name="a.jpg"><attribute name="caption">a dog</attribute></image>')


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (make_photos, "a folder of 2 images without captions, such as b.png. Write .*captions.csv"),
        (make_inner, "a folder in a known form: mine. Give it: --data .*/mine"),
        (make_conversations, "chat.json has conversations about images, as LLaVA"),
        (make_features, "features: resnet.npy. Call those of a split train_ims.npy"),
        (make_archive, "not unpacked: flickr30k.zip. Unpack it: unzip flickr30k.zip"),
        (make_columns, "labels.csv has the columns photo, class, none of which"),
        (make_keys, "regions.json, with id, regions, phrase, is not known to have captions. Write .*captions.csv"),
        (make_labels, "annotations/labels.csv, with ImageID, LabelName, is not known to have captions"),
        (
            make_pickle,
            "captions.pkl is a pickle, which is not read, since that can run any program. Write its",
        ),
        (make_regions, "boxes_36.tsv seems to have the regions of a detector. Write them as features: vsezoo features"),
        (make_lmdb, "f30k.lmdb seems to have the regions of a detector. .* --from .*/f30k.lmdb --output FEATURES"),
        (make_xml, "cvat.xml is XML, which is not read. Write its captions to .*captions.csv"),
        (make_raw, "none can be used: a.nef: camera raw"),
    ],
)
def test_what_a_folder_seems_to_be(tmp_path: Path, make: object, words: str) -> None:
    assert callable(make)
    make(tmp_path)
    with pytest.raises(DataError, match="were not found") as caught:
        open_data(tmp_path, "train")
    first, *others = caught.value.remedy.split("\n")
    assert re.search(words, first), first
    assert others[0].startswith("Expected files: ")
