"""Write the result of a search as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vsezoo.data.pictures.find import find_files
from vsezoo.data.pictures.thumbnail import embed_thumbnail
from vsezoo.errors import DataError
from vsezoo.search.collection import Collection
from vsezoo.search.hit import Hit
from vsezoo.storage.html_page import write_html

TEMPLATE = "gallery.html"


def write_gallery(
    path: Path,
    query: str,
    asked: Any,
    hits: Sequence[Hit],
    collection: Collection,
    model: str,
    pictures: Path | None = None,
) -> None:
    """Write the page. It contains no paths of folders, so that it can be shared.

    Args:
        path: the output file; replaced if it exists.
        query: the sentence, or the name of the image.
        asked: the image as a batch of one, or None for a sentence. It is shown if it is a picture.
        hits: the results.
        collection: the collection that was searched.
        model: name of the model.
        pictures: the folder of the pictures of a collection of features, found by their ids; what is not found or
            cannot be read is shown by its id.

    Raises:
        DataError: for an id that several pictures have.
        StorageError: when the page cannot be written; an existing file is left unchanged.
    """
    files = find_files(pictures, [hit.id for hit in hits]) if pictures is not None else [None] * len(hits)
    cards = [
        {
            "hit": hit,
            "id": collection.label(hit.item),
            "score": f"{hit.score:.4f}",
            "picture": _embed(file) if file else embed_thumbnail(collection.find_picture(hit.item)),
        }
        for hit, file in zip(hits, files, strict=True)
    ]
    picture = asked[0] if isinstance(asked, list) else None
    values = {
        "query": query if asked is None else Path(query).name,
        "asked": embed_thumbnail(picture),
        "cards": cards,
        "collection": collection.title,
        "size": len(collection.ids),
        "model": model,
    }
    write_html(path, "vsezoo.search", values, TEMPLATE)


def _embed(file: str) -> str:
    """Return a small copy of a picture of a collection of features; empty for one that cannot be read."""
    try:
        return embed_thumbnail(Path(file))
    except DataError:
        return ""
