"""Write the result of a search as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from vsezoo.data.pictures.thumbnail import SIDE as SIDE
from vsezoo.data.pictures.thumbnail import embed_thumbnail
from vsezoo.search.collection import Collection
from vsezoo.search.index import Hit
from vsezoo.storage.atomic_file import explain_unwritten, replace_file

TEMPLATE = "gallery.html"


def write_gallery(path: Path, query: str, asked: Any, hits: Sequence[Hit], collection: Collection, model: str) -> None:
    """Write the page. It contains no paths of folders, so that it can be shared.

    Args:
        path: the output file; replaced if it exists.
        query: the sentence, or the name of the image.
        asked: the image as a batch of one, or None for a sentence. It is shown if it is a picture.
        hits: the results.
        collection: the collection that was searched.
        model: name of the model.

    Raises:
        StorageError: when the page cannot be written; an existing file is left unchanged.
    """
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(files("vsezoo.search").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    cards = [
        {
            "hit": hit,
            "id": collection.label(hit.item),
            "score": f"{hit.score:.4f}",
            "picture": embed_thumbnail(collection.find_picture(hit.item)),
        }
        for hit in hits
    ]
    picture = asked[0] if isinstance(asked, list) else None
    page = template.render(
        query=query if asked is None else Path(query).name,
        asked=embed_thumbnail(picture),
        cards=cards,
        collection=collection.title,
        size=len(collection.ids),
        model=model,
    )
    with replace_file(path) as stream, explain_unwritten(path):
        stream.write(page.encode(errors="backslashreplace"))  # file names need not be valid UTF-8
