from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from vsezoo.data.shapes import features
from vsezoo.data.shapes.dataset import ShapesDataset
from vsezoo.data.shapes.pictures import RGB, WHITE
from vsezoo.data.shapes.source import shapes
from vsezoo.errors import DataError

CAPTIONS_SHA256 = {
    "train": "38a06dd766a8d5c590daad20fef44f8ee72530dc6a3f0a9f5d745a6e0a5c5301",
    "dev": "ecbd0a2344b6cc634add136b5839a8bf02f44b8ff171aa2d1734be2a89e4df8b",
    "test": "ab89aecd8c3c60b2c522b76245436eb6056b7f039c14249d87a4f558b3dbc970",
}
FEATURES_SHA256 = {
    "regions": "ec9ede190b0c9a9170eca1c149c03f01a1b6b6db327d2148bc70e53a75bd82bc",
    "vector": "d327c22345fe9568fdb57b8958d9db88a578f9b29604e7d7c7477c98a8846e15",
}


@pytest.fixture(params=shapes.splits)
def split(request: pytest.FixtureRequest) -> ShapesDataset:
    return shapes.open(request.param, ["vector"])


def read_all(data: ShapesDataset) -> np.ndarray:
    images = data.images(range(len(data.image_ids)))
    assert isinstance(images, np.ndarray)
    return images


@pytest.mark.slow
def test_counts_and_ids(split: ShapesDataset) -> None:
    scenes = {"train": 2000, "dev": 300, "test": 500}[split.split]
    assert len(split.scenes) == len(set(split.image_ids)) == scenes
    assert len(split.captions) == 5 * scenes
    assert split.image_of.dtype == np.int64
    assert split.image_of.tolist() == [caption // 5 for caption in range(5 * scenes)]
    assert split.image_ids[7] == f"{split.split}-0007"
    for image in range(scenes):
        assert len(set(split.captions[5 * image : 5 * image + 5])) == 5


def test_captions_are_the_same_everywhere(split: ShapesDataset) -> None:
    assert hashlib.sha256("\n".join(split.captions).encode()).hexdigest() == CAPTIONS_SHA256[split.split]


@pytest.mark.slow
@pytest.mark.parametrize("kind", FEATURES_SHA256)
def test_features_are_the_same_everywhere(kind: str) -> None:
    images = read_all(shapes.open("test", [kind]))
    assert hashlib.sha256(images.astype("<f4").tobytes()).hexdigest() == FEATURES_SHA256[kind]


def test_location_code_does_not_hang_on_the_last_bits_of_a_sine() -> None:
    """No sine of a pixel lies near the middle between two multiples of the grid, where a last bit would decide."""
    u = (2 * np.arange(64) - 64) / 64
    angles = np.pi * np.outer(u, features.FREQUENCIES)
    steps = np.concatenate([np.sin(angles), np.cos(angles)]) / features.GRID
    assert np.abs(steps % 1 - 0.5).min() > 1e-3


def test_location_code_by_hand() -> None:
    # The middle of the picture: u = 0, sin = 0, cos = 1 on either axis, times 2.
    assert features.encode_location(32, 32).tolist() == [0, 0, 0, 0, 2, 2, 2] * 2
    # A quarter from the left edge: u = -1/2, sin(k pi u) = -1, 0, 1, cos(k pi u) = 0, -1, 0.
    assert features.encode_location(16, 32)[:7].tolist() == [-1, -2, 0, 2, 0, -2, 0]


def test_splits_share_no_image_and_no_scene() -> None:
    splits = [shapes.open(name, ["vector"]) for name in shapes.splits]
    ids = [set(data.image_ids) for data in splits]
    scenes = [{scene.objects for scene in data.scenes} for data in splits]
    for first, second in pairwise([*range(3), 0]):
        assert not ids[first] & ids[second]
        assert not scenes[first] & scenes[second]
    assert [len(found) for found in scenes] == [2000, 300, 500]


def test_unpaired_scenes_rarely_share_a_caption(split: ShapesDataset) -> None:
    assert len(set(split.captions)) > 0.99 * len(split.captions)


@pytest.mark.parametrize(
    ("kinds", "kind", "shape"),
    [
        (["vector"], "vector", (128,)),
        (["regions", "vector"], "regions", (3, 128)),
        (["tokens", "picture"], "picture", (64, 64, 3)),
    ],
)
def test_first_kind_that_the_data_set_has(kinds: list[str], kind: str, shape: tuple[int, ...]) -> None:
    data = shapes.open("dev", kinds)
    assert (data.name, data.split, data.kind, data.image_shape) == ("shapes", "dev", kind, shape)
    images = data.images(np.array([4, 2]))
    assert np.asarray(images).shape == (2, *shape)
    assert np.asarray(images).dtype == (np.uint8 if kind == "picture" else np.float32)


@pytest.mark.parametrize("kind", shapes.kinds)
def test_images_come_in_the_order_asked(kind: str) -> None:
    data = shapes.open("dev", [kind])
    several = data.images([9, 3, 9])
    for image, index in zip(several, [9, 3, 9], strict=True):
        np.testing.assert_array_equal(np.asarray(image), np.asarray(data.images([index])[0]))
    assert not np.array_equal(np.asarray(several[0]), np.asarray(several[1]))
    assert len(data.images([])) == 0


def test_unknown_split_names_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"no split 'val'(.|\n)*train, dev, test"):
        shapes.open("val", ["vector"])


