"""A model that takes pictures and knows their colours, for the tests of the search; no tests in here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tiny import dotted
from torch import Tensor

from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.construction import create_model
from vsezoo.interfaces import ImageEncoder, TextEncoder, Tokenizer, Tokens
from vsezoo.model import JointEmbedding
from vsezoo.registry import register
from vsezoo.search.index import open_index
from vsezoo.text import WordTokenizer

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
WORDS = ("red", "green", "blue")


def average(pictures: list[Image.Image]) -> Tensor:
    """Return the mean colours `(B, 3)`."""
    return torch.stack([torch.from_numpy(np.asarray(picture, np.float32).mean((0, 1)) / 255) for picture in pictures])


class ColourImageEncoder(ImageEncoder):
    """The mean colour of a picture, or a feature `(3,)` that is one."""

    kinds = ("picture", "vector")
    encoded: list[int] = []  # noqa: RUF012  # how many images each call got

    def __init__(self, *, embed_size: int) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(embed_size))

    def transform(self, training: bool) -> Callable[[Any], Tensor]:
        return lambda images: average(images) if isinstance(images, list) else torch.from_numpy(images)

    def forward(self, images: Tensor) -> Tensor:
        self.encoded.append(len(images))
        return images * self.scale


class ColourTextEncoder(TextEncoder):
    """How often a sentence names each colour."""

    def __init__(self, *, embed_size: int, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        ids = {word: index for index, word in enumerate(WORDS)}
        assert isinstance(tokenizer, WordTokenizer)
        table = torch.zeros(len(tokenizer), embed_size)
        for index, word in enumerate(tokenizer.vocabulary.words):
            if word in ids:
                table[index, ids[word]] = 1
        self.table = torch.nn.Parameter(table)

    @classmethod
    def make_tokenizer(cls, options: Mapping[str, Any]) -> WordTokenizer:
        return WordTokenizer(1)

    @classmethod
    def read_tokenizer(cls, folder: Path) -> WordTokenizer:
        return WordTokenizer.from_files(folder)

    def forward(self, tokens: Tokens) -> Tensor:
        return self.table[tokens.ids].sum(dim=1)


def register_colours() -> None:
    """Make the parts known to this process."""
    register("image_encoders", "colour")(ColourImageEncoder)
    register("text_encoders", "colour")(ColourTextEncoder)


def save_colour_model(folder: Path, similarity: str = "cosine") -> JointEmbedding:
    """Write the checkpoint of a model of width 3, and return the model."""
    register_colours()
    settings: dict[str, Any] = {"image_encoder": "colour", "text_encoder": "colour", "similarity": similarity}
    model = create_model("vsepp", captions=["red green blue"], settings={"embed_size": 3, **dotted(settings)})
    known = {"name": "colours", "kind": "picture", "image_shape": [], "images": 1, "captions": 1}
    save_checkpoint(folder, model, known, {"epoch": 1, "step": 1, "criterion": "rsum", "score": 0.0})
    return model


def count_encoded(run: Path, **what: object) -> tuple[int, list[str]]:
    """Return how many images were encoded to open an index, and what it finds for the three colours."""
    ColourImageEncoder.encoded.clear()
    index = open_index(run, **what)  # type: ignore[arg-type]
    encoded = sum(ColourImageEncoder.encoded)
    return encoded, [found[0].id for found in index.search_many(WORDS)]


def paint(path: Path, colour: tuple[int, int, int]) -> Path:
    """Write a picture of one colour, without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), colour).save(path)
    return path


def paint_folder(folder: Path) -> Path:
    """Write a picture of each colour, one of them in a folder below."""
    paint(folder / "a-red.png", COLOURS["red"])
    paint(folder / "b-green.png", COLOURS["green"])
    paint(folder / "more" / "c-blue.png", COLOURS["blue"])
    (folder / "notes.txt").write_text("no picture", encoding="utf-8")
    return folder


def write_features(path: Path, count: int, seed: int) -> Path:
    """Write random features, as wide as the colours, and return their path."""
    np.save(path, np.random.default_rng(seed).random((count, 3), np.float32))
    return path
