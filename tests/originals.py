"""Checkpoints that the original codes wrote, with what these codes computed and printed; no tests in here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from vsezoo import registry
from vsezoo.conversion.importer import Source
from vsezoo.model import JointEmbedding

FIXTURES = Path(os.environ.get("VSEZOO_SHARED", "/nowhere")) / "fixtures"
needs_fixtures = pytest.mark.skipif(not FIXTURES.is_dir(), reason="VSEZOO_SHARED has no fixtures")

TOLERANCE = {"rtol": 0, "atol": 1e-5}
IMAGES = 40
"""Of each fixture; some originals repeat an image for each of its captions."""

Arrays = dict[str, np.ndarray[Any, Any]]


def read_arrays(path: Path) -> Arrays:
    with np.load(path) as arrays:
        return dict(arrays)


@dataclass(frozen=True)
class Original:
    """A checkpoint of an original code.

    Attributes:
        fixture: the folder below `fixtures`.
        file: what is converted.
        form: the name of the importer.
        renamed: endings of files that stand in the place of others, such as pickles of another protocol.
    """

    fixture: str
    file: str
    form: str
    renamed: str = ""

    @property
    def folder(self) -> Path:
        return FIXTURES / self.fixture

    @cached_property
    def inputs(self) -> Arrays:
        return read_arrays(self.folder / "inputs.npz")

    @cached_property
    def expected(self) -> Arrays:
        return read_arrays(self.folder / "expected.npz")

    @cached_property
    def captions(self) -> list[str]:
        return [str(caption) for caption in self.inputs["captions"]]

    def open(self, work: Path) -> Source:
        """Return its file; `work` is a folder for files that are to be renamed."""
        if not self.renamed:
            return Source(self.folder / self.file)
        for path in self.folder.iterdir():
            if self.renamed in path.name or not path.name.endswith(".pkl"):
                (work / path.name.replace(self.renamed, ".pkl")).write_bytes(path.read_bytes())
        return Source(work / self.file)

    def read(self, work: Path) -> JointEmbedding:
        """Return its model."""
        source, importer = self.open(work), registry.load("importers", self.form)()
        assert importer.recognise(source)
        return importer.read(source, {}).build(source)  # type: ignore[no-any-return]

    def embed(self, model: JointEmbedding) -> tuple[Tensor, Tensor]:
        """Return the embeddings of the 40 images and of the 200 captions."""
        images = self.inputs["images"][:: len(self.inputs["images"]) // IMAGES]
        return model.encode_images(images), model.encode_texts(self.captions)


TORCH = {
    f"{fixture}{ending}": Original(fixture, f"model_best{ending}.pth.tar", form)
    for fixture, form in (("vsepp", "vsepp"), ("vsepp_order", "vsepp"), ("VSRN_coco", "vsrn"), ("VSRN_f30k", "vsrn"))
    for ending in ("", "_legacy")
}
"""As written by torch of today, and as before 1.6."""

THEANO = {
    "kiros": Original("kiros", "model.npz", "kiros"),
    "kiros p0": Original("kiros", "model.npz", "kiros", ".p0.pkl"),
    "linxd5": Original("linxd5", "f8k_model_lstm.pkl", "linxd5"),
    "order": Original("order_embedding_order", "order.npz", "order-embedding"),
    "order p0": Original("order_embedding_order", "order.npz", "order-embedding", ".p0.pkl"),
}
"""With pickles as Python 2 wrote them by default, and of protocol 0."""


def assert_ids(found: list[np.ndarray[Any, Any]], original: Original) -> None:
    """Captions have the ids that the original gave them."""
    assert [len(ids) for ids in found] == original.inputs["lengths"].tolist()
    for ids, padded in zip(found, original.inputs["token_ids"], strict=True):
        assert ids.tolist() == padded[: len(ids)].tolist()
