"""`vsezoo list-models`: the registered models."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from vsezoo import registry
from vsezoo.cli import console, shared_options
from vsezoo.cli.command import Command
from vsezoo.errors import PluginError, VsezooError, suggest_name

if TYPE_CHECKING:
    from vsezoo.recipe import Paper


@click.command(
    "list-models",
    cls=Command,
    examples=[
        ("vsezoo list-models", "List all models."),
        ("vsezoo list-models 'vse*'", "List those whose name or alias begins with vse."),
        ("vsezoo list-models --pretrained", "List the trained checkpoints that have a name."),
        ("vsezoo list-models --json", "Write the list as JSON."),
    ],
)
@click.argument("pattern", default="*")
@click.option("--pretrained", is_flag=True, help="List trained checkpoints by name instead.")
@shared_options.as_json
def list_models(pattern: str, pretrained: bool, as_json: bool) -> None:
    """List the models, or those that match PATTERN.

    PATTERN is compared with names and aliases: 'vse*', '*vse*'. Case is ignored.

    Models that cannot be loaded are listed as FAILED with the reason, names registered by several distributions as
    CONFLICT in their qualified form. The exit code is 1 if nothing matches.

    A trained checkpoint that has a name, such as clip-vit-b32.openai, is used by that name wherever a checkpoint is:
    vsezoo eval NAME, vsezoo search NAME, vsezoo.load(NAME). Figures are R@1 image to text, then text to image; vsezoo
    show NAME prints their sources. An empty cell is not known.
    """
    if pretrained:
        _list_pretrained(pattern, as_json)
        return
    known = describe_models()
    models = [model for model in known if _matches(model, pattern)]
    if not models:
        names = [name for model in known for name in (model["name"], *model["aliases"])]
        hint = f"Try '*{pattern.strip('*')}*' for names that contain it, or no pattern to list all models."
        raise VsezooError(f"No model matches {pattern!r}.", remedy=suggest_name(pattern, names, hint))

    if as_json:
        console.print_json(models)
    else:
        console.print_table(["model", "what it is", "paper", "from"], [_row(model) for model in models])


def describe_models() -> list[dict[str, Any]]:
    """Return a description of each model with its aliases, in natural order.

    The keys are `name`, `aliases`, `summary`, `paper` (first author and year), `distribution`, `version`, `conflict`
    and `failed` (the reason, or None).
    """
    groups: dict[tuple[str, str], list[registry.Entry]] = {}
    for entry in registry.list_entries("models"):
        groups.setdefault((entry.distribution, entry.value), []).append(entry)
    return sorted((_describe(group) for group in groups.values()), key=lambda m: registry.natural_key(m["name"]))


def _describe(entries: list[registry.Entry]) -> dict[str, Any]:
    first, summary, paper, failed = entries[0], "", "", None
    try:
        recipe = first.load()
    except PluginError as error:
        failed = registry.explain(error)
    else:
        summary, paper = recipe.summary, cite_paper(recipe.paper)
        first = next((entry for entry in entries if entry.name == recipe.name), first)
    return {
        "name": first.label,
        "aliases": [entry.label for entry in entries if entry is not first],
        "summary": summary,
        "paper": paper,
        "distribution": first.distribution,
        "version": first.version,
        "conflict": first.conflict,
        "failed": failed,
    }


def cite_paper(paper: Paper | None) -> str:
    """Return the family name of the first author and the year."""
    if paper is None:
        return ""
    first = paper.authors.split(",")[0].split(" and ")[0].removesuffix("et al.")
    return f"{first.split()[-1]} {paper.year}"


def _matches(model: dict[str, Any], pattern: str) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for name in (model["name"], *model["aliases"]))


def _row(model: dict[str, Any]) -> list[str | Text]:
    name = f"{model['name']} ({', '.join(model['aliases'])})" if model["aliases"] else model["name"]
    origin = f"{model['distribution']} {model['version']}".strip()
    return [name, console.mark_problems(model, model["summary"]), model["paper"], origin]


def _list_pretrained(pattern: str, as_json: bool) -> None:
    known = [describe_pretrained(entry) for entry in registry.list_entries("checkpoints")]
    found = [checkpoint for checkpoint in known if fnmatchcase(checkpoint["name"].lower(), pattern.lower())]
    if not found:
        names = [checkpoint["name"] for checkpoint in known]
        hint = "`vsezoo list-models --pretrained` lists what there is."
        raise VsezooError(f"No pretrained checkpoint matches {pattern!r}.", remedy=suggest_name(pattern, names, hint))
    if as_json:
        console.print_json(found)
        return
    columns = ["checkpoint", "trained on", "figures", "pixels", "languages", "license", "size", "where it is", "from"]
    console.print_table(columns, [_pretrained_row(checkpoint) for checkpoint in found])


def describe_pretrained(entry: registry.Entry) -> dict[str, Any]:
    """Return what is known of a registered checkpoint: the fields of `Pretrained`, and where it comes from."""
    from vsezoo.recipe import Pretrained

    record, failed = None, None
    try:
        record = entry.load()
    except PluginError as error:
        failed = registry.explain(error)
    fields = [field.name for field in dataclasses.fields(Pretrained)]
    return {
        **(dict.fromkeys(fields) if record is None else dataclasses.asdict(record)),
        "name": entry.label,
        "distribution": entry.distribution,
        "version": entry.version,
        "conflict": entry.conflict,
        "failed": failed,
    }


def join_recalls(recalls: Iterable[float | None]) -> str:
    """Return recalls on one line; `-` where one is not known."""
    return " ".join("-" if recall is None else str(recall) for recall in recalls)


def _pretrained_row(checkpoint: dict[str, Any]) -> list[str | Text]:
    figures = [
        f"{result['data']} R@1 {join_recalls((result['i2t'][0], result['t2i'][0]))}"
        for result in checkpoint["figures"] or ()
    ]
    size = f"{checkpoint['size_mb']:.0f} MB" if checkpoint["size_mb"] else ""
    origin = f"{checkpoint['distribution']} {checkpoint['version']}".strip()
    return [
        checkpoint["name"],
        console.mark_problems(checkpoint, checkpoint["data"] or ""),
        "; ".join(figures),
        str(checkpoint["pixels"] or ""),
        ", ".join(checkpoint["languages"] or ()),
        checkpoint["license"] or "",
        size,
        checkpoint["reference"] or "",
        origin,
    ]
