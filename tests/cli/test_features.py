"""`vsezoo features`: pictures to a folder that `--data` reads."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pictures
import processes
import pytest
import torch
from click.testing import CliRunner, Result
from commands import run_command
from processes import Done, assert_one_message, read_files

from vsezoo.backbones import create_backbone
from vsezoo.cli import main
from vsezoo.construction import create_model
from vsezoo.data.lookup import open_data
from vsezoo.features.part import Part

COUNTS = {"train": 12, "dev": 4, "test": 4}
SIZE = 40
"""Pixels of a side: few, so that a picture takes a millisecond."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.write_pictures(tmp_path_factory.mktemp("photos") / "photos", **COUNTS)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.write_weights(tmp_path_factory.mktemp("weights") / "net.safetensors")


def name_arguments(data: Path | str, weights: Path, *more: str | Path) -> list[str]:
    backbone = ("--backbone", pictures.BACKBONE, "--weights", weights, "--set", f"image_size={SIZE}")
    return [str(word) for word in ("features", data, *backbone, "--output", "out", "--workers", "0", *more)]


def extract(folder: Path, data: Path | str, weights: Path, *more: str | Path) -> Done:
    return run_command(folder, *name_arguments(data, weights, *more))


def invoke(data: Path | str, weights: Path, *more: str | Path) -> Result:
    """Run the command in this process and folder: it is quicker where nothing comes of it."""
    return CliRunner().invoke(main, name_arguments(data, weights, *more))


@pytest.mark.slow
def test_features_are_those_of_a_training_with_the_frozen_backbone(tmp_path: Path, photos: Path, weights: Path) -> None:
    done = extract(tmp_path, photos, weights)
    assert done.code == 0, done.stderr
    assert [line.split()[:5] for line in done.stdout.splitlines()[1:]] == [
        ["train", "12", "x", "96", "60"],
        ["dev", "4", "x", "96", "20"],
        ["test", "4", "x", "96", "20"],
    ]
    options = {"weights": str(weights), "image_size": SIZE, "normalize_features": False}
    settings = {**pictures.SIZES, "image_encoder": pictures.BACKBONE}
    settings |= {f"image_encoder.{name}": value for name, value in options.items()}
    data = open_data(str(photos), "dev", ("picture",))
    encoder = create_model("vsepp", data, settings=settings).image_encoder
    with torch.inference_mode():
        frozen = encoder.backbone(encoder.transform(training=False)(data.images(range(4))))
    rows = open_data(str(tmp_path / "out"), "dev", ("vector",))
    np.testing.assert_allclose(rows.images(range(4)), frozen, atol=1e-4)
    assert list(rows.captions) == list(data.captions)
    assert list(rows.image_ids) == list(data.image_ids)


def test_json_tells_what_came_of_each_split(tmp_path: Path, photos: Path, weights: Path) -> None:
    told = json.loads(extract(tmp_path, photos, weights, "--split", "dev", "--json").stdout)
    assert told["output"] == "out"
    assert [(split["split"], split["shape"], split["captions"], split["skipped"]) for split in told["splits"]] == [
        ("dev", [4, 96], 20, {})
    ]


