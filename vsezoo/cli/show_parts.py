"""What `vsezoo show` takes from the classes of a recipe's parts. To import them takes seconds: answers are remembered.

An answer is valid for the recipe, the code of vsezoo (`identify_code`) and all libraries in these versions. Not
remembered is what depends on more: on the code of plugins, which may use anything, or on files of the Hub.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vsezoo import registry
from vsezoo.errors import HubError
from vsezoo.recipe.part import GROUPS
from vsezoo.recipe.recipe import KINDS
from vsezoo.storage.cache import identify_code, remember

if TYPE_CHECKING:
    from vsezoo.recipe import Recipe
    from vsezoo.recipe.declared import Option


def describe_parts(recipe: Recipe, own: bool) -> dict[str, Any]:
    """Return the options of each part of a recipe as `parts`, and the numbers of parameters as `parameters`.

    Args:
        recipe: the recipe.
        own: whether it is one of vsezoo's models.
    """
    if not (own and needs_code_alone(recipe)):
        return _examine(recipe)
    entries = [find_entry(recipe, kind) for kind in KINDS]
    if not all(entry.own for entry in entries):
        return _examine(recipe)
    try:
        code = identify_code(_list_packages())
    except OSError:
        return _examine(recipe)
    key = [recipe.to_json(), [entry.value for entry in entries], code]
    answer: dict[str, Any] = remember("models", key, lambda: _examine(recipe))
    return answer


def needs_code_alone(recipe: Recipe) -> bool:
    """Return whether the number of parameters is not known or follows from code, not from a tokenizer's files."""
    return bool(recipe.pretrained) or "model" not in recipe.text_encoder.options


def find_entry(recipe: Recipe, kind: str) -> registry.Entry:
    """Return how a part of a recipe is registered."""
    return registry.find(GROUPS[kind], getattr(recipe, kind).name)


def describe_option(option: Option) -> dict[str, Any]:
    """Return what a value of an option may be, as JSON values."""
    choices = list(option.choices) or None
    return {"default": option.default, "range": option.range or None, "choices": choices, "doc": option.doc or None}


def _list_packages() -> list[str]:
    """Return the packages of vsezoo's distribution: wherever a part is, it may use the others."""
    own = [entry for kind in registry.KINDS for entry in registry.list_entries(kind) if entry.own]
    return sorted({entry.value.partition(":")[0].partition(".")[0] for entry in own})


def _examine(recipe: Recipe) -> dict[str, Any]:
    return {"parts": {kind: _describe_part(recipe, kind) for kind in KINDS}, "parameters": _count(recipe)}


def _describe_part(recipe: Recipe, kind: str) -> dict[str, Any]:
    """Return the name of a part, its distribution, and value and default of each of its options."""
    from vsezoo.parts import GIVEN, list_options  # imports torch

    options: Mapping[str, Any] = getattr(recipe, kind).options
    entry = find_entry(recipe, kind)
    known = list_options(entry.load(), options, GIVEN[kind])
    return {
        "name": getattr(recipe, kind).name,
        "distribution": entry.distribution,
        "version": entry.version,
        "options": {
            name: {"value": options.get(name, option.default), **describe_option(option)}
            for name, option in known.items()
        },
    }


def _count(recipe: Recipe) -> dict[str, Any] | None:
    """Return the numbers of parameters; None where pretrained weights decide them that would have to be fetched."""
    from vsezoo.construction import COUNT_ASSUMPTION, count_parameters  # imports torch

    if recipe.pretrained:
        return None
    try:
        return {**count_parameters(recipe), "assumption": COUNT_ASSUMPTION}
    except HubError:
        return None
