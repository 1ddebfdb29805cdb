"""`vsezoo show`: print everything known about a model or a checkpoint."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from vsezoo import registry
from vsezoo.cli import console, shared_options
from vsezoo.cli.arguments import SHOWN, UNCHECKED_DATASET
from vsezoo.cli.command import Command
from vsezoo.cli.show_checkpoint import show_checkpoint
from vsezoo.cli.show_parts import describe_option, describe_parts
from vsezoo.cli.show_pretrained import show_pretrained
from vsezoo.errors import UsageError
from vsezoo.hub.reference import parse_reference
from vsezoo.recipe import TRAINING_FIELDS, PublishedResult
from vsezoo.recipe.file import is_recipe_file
from vsezoo.recipe.settings import TRAINING_OPTIONS

if TYPE_CHECKING:
    from vsezoo.recipe import Recipe


@click.command(
    "show",
    cls=Command,
    examples=[
        ("vsezoo show vsepp", "Show the recipe vsepp: parts, settings, overrides, published results."),
        ("vsezoo show vsepp --data f8k_precomp", "Show the settings that a training run on f8k_precomp uses."),
        ("vsezoo show runs/vsepp-shapes", "Show a checkpoint: settings, data set, figures."),
        ("vsezoo show vsepp --json > my.json", "Write a recipe file, to edit and train: vsezoo train my.json."),
    ],
)
@click.argument("model", type=SHOWN)
@click.option("--data", type=UNCHECKED_DATASET, metavar="DATASET", help="Apply the overrides for this data set.")
@shared_options.as_json
def show(model: str, data: str | None, as_json: bool) -> None:
    """Show a model and all of its settings.

    Prints the parts with every option, the training settings, the number of parameters, the overrides for data sets
    with their reasons, the paper, and published results with their sources.

    MODEL may also be a checkpoint: a folder, or hub:org/name, of which only the small files are downloaded. Its
    settings, data set, origin and figures are shown. Or it is a recipe file, as --json writes it for a model.
    """
    if _is_checkpoint(model):
        if data is not None:
            raise UsageError(
                "--data does not apply to a checkpoint.", remedy="Its settings belong to its training data set."
            )
        if _is_pretrained(model):
            show_pretrained(model, as_json)
        else:
            show_checkpoint(model, as_json)
        return
    entry, recipe = _find(model)
    if data is not None:
        from vsezoo.data.lookup import find_source

        data = find_source(data).name
        recipe = recipe.for_data(data)
    value = _describe(model, entry, recipe, data)
    if as_json:
        console.print_json(value)
    else:
        _print(value, recipe)


def _find(model: str) -> tuple[registry.Entry | None, Recipe]:
    """Return a recipe, and how it is registered; a recipe file is not."""
    if not is_recipe_file(model):
        entry = registry.find("models", model)
        return entry, entry.load()
    from vsezoo.parts import load_recipe

    return None, load_recipe(model)


def _is_checkpoint(model: str) -> bool:
    """Return whether this is a checkpoint, by a reference, path, folder or registered name, and not a model's name."""
    if is_recipe_file(model):
        return False
    if parse_reference(model) is not None or "/" in model or os.sep in model:
        return True
    known = registry.list_names("models")
    return model not in known and (Path(model).is_dir() or model in registry.list_names("checkpoints"))


def _is_pretrained(model: str) -> bool:
    """Return whether this is the name of pretrained weights of another library, and not a folder."""
    if Path(model).exists() or model not in registry.list_names("checkpoints"):
        return False
    return bool(registry.find("checkpoints", model).load().format)


