"""Features of pictures as files: the values, the layout, what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import made_pictures
import numpy as np
import pytest
import torch
from made_pictures import SIZES, MadeBackbone, MadePictures, compute, extract
from processes import read_files

from vsezoo.data.lookup import open_data
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError, StorageError, UsageError
from vsezoo.features.extractor import FeatureForm
from vsezoo.features.folder import Shard


def refuse(kind: type[Exception], match: str, run: Callable[[], Any]) -> Any:
    with pytest.raises(kind, match=match) as caught:
        run()
    return caught.value


def test_the_rows_are_the_features_of_the_pictures(tmp_path: Path) -> None:
    summaries = extract(tmp_path / "out", form=FeatureForm(batch_size=4))
    for split, sizes in SIZES.items():
        np.testing.assert_allclose(np.load(tmp_path / "out" / f"{split}_ims.npy"), compute(split), atol=1e-5)
        assert len(sizes) == len(compute(split))
    assert [(summary.split, summary.whole, summary.done) for summary in summaries] == [
        ("train", True, 11),
        ("dev", True, 3),
    ]
    assert (tuple(summaries[0].shape), summaries[0].captions) == ((11, 4), 39)


def test_the_folder_is_read_as_data_at_once(tmp_path: Path) -> None:
    """11 images of one to six captions, and three of five: whose a caption is shows when they are read."""
    extract(tmp_path / "out")
    for split in SIZES:
        pairs, made = open_data(str(tmp_path / "out"), split, ("vector",)), MadePictures(split, SIZES[split])
        assert (list(pairs.captions), list(pairs.image_ids)) == (made.captions, made.image_ids)
        np.testing.assert_array_equal(pairs.image_of, made.image_of)
        np.testing.assert_allclose(pairs.images([2, 0]), compute(split)[[2, 0]], atol=1e-5)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *(f"dev_{ending}" for ending in ("caps.txt", "ids.txt", "ims.npy")),
        "features.json",
        *(f"train_{ending}" for ending in ("caps.txt", "ids.txt", "ims.npy")),
    ]
    assert (tmp_path / "out" / "dev_ids.txt").read_text() == "dev0.jpg\ndev1.jpg\ndev2.jpg\n"


def test_a_grid_is_the_layout_of_regions(tmp_path: Path) -> None:
    """The cell in row r and column c of the 2 x 2 feature map is region 2r + c."""
    extract(tmp_path / "out", backbone=MadeBackbone(features="grid"))
    found = np.load(tmp_path / "out" / "dev_ims.npy")
    assert found.shape == (3, 4, 4)
    np.testing.assert_allclose(found, compute("dev", features="grid"), atol=1e-5)
    np.testing.assert_allclose(found.mean(axis=1), compute("dev"), atol=1e-5)
    backbone = MadeBackbone()
    pixels = backbone.transform(training=False)([made_pictures.draw("dev", 1)])
    corner = torch.nn.functional.conv2d(pixels[:, :, 8:, :8], backbone.network.weight, backbone.network.bias)
    np.testing.assert_allclose(found[1, 2], corner[0, :, 0, 0].detach(), atol=1e-5)
    assert open_data(str(tmp_path / "out"), "dev", ("regions",)).image_shape == (4, 4)


def test_ten_crops_are_averaged(tmp_path: Path) -> None:
    extract(tmp_path / "out", backbone=MadeBackbone(crops=10))
    found = np.load(tmp_path / "out" / "dev_ims.npy")
    np.testing.assert_allclose(found, compute("dev", crops=10), atol=1e-5)
    assert np.abs(found - compute("dev")).max() > 0.01


def test_normalized_features_have_unit_norm_and_the_same_direction(tmp_path: Path) -> None:
    extract(tmp_path / "out", form=FeatureForm(normalize=True))
    expected = compute("train")
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(np.load(tmp_path / "out" / "train_ims.npy"), expected, atol=1e-6)


def test_float16_halves_the_file(tmp_path: Path) -> None:
    extract(tmp_path / "out", form=FeatureForm(dtype="float16"))
    found = np.load(tmp_path / "out" / "train_ims.npy")
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, compute("train"), rtol=1e-3, atol=1e-3)


def test_bfloat16_is_near_and_not_equal(tmp_path: Path) -> None:
    extract(tmp_path / "out", form=FeatureForm(precision="bf16"))
    error = np.abs(np.load(tmp_path / "out" / "train_ims.npy") - compute("train")).max()
    assert 1e-5 < error < 0.1


@pytest.mark.process
def test_workers_make_no_difference(tmp_path: Path) -> None:
    form = FeatureForm(batch_size=2)
    for workers in (0, 2):
        extract(tmp_path / str(workers), workers=workers, form=form)
    assert read_files(tmp_path / "0") == read_files(tmp_path / "2")


def test_the_record_says_what_made_the_features(tmp_path: Path) -> None:
    backbone = MadeBackbone(crops=10)
    extract(tmp_path / "out", backbone=backbone)
    config = json.loads((tmp_path / "out" / "features.json").read_bytes())
    assert config["settings"]["backbone"] == backbone.describe()
    assert config["settings"]["backbone"]["transform"]["crops"] == 10
    assert config["settings"]["dtype"] == "float32"
    assert config["versions"]["torch"] == version("torch")
    assert config["splits"]["dev"] == {"shape": [3, 4], "captions": 15, "skipped": {}}


def test_pictures_that_the_data_set_left_out_are_recorded(tmp_path: Path) -> None:
    def open_split(split: str, options: Any) -> MadePictures:
        assert options.full_dev
        data = MadePictures(split, (1, 2))
        data.skipped = {"torn.jpg": "is empty"}
        return data

    (summary,) = extract(tmp_path / "out", open_split=open_split, splits=["dev"])
    assert summary.skipped == {"torn.jpg": "is empty"}
    config = json.loads((tmp_path / "out" / "features.json").read_bytes())
    assert config["splits"]["dev"]["skipped"] == {"torn.jpg": "is empty"}


def test_pictures_without_captions_are_features_and_ids(tmp_path: Path) -> None:
    extract(tmp_path / "out", open_split=lambda split, options: MadePictures("dev", (0, 0, 0)), splits=["dev"])
    assert not (tmp_path / "out" / "dev_caps.txt").exists()
    assert (tmp_path / "out" / "dev_ids.txt").read_text() == "dev0.jpg\ndev1.jpg\ndev2.jpg\n"
    np.testing.assert_allclose(np.load(tmp_path / "out" / "dev_ims.npy"), compute("dev"), atol=1e-5)


def name_badly(split: str, options: OpenOptions) -> MadePictures:
    """The picture in the middle has a name that is not UTF-8, as Python shows it, and half a letter in a caption."""
    data = MadePictures(split, SIZES[split])
    if split == "dev":
        data.image_ids = ["dev0.jpg", os.fsdecode(b"caf\xe9.jpg"), "dev2.jpg"]
        data.captions = ["half a smile \ud83d", *data.captions[1:]]
    return data


def test_a_name_that_is_not_utf_8_is_told_before_the_work(tmp_path: Path) -> None:
    """It is in the second split: nothing is made of the first either."""
    error = refuse(
        DataError, r"split dev of 'made'.*: 'caf\\udce9\.jpg'", lambda: extract(tmp_path, open_split=name_badly)
    )
    assert error.remedy == "Rename them, or skip such pictures with --on-bad-image skip."
    assert not list(tmp_path.rglob("*.npy"))
    assert [summary.done for summary in extract(tmp_path)] == [11, 3]


def test_a_picture_can_be_left_out_for_its_name(tmp_path: Path) -> None:
    extract(tmp_path, open_split=name_badly, options=OpenOptions(on_bad_image="skip"))
    np.testing.assert_allclose(np.load(tmp_path / "dev_ims.npy"), compute("dev")[[0, 2]], atol=1e-5)
    assert (tmp_path / "dev_ids.txt").read_text() == "dev0.jpg\ndev2.jpg\n"
    captions = (tmp_path / "dev_caps.txt").read_text(encoding="utf-8").splitlines()
    assert (len(captions), captions[0]) == (10, "half a smile ?")
    told = json.loads((tmp_path / "features.json").read_text(encoding="utf-8"))["splits"]["dev"]["skipped"]
    assert told == {os.fsdecode(b"caf\xe9.jpg"): "has a name that is not UTF-8"}


def test_an_image_without_captions_among_others_is_left_out(tmp_path: Path) -> None:
    extract(tmp_path / "out", open_split=lambda split, options: MadePictures("dev", (2, 0, 1)), splits=["dev"])
    assert (tmp_path / "out" / "dev_ids.txt").read_text() == "dev0.jpg\ndev0.jpg\ndev2.jpg\n"
    np.testing.assert_allclose(np.load(tmp_path / "out" / "dev_ims.npy"), compute("dev")[[0, 2]], atol=1e-5)


@pytest.mark.process
def test_an_unreadable_picture_ends_the_work_with_its_name_and_what_was_done_stays(tmp_path: Path) -> None:
    def run(bad: tuple[int, ...], resume: bool) -> None:
        extract(
            tmp_path / "out",
            open_split=lambda split, options: MadePictures(split, SIZES[split], bad),
            form=FeatureForm(batch_size=2),
            workers=1,
            resume=resume,
        )

    refuse(DataError, r"train7\.jpg: cannot be decoded", lambda: run((7,), False))
    run((), True)
    np.testing.assert_allclose(np.load(tmp_path / "out" / "train_ims.npy"), compute("train"), atol=1e-5)


def test_features_beyond_float16_are_refused_with_the_picture(tmp_path: Path) -> None:
    backbone = MadeBackbone()
    backbone.network.weight.data.mul_(1e6)
    error = refuse(
        DataError,
        r"train0\.jpg: .*float16",
        lambda: extract(tmp_path / "out", backbone=backbone, form=FeatureForm(dtype="float16")),
    )
    assert "--dtype float32" in error.remedy


def test_an_output_that_is_there_is_left_alone(tmp_path: Path) -> None:
    extract(tmp_path / "out", splits=["dev"])
    before = read_files(tmp_path / "out")
    error = refuse(UsageError, "already exists", lambda: extract(tmp_path / "out"))
    assert "--resume" in error.remedy
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_text("x")
    for resume in (False, True):
        refuse(UsageError, "no features.json", partial(extract, tmp_path / "mine", resume=resume))
    assert read_files(tmp_path / "out") == before
    assert list(read_files(tmp_path / "mine")) == ["photo.jpg"]


def test_an_empty_folder_is_no_obstacle(tmp_path: Path) -> None:
    extract(tmp_path)
    assert (tmp_path / "train_ims.npy").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    error = refuse(StorageError, "out: cannot be written: Not a directory", lambda: extract(tmp_path / "out"))
    assert error.remedy == "Check the path: a file is in the place of a folder."


def test_splits_can_be_added(tmp_path: Path) -> None:
    extract(tmp_path / "out", splits=["dev"])
    summaries = extract(tmp_path / "out", resume=True)
    assert [(summary.split, summary.done) for summary in summaries] == [("train", 11), ("dev", 0)]
    extract(tmp_path / "once")
    found, expected = read_files(tmp_path / "out"), read_files(tmp_path / "once")
    assert {**found, "features.json": b""} == {**expected, "features.json": b""}
    assert json.loads(found["features.json"]) == json.loads(expected["features.json"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"form": FeatureForm(batch_size=3)}, "batch_size is 3 and was 32"),
        ({"form": FeatureForm(normalize=True)}, "normalize is True and was False"),
        ({"backbone": MadeBackbone(image_size=8)}, r"backbone\.transform\.image_size is 8 and was 16"),
        ({"shard": Shard(0, 2)}, "shards is 2 and was 1"),
    ],
)
def test_another_setting_does_not_go_on(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    extract(tmp_path / "out", splits=["dev"])
    refuse(UsageError, said, lambda: extract(tmp_path / "out", resume=True, **options))


def test_other_weights_do_not_go_on(tmp_path: Path) -> None:
    extract(tmp_path / "out", splits=["dev"])
    backbone = MadeBackbone()
    backbone.network.weight.data[0, 0, 0, 0] += 1
    refuse(UsageError, r"backbone\.sha256 is ", lambda: extract(tmp_path / "out", resume=True, backbone=backbone))
