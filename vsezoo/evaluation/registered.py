"""Evaluate models by a registered protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsezoo import registry
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.data.lookup import open_data
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError, UsageError
from vsezoo.evaluation.encoded import EncodedSide, EncodedSplit
from vsezoo.evaluation.protocol import Protocol
from vsezoo.evaluation.scoring import make_scorer
from vsezoo.inputs import PairDataset
from vsezoo.model import JointEmbedding
from vsezoo.parts import accepted_kinds
from vsezoo.storage.checkpoint_layout import MODEL

KEPT = 2
"""Encoded lists of images or captions that are kept, of each side."""


@dataclass(frozen=True)
class ProtocolEvaluation:
    """Figures of a registered protocol, and what they are of.

    Attributes:
        figures: by name, the main one first.
        protocol: its name.
        data: name of the data set.
        split: of its images.
        checkpoints: as of an `Evaluation`.
    """

    figures: Mapping[str, float]
    protocol: str
    data: str
    split: str
    checkpoints: Sequence[Mapping[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return what `eval --protocol NAME --json` prints."""
        labels = {"data": self.data, "split": self.split, "protocol": self.protocol}
        return {**labels, "checkpoints": list(self.checkpoints), "figures": dict(self.figures)}


def evaluate_protocol(
    references: Sequence[str | Path | Checkpoint],
    protocol: str,
    folder: Path,
    data: str | Path | None = None,
    *,
    split: str | None = None,
    data_root: Path | None = None,
    device: str | torch.device = "cpu",
    note: Callable[[str], object] = lambda text: None,
) -> ProtocolEvaluation:
    """Evaluate a checkpoint, or several as an ensemble whose similarities are averaged, by a registered protocol.

    Args:
        references: one checkpoint or several, as `load` takes them.
        protocol: name of a registered one.
        folder: with the protocol's own files.
        data: a registered data set or a folder; None: the images that the protocol has itself, otherwise the data set
            that the first checkpoint was trained on.
        split: None: that of the protocol.
        data_root: the folder that contains the data set's folder.
        device: where to encode and score.
        note: called with a line on what was found in the data folder.

    Raises:
        UnknownNameError: for a protocol that is not registered.
        DataError: for data or files that are absent or damaged.
    """
    chosen: Protocol = registry.load("protocols", protocol)
    checkpoints = [Checkpoint.open(reference) for reference in references]
    if not checkpoints:
        raise UsageError("There is no checkpoint to evaluate.")
    models = [checkpoint.model(device) for checkpoint in checkpoints]
    own = chosen.open_images(folder) if data is None else None
    if own is None:
        name, options = str(data or checkpoints[0].training_data()), OpenOptions(data_root)
        splits = [open_data(name, split or chosen.split, accepted_kinds(model.recipe), options) for model in models]
    else:
        for checkpoint, model in zip(checkpoints, models, strict=True):
            _require_kind(own, checkpoint.reference, model)
        splits = [own] * len(models)
    note(splits[0].account.get("summary", ""))
    figures = chosen.measure(ModelScore(models, splits), splits[0], folder)
    labels = [
        {
            "reference": checkpoint.reference,
            "model": model.recipe.name,
            "sha256": checkpoint.config["files"][MODEL]["sha256"],
        }
        for checkpoint, model in zip(checkpoints, models, strict=True)
    ]
    return ProtocolEvaluation(figures, chosen.name, splits[0].name, splits[0].split, labels)


def _require_kind(data: PairDataset, reference: str, model: JointEmbedding) -> None:
    if data.kind not in (kinds := accepted_kinds(model.recipe)):
        raise DataError(
            f"takes {' or '.join(map(repr, kinds))}; the images of {data.name} are of the kind {data.kind!r}.",
            file=reference,
            remedy="Extract features of these images, and name their folder with --data.",
        )


class ModelScore:
    """The mean scores of models for a protocol, each with the images of its own split; see `Score`."""

    def __init__(self, models: Sequence[JointEmbedding], splits: Sequence[PairDataset]) -> None:
        self._models, self._splits = models, splits
        self._kept: dict[str, dict[tuple[Any, ...], list[EncodedSide]]] = {"images": {}, "texts": {}}
        self.compares_alike = not any(model.compares_sets for model in models)

    def __call__(self, images: Sequence[int], captions: Sequence[str]) -> np.ndarray:
        """Return the scores of images and captions."""
        with torch.inference_mode():
            sides = zip(self._encode("images", images), self._encode("texts", captions), self._models, strict=True)
            members = [EncodedSplit(first, second, model.similarity, model) for first, second, model in sides]
            return self._average(make_scorer(members)(slice(0, len(images)), slice(0, len(captions))))

    def compare_captions(self, captions: Sequence[str], others: Sequence[str]) -> np.ndarray:
        """Return the scores of captions with captions."""
        return self._compare("texts", captions, others)

    def compare_images(self, images: Sequence[int], others: Sequence[int]) -> np.ndarray:
        """Return the scores of images with images."""
        return self._compare("images", images, others)

    def _compare(self, side: str, first: Sequence[Any], second: Sequence[Any]) -> np.ndarray:
        if not self.compares_alike:
            problem = "The similarity compares sets of regions and words, and not images or captions with each other."
            raise UsageError(problem, remedy="Use a model whose similarity compares vectors.")
        with torch.inference_mode():
            total = torch.zeros(())
            pairs = zip(self._encode(side, second), self._encode(side, first), self._models, strict=True)
            for others, these, model in pairs:  # `first` last, so that what many blocks are compared with is kept
                compare = model.similarity.compare
                total = (
                    total + (compare(these.vectors, others.vectors) + compare(others.vectors, these.vectors).T).cpu()
                )
            return self._average(total / 2)

    def _average(self, scores: Tensor) -> np.ndarray:
        average: np.ndarray = (scores / len(self._models)).float().cpu().numpy()
        return average

    def _encode(self, side: str, items: Sequence[Any]) -> list[EncodedSide]:
        kept, key = self._kept[side], tuple(items)
        encoded = kept.pop(key, None) or [
            self._embed(side, items, model, data) for model, data in zip(self._models, self._splits, strict=True)
        ]
        kept[key] = encoded  # as the latest one
        while len(kept) > KEPT:
            kept.pop(next(iter(kept)))
        return encoded

    @staticmethod
    def _embed(side: str, items: Sequence[Any], model: JointEmbedding, data: PairDataset) -> EncodedSide:
        if side == "images":
            return EncodedSide.of(model.embed_images(data.images(np.array(items))))
        return EncodedSide.pack(model.embed_by_length(model.tokenizer.encode(list(items))))
