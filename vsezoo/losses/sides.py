"""What a loss gets of images and captions beside the scores: vectors, or sets."""

from __future__ import annotations

from typing import Any

from vsezoo.batch import Embeddings
from vsezoo.interfaces import Loss


def wants_sets(loss: Loss | type[Loss]) -> tuple[bool, bool]:
    """Return whether a loss needs regions, and whether it needs words."""
    return loss.needs in ("image_sets", "sets"), loss.needs == "sets"


def choose_sides(loss: Loss, images: Embeddings, texts: Embeddings) -> tuple[Any, Any]:
    """Return the images and texts in the form that the loss `needs`."""
    return (
        images.embeddings if loss.needs == "vectors" else images,
        texts if loss.needs in ("sets", "extras") else texts.embeddings,
    )
