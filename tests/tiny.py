"""Data, models and batches small enough for any test; no tests in here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.construction import create_model
from vsezoo.evaluation.evaluate import embed_pairs, label
from vsezoo.interfaces import Batch, PairDataset, Tokens
from vsezoo.model import JointEmbedding

WORDS = (
    "red",
    "green",
    "blue",
    "white",
    "black",
    "small",
    "large",
    "round",
    "square",
    "old",
    "new",
    "hot",
    "cold",
    "dry",
)
TEMPLATES = ("a {} {} thing", "{} and {} .", "this is {} , that is {}", "the {} one is {}", "see how {} and {} it is")
CAPTIONS = ("a dog runs .", "two red balls", "the dog has a ball", "snow", "a man's hat, a dog")
WIDTH = 12
IMAGES = {"train": 64, "dev": 20, "test": 20}
SETTINGS = {
    "embed_size": 16,
    "text_encoder.word_dim": 8,
    "text_encoder.vocab_threshold": 1,
    "loss.mask_same_image": True,
    "training.batch_size": 32,
    "training.num_epochs": 2,
    "training.learning_rate": 0.01,
    "training.val_step": 0,
}
"""Settings of `vsepp`: with 64 training images, ten steps in each of two epochs."""
STEPS = 10


def write_data(
    folder: Path, copies: int = 1, width: int = WIDTH, images: dict[str, int] | None = None, mean: float = 0.0
) -> Path:
    """Write data in VSE++'s layout: an image is the sum of the codes of the two words that it shows, and a mean."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(len(WORDS), width))
    for split, count in (images or IMAGES).items():
        shown = np.stack([rng.choice(len(WORDS), 2, replace=False) for _ in range(count)])
        features = codes[shown].sum(axis=1) + 0.1 * rng.normal(size=(count, width))
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        features += mean
        np.save(folder / f"{split}_ims.npy", features.astype(np.float32).repeat(copies, axis=0))
        captions = [text.format(WORDS[first], WORDS[second]) for first, second in shown for text in TEMPLATES]
        (folder / f"{split}_caps.txt").write_text("\n".join(captions) + "\n", encoding="utf-8")
    return folder


def make_flags(**more: Any) -> list[str]:
    """Return `SETTINGS` as the options of `vsezoo train`, some of them changed."""
    settings = SETTINGS | {name.replace("__", "."): value for name, value in more.items()}
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]


class TinyPairs(PairDataset):
    """Six images with five captions each: features drawn from a seed."""

    name = "tiny"
    split = "train"

    def __init__(self, images: int = 6, shape: tuple[int, ...] = (WIDTH,), dtype: str = "float32") -> None:
        self.kind = "vector" if len(shape) == 1 else "regions"
        self.image_shape = shape
        self.captions: Sequence[str] = [f"{text} {index}" for index in range(images) for text in CAPTIONS]
        self.image_ids: Sequence[str] = [f"image{index}" for index in range(images)]
        self.image_of = np.repeat(np.arange(images), len(CAPTIONS))
        self.features = (np.random.default_rng(1).normal(size=(images, *shape)) + 3).astype(dtype)

    def images(self, indices: Sequence[int] | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return self.features[np.asarray(indices)]


def dotted(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings whose names have two underscores for the dot, as keywords must, by their names."""
    return {name.replace("__", "."): value for name, value in settings.items()}


def make_model(model: str = "vsepp", data: PairDataset | None = None, **settings: Any) -> JointEmbedding:
    """Build an untrained model of width 5, the same one at each call."""
    torch.manual_seed(3)
    sizes = {"embed_size": 5, "text_encoder__word_dim": 4, "text_encoder__vocab_threshold": 2}
    return create_model(model, data or TinyPairs(), settings=dotted({**sizes, **settings}))


def save_model(folder: Path, model: JointEmbedding | None = None, data: PairDataset | None = None) -> JointEmbedding:
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


def write_regions(folder: Path) -> Path:
    """Write data whose images are three regions of four numbers."""
    write_data(folder)
    for file in folder.glob("*_ims.npy"):
        np.save(file, np.load(file).reshape(-1, 3, WIDTH // 3))
    return folder
