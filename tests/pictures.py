"""Pictures small enough for any test, a backbone's weights for them, and data sets of them; no tests in here."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from vsezoo.interfaces import PairDataset

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255), "black": (0, 0, 0)}
FORMS = ("a {} thing", "it is {}", "{} and small", "the {} one", "see how {} it is")
BACKBONE, WIDTH = "timm:test_resnet", 96
SIZES = {"embed_size": 8, "text_encoder.word_dim": 4, "text_encoder.vocab_threshold": 1}


def draw(index: int, side: int = 40) -> Image.Image:
    """Return a picture of noise over one of the colours."""
    noise = np.random.default_rng(index).integers(0, 60, (side, side + 8, 3))
    colour = np.array(list(COLOURS.values())[index % len(COLOURS)])
    return Image.fromarray(np.abs(colour - noise).astype(np.uint8))


class PicturePairs(PairDataset):
    """Pictures in memory, five captions each."""

    name, split, kind, image_shape = "made", "train", "picture", ()

    def __init__(self, count: int = 10) -> None:
        names = [list(COLOURS)[index % len(COLOURS)] for index in range(count)]
        self.captions: Sequence[str] = [form.format(name) for name in names for form in FORMS]
        self.image_ids: Sequence[str] = [f"{index}.png" for index in range(count)]
        self.image_of = np.repeat(np.arange(count), len(FORMS))

    def images(self, indices: Sequence[int] | np.ndarray[Any, Any]) -> list[Image.Image]:
        return [draw(int(index)) for index in indices]


def write_photos(folder: Path, count: int) -> Path:
    """Write a folder of pictures without captions, 0.png and so on."""
    folder.mkdir(parents=True)
    for index in range(count):
        draw(index).save(folder / f"{index}.png")
    return folder


def write_pictures(folder: Path, **splits: int) -> Path:
    """Write a folder of pictures with their captions in `captions.csv`."""
    folder.mkdir(parents=True)
    rows = [("image", "caption", "split")]
    for split, count in splits.items():
        pairs = PicturePairs(count)
        for index, name in enumerate(pairs.image_ids):
            draw(index).save(folder / f"{split}{name}")
        rows += [
            (f"{split}{pairs.image_ids[image]}", text, split)
            for image, text in zip(pairs.image_of, pairs.captions, strict=True)
        ]
    with (folder / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return folder


def write_weights(file: Path, seed: int = 7) -> Path:
    """Write weights of `BACKBONE`, with statistics of batch norm that are not those of a new network."""
    torch.manual_seed(seed)
    network = timm.create_model(BACKBONE.partition(":")[2])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), file)
    return file
