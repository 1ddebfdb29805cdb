"""Write a checkpoint folder atomically. `checkpoint.py` describes its files."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from vsezoo.checkpoints.provenance import record_parts
from vsezoo.hub.reference import parse_reference
from vsezoo.interfaces import Loss, PairDataset
from vsezoo.model import JointEmbedding
from vsezoo.parts import load_part
from vsezoo.pretrained.external import make_portable
from vsezoo.recipe import Part, Recipe
from vsezoo.storage.atomic_folder import replace_folder
from vsezoo.storage.checkpoint_layout import CARD, CONFIG, FORMAT_VERSION, LOCAL, LOSS, METRICS, MODEL, write_json
from vsezoo.storage.digests import digest_files
from vsezoo.storage.json_file import seal
from vsezoo.storage.tensors import list_tensors, write_tensors


def save_checkpoint(
    folder: Path,
    model: JointEmbedding,
    data: PairDataset | Mapping[str, Any],
    trained: Mapping[str, Any],
    evaluation: Mapping[str, Any] | None = None,
    loss: Loss | None = None,
    converted: Mapping[str, Any] | None = None,
    data_folder: str = "",
) -> None:
    """Write a checkpoint folder atomically.

    Args:
        folder: replaced if it exists.
        model: the model to store.
        data: the training split, or a description of it with the keys of `describe_data`.
        trained: progress of the training run: epoch, step, criterion, score.
        evaluation: output of `Evaluation.to_json`, stored as `metrics.json` with the digest of the model; None: no
            such file.
        loss: the loss of the training run, stored if it has parameters.
        converted: the files of another codebase it was converted from, see `vsezoo.conversion.convert`; None: none.
        data_folder: the absolute path of the data, if they are a folder and not a registered name.

    Raises:
        StorageError: if a file cannot be written; the folder is then unchanged.
    """
    from vsezoo.cards.card import render_card  # imports jinja2

    with replace_folder(folder) as temporary:
        described = model.describe_encoders()
        external = model.list_external(described["left_out"])
        write_tensors(list_tensors(model, external), temporary / MODEL)  # of frozen encoders and a cosine, it has none
        if loss is not None and (tensors := list_tensors(loss, external)):
            write_tensors(tensors, temporary / LOSS)
        for name, content in model.tokenizer.to_files().items():
            (temporary / name).write_bytes(content)
        if evaluation is not None:
            digest = digest_files(temporary)[MODEL]["sha256"]
            label = {"reference": ".", "model": model.recipe.name, "sha256": digest}
            evaluation = {**evaluation, "checkpoints": [label]}
            write_json(temporary / METRICS, evaluation)
        config = {
            "format": "vsezoo",
            "format_version": FORMAT_VERSION,
            "vsezoo_version": version("vsezoo"),
            "environment": {"python": platform.python_version(), "torch": str(torch.__version__)},
            "recipe": _make_portable(model.recipe).to_json(),
            **{name: value for name, value in described.items() if value},
            "plugins": record_parts(model.recipe),
            "data": describe_data(data) if isinstance(data, PairDataset) else dict(data),
            "trained": dict(trained),
            **({} if converted is None else {"converted": dict(converted)}),
            "files": digest_files(temporary),
        }
        write_json(temporary / CONFIG, seal(config))
        local = {"folders": [str(place.absolute()) for place in model.list_folders()], "data": data_folder}
        if any(local.values()):
            write_json(temporary / LOCAL, {name: value for name, value in local.items() if value})
        (temporary / CARD).write_text(render_card(config, evaluation).text, encoding="utf-8")


LOCAL_FACTS = ("folder", "file", "summary")
"""Keys of an account that are about the folders of a machine."""


def describe_data(data: PairDataset) -> dict[str, Any]:
    """Return the description of the training data in `config.json`, without folders of this machine."""
    account = {name: value for name, value in data.account.items() if name not in LOCAL_FACTS}
    return {
        "name": data.name,
        "kind": data.kind,
        "image_shape": list(data.image_shape),
        "images": len(data.image_ids),
        "captions": len(data.captions),
        **({"extraction": dict(data.extraction)} if data.extraction else {}),
        **({"account": account} if account else {}),
    }


def _make_portable(recipe: Recipe) -> Recipe:
    """Return the recipe without paths of this machine."""
    if recipe.pretrained and parse_reference(recipe.pretrained) is None:
        recipe = recipe.replace({"pretrained": Path(recipe.pretrained).absolute().name})
    for kind in ("image_encoder", "text_encoder"):
        part: Part = getattr(recipe, kind)
        options = make_portable(load_part(recipe, kind), part.options)
        recipe = recipe.replace({f"{kind}.{name}": value for name, value in options.items()})
    return recipe
