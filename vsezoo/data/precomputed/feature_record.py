"""What `vsezoo features` tells beside its features: what made them, and whether all are there.

Imports neither torch nor numpy, so that data sets can be listed quickly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsezoo.errors import DataError

if TYPE_CHECKING:
    from vsezoo.interfaces import PairDataset

RECORD, UNFINISHED = "features.json", "unfinished"
"""The file that says what made the features, and the folder of those that are not whole yet."""

MARK = {"format": "vsezoo-features", "format_version": 1}

INDIFFERENT = ("backbone.source", "backbone.origin", "batch_size", "dtype", "precision", "shards", "use_restval")
"""Settings with which features stay what they are, but for their last digits."""

NAMED = 3  # differences that a message names


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record in a folder; an empty one where there is none that `vsezoo features` wrote."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) and MARK.items() <= record.items() else {}


def require_finished(folder: Path) -> None:
    """Look whether features are still to be made in a folder.

    Raises:
        DataError: if they are, saying how to go on.
    """
    record = read_record(folder)
    if record and (not record.get("splits") or (folder / UNFINISHED).is_dir()):
        raise DataError(
            "is not finished: `vsezoo features` has begun it.",
            file=folder,
            remedy="Go on with the same call of `vsezoo features` and --resume; if shared, with each --shard that "
            "is not done.",
        )


def read_extraction(stem: Path) -> dict[str, Any]:
    """Return by dotted names what made the features of a split: backbone, weights, transform, scale.

    Args:
        stem: the files of the split without their endings.

    Returns:
        an empty dictionary where that is not known.
    """
    match read_record(stem.parent):
        case {"settings": dict(settings), "splits": dict(splits)} if stem.name in splits:
            return {name: value for name, value in by_dotted_names(settings).items() if name not in INDIFFERENT}
    return {}


def compare_extraction(trained: Mapping[str, Any], data: PairDataset) -> str:
    """Return a warning if features are known to be others than those that a model was trained on; else an empty text.

    Args:
        trained: what the model's `config.json` tells of the training data.
        data: what the model is used on.
    """
    known = trained.get("extraction")  # it may come from a stranger
    changes = list_changes(known, data.extraction) if isinstance(known, Mapping) and known and data.extraction else []
    if not changes:
        return ""
    listing = "; ".join(changes[:NAMED]) + ("; …" if len(changes) > NAMED else "")
    return (
        f"The features of the split {data.split} of {data.name!r} are not made like those that the model was trained "
        f"on: {listing}. What the model says of them means little. Make them with the backbone, the weights and the "
        "settings of the training."
    )


def list_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between settings by dotted names, a sentence's part each."""
    return [
        f"{name} is {now.get(name)!r} and was {before.get(name)!r}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]


def by_dotted_names(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by dotted names."""
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        flat |= by_dotted_names(inner, f"{prefix}{name}.") if isinstance(inner, Mapping) else {prefix + name: inner}
    return flat
