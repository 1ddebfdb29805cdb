"""What `vsezoo show hub:org/name` says: a checkpoint's settings, data and figures, from its small files."""

from __future__ import annotations

from typing import Any

from rich.filesize import decimal

from vsezoo.cli import console


def show_checkpoint(reference: str, as_json: bool) -> None:
    """Write what is known of a checkpoint on the Hub, without its weights."""
    from vsezoo.checkpoint import METRICS, read_config, read_json
    from vsezoo.evaluation.report import Evaluation, render
    from vsezoo.hub.download import fetch_checkpoint
    from vsezoo.hub.reference import parse_reference, pin_reference

    pinned = parse_reference(pin_reference(reference))
    assert pinned is not None
    folder = fetch_checkpoint(pinned, weights=False)
    config = read_config(folder, verify=False)
    evaluation = None
    if METRICS in config["files"]:
        evaluation = Evaluation.from_json(read_json(folder / METRICS), folder / METRICS)
    value = {"reference": str(pinned), **config, "metrics": evaluation.to_json() if evaluation else None}
    if as_json:
        console.print_json(value)
        return
    _print(value)
    if evaluation is not None:
        console.results().print()
        console.results().print(render(evaluation))


def _print(value: dict[str, Any]) -> None:
    from vsezoo.hub.command import flatten
    from vsezoo.recipe import Recipe

    recipe, data, trained = Recipe.from_json(value["recipe"]), value["data"], value["trained"]
    fields = [
        ("data set", f"{data.get('name')}: {data.get('images')} images, {data.get('captions')} captions"),
        ("images", f"{data.get('kind')} of shape {data.get('image_shape')}"),
        ("trained", ", ".join(f"{name} {known}" for name, known in trained.items())),
        ("written by", f"vsezoo {value.get('vsezoo_version')}"),
        ("files", ", ".join(f"{name} ({decimal(file['size'])})" for name, file in value["files"].items())),
    ]
    console.print_fields(f"{value['reference']}\n{recipe.name}: {recipe.summary}", fields)
    console.print_fields("\nSettings", [(name, str(setting)) for name, setting in flatten(recipe).items()])
