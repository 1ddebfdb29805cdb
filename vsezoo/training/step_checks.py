"""Checks of what the parts return in a training step: a message names the part, before torch fails without its name.

After the first step they look at types and flags only: nothing is computed, and no device is waited for.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from vsezoo.batch import Embeddings
from vsezoo.errors import PluginError, TrainingError
from vsezoo.interfaces import Batch, Loss, LossOutput, ModelPart
from vsezoo.losses.sides import choose_sides
from vsezoo.model import JointEmbedding
from vsezoo.registry.owners import describe, guard, point_to_checks


def compute_loss(
    model: JointEmbedding, loss: Loss, images: Embeddings, texts: Embeddings, batch: Batch
) -> tuple[Tensor, tuple[Any, Any], LossOutput]:
    """Return the scores `(B, B)` of B embeddings each, what the loss gets of the two sides, and what it returns."""
    with guard(model.similarity, loss):
        scores = model.similarity.compare(images, texts)
        sides = choose_sides(loss, images, texts)
        return scores, sides, loss(scores, *sides, batch)


def check_results(
    model: JointEmbedding,
    loss: Loss,
    images: Embeddings,
    texts: Embeddings,
    scores: Tensor,
    output: Any,
    *,
    first: bool,
) -> None:
    """Check the results of a step before its gradients are computed.

    Args:
        model: the model.
        loss: its loss.
        images: B embeddings.
        texts: B embeddings.
        scores: `(B, B)`.
        output: what the loss returned.
        first: also look at figures, as in the first step, when no parameter has changed.

    Raises:
        PluginError: for a loss that is not a `LossOutput` with one number or has no gradient, or, in the first step,
            for a similarity that has captions in rows, or a part that passes no gradient on. It names the part.
        TrainingError: in the first step for NaN or infinity. It names the part that gave it first.
    """
    total = getattr(output, "total", None)
    if not isinstance(total, Tensor) or total.numel() != 1:
        given = f"a {type(output).__name__}" if total is None else "one with another total"
        _refuse(
            model, loss, f"returned {given} instead of a LossOutput with a scalar total.", "Return LossOutput(total)."
        )
    sides = {"image vectors": (model.image_encoder, images), "text vectors": (model.text_encoder, texts)}
    if not total.requires_grad:
        learns = any(tensor.requires_grad for _, side in sides.values() for tensor in _list_tensors(side))
        culprit = model.text_encoder if not learns else loss if scores.requires_grad else model.similarity
        _refuse(
            model, culprit, "returned a result without a gradient.", "Leave out detach() and no_grad() in its forward."
        )
    if not first:
        return
    _require_flow(model, loss, images, texts, scores, total)
    if not total.isfinite().all():
        results: dict[str, tuple[ModelPart, list[Tensor]]] = {
            name: (part, _list_tensors(side)) for name, (part, side) in sides.items()
        }
        results |= {"scores": (model.similarity, [scores]), "loss": (loss, [total])}
        name, part = next(
            (name, part)
            for name, (part, made) in results.items()
            if not all(tensor.isfinite().all() for tensor in made)
        )
        raise TrainingError(
            f"NaN or infinite values at step 1, first in the {name} of the {_describe(model, part)}.",
            remedy="No learning rate changes this: look in its forward for a division, root or logarithm of 0, and at "
            f"its weights. {point_to_checks(part)}".rstrip(),
        )
    _compare_fewer(model, images, texts)


def require_finite(loss: Tensor, norm: Tensor, step: int, output: Path) -> None:
    """Raise a TrainingError for a diverged model, before anything is saved in its folder.

    Args:
        loss: the loss.
        norm: the norm of its gradient.
        step: how many steps have been done.
        output: folder of the run.
    """
    for name, figure in (("loss", loss.item()), ("norm of the gradient", norm.item())):
        if not math.isfinite(figure):
            remedy = "Train again with a lower learning rate and another --output, or check the data for NaN."
            if step == 1:
                remedy = "No learning rate changes this: look for a root or a norm of 0, whose gradient is infinite."
            raise TrainingError(
                f"the {name} is {figure} at step {step}; the state saved before is unchanged.",
                file=output,
                remedy=remedy,
            )


def _compare_fewer(model: JointEmbedding, images: Embeddings, texts: Embeddings) -> None:
    """Score two images and one caption: a square of scores does not show whether images are in rows."""
    training = model.similarity.training
    model.similarity.eval()  # draws no random numbers
    with torch.no_grad():
        model.similarity.compare(images[:2], texts[:1])
    model.similarity.train(training)


def _require_flow(
    model: JointEmbedding, loss: Loss, images: Embeddings, texts: Embeddings, scores: Tensor, total: Tensor
) -> None:
    """Refuse a similarity or a loss that passes no gradient to the encoders, although its own parameters have one."""
    waiting = [tensor for side in (images, texts) for tensor in _list_tensors(side) if tensor.requires_grad]
    if not waiting or _reaches(total, waiting):
        return
    culprit = loss if _reaches(scores, waiting) else model.similarity
    remedy = "Leave out detach() and no_grad() in its forward."
    _refuse(model, culprit, "passes no gradient to the encoders.", remedy)


def _reaches(result: Tensor, tensors: list[Tensor]) -> bool:
    """Return whether a result has a gradient by any of these tensors."""
    if not result.requires_grad:
        return False
    found = torch.autograd.grad(result.sum(), tensors, retain_graph=True, allow_unused=True)
    return any(gradient is not None for gradient in found)


def _list_tensors(side: Embeddings) -> list[Tensor]:
    return [side.embeddings] if side.items is None else [side.embeddings, side.items]


def _describe(model: JointEmbedding, part: ModelPart) -> str:
    kind = next((kind for kind, own in model.parts.items() if own is part), "loss")
    return describe(part, getattr(model.recipe, kind).name)


def _refuse(model: JointEmbedding, part: ModelPart, problem: str, remedy: str) -> NoReturn:
    raise PluginError(f"The {_describe(model, part)} {problem}", remedy=f"{remedy} {point_to_checks(part)}".rstrip())
