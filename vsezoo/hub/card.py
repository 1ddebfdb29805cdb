"""The model card of a checkpoint: its `README.md`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from vsezoo import registry
from vsezoo.errors import VsezooError
from vsezoo.interfaces import PairDataset
from vsezoo.recipe import PART_KINDS, Paper, Recipe

TEMPLATE = Path(__file__).with_name("card_template.md")


def render_card(recipe: Recipe, data: PairDataset, evaluation: Mapping[str, Any] | None) -> str:
    """Return the card of a model as Markdown with a YAML head.

    Args:
        recipe: resolved, as trained.
        data: the training split.
        evaluation: what `Evaluation.to_json` gives; None while nothing has been measured.
    """
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        recipe=recipe,
        data={"name": data.name, "images": len(data.image_ids), "captions": len(data.captions)},
        form=f"{data.kind}: an array of shape (images, {', '.join(str(size) for size in data.image_shape)})",
        evaluation=evaluation,
        paper=find_paper(recipe.name),
        settings=_settings(recipe),
    )


def find_paper(model: str) -> Paper | None:
    """Return the paper of a registered model; None if it has none or is not registered here."""
    try:
        paper: Paper | None = registry.load("models", model).paper
    except VsezooError:
        return None
    return paper


def _settings(recipe: Recipe) -> list[tuple[str, Any]]:
    value = recipe.to_json()
    rows = [("embed_size", value["embed_size"])]
    for kind in PART_KINDS:
        rows.append((kind, value[kind]["name"]))
        rows += [(f"{kind}.{name}", option) for name, option in value[kind]["options"].items()]
    return rows + [(f"training.{name}", setting) for name, setting in value["training"].items()]