def test_bf16_is_fp32_on_a_cpu_without_its_instructions(
    tmp_path: Path, photos: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsezoo.devices.has_bf16_instructions", lambda: False)
    done = extract(tmp_path, photos, weights, "--split", "dev", "--precision", "bf16")
    assert "the backbone computes in fp32" in done.stderr
    assert json.loads((tmp_path / "out" / "features.json").read_bytes())["settings"]["precision"] == "fp32"


@pytest.mark.slow
def test_a_training_on_the_output(tmp_path: Path, photos: Path, weights: Path) -> None:
    assert extract(tmp_path, photos, weights, "--normalize").code == 0
    flags = [word for name, value in pictures.SIZES.items() for word in ("--set", f"{name}={value}")]
    done = run_command(tmp_path, "train", "vsepp", "--data", "./out", "--num-epochs", "1", "--output", "run", *flags)
    assert done.code == 0, done.stderr
    config = json.loads((tmp_path / "run" / "best" / "config.json").read_bytes())
    assert config["data"]["image_shape"] == [pictures.WIDTH]


@pytest.mark.slow
def test_a_grid_and_ten_crops(tmp_path: Path, photos: Path, weights: Path) -> None:
    given = ("--set", "image_size=64", "--split", "dev")
    assert extract(tmp_path, photos, weights, *given, "--grid", "--dtype", "float16").code == 0
    assert extract(tmp_path / "ten", photos, weights, *given, "--crops", "10").code == 0
    grid, ten = (np.load(folder / "out" / "dev_ims.npy") for folder in (tmp_path, tmp_path / "ten"))
    assert (grid.dtype, grid.ndim, grid.shape[::2]) == (np.float16, 3, (4, pictures.WIDTH))
    backbone = create_backbone(pictures.BACKBONE, weights=str(weights), image_size=64, crops=10).eval()
    backbone.load_pretrained()
    (picture,) = open_data(str(photos), "dev", ("picture",)).images([1])
    with torch.inference_mode():
        crops = backbone.transform(training=False)([picture])[0]
        of_each = torch.stack([backbone(crop[None])[0] for crop in crops])
    np.testing.assert_allclose(ten[1], of_each.mean(dim=0), atol=1e-4)
    # The fifth crop is the middle, which is all that a grid is of.
    np.testing.assert_allclose(grid[1].astype(np.float32).mean(axis=0), of_each[4], rtol=1e-2, atol=1e-2)


@pytest.mark.slow
def test_a_folder_without_captions(tmp_path: Path, weights: Path) -> None:
    for name in ("b/2.png", "a/1.jpg", "c.png"):
        (tmp_path / "loose" / name).parent.mkdir(parents=True, exist_ok=True)
        pictures.draw(3).save(tmp_path / "loose" / name)
    done = extract(tmp_path, tmp_path / "loose", weights)
    assert done.code == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["all_ids.txt", "all_ims.npy", "features.json"]
    assert sorted((tmp_path / "out" / "all_ids.txt").read_text().split()) == ["a/1.jpg", "b/2.png", "c.png"]
    assert np.load(tmp_path / "out" / "all_ims.npy").shape == (3, pictures.WIDTH)
    assert_one_message(extract(tmp_path / "dev", tmp_path / "loose", weights, "--split", "dev"), 2, "no split 'dev'")


@pytest.mark.slow
@pytest.mark.parametrize("captions", [True, False])
def test_pictures_that_cannot_be_read(tmp_path: Path, weights: Path, captions: bool) -> None:
    folder = pictures.write_pictures(tmp_path / "photos", train=4)
    if not captions:
        (folder / "captions.csv").unlink()
    (folder / "train2.png").write_bytes(b"")
    done = extract(tmp_path, folder, weights)
    assert_one_message(done, 1, r"train2\.png: is empty")
    assert "--on-bad-image skip" in done.stderr
    done = extract(tmp_path / "skip", folder, weights, "--on-bad-image", "skip")
    assert done.code == 0, done.stderr
    assert "1 image was skipped" in done.stderr
    assert "train2.png" in done.stderr
    config = json.loads((tmp_path / "skip" / "out" / "features.json").read_bytes())
    (split,) = config["splits"].values()
    assert split["shape"] == [3, pictures.WIDTH]
    assert "empty" in split["skipped"]["train2.png"]


@pytest.mark.slow
def test_it_can_be_interrupted_and_shared(tmp_path: Path, photos: Path, weights: Path) -> None:
    assert extract(tmp_path / "whole", photos, weights, "--batch-size", "2").code == 0
    for shard in ("1/2", "0/2"):
        done = extract(tmp_path, photos, weights, "--batch-size", "2", "--shard", shard)
        assert done.code == 0, done.stderr
        assert ("other shards not finished" in done.stdout) == (shard == "1/2")
    ours, theirs = read_files(tmp_path / "out"), read_files(tmp_path / "whole" / "out")
    assert {**ours, "features.json": b""} == {**theirs, "features.json": b""}
    done = extract(tmp_path, photos, weights, "--batch-size", "2", "--shard", "0/2", "--resume")
    assert done.stdout.count("already done") == 3
    assert_one_message(extract(tmp_path, photos, weights), 2, "shards is 1 and was 2")


def test_a_share_without_a_picture_was_not_done_before(tmp_path: Path, photos: Path, weights: Path) -> None:
    """The first of three has none of the one batch of each split."""
    done = extract(tmp_path, photos, weights, "--shard", "0/3")
    assert done.stdout.count("none in this shard") == 3
    assert "already done" not in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="names of bytes")
@pytest.mark.slow
def test_a_name_that_is_not_utf_8(tmp_path: Path, weights: Path) -> None:
    folder = pictures.write_pictures(tmp_path / "photos", train=2)
    (folder / "captions.csv").unlink()
    (folder / "train0.png").rename(folder / os.fsdecode(b"caf\xe9.png"))
    done = extract(tmp_path, folder, weights)
    assert_one_message(done, 1, r"1 of the 2 pictures .*'photos'.*'caf\\udce9\.png'.*\nRename")
    done = extract(tmp_path, folder, weights, "--on-bad-image", "skip", "--json")
    assert json.loads(done.stdout)["splits"][0]["shape"] == [1, pictures.WIDTH]
    assert "1 image was skipped" in done.stderr


