"""The checkpoint folder: written whole, verified when read, and the same on disk and on the Hub.

    config.json         format version, resolved recipe, data, plugins, sizes and sha256 of the files below
    model.safetensors   every parameter and buffer, but for those of a frozen backbone, whose digest config.json has
    loss.safetensors    those of the loss, where it has any, such as a head that writes captions
    vocab.json          (or whatever files the tokenizer has)
    metrics.json        the last evaluation, labelled
    README.md           the model card, which people may edit
    local.json          where weights lie that are not stored: of the machine that wrote it, and never published

Reading unpickles nothing and imports no module that the folder names: parts are looked up in the registry.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save_file

from vsezoo.construction import build_loss, build_model, build_undrawn
from vsezoo.errors import CheckpointError, RecipeError
from vsezoo.hub.reference import is_repository, parse_reference
from vsezoo.interfaces import Loss, PairDataset, Tokenizer
from vsezoo.model import JointEmbedding
from vsezoo.parts import load_part, load_text_encoder, resolve_recipe
from vsezoo.provenance import find_parts, record_parts
from vsezoo.recipe import Part, Recipe
from vsezoo.storage import RESTORE, digest_files, find_folder, replace_folder, verify_files
from vsezoo.tensors import list_tensors, load_tensors, read_tensors

FORMAT_VERSION = 1
CONFIG, MODEL, LOSS = "config.json", "model.safetensors", "loss.safetensors"
METRICS, CARD, LOCAL = "metrics.json", "README.md", "local.json"
BEST = "best"
"""The folder of a run that holds its best checkpoint."""

Built = TypeVar("Built", JointEmbedding, Loss)


def save_checkpoint(
    folder: Path,
    model: JointEmbedding,
    data: PairDataset | Mapping[str, Any],
    trained: Mapping[str, Any],
    evaluation: Mapping[str, Any] | None = None,
    loss: Loss | None = None,
    converted: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint folder, whole or not at all.

    Args:
        folder: where; replaced if it exists.
        model: what to store.
        data: the training split, for the record; or what is known of it, by the keys of `describe_data`.
        trained: how far the training was: epoch, step, criterion, score.
        evaluation: what `Evaluation.to_json` gives, stored as `metrics.json`; None: no such file. The digest of the
            model is added to it.
        loss: what it was trained with, stored where it has parameters of its own.
        converted: which files of another codebase it was made of, see `vsezoo.legacy.conversion`; None: of none.

    Raises:
        StorageError: when a file cannot be written; the folder is then as it was.
    """
    from vsezoo.hub.card import render_card  # imports jinja2

    with replace_folder(folder) as temporary:
        told = model.describe_encoders()
        external = model.list_external(told["left_out"])
        for name, module in ((MODEL, model), (LOSS, loss)):
            if module is not None and (tensors := list_tensors(module, external)):
                save_file(tensors, temporary / name)
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
            **{name: value for name, value in told.items() if value},
            "plugins": record_parts(model.recipe),
            "data": describe_data(data) if isinstance(data, PairDataset) else dict(data),
            "trained": dict(trained),
            **({} if converted is None else {"converted": dict(converted)}),
            "files": digest_files(temporary),
        }
        write_json(temporary / CONFIG, config)
        if folders := model.list_folders():
            write_json(temporary / LOCAL, {"folders": [str(place.absolute()) for place in folders]})
        (temporary / CARD).write_text(render_card(config, evaluation).text, encoding="utf-8")


def describe_data(data: PairDataset) -> dict[str, Any]:
    """Return what `config.json` tells of the training data."""
    return {
        "name": data.name,
        "kind": data.kind,
        "image_shape": list(data.image_shape),
        "images": len(data.image_ids),
        "captions": len(data.captions),
    }


def load(reference: str | Path, device: str | torch.device = "cpu") -> JointEmbedding:
    """Read the model of a checkpoint.

    Args:
        reference: a checkpoint folder, the folder of a run, whose best checkpoint it means, or a repository of the Hub,
            `hub:org/name[@revision]`.
        device: where to put it.

    Returns:
        the model in eval mode.

    Raises:
        CheckpointError: for a folder that is absent, damaged, newer than this vsezoo, or needs a missing plugin.
        HubError: for what the Hub does not give.
    """
    folder, config, model = _build(reference, build_model)
    left_out = _read_left_out(folder, config, model)
    external = model.list_external(left_out)
    load_tensors(model, model.rename_tensors(read_tensors(folder / MODEL)), folder / MODEL, external)
    model.restore_external(left_out, config.get("encoders", {}), [*_read_folders(folder), folder])
    for name, tensor in model.state_dict().items() if external else ():
        if name.startswith(external) and tensor.isnan().any():  # as it was built
            raise CheckpointError(
                f"does not hold {name}, nor does its source.",
                file=folder / MODEL,
                remedy="Tell the author of the encoder, whose restore_external must read all that it leaves out.",
            )
    return model.to(device).eval()


def load_loss(reference: str | Path, device: str | torch.device = "cpu") -> Loss:
    """Read the loss that a checkpoint was trained with, and its parameters, such as those of a caption head.

    Args:
        reference: as `load` takes it.
        device: where to put it.

    Returns:
        the loss in eval mode.

    Raises:
        CheckpointError: as `load` does, and for a checkpoint without the parameters that the loss has.
    """
    folder, config, loss = _build(reference, build_loss)
    if LOSS in config["files"] or loss.state_dict():
        load_tensors(loss, read_tensors(folder / LOSS), folder / LOSS)
    return loss.to(device).eval()


