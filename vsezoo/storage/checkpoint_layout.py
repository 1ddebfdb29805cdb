"""The layout of a checkpoint folder and the validation of its configuration, without loading the model."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from vsezoo.errors import CheckpointError, list_names
from vsezoo.storage.digests import RESTORE, verify_files
from vsezoo.storage.forms import DIGEST, Anything, Fields, FormError, Integer, ListOf, Mapped, Maybe, Number, Text
from vsezoo.storage.json_file import read_object

FORMAT_VERSION = 1
CONFIG, MODEL, LOSS = "config.json", "model.safetensors", "loss.safetensors"
METRICS, CARD, LOCAL = "metrics.json", "README.md", "local.json"
UNKNOWN_DATA = "unknown"
"""Name of the training data if a converted checkpoint does not record it."""
BEST = "best"
"""The folder of the best checkpoint in the folder of a run."""
ORIGINAL = (".pth.tar", ".pth", ".pt")
"""Suffixes of checkpoints of other programs, for the advice to convert them."""
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
"""Suffixes of pictures, for the advice on a folder of them."""


ENTRIES = Fields(
    {
        "recipe": Mapped(Anything()),
        "plugins": Mapped(Anything()),
        "data": Fields(
            {},
            {
                "name": Text(),
                "kind": Text(),
                "image_shape": ListOf(Integer(), most=8),
                "images": Integer(),
                "captions": Integer(),
                "extraction": Mapped(Anything()),
                "account": Mapped(Anything()),
            },
            others=True,
        ),
        "trained": Fields(
            {},
            {
                "epoch": Maybe(Integer()),
                "step": Maybe(Integer()),
                "criterion": Maybe(Text()),
                "score": Maybe(Number()),
            },
            others=True,
        ),
    },
    {"vsezoo_version": Text(), "environment": Mapped(Anything()), "encoders": Mapped(Anything())},
    others=True,
)
"""The form of `config.json`. The recipe, the parts and what was left out are checked where they are used."""

OTHERS = ("model_type", "architectures", "auto_map")
"""Entries of a `config.json` that transformers writes, and vsezoo does not."""
OPEN_CLIP = "open_clip_config.json"
"""The configuration of a model of open_clip, which has the place of `config.json`."""
OPEN_CLIP_TENSORS = "open_clip_model.safetensors"


def is_foreign(config: Mapping[str, Any]) -> bool:
    """Return whether a `config.json` is that of another library and not of a checkpoint."""
    return config.get("format") != "vsezoo" and any(name in config for name in OTHERS)


def is_foreign_folder(folder: Path) -> bool:
    """Return whether a folder has weights of another library instead of a checkpoint."""
    if not folder.is_dir():
        return False
    try:
        config = read_object(folder / CONFIG)
    except CheckpointError:
        return (folder / OPEN_CLIP).is_file()
    return is_foreign(config) or (config.get("format") != "vsezoo" and (folder / OPEN_CLIP).is_file())


def is_open_clip(names: Collection[str], config: Mapping[str, Any]) -> bool:
    """Return whether a folder is that of a model of open_clip, whose tensors are in a file of their own.

    Args:
        names: of its files. There may be a `model.safetensors` of the image tower, or of transformers.
        config: its `config.json`; empty if there is none.
    """
    return {OPEN_CLIP, OPEN_CLIP_TENSORS} <= set(names) and not is_foreign(config)


def read_config(folder: Path, *, verify: bool = True) -> dict[str, Any]:
    """Read `config.json`.

    Args:
        folder: the checkpoint folder.
        verify: also compare the listed files with their digests.

    Raises:
        CheckpointError: if it is not a checkpoint, is damaged, or was altered.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise describe_absence(folder)
    config = require_config(read_object(path), path)
    if verify:
        verify_files(folder, config["files"])
    return config


def describe_absence(folder: Path) -> CheckpointError:
    """Return the error for a folder without a `config.json`."""
    names = sorted(item.name for item in folder.iterdir())
    remedy = "Use a folder written by `vsezoo train`, or by save_pretrained of a dual encoder."
    if old := next((name for name in names if name.endswith(ORIGINAL)), ""):
        remedy = (
            f"Convert the checkpoint in it: vsezoo convert {shlex.quote(str(folder / old))} --output runs/converted"
        )
    elif any(name.lower().endswith(PICTURES) for name in names):
        remedy = f"It has pictures: name a checkpoint first, and the folder with --images or --data. {remedy}"
    elif inside := [name for name in names if (folder / name / CONFIG).is_file()]:  # as sentence-transformers has it
        remedy = f"Use the folder in it: {' or '.join(str(folder / name) for name in inside[:3])}"
    held = list_names(names, 8) or "nothing"
    problem = f"is not a checkpoint folder: it has no {CONFIG} (it contains {held})."
    return CheckpointError(problem, file=folder, remedy=remedy)


def require_config(config: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return a configuration after checking the entries that every checkpoint has.

    Raises:
        CheckpointError: for an invalid configuration.
    """
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
    try:
        ENTRIES.check(config, "")
    except FormError as error:
        raise CheckpointError(f"is damaged: {error}.", file=path, remedy=RESTORE) from error
    _require_digests(config["files"], path)
    if "converted" in config:
        _require_origin(config["converted"], path)
    if MODEL not in config["files"]:
        raise CheckpointError(f"does not list {MODEL}.", file=path, remedy=RESTORE)
    return config


def _require_digests(files: Mapping[str, Any], path: Path) -> None:
    for name, digest in files.items():
        try:
            DIGEST.check(digest, "")
        except FormError as error:
            raise CheckpointError(f"has no size and sha256 for {name!r}.", file=path, remedy=RESTORE) from error


def _require_origin(converted: Any, path: Path) -> None:
    wanted = {"format": str, "distribution": str, "version": str, "files": dict, "options": dict, "notes": dict}
    for name, kind in wanted.items():
        if not isinstance(converted, dict) or not isinstance(converted.get(name), kind):
            raise CheckpointError(f"has an invalid entry {name!r} about its conversion.", file=path, remedy=RESTORE)
    _require_digests(converted["files"], path)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object into a folder or file that is not in its place yet; see `to_text`."""
    path.write_bytes(to_text(value))


def to_text(value: Mapping[str, Any]) -> bytes:
    """Return a JSON object, indented; characters that UTF-8 cannot encode, as in some file names, are escaped."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace")
