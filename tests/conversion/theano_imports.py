"""Importers of the codebases in Theano's time, applied; no tests in here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from theano_files import (
    CAPTIONS,
    KIROS,
    LINXD5,
    ORDER,
    Original,
    draw_features,
    write_kiros,
    write_linxd5,
    write_order,
)

from vsezoo import registry
from vsezoo.conversion.importer import Imported, Importer, Source
from vsezoo.errors import CheckpointError
from vsezoo.model import JointEmbedding

WRITERS = {"kiros": write_kiros, "linxd5": write_linxd5, "order-embedding": write_order}
OPTIONS = {"kiros": KIROS, "linxd5": LINXD5, "order-embedding": ORDER}
FORMATS = list(WRITERS)


def load_importer(name: str) -> Importer:
    importer: Importer = registry.load("importers", name)()
    return importer


def write(name: str, folder: Path, original: Original, protocol: int = 2) -> Path:
    return WRITERS[name](original, folder / ("f8k" if name == "linxd5" else "f8k.npz"), protocol)


def recognise(path: Path) -> list[str]:
    return [name for name in FORMATS if load_importer(name).recognise(Source(path))]


def read(name: str, path: Path, vocab: Path | None = None) -> Imported:
    return load_importer(name).read(Source(path), {} if vocab is None else {"vocab": str(vocab)})


def convert(name: str, folder: Path, original: Original, protocol: int = 2) -> JointEmbedding:
    path = write(name, folder, original, protocol)
    return read(name, path).build(Source(path))


def refuse(name: str, path: Path, vocab: Path | None = None) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        read(name, path, vocab)
    assert caught.value.remedy
    return caught.value


def require_same(model: JointEmbedding, original: Original) -> None:
    features = draw_features(original.options)
    images, texts = original.encode_images(features.astype(np.float64)), original.encode_texts(CAPTIONS)
    found = model.encode_images(features), model.encode_texts(CAPTIONS)
    np.testing.assert_allclose(found[0], images, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[1], texts, rtol=0, atol=1e-6)
    np.testing.assert_allclose(model.similarity(*found), original.score(images, texts), rtol=0, atol=1e-6)


def move(path: Path, folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    return path.rename(folder / name)
