"""Made-up data of the size and shape of the real ones, for the benchmarks; see the scripts next to this module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

WORDS = 3000
"""Distinct words; the 30,000 train captions of Flickr8K have about as many that occur four times."""
LENGTH = (10.0, 3.4)
"""Words in a caption besides `<start>` and `<end>`: mean and standard deviation, about those of Flickr8K."""


def write_data(folder: Path, images: Mapping[str, int], width: int, seed: int = 0) -> Path:
    """Write random features `(images, width)` and captions for each split, in VSE++'s layout."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for split, count in images.items():
        features = rng.random((count, width), dtype=np.float32)
        np.save(folder / f"{split}_ims.npy", features / np.linalg.norm(features, axis=1, keepdims=True))
        lengths = np.clip(np.rint(rng.normal(*LENGTH, size=5 * count)), 3, 35).astype(int)
        write_captions(folder / f"{split}_caps.txt", lengths, rng)
    return folder


def write_captions(path: Path, lengths: np.ndarray, rng: np.random.Generator) -> None:
    """Write captions of so many words each; the k-th word of the language is drawn in proportion to 1 / k."""
    shares = 1 / np.arange(1, WORDS + 1)
    words = rng.choice(WORDS, size=lengths.sum(), p=shares / shares.sum())
    captions = [" ".join(f"w{word}" for word in caption) for caption in np.split(words, lengths.cumsum()[:-1])]
    path.write_text("\n".join(captions) + "\n", encoding="utf-8")


def write_sparse(path: Path, shape: tuple[int, ...], dtype: str = "<f4") -> None:
    """Write a `.npy` file of zeros that takes no space on the disk."""
    with path.open("wb") as file:
        npy.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64)))
