"""`vsezoo index info` and `measure`: what an index folder contains, and how well it finds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsezoo.cli import console, shared_options
from vsezoo.cli.command import Command

if TYPE_CHECKING:
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


@click.command("info", cls=Command, examples=[("vsezoo index info photos.index", "Show what an index contains.")])
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
        ("vsezoo index measure runs/pictures photos.index", "Compare with an exact search, the images being queries."),
        ("vsezoo index measure runs/pictures photos.index --queries sentences.txt", "The same for sentences."),
    ],
)
@click.argument("checkpoint")
@click.argument("folder", type=click.Path(path_type=Path), metavar="INDEX")
@click.option("--queries", metavar="FILE", help="Sentences: one per line, or .csv, .tsv, .jsonl.  [default: items]")
@click.option("-k", type=click.IntRange(1), default=10, show_default=True, help="Number of results.")
@shared_options.device
@shared_options.as_json
def measure(checkpoint: str, folder: Path, queries: str | None, k: int, device: str, as_json: bool) -> None:
    """Measure how much of what an exact search finds INDEX finds too, and the time of a query.

    Without --queries, 500 items of INDEX are the queries. CHECKPOINT is the one that INDEX was built with.
    """
    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.devices import choose_device
    from vsezoo.search.sentence_file import read_sentences
    from vsezoo.search.stored.measuring import measure_folder

    sentences = [sentence.text for sentence in read_sentences(Path(queries))] if queries else []
    found = measure_folder(Checkpoint.open(checkpoint), folder, sentences, k, choose_device(device))
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
