"""A model of features that gets its backbone back: the same embeddings, from the pictures themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import commands
import numpy as np
import processes
import pytest
import tiny
import torch
from PIL import Image
from safetensors.torch import save_file

import vsezoo
from vsezoo.errors import CheckpointError, UsageError
from vsezoo.training.attachment import attach_backbone


def draw(split: str, index: int) -> Image.Image:
    rng = np.random.default_rng([len(split), index])
    return Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8))


BACKBONE = "timm:test_resnet"
OPTIONS = {"image_size": 32, "mean": [0.4, 0.5, 0.6], "crop_pct": 0.9, "model_args": {"act_layer": "silu"}}


def write_weights(file: Path) -> None:
    network = vsezoo.create_backbone(BACKBONE, weights="none", **OPTIONS).network
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, file)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, the weights of a backbone, features of the pictures, and a run on these."""
    folder = tmp_path_factory.mktemp("attachment")
    torch.manual_seed(3)
    write_weights(folder / "backbone.safetensors")
    lines = ["image,caption,split"]
    (folder / "photos").mkdir()
    for split, count in (("train", 12), ("dev", 6), ("test", 6)):
        for index in range(count):
            draw(split, index).save(folder / "photos" / f"{split}{index}.png")
            lines += [f"{split}{index}.png,thing number {index} of {split},{split}"] * 2
    (folder / "photos" / "captions.csv").write_text("\n".join(lines), encoding="utf-8")
    backbone = vsezoo.create_backbone(BACKBONE, weights=str(folder / "backbone.safetensors"), **OPTIONS)
    backbone.load_pretrained()

    def open_split(split: str, options: vsezoo.OpenOptions) -> Any:
        return vsezoo.open_data(folder / "photos", split, "picture")

    splits, form = ("train", "dev", "test"), vsezoo.FeatureForm(normalize=True)
    vsezoo.extract_features(open_split, splits, backbone.eval(), folder / "features", form=form, workers=0)
    settings = {**tiny.SETTINGS, "training.num_epochs": 1, "image_encoder.center": True}
    vsezoo.train("vsepp", folder / "features", output=folder / "run", device="cpu", settings=settings)
    return folder


@pytest.mark.slow
def test_pictures_have_the_embeddings_of_their_features(made: Path, tmp_path: Path) -> None:
    attach_backbone(made / "run", tmp_path / "pictures", weights=made / "backbone.safetensors")
    before, after = vsezoo.load(made / "run"), vsezoo.load(tmp_path / "pictures")
    features = vsezoo.open_data(made / "features", "test", "vector")
    pictures = [draw("test", index) for index in range(6)]
    expected = before.encode_images(features.images(range(6)))
    torch.testing.assert_close(after.encode_images(pictures), expected, atol=1e-5, rtol=0)
    captions = ["thing number 2 of test"]
    assert torch.equal(after.encode_texts(captions), before.encode_texts(captions))


@pytest.mark.process
def test_from_the_command_line(made: Path, tmp_path: Path) -> None:
    command = ["attach-backbone", made / "run", "--output", tmp_path / "pictures"]
    done = commands.run_command(tmp_path, *command)
    assert done.code == 1
    assert done.stderr.endswith("the features were extracted with: --weights FILE.\n")
    done = commands.run_command(tmp_path, *command, "--weights", made / "backbone.safetensors")
    assert done.code == 0, done.stderr
    found = commands.run_command(tmp_path, "search", "pictures", "thing", "--images", made / "photos", "-k", 3)
    assert found.code == 0, found.stderr
    assert len(found.stdout.splitlines()) == 4
    again = commands.run_command(tmp_path, *command, "--weights", made / "backbone.safetensors")
    processes.assert_one_message(again, 2, r"pictures: exists\.")
    refused = commands.run_command(tmp_path, "search", made / "run", "thing", "--images", made / "photos")
    processes.assert_one_message(refused, 1, r", not pictures\.\n.*vsezoo attach-backbone")


@pytest.mark.slow
def test_other_weights_are_refused(made: Path, tmp_path: Path) -> None:
    write_weights(tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"other\.safetensors: has the SHA-256 .*; the features were"):
        attach_backbone(made / "run", tmp_path / "pictures", weights=tmp_path / "other.safetensors")
    assert not (tmp_path / "pictures").exists()


@pytest.mark.slow
def test_features_of_unknown_origin(made: Path, tmp_path: Path) -> None:
    data = tiny.write_data(tmp_path / "data")
    settings = {**tiny.SETTINGS, "training.num_epochs": 1}
    vsezoo.train("vsepp", data, output=tmp_path / "run", device="cpu", settings=settings)
    with pytest.raises(UsageError, match=r"run: does not record a backbone"):
        attach_backbone(tmp_path / "run", tmp_path / "pictures")
