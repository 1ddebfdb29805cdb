"""The head of a backbone: a registered encoder of features, which gets those that the backbone makes."""

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
"""The features that a head of each kind of image wants."""
WIDTH = "img_dim"
"""The option of heads that is the backbone's to decide."""


def load_head(name: str) -> type[ImageEncoder]:
    """Return the registered class of a head.

    Raises:
        UnknownNameError: for one that is not registered.
        RecipeError: for one that takes no features.
    """
    head: type[ImageEncoder] = registry.load("image_encoders", name)
    if not takes_features(head):
        raise RecipeError(f"image_encoder.head is {name!r}, which takes pictures; a head takes features.")
    return head


def takes_features(encoder: type[ImageEncoder]) -> bool:
    """Return whether an image encoder can be a head."""
    return bool(FORMS.keys() & set(encoder.kinds))


def list_head_options(name: str, options: Mapping[str, Any]) -> dict[str, Option]:
    """Return the options of a head but for the width of its features.

    Args:
        name: of the head.
        options: given ones, which may decide what others there are.

    Raises:
        UnknownNameError, RecipeError: as `load_head`.
    """
    return {option: known for option, known in list_options(load_head(name), options).items() if option != WIDTH}


def choose_features(name: str, features: str, options: Mapping[str, Any]) -> str:
    """Return "pooled" or "grid", as is asked for and a head of these options takes it.

    Raises:
        RecipeError: for features that it does not take.
    """
    wanted = [FORMS[kind] for kind in load_head(name).accepted_kinds(options) if kind in FORMS]
    if features == AUTO and wanted:
        return wanted[0]
    if features not in wanted:
        raise RecipeError(
            f"image_encoder.features is {features!r}, but the head {name!r} takes {' or '.join(wanted) or 'none'}.",
            remedy=f"Leave it at {AUTO!r}, or choose another head.",
        )
    return features


def build_head(name: str, embed_size: int, width: int, options: Mapping[str, Any]) -> ImageEncoder:
    """Build a head.

    Args:
        name: its registered name.
        embed_size: numbers of a joint embedding.
        width: numbers of a feature.
        options: others of the head.

    Raises:
        UnknownNameError, RecipeError: as `load_head`.
    """
    head = load_head(name)
    parameters = read_parameters(head)
    given = {"embed_size": embed_size, WIDTH: width}
    return head(**{name: value for name, value in given.items() if name in parameters}, **options)