def _describe(model: str, entry: registry.Entry | None, recipe: Recipe, data: str | None) -> dict[str, Any]:
    of_parts = describe_parts(recipe, own=entry is not None and entry.own)
    return {
        "name": recipe.name,
        "aliases": [name for name in (entry.label, *registry.list_aliases(entry)) if name != recipe.name]
        if entry
        else [],
        "summary": recipe.summary,
        "distribution": entry.distribution if entry else None,
        "version": entry.version if entry else None,
        **({} if entry else {"file": model}),
        "data": data,
        "embed_size": recipe.embed_size,
        "pretrained": recipe.pretrained or None,
        "parts": of_parts["parts"],
        "training": {name: getattr(recipe.training, name) for name in TRAINING_FIELDS},
        "training_options": {name: describe_option(option) for name, option in TRAINING_OPTIONS.items()},
        "parameters": of_parts["parameters"],
        "overrides": {name: dataclasses.asdict(override) for name, override in recipe.overrides.items()},
        "paper": None if recipe.paper is None else dataclasses.asdict(recipe.paper),
        "published": [dataclasses.asdict(result) for result in recipe.published],
    }


def _print(value: dict[str, Any], recipe: Recipe) -> None:
    aliases = f" (also {', '.join(value['aliases'])})" if value["aliases"] else ""
    origin = value.get("file") or f"{value['distribution']} {value['version']}"
    fields: list[tuple[str, str | Text]] = [("from", origin.strip())]
    if recipe.paper is not None:
        paper = recipe.paper
        fields.append(("paper", f"{paper.authors}: {paper.title}. {paper.venue} {paper.year}. {paper.url}".strip()))
    if value["data"] is not None:
        given = "with its overrides" if value["data"] in recipe.overrides else "without overrides"
        fields.append(("data set", f"{value['data']}, {given}"))
    counts = value["parameters"]
    fields.append(("embed size", str(recipe.embed_size or "that of the pretrained weights")))
    if recipe.pretrained:
        fields.append(("pretrained", recipe.pretrained))
    if counts is not None:
        fields.append(
            (
                "parameters",
                f"{counts['total']:,} (image encoder {counts['image_encoder']:,}, text encoder "
                f"{counts['text_encoder']:,}; counted with {counts['assumption']})",
            )
        )
    console.print_fields(f"{recipe.name}{aliases}: {recipe.summary}", fields)
    _print_settings(value)
    if recipe.overrides:
        rows = [
            (data, ", ".join(f"{name}={setting}" for name, setting in override.settings.items()), override.reason)
            for data, override in recipe.overrides.items()
        ]
        console.print_table(["data set", "settings", "reason"], rows, title="\nOverrides")
    if recipe.published:
        heading = " ".join(f"{name:>4}" for name in ("R@1", "R@5", "R@10", "MedR"))
        columns = ["data", f"image to text\n{heading}", f"text to image\n{heading}", "features; source"]
        console.print_table(columns, map(_published_row, recipe.published), title="\nPublished results")


def _print_settings(value: dict[str, Any]) -> None:
    for kind, part in value["parts"].items():
        title = f"\n{kind.replace('_', ' ').capitalize()}: {part['name']} ({part['distribution']} {part['version']})"
        rows = [_option_row(f"{kind}.{name}", option["value"], option) for name, option in part["options"].items()]
        console.print_fields(title, rows)
    known = value["training_options"]
    rows = [_option_row(f"training.{name}", setting, known[name]) for name, setting in value["training"].items()]
    console.print_fields("\nTraining", rows)


def _option_row(name: str, value: Any, option: dict[str, Any]) -> tuple[str, Text, str]:
    text = console.style_text(str(value))
    if value != option["default"]:
        text.append(f"  (default {option['default']})", "dim")
    doc, limits = option["doc"] or "", f"({option['range']})" if option["range"] else ""
    return name, text, " ".join(filter(None, [doc[:1].upper() + doc[1:], limits]))


def _published_row(result: PublishedResult) -> list[str]:
    def align(recalls: tuple[float | None, ...], rank: float | None) -> str:
        return " ".join(f"{'-' if figure is None else str(float(figure)):>4}" for figure in (*recalls, rank))

    data = result.data if result.protocol == "full" else f"{result.data} {result.protocol}"
    source = "; ".join(filter(None, [result.features, result.source]))
    return [data, align(result.i2t, result.i2t_medr), align(result.t2i, result.t2i_medr), source]
