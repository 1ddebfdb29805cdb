"""Build the model and the loss that a recipe describes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from vsezoo.errors import RecipeError, first_line
from vsezoo.interfaces import Loss, PairDataset, Tokenizer, Weights
from vsezoo.losses.sides import wants_sets
from vsezoo.model import JointEmbedding
from vsezoo.parts import change_recipe, load_part, load_recipe, make_tokenizer, resolve_recipe
from vsezoo.pretrained.weights import open_weights
from vsezoo.recipe import Part, Recipe
from vsezoo.recipe.signatures import read_parameters
from vsezoo.registry.owners import describe_origin, guard
from vsezoo.storage.unfilled import without_memory

SIZES = ("embed_size", "learning_rate")
"""Arguments that are settings of the recipe, which a user may change."""


def create_model(
    name: str | Path,
    data: PairDataset | None = None,
    captions: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> JointEmbedding:
    """Build an untrained model from a recipe.

    Args:
        name: a registered model, see `list_models`, or a recipe file.
        data: the training split; its captions define the vocabulary, its features the widths.
        captions: captions for the vocabulary, without `data` or in addition to it.
        settings: changes to the recipe by dotted names, such as `{"embed_size": 512, "loss.margin": 0.1}`.
        **keywords: the earlier form of settings, with `__` for the dot, `loss__margin=0.1`; deprecated.

    Returns:
        the model in eval mode, initialised from torch's current random state, with the pretrained weights of its recipe
        if it names any.
    """
    if keywords:
        advice = "Pass settings={...} with dotted names to create_model, as to train, instead of keywords."
        warnings.warn(advice, DeprecationWarning, stacklevel=2)
    dotted = {key.replace("__", "."): value for key, value in keywords.items()}
    recipe = change_recipe(load_recipe(name), {**(settings or {}), **dotted})
    weights = open_pretrained(recipe)
    recipe = resolve_recipe(recipe, data, weights)
    tokenizer = make_tokenizer(recipe, weights)
    words = tokenizer.split([*(data.captions if data is not None else ()), *captions])
    if words:
        tokenizer.fit(words)
    with torch.inference_mode(False):  # its parameters outlive the caller's
        model = build_model(recipe, tokenizer)
        model.require_uncertainty()
        model.load_pretrained(weights)
    if data is not None:
        model.image_encoder.fit(data)
    return model.eval()


def open_pretrained(recipe: Recipe) -> Weights | None:
    """Open the pretrained weights that a recipe names, once for all of its parts; None if it names none.

    Raises:
        CheckpointError: if they cannot be found or are damaged.
        HubError: if they cannot be downloaded.
    """
    return open_weights(recipe.pretrained) if recipe.pretrained else None


def build_model(recipe: Recipe, tokenizer: Tokenizer) -> JointEmbedding:
    """Build the untrained model of a resolved recipe.

    Raises:
        RecipeError: for options from which a part cannot be built, or parts that do not fit each other.
    """
    model = JointEmbedding(
        recipe,
        build_part(recipe, "image_encoder", tokenizer),
        build_part(recipe, "text_encoder", tokenizer),
        build_part(recipe, "similarity", tokenizer),
    )
    _require_sets(model, load_part(recipe, "loss"))
    return model


def _require_sets(model: JointEmbedding, loss: type[Loss]) -> None:
    """Refuse encoders without sets if the similarity or the loss needs sets."""
    wanted = dict(zip(model.encoders, wants_sets(loss), strict=True))
    for side, encoder in model.encoders.items():
        if model.compares_sets and encoder.gives != "sets":
            model.refuse_vectors(side, f"The similarity {model.recipe.similarity.name!r}")
        if wanted[side] and encoder.gives == "vectors":  # losses over regions are older than the declaration
            model.refuse_vectors(side, f"The loss {model.recipe.loss.name!r}")


def build_loss(recipe: Recipe, tokenizer: Tokenizer) -> Loss:
    """Build the loss of a resolved recipe.

    Raises:
        RecipeError: for options from which it cannot be built.
    """
    loss: Loss = build_part(recipe, "loss", tokenizer)
    return loss


def build_part(recipe: Recipe, kind: str, tokenizer: Tokenizer) -> Any:
    """Build a part from its options and the arguments of vsezoo that its constructor names."""
    return call_part(recipe, kind, {"embed_size": recipe.width, "tokenizer": tokenizer})


def call_part(recipe: Recipe, kind: str, at_hand: Mapping[str, Any]) -> Any:
    """Call the class or function of a part with its options and the arguments in `at_hand` that it names.

    Raises:
        RecipeError: for options from which it cannot be built.
    """
    part: Part = getattr(recipe, kind)
    function = load_part(recipe, kind)
    given = {name: at_hand[name] for name in read_parameters(function) if name in at_hand}
    try:
        with guard(function, when="was built"):
            return function(**given, **part.options)
    except (ArithmeticError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        # torch raises these for impossible sizes, from negative widths to more than the memory holds.
        problem = f"{kind} {part.name!r}{describe_origin(function)} cannot be built: {first_line(error)}."
        raise RecipeError(problem, remedy=_advise(function, given, part.options)) from error


def _advise(function: Callable[..., Any], given: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """Return what to do about a part that cannot be built from these arguments and options."""
    absent = [
        repr(name)
        for name, parameter in read_parameters(function).items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and name not in {**given, **options}
    ]
    if absent:
        return f"Options need defaults: its author must give one to {' and '.join(absent)}."
    sizes = {name: given[name] for name in SIZES if name in given} | dict(options)
    if not sizes:
        return "It has no options to change: its author must correct the constructor."
    return f"Change its options: {', '.join(f'{name}={value!r}' for name, value in sizes.items())}."


COUNT_WORDS = 10_000
COUNT_ASSUMPTION = f"features as wide as the options say, a vocabulary of {COUNT_WORDS:,} words"


def count_parameters(recipe: Recipe) -> dict[str, int]:
    """Return the number of parameters of the encoders and in total, under `COUNT_ASSUMPTION`."""
    recipe = resolve_recipe(recipe)
    tokenizer = make_tokenizer(recipe)
    often = max(1, recipe.text_encoder.options.get("vocab_threshold", 1))
    absent = COUNT_WORDS - len(tokenizer)
    letters = str.maketrans("0123456789", "abcdefghij")  # some tokenizers drop digits
    tokenizer.fit(tokenizer.split([" ".join(str(index).translate(letters) for index in range(absent))]) * often)
    with without_memory():
        model = build_model(recipe, tokenizer)
    counts = {
        "image_encoder": sum(p.numel() for p in model.image_encoder.parameters()),
        "text_encoder": sum(p.numel() for p in model.text_encoder.parameters()),
    }
    return {**counts, "total": sum(p.numel() for p in model.parameters())}
