"""`vsezoo index info` and `measure`: what an index folder contains, and how well it finds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsezoo.cli import console, shared_options
from vsezoo.cli.arguments import CHECKPOINT
from vsezoo.cli.command import Command

if TYPE_CHECKING:
    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.search.stored.manifest import Manifest


def describe(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Return the facts about an index folder for JSON."""
    from vsezoo.search.stored.manifest import list_files

    return {
        "index": str(folder),
        "backend": manifest.backend,
        "model": manifest.model,
        "sha256": manifest.digest,
        "similarity": manifest.similarity,
        "kind": manifest.kind,
        "collection": manifest.place,
        "items": manifest.alive,
        "removed": manifest.count - manifest.alive,
        "dtype": manifest.dtype,
        "width": manifest.width,
        "bytes": sum(file.stat().st_size for file in list_files(folder, manifest)),
        "options": dict(manifest.options),
        "state": {name: value for name, value in manifest.state.items() if name != "files"},
    }


def print_advice(manifest: Manifest) -> None:
    """Print a warning of the backend, if it has one."""
    from vsezoo import registry
    from vsezoo.search.indexes import KeptRows

    backend = registry.load("indexes", manifest.backend)
    if issubclass(backend, KeptRows) and (advice := backend.advise(manifest.options, manifest.state)):
        console.print_warning(advice)


def tune(checkpoint: Checkpoint, folder: Path, recall: float | None, queries: str | None, device: str) -> Manifest:
    """Choose how much of an index a search looks at, with the sentences of a file or items as queries."""
    from vsezoo.devices import choose_device
    from vsezoo.search.stored.measuring import tune_folder

    return tune_folder(checkpoint, folder, recall, read_queries(queries), choose_device(device))


def read_queries(file: str | None) -> list[str]:
    """Return the sentences of a file; none if there is none."""
    from vsezoo.search.sentence_file import read_sentences

    return [sentence.text for sentence in read_sentences(Path(file))] if file else []


@click.command(
    "info",
    cls=Command,
    examples=[
        ("vsezoo index info photos.index", "Show what an index contains."),
        ("vsezoo index info photos.index --json", "The same for programs."),
    ],
)
@click.argument("folder", type=click.Path(path_type=Path), metavar="INDEX")
@shared_options.as_json
def info(folder: Path, as_json: bool) -> None:
    """Show what INDEX contains."""
    from vsezoo.search.stored.manifest import read_manifest

    facts = describe(folder, read_manifest(folder))
    if as_json:
        console.print_json(facts)
        return
    facts |= {name: f"{facts[name]:,}" for name in ("items", "removed", "bytes")}
    facts |= {name: ", ".join(f"{key} {value}" for key, value in facts[name].items()) for name in ("options", "state")}
    console.print_fields(
        str(folder), [(name, str(value)) for name, value in facts.items() if value and name != "index"]
    )


@click.command(
    "measure",
    cls=Command,
    examples=[
        ("vsezoo index measure runs/p photos.index", "Compare with an exact search, images being queries."),
        ("vsezoo index measure runs/p photos.index --queries a.txt", "The same for sentences."),
        ("vsezoo index measure runs/p photos.index --queries a.txt --recall 0.98", "Find more of them."),
    ],
)
@click.argument("checkpoint", type=CHECKPOINT)
@click.argument("folder", type=click.Path(path_type=Path), metavar="INDEX")
@click.option("--queries", metavar="FILE", help="Sentences: one per line, or .csv, .tsv, .jsonl.  [default: items]")
@click.option("-k", type=click.IntRange(1), default=10, show_default=True, help="Number of results.")
@click.option(
    "--recall",
    type=click.FloatRange(0, 1, min_open=True),
    help="Before, change how much a search looks at, so that it finds this share.",
)
@shared_options.device
@shared_options.as_json
def measure(
    checkpoint: str, folder: Path, queries: str | None, k: int, recall: float | None, device: str, as_json: bool
) -> None:
    """Measure how much of what an exact search finds INDEX finds too, and the time of a query.

    Without --queries, 500 items of INDEX are the queries. CHECKPOINT is the one that INDEX was built with.
    """
    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.devices import choose_device
    from vsezoo.search.stored.manifest import read_manifest
    from vsezoo.search.stored.measuring import measure_folder

    opened = Checkpoint.open(checkpoint)
    if recall is not None:
        print_advice(tune(opened, folder, recall, queries, device))
    asked = read_manifest(folder).options.get("recall", 0)
    found = measure_folder(opened, folder, read_queries(queries), k, choose_device(device))
    if found.recall < asked:
        console.print_warning(
            f"the index finds {found.recall:.1%} of the nearest items for these queries, less than the {asked:.1%} "
            f"that it was built for: --recall {asked} looks at more of it."
        )
    if as_json:
        console.print_json(
            {
                "index": str(folder),
                "queries": found.queries,
                "k": found.k,
                "recall": found.recall,
                "milliseconds": found.milliseconds,
                "exact_milliseconds": found.exact_milliseconds,
            }
        )
        return
    rows = [
        ("index", f"{found.recall:.4f}", f"{found.milliseconds:.2f}"),
        ("exact", "1.0000", f"{found.exact_milliseconds:.2f}"),
    ]
    console.print_table(["", f"recall@{found.k}", "ms a query"], rows)
