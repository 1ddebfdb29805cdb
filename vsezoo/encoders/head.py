"""The head of a backbone: a registered image encoder for features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vsezoo import registry
from vsezoo.backbones.options import GRID, POOLED
from vsezoo.errors import RecipeError
from vsezoo.interfaces import ImageEncoder
from vsezoo.parts import list_options
from vsezoo.recipe.declared import Option
from vsezoo.recipe.signatures import read_parameters

AUTO = "auto"
FORMS = {"vector": POOLED, "regions": GRID}
"""The features that a head needs for each kind of image."""
WIDTH = "img_dim"
"""The option of heads that is set by the backbone."""


def load_head(name: str) -> type[ImageEncoder]:
    """Return the registered class of a head.

    Raises:
        UnknownNameError: for a head that is not registered.
        RecipeError: for a head that does not take features.
    """
    head: type[ImageEncoder] = registry.load("image_encoders", name)
    if not takes_features(head):
        raise RecipeError(f"image_encoder.head is {name!r}, which takes pictures; a head takes features.")
    return head


def takes_features(encoder: type[ImageEncoder]) -> bool:
    """Return whether an image encoder can be a head."""
    return bool(FORMS.keys() & set(encoder.kinds))


def list_head_options(name: str, options: Mapping[str, Any]) -> dict[str, Option]:
    """Return the options of a head except the width of its features.

    Args:
        name: name of the head.
        options: given options, which may determine which others exist.

    Raises:
        UnknownNameError, RecipeError: see `load_head`.
    """
    return {option: known for option, known in list_options(load_head(name), options).items() if option != WIDTH}


def choose_features(name: str, features: str, options: Mapping[str, Any]) -> str:
    """Return "pooled" or "grid", as requested and as a head with these options accepts.

    Raises:
        RecipeError: for features that it does not accept.
    """
    wanted = [FORMS[kind] for kind in load_head(name).accepted_kinds(options) if kind in FORMS]
    if features == AUTO and wanted:
        return wanted[0]
    if features not in wanted:
        raise RecipeError(
            f"image_encoder.features is {features!r}, but the head {name!r} takes {' or '.join(wanted) or 'none'}.",
            remedy=f"Use {AUTO!r}, or choose another head.",
        )
    return features


def build_head(name: str, embed_size: int, width: int, options: Mapping[str, Any]) -> ImageEncoder:
    """Build a head.

    Args:
        name: registered name.
        embed_size: width of the joint embedding.
        width: width of a feature.
        options: other options of the head.

    Raises:
        UnknownNameError, RecipeError: see `load_head`.
    """
    head = load_head(name)
    parameters = read_parameters(head)
    given = {"embed_size": embed_size, WIDTH: width}
    return head(**{name: value for name, value in given.items() if name in parameters}, **options)
