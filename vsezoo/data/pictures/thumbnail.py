"""Small copies of pictures inside of pages."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

from PIL import Image

from vsezoo.data.pictures.picture_file import Place

SIDE = 320
"""Pixels of the longer side."""
QUALITY = 82


def embed_thumbnail(picture: Place | Path | Image.Image | None, side: int = SIDE) -> str:
    """Return a small copy as a data URI; empty for no picture.

    Raises:
        DataError: for a picture that cannot be read.
    """
    if picture is None:
        return ""
    if isinstance(picture, Path):
        picture = Place(str(picture))
    small = picture.read(short_side=side) if isinstance(picture, Place) else picture.copy()
    small.thumbnail((side, side))
    stream = BytesIO()
    small.save(stream, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
