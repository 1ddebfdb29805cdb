"""The model card of a checkpoint: its `README.md`, shown on the Hub.

Sections that vsezoo updates are between markers, such as `<!-- vsezoo: begin results -->` and `<!-- vsezoo: end
results -->`; everything else is written once and then belongs to its editors. Rendering a card never fails: facts that
cannot be determined are left out and listed in `Card.missing`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from vsezoo import registry
from vsezoo.cards.command import find_changes, write_command
from vsezoo.cards.metadata import UNKNOWN_LICENSE
from vsezoo.data.lookup import find_source
from vsezoo.errors import first_line
from vsezoo.recipe import PublishedResult, Recipe
from vsezoo.registry.entry import SESSION
from vsezoo.storage.checkpoint_layout import UNKNOWN_DATA

TEMPLATE = Path(__file__).with_name("card_template.md")
HERE = "path/to/this/folder"


@dataclass(frozen=True)
class Card:
    """A card as Markdown with YAML front matter, and the facts that are missing, one sentence each."""

    text: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """Facts about a checkpoint from the folder of its run.

    Attributes:
        captions_sha256: digest of the training captions as the model read them.
        flags: further flags of `vsezoo train` that affect training, such as `--full-dev`.
        curves: file name of the plot of the training curves, if any.
    """

    captions_sha256: str = ""
    flags: tuple[str, ...] = ()
    curves: str = ""


@dataclass
class _Facts:
    """Collects the facts of a card; a fact that fails becomes None and is listed as missing."""

    missing: list[str] = field(default_factory=list)

    def find(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:  # a broken recipe or plugin must not stop a training run or a push
            self.missing.append(f"{what}: {first_line(error)}.")
            return None


def render_card(
    config: Mapping[str, Any],
    evaluation: Mapping[str, Any] | None,
    run: Run | None = None,
    *,
    reference: str = HERE,
    license: str = UNKNOWN_LICENSE,
) -> Card:
    """Return the card of a checkpoint.

    Args:
        config: its `config.json`.
        evaluation: the result of `Evaluation.to_json`; None if it has not been evaluated.
        run: facts from its run.
        reference: the reference in the example that loads it.
        license: one of the Hub's identifiers.
    """
    facts = _Facts()
    text = facts.find("The card", _render, facts, config, evaluation, run or Run(), reference, license)
    if text is None:
        text = "---\nlibrary_name: vsezoo\n---\n\nThe card could not be written. The model is as `config.json` says.\n"
    return Card(text, tuple(facts.missing))


@functools.cache  # compiling it takes longer than the rest of a checkpoint, and a training run saves many
def _read_template(path: Path) -> jinja2.Template:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(path.read_text(encoding="utf-8"))


def _render(
    facts: _Facts,
    config: Mapping[str, Any],
    evaluation: Mapping[str, Any] | None,
    run: Run,
    reference: str,
    license: str,
) -> str:
    from vsezoo.cards.metadata import describe_model  # imports a part of the Hub's client

    recipe, data = Recipe.from_json(config["recipe"]), config["data"]
    registered = facts.find("The overrides and the origin of the recipe", _load_recipe, recipe.name)
    changes = None
    if registered is not None:
        changes = facts.find("The settings that differ from the recipe", find_changes, recipe, registered, data)
    source = facts.find("The origin of the data", _find_source, data["name"])
    metadata = facts.find("The metadata", describe_model, recipe.name, data["name"], evaluation, license)
    converted = config.get("converted")
    importer, summary = None, recipe.summary
    if converted and converted["distribution"] == registry.OWN:  # another may be absent when the card is renewed
        importer = facts.find("The format of the files", registry.load, "importers", converted["format"])
    if converted and registered and summary == registered.summary:  # which may describe how vsezoo trains it
        summary = f"A checkpoint of the architecture of `{recipe.name}`."
    plugins = sorted({(part["distribution"], part["version"]) for part in config["plugins"].values()})
    return _read_template(TEMPLATE).render(
        metadata=metadata or "library_name: vsezoo",
        recipe=recipe,
        summary=summary,
        reference=reference,
        data=data,
        source=source,
        form=_describe_form(data),
        evaluation=evaluation,
        paper=registered.paper if registered else None,
        override=registered.overrides.get(data["name"]) if registered else None,
        published=_find_published(registered.published, data["name"]) if registered else [],
        command=write_command(recipe, data["name"], changes, flags=run.flags),
        changes=changes,
        settings=[(name, value) for name, value in recipe.flatten().items() if not changes or name not in changes],
        run=run,
        config=config,
        converted=converted,
        importer=importer,
        reported=_find_reported(converted["notes"]) if converted else {},
        unknown=UNKNOWN_DATA,
        plugins=plugins,
        needed=[plugin for plugin in plugins if plugin[0] not in (registry.OWN, SESSION)],
        show=_show,
    )


def _load_recipe(model: str) -> Recipe:
    recipe: Recipe = registry.load("models", model)
    return recipe


def _find_reported(notes: Mapping[str, Any]) -> dict[str, str]:
    """Return the numbers that the files of another codebase record, such as the epoch."""
    numbers = {name: value for name, value in notes.items() if type(value) in (int, float)}
    return {name: f"{value:.6g}" for name, value in numbers.items()}


def _find_source(data: str) -> Any:
    """Return the source of a registered data set; None for the name of a folder."""
    return find_source(data) if data in registry.list_names("datasets") else None


def _describe_form(data: Mapping[str, Any]) -> str:
    if data["kind"] == "picture":
        return "a list of pictures (`PIL.Image.Image`)"
    unknown = ("regions", "width") if data["kind"] == "regions" else ("width",)
    return f"an array of shape (images, {', '.join(map(str, data['image_shape'] or unknown))})"


def _find_published(results: tuple[PublishedResult, ...], data: str) -> list[PublishedResult]:
    """Return the published results on this data set, with any features: f30k_precomp and f30k are both Flickr30K."""
    return [result for result in results if result.data.split("_")[0] == data.split("_")[0]]


def _show(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.1f}"
