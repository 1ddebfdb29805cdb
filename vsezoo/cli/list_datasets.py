"""`vsezoo list-datasets`: the registered data sets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from vsezoo import registry
from vsezoo.cli import console, shared_options
from vsezoo.cli.command import Command
from vsezoo.data.places import ROOT_VARIABLE
from vsezoo.errors import PluginError


@click.command(
    "list-datasets",
    cls=Command,
    examples=[
        ("vsezoo list-datasets", "List all registered data sets, with their folders if they are found in ./data."),
        ("VSEZOO_DATA=/data vsezoo list-datasets --json", "Look for them in /data, and write JSON."),
    ],
)
@shared_options.as_json
def list_datasets(as_json: bool) -> None:
    """List the registered data sets and where they are.

    They are looked for in the folder $VSEZOO_DATA, by default ./data. A data set listed without a folder was not found,
    or is generated if its summary says so.
    """
    root = Path(os.environ.get(ROOT_VARIABLE) or "data")
    datasets = [_describe(entry, root) for entry in registry.list_entries("datasets")]
    if as_json:
        console.print_json(datasets)
    else:
        console.print_table(["data set", "what it is"], map(_row, datasets))


def _describe(entry: registry.Entry, root: Path) -> dict[str, Any]:
    summary, splits, kinds, folder, failed = "", [], [], None, None
    try:
        source = entry.load()
    except PluginError as error:
        failed = registry.explain(error)
    else:
        summary, splits, kinds = source.summary, list(source.splits), list(source.kinds)
        folder = str(root / source.name) if (root / source.name).is_dir() else None
    return {
        "name": entry.label,
        "summary": summary,
        "splits": splits,
        "kinds": kinds,
        "folder": folder,
        "distribution": entry.distribution,
        "version": entry.version,
        "conflict": entry.conflict,
        "failed": failed,
    }


def _row(dataset: dict[str, Any]) -> list[str | Text]:
    cell = console.mark_problems(dataset, dataset["summary"])
    details = {name: ", ".join(dataset[name]) for name in ("splits", "kinds")} | {"folder": dataset["folder"]}
    listing = "; ".join(f"{name} {value}" for name, value in details.items() if value)
    return [dataset["name"], cell.append(console.style_text(f"\n{listing}", "dim")) if listing else cell]