def test_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"'tokens' or 'boxes'(.|\n)*vector, regions, picture"):
        shapes.open("dev", ["tokens", "boxes"])


@pytest.mark.process
def test_source_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, vsezoo.data.shapes.source; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pictures_show_the_colours_where_they_should_be() -> None:
    data = shapes.open("test", ["picture"])
    for scene, picture in zip(data.scenes[:100], data.images(range(100)), strict=True):
        assert (picture.mode, picture.size) == ("RGB", (64, 64))
        pixels = np.asarray(picture)
        near = np.zeros((64, 64), dtype=bool)
        for thing in scene.objects:
            assert tuple(pixels[thing.y, thing.x]) == RGB[thing.colour]
            reach = {"small": 5, "big": 8}[thing.size]
            near[thing.y - reach : thing.y + reach + 1, thing.x - reach : thing.x + reach + 1] = True
            # It reaches its own size upwards and to the sides or corners, and no further than that.
            box = pixels[thing.y - reach : thing.y + reach + 1, thing.x - reach : thing.x + reach + 1]
            extent = np.flatnonzero((box != WHITE).any(axis=(1, 2)))
            assert {"small": 8, "big": 14}[thing.size] <= extent[-1] - extent[0] + 1 <= 2 * reach + 1
        assert (pixels[~near] == WHITE).all()


def test_regions_are_the_objects_and_empty_background() -> None:
    data = shapes.open("test", ["regions"])
    regions = read_all(data)
    empty = np.linalg.norm(regions[:, :, features.APPEARANCE_WIDTH :], axis=2) < 1  # noise alone: no location
    assert empty.sum(axis=1).tolist() == [3 - len(scene.objects) for scene in data.scenes]
    assert set(np.flatnonzero(empty) % 3) == {0, 1, 2}  # the order tells nothing
    background = regions[empty][:, : features.APPEARANCE_WIDTH]
    assert np.abs(background - background.mean(axis=0)).max() < 2.1 * features.NOISE


def test_vector_is_the_normalised_mean_of_the_object_regions() -> None:
    regions, vectors = (read_all(shapes.open("test", [kind])) for kind in ("regions", "vector"))
    for region, vector in zip(regions, vectors, strict=True):
        objects = region[np.linalg.norm(region[:, features.APPEARANCE_WIDTH :], axis=1) >= 1]
        mean = objects.mean(axis=0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)


def test_example_in_the_documentation_is_real() -> None:
    text = (Path(__file__).parents[3] / "docs" / "shapes.md").read_text(encoding="utf-8")
    data = shapes.open("test", ["vector"])
    assert "\n".join(f"- {caption}" for caption in data.captions[:5]) in text
    assert data.relational[:5].sum() == 3
