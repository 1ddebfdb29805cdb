"""The record that `vsezoo features` writes with features: how they were extracted, and whether they are complete.

Imports neither torch nor numpy, so that data sets can be listed quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsezoo.errors import DataError
from vsezoo.storage.json_file import LARGEST, parse_object
from vsezoo.storage.plain_file import read_plain

if TYPE_CHECKING:
    from vsezoo.inputs import PairDataset

RECORD, UNFINISHED = "features.json", "unfinished"
"""The file that describes the extraction, and the folder of incomplete features."""

MARK = {"format": "vsezoo-features", "format_version": 1}

REMOVE = "Extract the features again. To use them without this record of how they were extracted, remove it."

INDIFFERENT = ("backbone.source", "backbone.origin", "batch_size", "dtype", "precision", "shards", "use_restval")
"""Settings that change only the last digits of features."""

NAMED = 3  # most differences that a message lists


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record in a folder; empty if `vsezoo features` did not write one.

    Raises:
        DataError: for one that is damaged.
    """
    file = folder / RECORD
    try:
        content = read_plain(file, LARGEST)
    except OSError:
        return {}
    try:
        record = parse_object(content, file, error=DataError, remedy=REMOVE)
    except DataError:
        if b"vsezoo" not in content:  # of another program
            return {}
        raise
    return record if MARK.items() <= record.items() else {}


def require_finished(folder: Path) -> None:
    """Refuse a folder whose extraction is not finished.

    Raises:
        DataError: if it is unfinished, with the command that continues it.
    """
    record = read_record(folder)
    if record and (not record.get("splits") or (folder / UNFINISHED).is_dir()):
        raise DataError(
            "is incomplete: `vsezoo features` has not finished.",
            file=folder,
            remedy="Run the same `vsezoo features` command with --resume; with shards, repeat this for each that "
            "is not finished.",
        )


def read_extraction(stem: Path) -> dict[str, Any]:
    """Return the extraction settings of a split by dotted name: backbone, weights, transform, scale.

    Args:
        stem: path of the files of the split, without suffixes.

    Returns:
        an empty dictionary if they are unknown.
    """
    match read_record(stem.parent):
        case {"settings": dict(settings), "splits": dict(splits)} if stem.name in splits:
            return {name: value for name, value in by_dotted_names(settings).items() if name not in INDIFFERENT}
    return {}


def compare_extraction(trained: Mapping[str, Any], data: PairDataset) -> str:
    """Return a warning if features are known to differ from the training features of a model; else an empty text.

    Args:
        trained: training data in the model's `config.json`.
        data: the data that the model is applied to.
    """
    known = trained.get("extraction")  # untrusted
    changes = list_changes(known, data.extraction) if isinstance(known, Mapping) and known and data.extraction else []
    if not changes:
        return ""
    listing = "; ".join(changes[:NAMED]) + ("; …" if len(changes) > NAMED else "")
    return (
        f"The features of the split {data.split} of {data.name!r} were extracted differently from those that the model "
        f"was trained on: {listing}. The results mean little. Extract them with the backbone, weights and settings of "
        "the training features."
    )


def list_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the differences between settings, by dotted name, as parts of a sentence."""
    return [
        f"{name} is {now.get(name)!r} and was {before.get(name)!r}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]


def by_dotted_names(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by dotted name."""
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        flat |= by_dotted_names(inner, f"{prefix}{name}.") if isinstance(inner, Mapping) else {prefix + name: inner}
    return flat
