"""`vsezoo convert`: convert files of other codebases to checkpoints, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.status import Status

from vsezoo.cli import console, shared_options
from vsezoo.cli.arguments import UNCHECKED_DATASET
from vsezoo.cli.assignments import read_assignments
from vsezoo.cli.command import Command
from vsezoo.cli.show_checkpoint import describe_images, list_origin
from vsezoo.errors import PluginError, UsageError
from vsezoo.hub.reference import parse_reference
from vsezoo.storage.plain_file import require_path

if TYPE_CHECKING:
    from vsezoo.conversion.convert import Conversion


class ConvertCommand(Command):
    """A command whose help lists the registered formats before its examples."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the formats with the options of their importers, then the examples."""
        from vsezoo import registry
        from vsezoo.conversion.recognition import list_formats  # imports torch

        rows = []
        for name, importer in list_formats().items():
            if isinstance(importer, PluginError):
                rows.append((name, f"FAILED: {registry.explain(importer)}"))
                continue
            rows.append((name, importer.summary))
            rows += [(f"  {option}=", line) for option, line in importer.options.items()]
        with formatter.section("Formats and their options"):
            formatter.write_dl(rows or [("(none)", "No installed distribution has an importer.")])
        super().format_epilog(ctx, formatter)


@click.command(
    "convert",
    cls=ConvertCommand,
    examples=[
        ("vsezoo convert model_best.pth.tar --vocab vocab.pkl --output runs/old", "Import VSE++ weights."),
        ("vsezoo convert runs/vsepp-shapes --to vsepp --output model.pth.tar", "Export for the code of VSE++."),
    ],
)
@click.argument("path")
@click.option("--from", "source_format", metavar="FORMAT", help="Format of PATH.  [default: recognised by its content]")
@click.option("--vocab", metavar="FILE", help="Vocabulary file, if it is not found next to PATH.")
@click.option("--data", type=UNCHECKED_DATASET, metavar="DATASET", help="Training data set, if PATH does not name it.")
@click.option("--option", "assignments", multiple=True, metavar="NAME=VALUE", help="Importer option; repeatable.")
@click.option("--to", "target_format", metavar="FORMAT", help="Export the checkpoint PATH to this format.")
@click.option("--output", help="Output folder; with --to, output file.  [default: runs/NAME]")
@click.option("--overwrite", is_flag=True, help="Replace an existing output.")
@shared_options.as_json
def convert(
    path: str,
    source_format: str | None,
    vocab: str | None,
    data: str | None,
    assignments: tuple[str, ...],
    target_format: str | None,
    output: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Convert PATH, a file written by another codebase, to a checkpoint.

    Nothing in the file is executed. Files that belong to it, such as a vocabulary, are looked for next to it.

    With --to, PATH is a checkpoint of vsezoo and is exported to the format of the other codebase.
    """
    options = read_assignments("--option", assignments, "vocab=FILE")
    if target_format is not None:
        for flag, value in (("--from", source_format), ("--vocab", vocab), ("--option", options)):
            if value:
                remedy = "--to exports a checkpoint of vsezoo. Convert the file first, without --to."
                raise UsageError(f"{flag} cannot be combined with --to.", remedy=remedy)
        _export(path, target_format, output, data, overwrite, as_json)
        return
    if parse_reference(path) is None:
        require_path(Path(path), "Give a file or folder to convert.")
    from vsezoo.conversion import convert as conversion  # imports torch

    with _show_work(path):
        made = conversion.convert(
            path, output, format=source_format, vocab=vocab, data=data, options=options, overwrite=overwrite
        )
    if as_json:
        console.print_json(made.to_json())
        return
    _print(made)
    console.messages().print(f"Evaluate it: vsezoo eval {made.checkpoint}")


def _export(
    path: str, target_format: str, output: str | None, data: str | None, overwrite: bool, as_json: bool
) -> None:
    from vsezoo.conversion import convert as conversion
    from vsezoo.storage.digests import digest_file

    with _show_work(path):
        written = conversion.export(path, target_format, output, data=data, overwrite=overwrite)
    if as_json:
        files = {str(file): digest_file(file) for file in written}
        console.print_json({"checkpoint": path, "format": target_format, "files": files})
        return
    for file in written:
        console.results().print(str(file))


def _show_work(path: str) -> Status:
    """Show a spinner if standard error is a terminal."""
    return console.messages().status(console.style_text(f"Converting {path}"))


def _print(made: Conversion) -> None:
    recipe, data = made.config["recipe"], made.config["data"]
    fields = [
        ("data set", data["name"]),
        ("images", describe_images(data)),
        ("embed size", str(recipe["embed_size"])),
    ]
    console.print_fields(f"{made.checkpoint}\n{recipe['name']}: {recipe['summary']}", fields)
    console.print_fields("\nConverted from", list_origin(made.config["converted"]))
