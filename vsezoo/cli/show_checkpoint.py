"""What `vsezoo show` prints about a checkpoint: settings, data set and figures, from its small files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.filesize import decimal

from vsezoo.cli import console
from vsezoo.conversion.files import show


def show_checkpoint(reference: str, as_json: bool) -> None:
    """Print a description of a checkpoint without reading its weights."""
    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.cli.figures import render
    from vsezoo.evaluation.report import Evaluation
    from vsezoo.storage.checkpoint_layout import METRICS

    checkpoint = Checkpoint.open(reference, weights=False)
    figures = checkpoint.evaluation()
    evaluation = None if figures is None else Evaluation.from_json(figures, checkpoint.folder / METRICS)
    value = {
        "reference": checkpoint.reference,
        **checkpoint.config,
        "metrics": None if evaluation is None else evaluation.to_json(),
    }
    if as_json:
        console.print_json(value)
        return
    _print(value)
    if evaluation is not None:
        console.results().print()
        console.results().print(render(evaluation))


def _print(value: dict[str, Any]) -> None:
    from vsezoo.recipe import Recipe

    recipe, data, trained = Recipe.from_json(value["recipe"]), value["data"], value["trained"]
    counts = (
        f": {data['images']:,} images, {data['captions']:,} captions" if "images" in data and "captions" in data else ""
    )
    fields = [
        ("data set", f"{data.get('name')}{counts}"),
        ("images", describe_images(data)),
        *([("trained", ", ".join(f"{name} {_round(known)}" for name, known in trained.items()))] if trained else []),
        ("written by", f"vsezoo {value.get('vsezoo_version')}"),
        ("files", ", ".join(f"{name} ({decimal(file['size'])})" for name, file in value["files"].items())),
    ]
    console.print_fields(f"{value['reference']}\n{recipe.name}: {recipe.summary}", fields)
    if "converted" in value:
        console.print_fields("\nConverted from", list_origin(value["converted"]))
    console.print_fields("\nSettings", [(name, str(setting)) for name, setting in recipe.flatten().items()])


def _round(value: Any) -> Any:
    return f"{value:.1f}" if isinstance(value, float) else value


def describe_images(data: Mapping[str, Any]) -> str:
    """Return what images a model was trained with, of the `data` in `config.json`: "regions of 36 x 2048"."""
    shape = " x ".join(map(str, data.get("image_shape") or ()))
    return f"{data.get('kind')} of {shape}" if shape else str(data.get("kind"))


def list_origin(converted: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the origin of a converted checkpoint from `config.json`: each file with its SHA-256, then the notes."""
    origin = f"{converted['format']} ({converted['distribution']} {converted['version']})"
    fields = [("format", show(origin))]
    if "source" in converted:
        fields.append(("source", show(converted["source"])))
    for name, file in converted["files"].items():
        fields.append((show(name), f"{decimal(file['size'])}, sha256 {show(file['sha256'])}"))
    fields += [(show(f"--option {name}"), show(value)) for name, value in converted["options"].items()]
    for name, note in converted["notes"].items():
        items = note.items() if isinstance(note, Mapping) else ()
        listed = ", ".join(f"{show(key)}={show(value)}" for key, value in items if value != "")
        fields.append((show(name), listed or show(note)))
    return fields
