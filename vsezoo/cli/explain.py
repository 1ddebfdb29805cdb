"""`vsezoo explain`: which regions and words make up the score of an image and a caption."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from vsezoo.cli import console, shared_options
from vsezoo.cli.arguments import CHECKPOINT
from vsezoo.cli.command import Command
from vsezoo.errors import UsageError

if TYPE_CHECKING:
    from vsezoo.explanation.explain import Explanation
    from vsezoo.inputs import PairDataset

LISTED = 5
"""Most regions that are listed for the gradient."""


@click.command(
    cls=Command,
    examples=[
        ('vsezoo explain runs/scan 17 "a small red circle" --html why.html', "Explain image 17 of the test split."),
        ('vsezoo explain runs/pictures dog.jpg "a dog runs"', "Explain an image file."),
        (
            'vsezoo explain runs/scan ims.npy:17 "a dog" --pictures photos/ --html a.html',
            "Draw on the photo of a row of features.",
        ),
    ],
)
@click.argument("checkpoint", type=CHECKPOINT)
@click.argument("image")
@click.argument("caption")
@shared_options.data("as in training")
@shared_options.data_root
@shared_options.split
@click.option(
    "--pictures",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Folder with the picture of the image, found by its id, or that picture.",
)
@click.option(
    "--method",
    type=click.Choice(("auto", "attention", "gradient")),
    default="auto",
    show_default=True,
    help="auto: attention if the similarity has it.",
)
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write maps, a self-contained page.")
@shared_options.device
@shared_options.as_json
def explain(
    checkpoint: str,
    image: str,
    caption: str,
    data: str | None,
    data_root: Path | None,
    split: str | None,
    pictures: Path | None,
    method: Literal["auto", "attention", "gradient"],
    html: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Show which regions of IMAGE and which words of CAPTION make up their score by CHECKPOINT.

    IMAGE is an image of the data set's split by its index or id; FILE.npy:17, a row of a feature file; or an image
    file, if the model takes image files. For a similarity with attention: the region that each word attends to. For
    others: how much each word and each region raises the score, by its gradient.
    """
    from PIL import Image

    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.data.kinds import name_source
    from vsezoo.data.source import OpenOptions
    from vsezoo.devices import choose_device
    from vsezoo.explanation.explain import explain as compute
    from vsezoo.explanation.page import write_page
    from vsezoo.explanation.places import locate_regions
    from vsezoo.parts import accepted_kinds
    from vsezoo.search.queries import find_images
    from vsezoo.search.sources import open_split

    chosen, opened = choose_device(device), Checkpoint.open(checkpoint)

    def open_data() -> PairDataset:
        return open_split(opened, data, split, OpenOptions(data_root), console.print_warning, console.print_note)

    named, *more = find_images([image], accepted_kinds(opened.recipe), open_data)
    if more:
        raise UsageError(
            f"{image!r} contains {len(more) + 1:,} images; one is explained at a time.",
            remedy=f"Name one of its rows, counted from 0, such as {named.name}",
        )
    content = named.read([named.row])[0]
    regions = None
    if not isinstance(content, Image.Image):
        regions = locate_regions(named, len(content) if content.ndim == 2 else 0, pictures)
    elif pictures is not None:
        raise UsageError("--pictures is for features; this image is a picture.", remedy="Remove --pictures.")
    with name_source(named.source):
        found = compute(opened.model(chosen), content, caption, method=method, regions=regions)
    if html is not None:
        write_page(html, found, image=named.name, model=opened.recipe.name)
    if as_json:
        about = {"checkpoint": checkpoint, "model": opened.recipe.name, "image": named.name}
        console.print_json(about | found.to_json())
    else:
        print_explanation(found)


def print_explanation(found: Explanation) -> None:
    """Print the score, and tables of words and regions."""
    console.results().print(f"score {found.score:.4f}, by {found.method}")
    places = found.regions.has_places
    heading = ["region", *(["place"] if places else []), "weight"]
    if found.method == "attention":
        rows = [
            (word, *_describe(found, found.find_best(row), f"{weight:.3f}"))
            for row, (word, weight) in enumerate(zip(found.words, found.word_weights.tolist(), strict=True))
        ]
        console.print_table(["word", *heading], rows)
        return
    weights = zip(found.words, found.word_weights.tolist(), strict=True)
    console.print_table(["word", "weight"], [(word, f"{weight:+.4f}") for word, weight in weights])
    (of_regions,) = found.region_weights
    best = (-of_regions).argsort(kind="stable")[:LISTED].tolist()
    if best:
        console.results().print()
        rows = [tuple(_describe(found, region, f"{of_regions[region]:+.4f}")) for region in best]
        console.print_table(heading, rows, f"The {len(rows)} regions of {len(of_regions):,} with the largest weights")


def _describe(found: Explanation, region: int, weight: str) -> list[str]:
    """Return the cells of a region: its number, its place if regions have places, and a weight."""
    place = [found.regions.describe(region)] if found.regions.has_places else []
    return [str(region), *place, weight]
