"""A part of a recipe: a registered name and its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PART_KINDS = ("image_encoder", "text_encoder", "similarity", "loss")
"""The fields of a recipe that name a registered part of the model or its loss."""
TRAINING_PARTS = ("optimizer", "schedule")
"""The training settings that name a registered function; they are set without the prefix `training.`."""
GROUPS = {
    "image_encoder": "image_encoders",
    "text_encoder": "text_encoders",
    "similarity": "similarities",
    "loss": "losses",
    "optimizer": "optimizers",
    "schedule": "schedules",
}
"""The registry's group of each of them."""


@dataclass(frozen=True)
class Part:
    """A registered part and the options for its constructor."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
