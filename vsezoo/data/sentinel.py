"""What a checkpoint remembers of its data, to notice others: digests of the splits, and a sketch of the features.

The digests say whether a split has the same captions and images as then, and belonging together as then. The sketch
has mean and spread of sampled features in a few fixed random directions: features of another network have another
sketch, though they are as wide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vsezoo.inputs import PairDataset

DIRECTIONS = 16
SKETCHED, HASHED = 256, 32
"""Images of the sketch, and of the digest of images."""
FEWEST = 20
"""Fewest images whose sketches are compared."""
FAR, WIDER = 0.6, 2.5
"""Distance of means (root mean square, in standard deviations) and ratio of spreads from which features differ."""
REPEATED = 3  # repeated ids that a message names


def describe_split(data: PairDataset) -> dict[str, Any]:
    """Return the digests of a split."""
    names, captions = list(data.image_ids), list(data.captions)
    return {
        "captions_sha256": _digest(captions),
        "ids_sha256": _digest(names),
        "pairs_sha256": _digest([f"{image} {caption}" for image, caption in zip(data.image_of, captions, strict=True)]),
        "images_sha256": _digest_images(data),
    }


def sketch_features(data: PairDataset) -> dict[str, Any]:
    """Return mean and standard deviation of features in fixed directions; empty for pictures."""
    if data.kind == "picture" or not len(data.image_ids):
        return {}
    images = [np.asarray(image, np.float64) for image in data.images(_sample(data, SKETCHED))]
    vectors = np.stack([image.reshape(-1, image.shape[-1]).mean(axis=0) for image in images])
    width = vectors.shape[1]
    projected = vectors @ np.random.default_rng(width).normal(size=(width, DIRECTIONS)) / np.sqrt(width)
    if not np.isfinite(projected).all():
        return {}
    shown = {"mean": projected.mean(axis=0), "std": projected.std(axis=0)}
    return {"count": len(vectors), **{name: [float(f"{x:.6g}") for x in value] for name, value in shown.items()}}


def make_sentinel(train: PairDataset, *others: PairDataset | None) -> dict[str, Any]:
    """Return the entry of `config.json`."""
    splits = {split.split: describe_split(split) for split in (train, *others) if split is not None}
    features = sketch_features(train)
    return {"splits": splits, **({"features": features} if features else {})}


def compare_with_training(trained: Mapping[str, Any], data: PairDataset) -> Iterator[str]:
    """Yield warnings about data that do not look like those that a model was trained on.

    Args:
        trained: training data in the model's `config.json`, untrusted.
        data: what the model is applied to.
    """
    sentinel = trained.get("sentinel")
    splits = sentinel.get("splits") if isinstance(sentinel, Mapping) else None
    known = splits.get(data.split) if isinstance(splits, Mapping) and trained.get("name") == data.name else None
    if isinstance(known, Mapping):
        now = describe_split(data)
        same = {name: known.get(name) == value for name, value in now.items()}
        if same["captions_sha256"] and not (same["pairs_sha256"] and same["images_sha256"]):
            what = "the images are others" if same["pairs_sha256"] else "they belong to other images"
            yield (
                f"The captions of the split {data.split} of {data.name!r} are those of the training run, but {what}: "
                "captions and images may be in different orders."
            )
    if isinstance(sentinel, Mapping) and trained.get("kind") == data.kind:
        yield from _compare_features(sentinel.get("features"), data)


def describe_repeated(data: PairDataset) -> str:
    """Return a warning if several images of a split have the same id; otherwise an empty text."""
    names = list(data.image_ids)
    if len(set(names)) == len(names):
        return ""
    seen: set[str] = set()
    repeated = [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    listing = ", ".join(repr(name) for name in dict.fromkeys(repeated[: 10 * REPEATED]))
    return (
        f"{len(repeated):,} images of the split {data.split} of {data.name!r} have an id that an earlier one has, such "
        f"as {listing[:200]}: captions of one picture count as wrong for its copies."
    )


def _compare_features(known: Any, data: PairDataset) -> Iterator[str]:
    numbers = known if isinstance(known, Mapping) else {}
    before = {name: numbers.get(name) for name in ("mean", "std")}
    if not all(_is_sketch(value) for value in before.values()) or not _is_enough(numbers.get("count")):
        return
    now = sketch_features(data)
    if not _is_enough(now.get("count")):
        return
    spread = np.maximum(np.asarray(before["std"]), 1e-12)
    distance = np.sqrt(np.mean(((np.asarray(now["mean"]) - np.asarray(before["mean"])) / spread) ** 2))
    ratio = float(np.median(np.asarray(now["std"]) / spread))
    if distance > FAR or not 1 / WIDER < ratio < WIDER:
        yield (
            f"The features of the split {data.split} of {data.name!r} have another distribution than the training "
            f"features of the model: their means lie {distance:.1f} standard deviations apart, and their spread is "
            f"{ratio:.1f} times as large. They may be of another backbone or scale; then the results mean little."
        )


def _is_enough(count: Any) -> bool:
    return type(count) is int and count >= FEWEST


def _is_sketch(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == DIRECTIONS
        and all(type(number) in (int, float) and np.isfinite(number) for number in value)
    )


def _digest(texts: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def _digest_images(data: PairDataset) -> str:
    """Return the digest of some images; empty for pictures, which would have to be decoded."""
    if data.kind == "picture" or not len(data.image_ids):
        return ""
    digest = hashlib.sha256()
    for image in data.images(_sample(data, HASHED)):
        digest.update(np.asarray(image, "<f4").tobytes())
    return digest.hexdigest()


def _sample(data: PairDataset, most: int) -> np.ndarray:
    """Return the indices of equidistant images."""
    count = len(data.image_ids)
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
