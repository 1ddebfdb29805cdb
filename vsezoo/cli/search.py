"""`vsezoo search`: find the images nearest to a sentence, or the sentences nearest to an image."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from vsezoo.cli import console, search_many, search_terms, shared_options
from vsezoo.cli.arguments import CHECKPOINT, IMAGES, TEXTS
from vsezoo.cli.command import Command
from vsezoo.cli.hits import describe, print_hits
from vsezoo.cli.late_bar import show_late
from vsezoo.cli.output import JSONOption
from vsezoo.cli.skipped import print_skipped
from vsezoo.errors import UsageError
from vsezoo.storage.plain_file import require_path

if TYPE_CHECKING:
    from vsezoo.inputs import PairDataset
    from vsezoo.search.collection import Collection
    from vsezoo.search.index import Index


@click.command(
    cls=Command,
    examples=[
        ('vsezoo search runs/pictures "two dogs in the snow" --images photos/', "Find images for a sentence."),
        ("vsezoo search runs/pictures dog.jpg --texts sentences.txt -k 3", "Find sentences for an image."),
        ('vsezoo search runs/pictures "a beach" --minus people --images photos/ --unique', "Combine queries."),
        (
            "vsezoo search runs/pictures --queries many.jsonl --index ./photos.index",
            "Many queries, by an index folder.",
        ),
        ('vsezoo search --at http://localhost:8000 "a dog"', "Search at a service, as `vsezoo serve` runs it."),
    ],
)
@click.argument("checkpoint", type=CHECKPOINT, required=False)
@click.argument("query", required=False)
@click.option(
    "--queries",
    cls=JSONOption,
    metavar="FILE",
    help="Many queries instead: JSON lines (.jsonl, - for standard input) or sentences. Writes JSON lines.",
)
@click.option(
    "--at", is_eager=True, metavar="URL", help="Search at a service, without CHECKPOINT; $VSEZOO_TOKEN is its token."
)
@click.option("--images", type=IMAGES, metavar="X", help="Search a folder of images, or FILE.npy with features.")
@click.option(
    "--texts", type=TEXTS, metavar="FILE", help="Search the sentences of FILE: one per line, or .csv, .tsv, .jsonl."
)
@shared_options.data("as in training")
@shared_options.data_root
@shared_options.split
@click.option("-k", type=click.IntRange(1, 1_000_000), default=5, show_default=True, help="Number of results.")
@click.option("--uncertainty", is_flag=True, help="Show how uncertain the model is of the query and of each result.")
@click.option(
    "--index",
    metavar="NAME",
    default="exact",
    show_default=True,
    help="Search backend, or a folder that `vsezoo index build` has written, which needs no --images or --texts.",
)
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a gallery, a self-contained page.")
@click.option(
    "--pictures",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Pictures of features for --html, by their ids.",
)
@search_terms.add_options
@shared_options.on_bad_image("skip")
@shared_options.device
@shared_options.as_json
def search(
    checkpoint: str | None,
    query: str | None,
    queries: str | None,
    at: str | None,
    images: str | None,
    texts: str | None,
    data: str | None,
    data_root: Path | None,
    split: str | None,
    k: int,
    uncertainty: bool,
    index: str,
    html: Path | None,
    pictures: Path | None,
    plus: tuple[str, ...],
    minus: tuple[str, ...],
    since: str | None,
    folder: str | None,
    unique: bool,
    on_bad_image: str,
    device: str,
    as_json: bool,
) -> None:
    """Find the items nearest to QUERY in the joint embedding of CHECKPOINT.

    A sentence as QUERY finds images. An image finds sentences: an image file, FILE.npy:17 (row 17 of a feature file),
    or an image of the data set's split by its index or id. Without --images and --texts, the images or captions of the
    split are searched; with --images, an image file finds images like it. The first search embeds the collection once;
    later searches are immediate.
    """
    filters = {"--since": since, "--in": folder, "--unique": unique, "--html": html, "--uncertainty": uncertainty}
    filters["--pictures"] = pictures
    if at is not None:
        search_many.refuse(
            {"--images": images, "--texts": texts, "--data": data, "A checkpoint": query, **filters}, "--at"
        )
        search_many.ask_service(at, checkpoint, queries, plus, minus, k, as_json)
        return
    if checkpoint is None or (query is None) == (queries is None):
        raise UsageError("Give a checkpoint and a query, or --queries FILE.", remedy="See vsezoo search --help.")
    if images and texts:
        raise UsageError("Search either --images or --texts.")
    if pictures is not None:
        if html is None:
            raise UsageError("--pictures are shown on a page.", remedy="Add --html FILE, or leave them out.")
        require_path(pictures, "Give the folder of the pictures that the features are of.")
    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.data.kinds import name_source
    from vsezoo.data.source import OpenOptions
    from vsezoo.devices import choose_device
    from vsezoo.parts import accepted_kinds, load_part
    from vsezoo.search.answers import answer_queries
    from vsezoo.search.filters import read_time
    from vsezoo.search.index import index_collection
    from vsezoo.search.queries import resolve_query
    from vsezoo.search.query_file import read_queries
    from vsezoo.search.sources import collect_images, collect_texts, open_split
    from vsezoo.search.stored.manifest import is_index, read_manifest, require_known
    from vsezoo.search.stored.remote import locate_folder

    moment = read_time(since) if since else None  # before anything is embedded
    require_known(index)
    chosen, opened = choose_device(device), Checkpoint.open(checkpoint)
    if uncertainty and not load_part(opened.recipe, "similarity").uncertain:
        raise UsageError(
            f"{opened.recipe.name!r} gives no uncertainty.", remedy="Take a probabilistic model, such as pcmepp."
        )

    @cache
    def open_data() -> PairDataset:
        options = OpenOptions(data_root, on_bad_image=on_bad_image)
        return open_split(opened, data, split, options, console.print_warning, console.print_note)

    searched: Literal["images", "texts"] | None = "images" if images else "texts" if texts else None
    alone = is_index(index) and not (images or texts or data)
    if alone:
        searched = "texts" if read_manifest(locate_folder(index)).kind == "text" else "images"

    def open_found(collection: Collection | None) -> Index:
        with show_late("Embedding") as advance:
            return index_collection(opened, chosen, collection, index, advance, console.print_warning)

    if query is None:
        search_many.refuse({"--plus": plus, "--minus": minus, **filters}, "--queries")
        asked_many = read_queries(queries or "", k)
        source = (
            None if alone else collect_texts(texts) if texts else collect_images(images or open_data(), on_bad_image)
        )
        found = open_found(source)
        print_skipped(found.skipped)
        answers = answer_queries(found, opened, chosen, asked_many)
        search_many.print_lines(asked_many, ([describe(hit) for hit in hits] for hits in answers))
        return
    asked = resolve_query(query, accepted_kinds(opened.recipe), open_data, searched)
    collection: Collection | None = None
    if alone:
        pass
    elif asked.image is None or images:
        collection = collect_images(images or open_data(), on_bad_image)
    else:
        collection = collect_texts(texts or open_data())
    content = asked.read()
    found = open_found(collection)
    print_skipped(found.skipped)
    with name_source(asked.image.source if asked.image else ""):
        terms = [*((text, False) for text in plus), *((text, True) for text in minus)]
        conditions = (moment, folder, unique)
        hits = search_terms.find_hits(found, opened, chosen, asked, content, terms, open_data, k, conditions)
        (doubt,) = found.read_uncertainty(content) if uncertainty else [None]
    if asked.image is None and not found.knows_words(query):
        unnamed = "" if searched else f" There is no image of that name in {found.collection.name}."
        console.print_warning(
            f"{query!r} is read as a sentence, but the model knows none of its words: the results are meaningless."
            f"{unnamed}"
        )
    if as_json:
        console.print_json(
            {
                "checkpoint": checkpoint,
                "model": opened.recipe.name,
                "query": asked.name,
                **({"plus": plus} if plus else {}),
                **({"minus": minus} if minus else {}),
                **({"uncertainty": doubt} if uncertainty else {}),
                "collection": found.collection.name,
                "size": len(found),
                "hits": [describe(hit, uncertainty) for hit in hits],
                "skipped": dict(found.skipped),
                **({"account": dict(open_data().account)} if open_data.cache_info().currsize else {}),
            }
        )
    else:
        if doubt is not None:
            console.print_note(f"Uncertainty of the query: {doubt:.4g}")
        print_hits(hits, uncertainty)
    if html is not None:
        from vsezoo.search.gallery import write_gallery

        shown = None if asked.image is None else content
        write_gallery(html, asked.name, shown, hits, found.collection, opened.recipe.name, pictures)
