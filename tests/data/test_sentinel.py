"""What a checkpoint remembers of its data, and what is noticed by it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tiny

from vsezoo.data.sentinel import compare_with_training, describe_repeated, make_sentinel

IMAGES = 40


def describe(data: tiny.TinyPairs) -> dict[str, Any]:
    """Return the description of training data as `config.json` has it."""
    return json.loads(json.dumps({"name": data.name, "kind": data.kind, "sentinel": make_sentinel(data)}))


def warn(trained: dict[str, Any], data: tiny.TinyPairs) -> list[str]:
    return list(compare_with_training(trained, data))


def test_the_same_data() -> None:
    for shape in ((tiny.WIDTH,), (3, tiny.WIDTH)):
        data = tiny.TinyPairs(IMAGES, shape)
        assert warn(describe(data), data) == []
    assert warn({"name": "tiny", "kind": "vector"}, data) == []  # of an earlier version


def test_images_in_another_order() -> None:
    data = tiny.TinyPairs(IMAGES)
    trained = describe(data)
    data.features = data.features[::-1]
    (message,) = warn(trained, data)
    assert "are those of the training run, but the images are others" in message


def test_captions_of_other_images() -> None:
    data = tiny.TinyPairs(IMAGES)
    trained = describe(data)
    data.image_of = (data.image_of + 1) % IMAGES
    (message,) = warn(trained, data)
    assert "but they belong to other images" in message


def test_other_captions_are_other_data() -> None:
    data = tiny.TinyPairs(IMAGES)
    trained = describe(data)
    data.captions = [f"{caption} ." for caption in data.captions]
    data.features = data.features[::-1]
    assert warn(trained, data) == []


@pytest.mark.parametrize("change", ["rotated", "scaled", "moved"])
def test_features_of_another_make(change: str) -> None:
    data = tiny.TinyPairs(IMAGES)
    trained = describe(data)
    data.name = "others"
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(tiny.WIDTH, tiny.WIDTH)))[0]
    changed = {"rotated": data.features @ rotation, "scaled": data.features * 20, "moved": data.features - 3}
    data.features = changed[change].astype(np.float32)
    (message,) = warn(trained, data)
    assert "have another distribution than the training features" in message


def test_other_images_of_the_same_make() -> None:
    trained = describe(tiny.TinyPairs(IMAGES))
    other = tiny.TinyPairs(IMAGES)
    other.name = "others"
    other.features = (np.random.default_rng(8).normal(size=other.features.shape) + 3).astype(np.float32)
    assert warn(trained, other) == []


@pytest.mark.parametrize(
    "sentinel", [None, 3, {"splits": 1, "features": 2}, {"features": {"mean": ["x"] * 16, "std": [1] * 16}}]
)
def test_a_damaged_entry_is_no_entry(sentinel: Any) -> None:
    assert warn({"name": "tiny", "kind": "vector", "sentinel": sentinel}, tiny.TinyPairs(IMAGES)) == []


def test_repeated_ids() -> None:
    data = tiny.TinyPairs(4)
    assert describe_repeated(data) == ""
    data.image_ids = ["a", "b", "a", "a"]
    assert describe_repeated(data).startswith(
        "2 images of the split train of 'tiny' have an id that an earlier one has"
    )