def interrupt_after_the_first_block() -> None:
    append = Part.append

    def append_once(part: Part, rows: Sequence[np.ndarray]) -> None:
        append(part, rows)
        signal.raise_signal(signal.SIGINT)

    Part.append = append_once  # of this process alone


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_says_how_to_go_on(tmp_path: Path, photos: Path, weights: Path) -> None:
    assert extract(tmp_path / "whole", photos, weights).code == 0
    done = processes.run_command(tmp_path, *name_arguments(photos, weights), before=interrupt_after_the_first_block)
    assert (done.code, done.stdout) == (130, "")
    assert done.stderr.endswith(
        "Interrupted.\nout: everything but the last seconds of work is kept.\n"
        "Continue with the same command and --resume.\n"
    )
    assert json.loads((tmp_path / "out" / "unfinished" / "train.0-of-1.json").read_bytes())["rows"] == COUNTS["train"]
    assert extract(tmp_path, photos, weights, "--resume").code == 0
    assert read_files(tmp_path / "out") == read_files(tmp_path / "whole" / "out")


def be_the_second_of_two() -> None:
    os.environ |= {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}


def test_torchrun_is_a_shard(tmp_path: Path, photos: Path, weights: Path) -> None:
    done = run_command(tmp_path, *name_arguments(photos, weights), before=be_the_second_of_two)
    assert done.code == 0, done.stderr
    names = {path.name for path in (tmp_path / "out" / "unfinished").glob("*.npy")}
    assert names == {f"{split}.1-of-2.npy" for split in COUNTS}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--backbone", "timm:mobilenet_v9"], "mobilenet_v9"),
        (["--backbone", "vgg19"], "'vgg19' is not a backbone"),
        (["--weights", "absent.safetensors"], r"absent\.safetensors: is not a file of weights"),
        (["--set", "image_siz=3"], "no option 'image_siz'"),
        (["--set", "image_size=large"], "must be of type int"),
        (["--set", "weights=x"], "no option 'weights'"),
        (["--grid", "--crops", "10"], "several crops"),
        (["--shard", "2"], "--shard takes I/N"),
        (["--shard", "4/4"], "no shard 4 of 4"),
        (["--split", "val"], "val"),
        (["--device", "cuda:77"], "the device 'cuda:77' cannot be used"),
    ],
)
def test_mistakes(
    tmp_path: Path, photos: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke(photos, weights, *more)
    assert_one_message(done, done.exit_code, said)
    assert done.exit_code in (1, 2)
    assert not (tmp_path / "out").exists() or "--split" in more


def test_weights_of_another_backbone(photos: Path, weights: Path) -> None:
    done = invoke(photos, weights, "--backbone", "timm:test_vit")
    assert_one_message(done, 1, r"net\.safetensors: does not contain the weights of timm:test_vit")


@pytest.mark.parametrize("data", ["f8k_precomp", "nothing", "./nowhere", "./empty", "./features"])
def test_data_without_pictures(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "features").mkdir()
    np.save(tmp_path / "features" / "train_ims.npy", np.ones((1, 3), np.float32))
    (tmp_path / "features" / "train_caps.txt").write_text("a\n" * 5)
    said = {"f8k_precomp": "has features, not pictures", "./features": "contains features, not pictures"}
    done = invoke(data, weights)
    assert_one_message(done, done.exit_code, said.get(data, data.removeprefix("./")))


@pytest.mark.slow
def test_an_output_that_is_there(tmp_path: Path, photos: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke(photos, weights).exit_code == 0
    assert_one_message(invoke(photos, weights), 2, "out: already exists")
    assert_one_message(invoke(photos, weights, "--resume", "--normalize"), 2, "normalize is True and was False")
    assert_one_message(invoke(photos, weights, "--output", photos), 2, "photos: already exists, and has no features")


@pytest.mark.slow
def test_no_network(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    done = invoke(photos, Path("pretrained"), "--backbone", "torchvision:resnet18")
    assert_one_message(done, 1, "weights of torchvision:resnet18 cannot be downloaded from https://.*no route to host")
    assert "--image-weights FILE.safetensors" in done.stderr
    assert not (tmp_path / "out").exists()
