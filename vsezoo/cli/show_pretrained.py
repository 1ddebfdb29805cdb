"""`vsezoo show` of pretrained weights of another library that have a name: what is known without downloading them."""

from __future__ import annotations

from vsezoo import registry
from vsezoo.cli import console
from vsezoo.cli.list_models import describe_pretrained, join_recalls


def show_pretrained(name: str, as_json: bool) -> None:
    """Print what is known of the weights of a name."""
    value = describe_pretrained(registry.find("checkpoints", name))
    if as_json:
        console.print_json(value)
        return
    unknown = "not known"
    fields = [
        ("from", f"{value['distribution']} {value['version']}".strip()),
        ("library", value["format"]),
        ("where it is", value["reference"]),
        ("sha256", value["sha256"] or unknown),
        ("trained on", value["data"]),
        ("license", value["license"] or unknown),
        ("size", f"{value['size_mb']:.0f} MB in float32" if value["size_mb"] else unknown),
        ("pixels", f"{value['pixels']} x {value['pixels']}" if value["pixels"] else unknown),
        ("languages", ", ".join(value["languages"]) or unknown),
        *((f"setting {setting}", str(chosen)) for setting, chosen in value["settings"].items()),
        *([("note", value["notes"])] if value["notes"] else []),
    ]
    console.print_fields(f"{value['name']}: pretrained weights, downloaded when they are first used", fields)
    if value["figures"]:
        rows = [
            [result["data"], join_recalls(result["i2t"]), join_recalls(result["t2i"]), result["source"]]
            for result in value["figures"]
        ]
        columns = ["data", "image to text\nR@1 R@5 R@10", "text to image\nR@1 R@5 R@10", "source"]
        console.print_table(columns, rows, title="\nPublished results")
