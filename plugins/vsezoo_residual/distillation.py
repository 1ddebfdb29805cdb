"""Distillation: the loss of models that learn from the scores of others beside the matches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from vsezoo.errors import DataError, explain_system
from vsezoo.interfaces import Batch, LossOutput
from vsezoo.losses import InfoNCELoss
from vsezoo.losses.same_image import share_image
from vsezoo.recipe.options import Above, Between

EMBED = "Write it with: vsezoo embed TEACHER --data DATA --split train --output FILE.safetensors"


class DistilledInfoNCELoss(InfoNCELoss):
    """InfoNCE, and the cross-entropy to what teachers find among the same pairs (Hinton et al. 2015, arXiv 1503.02531).

    With S the scores, Z those of the teachers, τ and θ the temperatures, and σ the softmax over a row or a column,

        (1 - w) InfoNCE - w Σ_ij σ(Z_i / θ)_j log σ(S_i / τ)_j - w Σ_ij σ(Zᵀ_j / θ)_i log σ(Sᵀ_j / τ)_i.

    Z is the mean of the teachers' inner products, which are cosines if their embeddings are of unit length. Without
    teachers it is InfoNCE.

    Args:
        teachers: files of `vsezoo embed` with the embeddings of the training split, one for each teacher. They are read
            when training begins; a checkpoint does without them.
        weight: share of the teachers, w.
        teacher_temperature: θ.
        **of_infonce: the options of `InfoNCELoss`.

    Raises:
        RecipeError: for an invalid option.
    """

    def __init__(
        self,
        *,
        teachers: Sequence[str] = (),
        weight: Annotated[float, Between(0, 1)] = 0.5,
        teacher_temperature: Annotated[float, Above(0)] = 0.05,
        **of_infonce: Any,
    ) -> None:
        super().__init__(**of_infonce)
        self.teachers, self.weight, self.teacher_temperature = tuple(teachers), weight, teacher_temperature
        self._read: list[tuple[Tensor, Tensor]] = []

    def forward(self, scores: Tensor, images: Any, texts: Any, batch: Batch) -> LossOutput:
        """Return the loss, with the cross-entropy to the teachers as the part `teachers`.

        Raises:
            DataError: for a file of a teacher that cannot be read, or of another split.
        """
        output = super().forward(scores, images, texts, batch)
        if not self.teachers:
            return output
        logits, taught = self.log_scale.exp() * scores, self._score(batch) / self.teacher_temperature
        if self.mask_same_image:
            others = share_image(batch).fill_diagonal_(False)
            logits, taught = (given.masked_fill(others, -math.inf) for given in (logits, taught))
        total = _cross(logits, taught) + _cross(logits.T, taught.T)
        mixed = torch.lerp(output.total, total, self.weight)
        return LossOutput(mixed, {**output.parts, "teachers": total.detach()})

    def _score(self, batch: Batch) -> Tensor:
        """Return the mean of the teachers' scores of a batch, `(B, B)`."""
        if not self._read:
            self._read = [_read_embeddings(Path(file)) for file in self.teachers]
        device = batch.image_index.device
        found = []
        for file, (images, texts) in zip(self.teachers, self._read, strict=True):
            for name, rows, index in (("images", images, batch.image_index), ("texts", texts, batch.caption_index)):
                if int(index.max()) >= len(rows):
                    problem = f"has {len(rows):,} {name}, but the training split has more."
                    raise DataError(problem, file=file, remedy=EMBED)
            first, second = images[batch.image_index.cpu()], texts[batch.caption_index.cpu()]
            found.append((first @ second.T).to(device))
        return torch.stack(found).mean(dim=0)


def _cross(logits: Tensor, taught: Tensor) -> Tensor:
    """Return the cross-entropy of rows, summed; what is left out of both has no share."""
    surprise = -functional.log_softmax(logits, dim=1)
    shares = taught.softmax(dim=1)
    return torch.where(shares > 0, shares * surprise, 0.0).sum()


def _read_embeddings(file: Path) -> tuple[Tensor, Tensor]:
    """Return the embeddings of images and captions in float32.

    Raises:
        DataError: for a file that cannot be read or does not have both.
    """
    try:
        tensors = load_file(file)
    except OSError as error:
        raise DataError(f"cannot be read: {explain_system(error)[0]}.", file=file, remedy=EMBED) from error
    except SafetensorError as error:
        raise DataError(f"is not a safetensors file: {error}.", file=file, remedy=EMBED) from error
    if not {"images", "texts"} <= tensors.keys():
        raise DataError("does not have embeddings of images and texts.", file=file, remedy=EMBED)
    return tensors["images"].float(), tensors["texts"].float()
