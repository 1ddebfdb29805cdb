"""`vsezoo data split`: choose the splits of a data set of pictures."""

from __future__ import annotations

from pathlib import Path

import click

from vsezoo.cli import console, shared_options
from vsezoo.cli.arguments import DATASET
from vsezoo.cli.command import Command
from vsezoo.errors import UsageError


@click.command(
    "split",
    cls=Command,
    examples=[
        ("vsezoo data split videos/ --group folder", "Draw splits that keep the frames of each folder together."),
        ("vsezoo data split photos/ --group near-duplicates", "Keep pictures that look nearly the same together."),
        ("vsezoo data split docci/ --keep", "Draw a dev split from train, and keep the given test split."),
        ("vsezoo data split photos/ --rename 0=train --rename 1=dev --rename 2=test", "Rename the given splits."),
    ],
)
@click.argument("dataset", type=DATASET)
@shared_options.data_root
@click.option(
    "--group",
    metavar="WAY",
    help="Keep together: folder, near-duplicates, or what a regular expression finds in the id.  [default: nothing]",
)
@click.option("--dev", type=click.FloatRange(0, 99), default=10, show_default=True, help="Percent of dev.")
@click.option("--test", type=click.FloatRange(0, 99), default=10, show_default=True, help="Percent of test.")
@click.option("--keep", is_flag=True, help="Draw only dev and test that are absent, from train; keep the others.")
@click.option("--rename", multiple=True, metavar="OLD=NEW", help="Keep the splits, under other names; repeatable.")
@click.option("--force", is_flag=True, help="Replace an existing splits.csv.")
@shared_options.as_json
def split(
    dataset: str,
    data_root: Path | None,
    group: str | None,
    dev: float,
    test: float,
    keep: bool,
    rename: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Choose the splits of the pictures of DATASET, a registered name or a folder.

    Writes splits.csv into the folder of the data. Every command follows it, whatever the layout says; pictures that
    it does not name are left out.
    """
    from vsezoo.cli.bars import show_progress
    from vsezoo.data.lookup import find_source
    from vsezoo.data.pictures.resplit import draw_splits, rename_splits
    from vsezoo.data.pictures.source import PictureSource
    from vsezoo.data.source import OpenOptions

    sources = find_source(dataset).list_sources(OpenOptions(data_root))
    source = next((one for one in sources if isinstance(one, PictureSource)), None)
    if source is None:
        raise UsageError(f"{dataset!r} has no pictures: features are split by the names of their files.")
    listing = source.read(data_root, own_splits=False)
    if rename:
        if group or keep:
            raise UsageError(f"Either --rename splits or draw them by {'--group' if group else '--keep'}.")
        pairs = [text.partition("=") for text in rename]
        if wrong := [text for text, (old, _, new) in zip(rename, pairs, strict=True) if not old or not new]:
            raise UsageError(f"--rename takes OLD=NEW, not {wrong[0]!r}.", remedy="Example: --rename 0=train")
        chosen = rename_splits(listing, {old: new for old, _, new in pairs})
    else:
        with show_progress("pictures") as advance:
            chosen = draw_splits(listing, group or "", dev / 100, test / 100, advance, keep=keep)
    chosen.write(force=force)
    if as_json:
        console.print_json(chosen.to_json())
        return
    counts = chosen.to_json()["splits"]
    console.results().print(f"{chosen.file}: {', '.join(f'{name} {counts[name]:,}' for name in sorted(counts))}")
    console.results().print(f"Rule: {chosen.rule}.")
