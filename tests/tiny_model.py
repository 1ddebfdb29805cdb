"""A data set and models small enough for any test; no tests in here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vsezoo.checkpoint import save_checkpoint
from vsezoo.evaluation.evaluate import embed_pairs, label
from vsezoo.interfaces import Batch, PairDataset, Tokens
from vsezoo.model import JointEmbedding, create_model

WIDTH = 8
WORDS = ("a dog runs .", "two red balls", "the dog has a ball", "snow", "a man's hat, a dog")


class TinyPairs(PairDataset):
    """Six images with five captions each: features drawn from a seed."""

    name = "tiny"
    split = "train"

    def __init__(self, images: int = 6, shape: tuple[int, ...] = (WIDTH,), dtype: str = "float32") -> None:
        self.kind = "vector" if len(shape) == 1 else "regions"
        self.image_shape = shape
        self.captions: Sequence[str] = [f"{text} {index}" for index in range(images) for text in WORDS]
        self.image_ids: Sequence[str] = [f"image{index}" for index in range(images)]
        self.image_of = np.repeat(np.arange(images), len(WORDS))
        self.features = (np.random.default_rng(1).normal(size=(images, *shape)) + 3).astype(dtype)

    def images(self, indices: Sequence[int] | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return self.features[np.asarray(indices)]


def make_model(model: str = "vsepp", data: PairDataset | None = None, **settings: Any) -> JointEmbedding:
    """Build an untrained model of width 5, the same one at each call."""
    torch.manual_seed(3)
    sizes = {"embed_size": 5, "text_encoder__word_dim": 4, "text_encoder__vocab_threshold": 2}
    return create_model(model, data or TinyPairs(), **{**sizes, **settings})


def save_tiny(folder: Path, model: JointEmbedding | None = None, data: PairDataset | None = None) -> JointEmbedding:
    """Write the checkpoint of a model with its figures, and return the model."""
    data = data or TinyPairs()
    model = model or make_model(data=data)
    evaluation = label([embed_pairs(model, data)], data, [{"reference": ".", "model": "vsepp", "sha256": ""}])
    save_checkpoint(
        folder, model, data, {"epoch": 1, "step": 2, "criterion": "rsum", "score": 3.0}, evaluation.to_json()
    )
    return model


def make_batch(image_index: Sequence[int]) -> Batch:
    """Return a batch of which only the image of each pair is told."""
    index = torch.tensor(image_index)
    return Batch(
        torch.zeros(len(index), 1),
        Tokens(torch.ones(len(index), 1).long(), torch.ones(len(index)).long()),
        index,
        torch.arange(len(index)),
    )
