"""Checkpoints published under a name, such as `vsepp.f8k_mobilenet`."""

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
    """A trained checkpoint with a name, registered in the group `vsezoo.checkpoints`.

    Attributes:
        name: name of the model, a dot, and a name for the training data: `vsepp.f8k_mobilenet`.
        recipe: the name of the model.
        reference: location of the checkpoint: `hub:org/name@COMMIT`, or a folder.
        sha256: digest of its `model.safetensors`; a file with another digest is refused.
        data: name of the training data set.
        license: one of the Hub's identifiers; empty: unknown.
        size_mb: size of the checkpoint in MB; 0: unknown.
        notes: a sentence that a user should know.
        figures: measured figures, with the command as the source; or published ones, with their source.
        format: the library of its weights, such as transformers; empty: a checkpoint of vsezoo. For weights of another
            library commit and digest are optional; without them the latest ones are used.
        model: name of such weights before the dot; empty: that of `recipe`.
        settings: changes to the recipe of such weights, by dotted names.
        pixels: width and height of the model's input pictures; 0: unknown.
        languages: languages of its captions as ISO 639 codes; empty: not stated.

    Raises:
        RecipeError: for a name that does not begin with that of the model, a Hub reference without a commit, or an
            invalid digest.
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
            raise RecipeError(f"the checkpoint {self.name!r} must be named {model}.DATA.")
        if self.sha256 and not re.fullmatch(SHA256, self.sha256):
            raise RecipeError(f"the checkpoint {self.name!r} has an invalid sha256: {self.sha256!r}.")
        if self.format:
            return
        if self.reference.startswith(("hub:", "hf-hub:", "hf://")) and not re.fullmatch(COMMIT, self.reference):
            raise RecipeError(f"the checkpoint {self.name!r} is at {self.reference}, which names no commit.")
        if not self.sha256:
            raise RecipeError(f"the checkpoint {self.name!r} has no sha256.")