def _build(reference: str | Path, build: Callable[[Recipe, Tokenizer], Built]) -> tuple[Path, Mapping[str, Any], Built]:
    """Build what a checkpoint's recipe says, without its tensors; return its folder and configuration as well."""
    folder = find_checkpoint(reference)
    config = read_config(folder)
    try:
        recipe = Recipe.from_json(config["recipe"])
        recipe = resolve_recipe(find_parts(recipe, config["plugins"], folder / CONFIG))
        tokenizer = load_text_encoder(recipe).read_tokenizer(folder)
        return folder, config, build_undrawn(lambda: build(recipe, tokenizer))
    except RecipeError as error:
        raise CheckpointError(error.problem, file=folder / CONFIG, remedy=error.remedy or RESTORE) from error


def _read_left_out(folder: Path, config: Mapping[str, Any], model: JointEmbedding) -> list[str]:
    """Return the encoders of whose external weights the checkpoint has no more than the digest."""
    left_out, told = config.get("left_out", []), config.get("encoders", {})
    known = [name for name, encoder in model.encoders.items() if encoder.external]
    if not isinstance(left_out, list) or not isinstance(told, dict) or not all(name in known for name in left_out):
        raise CheckpointError("does not say soundly which weights it lacks.", file=folder / CONFIG, remedy=RESTORE)
    return left_out


def _read_folders(folder: Path) -> list[Path]:
    if not (folder / LOCAL).is_file():
        return []
    folders = read_json(folder / LOCAL).get("folders", [])
    return [Path(place) for place in folders if isinstance(place, str)]


def _make_portable(recipe: Recipe) -> Recipe:
    """Return the recipe without paths of this machine."""
    for kind in ("image_encoder", "text_encoder"):
        part: Part = getattr(recipe, kind)
        options = load_part(recipe, kind).portable_options(part.options)
        recipe = recipe.replace({f"{kind}.{name}": value for name, value in options.items()})
    return recipe


def find_checkpoint(reference: str | Path) -> Path:
    """Return the checkpoint folder that a reference means; one on the Hub is fetched into the cache."""
    on_hub = parse_reference(reference)
    if on_hub is not None:
        from vsezoo.hub.download import fetch_checkpoint  # imports the Hub's client

        return fetch_checkpoint(on_hub)
    folder = find_folder(Path(reference))
    if not (folder / CONFIG).exists():
        best = find_folder(folder / BEST)
        if (best / CONFIG).exists():
            return best
    if not folder.is_dir():
        remedy = "Give the folder that `vsezoo train` wrote, for example runs/NAME"
        if is_repository(str(reference)):
            remedy += f", or hub:{reference} for the repository of that name on the Hub"
        raise CheckpointError("is no folder.", file=folder, remedy=f"{remedy}.")
    return folder


def read_config(folder: Path, *, verify: bool = True) -> dict[str, Any]:
    """Read and check `config.json`, and verify the digests of the files that it lists."""
    path = folder / CONFIG
    if not path.is_file():
        held = ", ".join(sorted(item.name for item in folder.iterdir())[:8]) or "nothing"
        raise CheckpointError(
            f"is no checkpoint folder: it has no {CONFIG} (it holds {held}).",
            file=folder,
            remedy="Give the folder that `vsezoo train` wrote.",
        )
    config = read_json(path)
    format_version = config.get("format_version")
    if config.get("format") != "vsezoo" or type(format_version) is not int or format_version < 1:
        raise CheckpointError("is not the configuration of a vsezoo checkpoint.", file=path, remedy=RESTORE)
    if format_version > FORMAT_VERSION:
        raise CheckpointError(
            f"has the format version {format_version}; this vsezoo reads up to {FORMAT_VERSION}.",
            file=path,
            remedy="Upgrade: pip install --upgrade vsezoo",
        )
    for name in ("recipe", "plugins", "data", "trained", "files"):
        if not isinstance(config.get(name), dict):
            raise CheckpointError(f"lacks the object {name!r}.", file=path, remedy=RESTORE)
    _require_digests(config["files"], path)
    if "converted" in config:
        _require_origin(config["converted"], path)
    if MODEL not in config["files"]:
        raise CheckpointError(f"does not list {MODEL}.", file=path, remedy=RESTORE)
    if verify:
        verify_files(folder, config["files"])
    return config


def _require_digests(files: Mapping[str, Any], path: Path) -> None:
    for name, digest in files.items():
        sound = isinstance(digest, dict) and type(digest.get("size")) is int and isinstance(digest.get("sha256"), str)
        if not sound:
            raise CheckpointError(f"has no size and sha256 for {name!r}.", file=path, remedy=RESTORE)


def _require_origin(converted: Any, path: Path) -> None:
    wanted = {"format": str, "distribution": str, "version": str, "files": dict, "options": dict, "notes": dict}
    for name, kind in wanted.items():
        if not isinstance(converted, dict) or not isinstance(converted.get(name), kind):
            raise CheckpointError(f"does not say of a conversion what {name!r} is.", file=path, remedy=RESTORE)
    _require_digests(converted["files"], path)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot be read as JSON: {error}.", file=path, remedy=RESTORE) from error
    if not isinstance(value, dict):
        raise CheckpointError("does not hold a JSON object.", file=path, remedy=RESTORE)
    return value


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object for people to read; what UTF-8 cannot hold, as names of files may have, is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
