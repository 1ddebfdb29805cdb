"""Made-up per-query results; no tests in here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vsezoo.evaluation.predictions import Predictions, Query, write_predictions


def make_predictions(
    ranks: Mapping[str, Any], *, per_image: int = 5, seed: int = 0, settings: Any = None, **labels: Any
) -> Predictions:
    """Return predictions with these ranks, from 1: `i2t` of N images, `t2i` of their captions.

    Args:
        ranks: by direction.
        per_image: captions of an image.
        seed: of the training run, in the recipe.
        settings: more of the recipe.
        labels: changes to the labels of the evaluation, or to `ground_truth` and `images`.
    """
    images = [f"{index}.jpg" for index in range(len(ranks["i2t"]))]
    queries = [
        Query("i2t", image, (rank,), (f"{image}#0",), False, (f"{image}#0",), (0.5,))
        for image, rank in zip(images, ranks["i2t"], strict=True)
    ]
    for index, rank in enumerate(ranks["t2i"]):
        image = images[index // per_image]
        caption = f"{image}#{index % per_image}"
        queries.append(Query("t2i", caption, (rank,), (image,), False, (image,), (0.5,), text=f"caption {index}"))
    recipe = {"name": "vsepp", "loss": {"options": {"margin": 0.2}}, "training": {"seed": seed}, **(settings or {})}
    evaluation = {
        "data": "f8k",
        "split": "test",
        "protocol": "full",
        "ensemble": False,
        "ties": {"rule": "lower_index"},
    }
    evaluation |= {"images": len(images), "captions": len(ranks["t2i"]), "checkpoints": [{"sha256": str(seed)}]}
    about = {"ground_truth": "g", "images": {"kind": "vector", "shape": [2], "extraction": {}}, "recipes": [recipe]}
    about |= {name: labels.pop(name) for name in ("ground_truth", "images", "recipes") if name in labels}
    return Predictions({**about, "evaluation": evaluation | labels}, queries)


def draw_ranks(images: int, seed: int, skill: float = 0.5, per_image: int = 5) -> dict[str, list[int]]:
    """Draw ranks; the images differ in how hard they are, so that captions of one image are alike."""
    random = np.random.default_rng(seed)
    hardness = random.normal(size=images)
    scale = {"i2t": hardness, "t2i": hardness.repeat(per_image)}
    return {
        name: (1 + np.exp(values + random.normal(size=len(values)) + 2 - 2 * skill).astype(int)).tolist()
        for name, values in scale.items()
    }


def save(file: Path, predictions: Predictions) -> Path:
    """Write predictions and return the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_predictions(file, predictions)
    return file
