"""Pretrained weights of another library, used as a checkpoint.

A plugin registers a function in the group `vsezoo.openers` that recognises such weights and returns the recipe whose
parts read them. The model is then built once, and its checkpoint is kept in the cache folder. It contains the name and
digest of the weights instead of the weights, so it is small, and it can be used like any other checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from vsezoo import registry
from vsezoo.checkpoints.uninitialized import build_uninitialized
from vsezoo.checkpoints.writing import save_checkpoint
from vsezoo.construction import build_model
from vsezoo.errors import CheckpointError, PluginError, RecipeError
from vsezoo.hub.reference import parse_reference
from vsezoo.parts import accepted_kinds, make_tokenizer, resolve_recipe
from vsezoo.pretrained.weights import OpenedWeights, open_weights
from vsezoo.recipe import Recipe
from vsezoo.registry import Entry
from vsezoo.storage.cache import find_cache, identify
from vsezoo.storage.checkpoint_layout import CONFIG, UNKNOWN_DATA

FORM = 1
"""Increased when the checkpoints written here change."""


def open_foreign(reference: str, settings: Mapping[str, Any] | None = None, sha256: str = "") -> Path:
    """Return the folder of the checkpoint of pretrained weights, written first if it is not in the cache.

    Args:
        reference: a folder, or `hub:org/name@COMMIT`.
        settings: changes to the recipe, by dotted names.
        sha256: the expected digest of the weights; empty: any.

    Raises:
        CheckpointError: for weights that no plugin recognises, or that it refuses.
        HubError: if they cannot be downloaded.
        StorageError: if the cache folder cannot be written.
    """
    weights = open_weights(reference)
    if sha256 and weights.sha256 != sha256:
        raise CheckpointError(
            f"has the SHA-256 {weights.sha256}, not {sha256} as registered.",
            file=reference,
            remedy="Upgrade the distribution that registers this name, or refer to the weights by their path.",
        )
    source = reference if parse_reference(reference) else str(weights.folder.absolute())
    changes = {"pretrained": source, **(settings or {})}
    target = find_cache() / "opened" / _digest(weights, changes)
    if (target / CONFIG).is_file():
        return target
    try:
        entry, recipe = recognise(weights)
        recipe = resolve_recipe(recipe.replace(changes), None, weights)
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, weights, recipe, entry)
    except (CheckpointError, RecipeError) as error:
        remedy = error.remedy or "Download all files of the model again, or use another one."
        raise CheckpointError(error.problem, file=error.file or weights.folder, remedy=remedy) from error
    return target


def recognise(weights: OpenedWeights) -> tuple[Entry, Recipe]:
    """Return the opener of pretrained weights, and the recipe whose parts read them.

    Raises:
        CheckpointError: for weights that no plugin recognises, or that it refuses.
    """
    refusal: CheckpointError | None = None
    for entry in registry.list_entries("openers"):
        try:
            recipe: Recipe | None = entry.load()(weights)
        except PluginError:
            continue  # listed as FAILED; it must not stop the others
        except CheckpointError as error:
            refusal = refusal or error
            continue
        if recipe is not None:
            return entry, recipe
    raise refusal or CheckpointError(
        "is not a checkpoint of vsezoo, and no installed plugin recognises its weights.",
        file=weights.folder,
        remedy="Use a model that embeds both images and sentences, such as CLIP or SigLIP.",
    )


def _digest(weights: OpenedWeights, settings: Mapping[str, Any]) -> str:
    """Return what changes with the files of the weights, the settings, and whoever may open them."""
    files = sorted(identify(path) for path in weights.folder.iterdir() if path.is_file())
    openers = sorted((entry.qualified, entry.version) for entry in registry.list_entries("openers"))
    known = [FORM, version("vsezoo"), openers, dict(settings), files]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:32]


@torch.inference_mode(False)
def _write(target: Path, weights: OpenedWeights, recipe: Recipe, entry: Entry) -> None:
    tokenizer = make_tokenizer(recipe, weights)
    model = build_uninitialized(lambda: build_model(recipe, tokenizer))
    model.load_pretrained(weights)
    origin = {
        "format": entry.name,
        "distribution": entry.distribution,
        "version": entry.version,
        "source": weights.name,
        "files": weights.digest_files(),
        "options": {},
        "notes": {},
    }
    data = {"name": UNKNOWN_DATA, "kind": accepted_kinds(recipe)[0], "image_shape": []}
    save_checkpoint(target, model.eval(), data, {}, converted=origin)
