"""Evaluate models by a registered protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vsezoo import registry
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.data.lookup import open_data
from vsezoo.data.source import OpenOptions
from vsezoo.errors import UsageError
from vsezoo.evaluation.encoded import EncodedSide, EncodedSplit
from vsezoo.evaluation.protocol import Protocol, Score
from vsezoo.evaluation.scoring import make_scorer
from vsezoo.interfaces import PairDataset
from vsezoo.model import JointEmbedding
from vsezoo.parts import accepted_kinds
from vsezoo.storage.checkpoint_layout import MODEL


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
        data: a registered data set or a folder; None: the one that the first checkpoint was trained on.
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
    name = str(data or checkpoints[0].training_data())
    splits = [
        open_data(name, split or chosen.split, accepted_kinds(model.recipe), OpenOptions(data_root)) for model in models
    ]
    note(splits[0].account.get("summary", ""))
    figures = chosen.measure(make_score(models, splits), splits[0], folder)
    labels = [
        {
            "reference": checkpoint.reference,
            "model": model.recipe.name,
            "sha256": checkpoint.config["files"][MODEL]["sha256"],
        }
        for checkpoint, model in zip(checkpoints, models, strict=True)
    ]
    return ProtocolEvaluation(figures, chosen.name, splits[0].name, splits[0].split, labels)


def make_score(models: Sequence[JointEmbedding], splits: Sequence[PairDataset]) -> Score:
    """Return the mean scores of models for a protocol, each with the images of its own split."""
    kept: dict[tuple[int, ...], list[EncodedSide]] = {}

    def encode_images(indices: tuple[int, ...]) -> list[EncodedSide]:
        if indices not in kept:
            kept.clear()
            rows = np.array(indices)
            kept[indices] = [
                EncodedSide.of(model.embed_images(data.images(rows)))
                for model, data in zip(models, splits, strict=True)
            ]
        return kept[indices]

    def score(images: Sequence[int], captions: Sequence[str]) -> np.ndarray:
        with torch.inference_mode():
            members = []
            for model, side in zip(models, encode_images(tuple(images)), strict=True):
                texts = EncodedSide.pack(model.embed_by_length(model.tokenizer.encode(list(captions))))
                members.append(EncodedSplit(side, texts, model.similarity))
            scores = make_scorer(members)(slice(0, len(images)), slice(0, len(captions)))
        return (scores / len(models)).float().cpu().numpy()

    return score
