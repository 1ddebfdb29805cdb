"""Options shared by several commands, each declared once. Part of the plugin API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from vsezoo.cli.output import JSONOption

Function = TypeVar("Function", bound=Callable[..., Any])

data_root = click.option(
    "--data-root", type=click.Path(path_type=Path), help="Folder that contains the data set's folder."
)
split = click.option(
    "--split",
    help="Split of the data set: train, dev, test, …  [default: test; dev if the checkpoint was measured on it]",
)
full_dev = click.option("--full-dev", is_flag=True, help="Use the whole dev split, not its first 1,000 images.")
use_restval = click.option("--use-restval", is_flag=True, help="COCO: add the restval split to train.")
device = click.option("--device", default="auto", show_default=True, help="cpu, cuda, …")
engine = click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where to embed: in this process, or on a Ray cluster.",
)
as_json = click.option("--json", "as_json", is_flag=True, cls=JSONOption, help="Write JSON.")
"""A `Command` that gets it reserves standard output for `console.print_json`."""


def data(default: str, type: click.ParamType[str] | None = None) -> Callable[[Function], Function]:
    """Return `--data`, `default` being shown as its default; its type is `DATASET` unless another is given."""
    from vsezoo.cli.arguments import DATASET  # listings, which must start fast, take no data

    return click.option(
        "--data",
        type=type or DATASET,
        metavar="DATASET",
        help=f"A registered data set or a folder.  [default: {default}]",
    )


def on_bad_image(default: str) -> Callable[[Function], Function]:
    """Return `--on-bad-image` with its default, one of `BAD_IMAGE_POLICIES`."""
    from vsezoo.data.source import BAD_IMAGE_POLICIES  # only some commands need it, and listings must start fast

    return click.option(
        "--on-bad-image",
        type=click.Choice(BAD_IMAGE_POLICIES),
        default=default,
        show_default=True,
        help="What to do with an unreadable image: stop, or skip it.",
    )
