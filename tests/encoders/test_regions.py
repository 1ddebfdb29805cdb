"""The image encoder `regions`, and features of a form that an encoder does not take."""

from __future__ import annotations

from pathlib import Path

import commands
import numpy as np
import processes
import pytest
import tiny
import torch
from tiny import WIDTH, TinyPairs, make_model, save_model
from torch.nn import functional

from vsezoo import load
from vsezoo.encoders.regions import RegionImageEncoder
from vsezoo.errors import DataError, RecipeError
from vsezoo.interfaces import ImageOutput

REGIONS = torch.tensor([[[1.0, 2.0], [5.0, 0.0]], [[0.0, -4.0], [0.0, -2.0]]])


def make_encoder(**options: object) -> RegionImageEncoder:
    """Return the encoder whose linear layer changes nothing."""
    encoder = RegionImageEncoder(**{"embed_size": 2, "img_dim": 2, **options})  # type: ignore[arg-type]
    with torch.no_grad():
        encoder.fc.weight.copy_(torch.eye(2))
    return encoder


@pytest.mark.parametrize(
    ("pool", "expected"), [("mean", [[3.0, 1.0], [0.0, -3.0]]), ("max", [[5.0, 2.0], [0.0, -2.0]])]
)
def test_regions_are_projected_then_pooled(pool: str, expected: list[list[float]]) -> None:
    output = make_encoder(pool=pool)(REGIONS)
    assert isinstance(output, ImageOutput)
    assert torch.equal(output.regions, REGIONS)
    torch.testing.assert_close(output.embeddings, functional.normalize(torch.tensor(expected)))
    assert make_encoder(pool=pool, normalize=False)(REGIONS).embeddings.tolist() == expected
    absolute = make_encoder(pool=pool, normalize=False, use_abs=True)(REGIONS)
    assert absolute.embeddings.tolist() == torch.tensor(expected).abs().tolist()


def test_the_largest_of_projected_regions_is_not_the_projection_of_the_largest() -> None:
    encoder = make_encoder(pool="max", normalize=False)
    with torch.no_grad():
        encoder.fc.weight.copy_(-torch.eye(2))
        encoder.fc.bias.fill_(1)
    assert encoder(REGIONS).embeddings.tolist() == [[0.0, 1.0], [1.0, 5.0]]


def test_a_model_of_regions_travels(tmp_path: Path) -> None:
    data = TinyPairs(shape=(3, WIDTH))
    model = make_model(data=data, image_encoder="regions", image_encoder__center=True, image_encoder__pool="max")
    save_model(tmp_path / "m", model, data)
    stored = load(tmp_path / "m")
    embeddings = stored.encode_images(data.features)
    assert torch.equal(embeddings, model.encode_images(data.features))
    weight = model.image_encoder.state_dict()["fc.weight"]
    centred = torch.from_numpy(data.features - data.features.reshape(-1, WIDTH).mean(axis=0))
    expected = functional.normalize((centred @ weight.T).amax(dim=1))
    torch.testing.assert_close(embeddings, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, WIDTH), (2, 3, WIDTH + 1), (2, 3, 4, WIDTH)])
def test_images_of_another_shape_are_a_clear_error(shape: tuple[int, ...]) -> None:
    model = make_model(data=TinyPairs(shape=(3, WIDTH)), image_encoder="regions")
    with pytest.raises(DataError, match=r"shape .*takes features of \(images, regions, 12\)") as caught:
        model.encode_images(np.zeros(shape, dtype=np.float32))
    assert str(shape) in str(caught.value)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"^pool is 'none'; it must be one of mean, max"):
        make_encoder(pool="none")


# Through the command line


def write_regions(folder: Path) -> Path:
    tiny.write_data(folder)
    for split, count in tiny.IMAGES.items():
        vectors = np.load(folder / f"{split}_ims.npy")
        noise = np.random.default_rng(0).normal(0, 0.1, (count, 3, tiny.WIDTH))
        np.save(folder / f"{split}_ims.npy", (vectors[:, None] + noise).astype(np.float32))
    return folder


@pytest.mark.slow
def test_training_on_regions(tmp_path: Path) -> None:
    data = write_regions(tmp_path / "data")
    flags = tiny.make_flags(training__num_epochs=1)
    done = commands.run_command(
        tmp_path, "train", "vsepp", "--data", data, "--output", "run", "--image-encoder", "regions", *flags
    )
    assert done.code == 0, done.stderr
    assert load(tmp_path / "run").recipe.image_encoder.name == "regions"


@pytest.mark.parametrize(
    ("encoder", "form", "remedy"),
    [
        ("regions", "one vector of shape (12,) for each image (kind 'vector'); the image encoder takes 'regions'", ""),
        (
            "linear",
            "regions of shape (3, 12) for each image (kind 'regions'); the image encoder takes 'vector'",
            "--set image_encoder.pool=mean",
        ),
    ],
)
def test_features_of_the_other_form_are_one_clear_error(tmp_path: Path, encoder: str, form: str, remedy: str) -> None:
    write = tiny.write_data if encoder == "regions" else write_regions
    data = write(tmp_path / "data")
    done = commands.run_command(
        tmp_path, "train", "vsepp", "--data", data, "--output", "run", "--image-encoder", encoder, *tiny.make_flags()
    )
    processes.assert_one_message(done, 1, "")
    assert form in done.stderr
    assert remedy in done.stderr
    assert str(data) in done.stderr
    assert not (tmp_path / "run").exists()
