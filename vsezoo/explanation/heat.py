"""Heat maps: the weights of regions as small transparent pictures that are laid over a photo."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
from PIL import Image

from vsezoo.explanation.protocols import Box
from vsezoo.explanation.regions import Regions

LONG_SIDE = 160
"""Pixels of the longer side of a heat map; browsers enlarge it smoothly."""
PHOTO_SIDE, QUALITY = 720, 82
"""Longer side of the photo in pixels, and the quality of its JPEG."""

VEIL, VEIL_ALPHA = (13, 15, 22), 0.76
"""What hides the parts of a photo that get no attention."""
POSITIVE, NEGATIVE, ALPHA = (224, 92, 14), (36, 104, 208), 0.86
"""Colours of weights above and below 0, and the opacity of the largest."""


def paint_attention(regions: Regions, weights: np.ndarray, largest: float) -> str:
    """Return a heat map of weights `(R,)` from 0 to `largest`, as a data URI: all but the attended parts are veiled.

    Without a picture there is nothing to veil: the weights are coloured.
    """
    if regions.picture is None:
        return paint_signed(regions, weights, largest)
    values = rasterize(regions, weights / largest if largest else weights)
    layer = np.empty((*values.shape, 4), np.uint8)
    layer[..., :3] = VEIL
    layer[..., 3] = np.round(255 * VEIL_ALPHA * (1 - values.clip(0, 1)))
    return _encode(Image.fromarray(layer))


def paint_signed(regions: Regions, weights: np.ndarray, largest: float) -> str:
    """Return a heat map of weights `(R,)` from `-largest` to `largest`, as a data URI: the larger, the more opaque."""
    values = rasterize(regions, weights / largest if largest else weights)
    layer = np.empty((*values.shape, 4), np.uint8)
    layer[..., :3] = np.where(values[..., None] < 0, NEGATIVE, POSITIVE)
    layer[..., 3] = np.round(255 * ALPHA * np.abs(values).clip(0, 1))
    return _encode(Image.fromarray(layer))


def rasterize(regions: Regions, values: np.ndarray) -> np.ndarray:
    """Return values `(R,)` on the pixels `(height, width)` of a heat map.

    Cells of a grid on a photo blend into each other; where boxes overlap, the value furthest from 0 counts.
    """
    scale = LONG_SIDE / max(regions.aspect, 1.0)
    width, height = max(1, round(scale * regions.aspect)), max(1, round(scale))
    canvas = Image.new("F", (width, height))
    if regions.grid is not None:
        left, top, right, bottom = _to_pixels(regions.view, width, height)
        mode = Image.Resampling.NEAREST if regions.picture is None else Image.Resampling.BILINEAR
        cells = Image.fromarray(values.astype(np.float32).reshape(regions.grid))
        canvas.paste(cells.resize((max(1, right - left), max(1, bottom - top)), mode), (left, top))
        return np.array(canvas)
    pixels = np.array(canvas)
    for region in np.argsort(np.abs(values)):
        if box := regions.find_box(int(region)):
            left, top, right, bottom = (max(0, side) for side in _to_pixels(box, width, height))
            pixels[top : max(bottom, top + 1), left : max(right, left + 1)] = values[region]
    return pixels


def embed_photo(regions: Regions) -> str:
    """Return the picture as a data URI; empty if there is none."""
    if regions.picture is None:
        return ""
    small = regions.picture.convert("RGB")
    if max(small.size) < PHOTO_SIDE // 2:  # a picture of few pixels stays sharp
        return _encode(small)
    small.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
    stream = BytesIO()
    small.save(stream, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _to_pixels(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    return round(left * width), round(top * height), round(right * width), round(bottom * height)


def _encode(picture: Image.Image) -> str:
    stream = BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
