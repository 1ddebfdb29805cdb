"""Checkpoints that are published under a name, such as `vsepp.f8k_mobilenet`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vsezoo.errors import RecipeError
from vsezoo.recipe.published import PublishedResult

NAME = r"[A-Za-z0-9_+.-]+"
COMMIT = r"(hub:|hf-hub:|hf://)[^@]+@[0-9a-f]{40}"
SHA256 = r"[0-9a-f]{64}"


@dataclass(frozen=True)
class Pretrained:
    """A trained checkpoint that has a name, registered in the group `vsezoo.checkpoints`.

    Attributes:
        name: the model's, a dot, and what it was trained on: `vsepp.f8k_mobilenet`.
        recipe: the name of the model.
        reference: where the checkpoint is: `hub:org/name@COMMIT`, or a folder.
        sha256: of its `model.safetensors`; another one is refused.
        data: what it was trained on, by the name of the data set.
        license: one of the Hub's identifiers; empty: not known.
        size_mb: size of the checkpoint in MB; 0: not known.
        notes: what a user should know, in a sentence.
        figures: what was measured of it, with the command as the source; or what was published, with its source.
        format: the library whose weights it has, such as transformers; empty: it is a checkpoint of vsezoo. Of the
            weights of another library neither commit nor digest need be known; then they are those of the day.
        model: what such weights are called before the dot; empty: as `recipe`.
        settings: changes to the recipe of such weights, by dotted names.
        pixels: width and height of the pictures that the model gets; 0: not known.
        languages: of its captions, as ISO 639 codes; empty: not stated.

    Raises:
        RecipeError: for a name that does not begin with that of the model, a reference to the Hub that is not to a
            commit, or an impossible digest.
    """

    name: str
    recipe: str
    reference: str
    sha256: str
    data: str
    license: str = ""
    size_mb: float = 0.0
    notes: str = ""
    figures: tuple[PublishedResult, ...] = ()
    format: str = ""
    model: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    pixels: int = 0
    languages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        model = self.model or self.recipe
        if not self.name.startswith(f"{model}.") or not re.fullmatch(NAME, self.name):
            raise RecipeError(f"the checkpoint {self.name!r} must be named {model}. and what it was trained on.")
        if self.sha256 and not re.fullmatch(SHA256, self.sha256):
            raise RecipeError(f"the checkpoint {self.name!r} has the sha256 {self.sha256!r}, which cannot be one.")
        if self.format:
            return
        if self.reference.startswith(("hub:", "hf-hub:", "hf://")) and not re.fullmatch(COMMIT, self.reference):
            raise RecipeError(f"the checkpoint {self.name!r} is at {self.reference}, which is not a commit.")
        if not self.sha256:
            raise RecipeError(f"the checkpoint {self.name!r} has the sha256 '', which cannot be one.")
