"""The pixels of a decoded picture, in whatever form its file has them, as 8-bit RGB."""

from __future__ import annotations

import numpy as np
from PIL import Image


def convert_to_rgb(picture: Image.Image) -> Image.Image:
    """Return a picture as RGB: transparent pixels become white, 16 bits are scaled to 8.

    Raises:
        ValueError: for values of more than 16 bits.
    """
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = _scale_to_8_bits(picture)
    if picture.has_transparency_data:
        on_white = Image.new("RGBA", picture.size, "white")
        on_white.alpha_composite(picture.convert("RGBA"))
        picture = on_white
    return picture.convert("RGB")


def _scale_to_8_bits(picture: Image.Image) -> Image.Image:
    """Return a 16-bit grey picture with 8 bits; Pillow would clip all values above 255."""
    values = np.asarray(picture)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise ValueError("its values do not have 8 or 16 bits")
    return Image.fromarray(((values.astype(np.int32) + 128) // 257).astype(np.uint8))
