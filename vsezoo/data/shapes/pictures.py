"""Pictures of the data set `shapes`."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from vsezoo.data.shapes.scenes import SIDE, Scene, SceneObject

RGB = {
    "red": (220, 30, 35),
    "green": (40, 160, 60),
    "blue": (40, 80, 215),
    "yellow": (245, 215, 30),
    "orange": (250, 135, 15),
    "purple": (125, 45, 165),
    "pink": (250, 150, 200),
    "black": (20, 20, 20),
}
WHITE = (255, 255, 255)
RADIUS = {"small": 4, "big": 7}
"""Half the height and width of an object, in pixels."""
_SUPERSAMPLING = 4  # drawn larger and averaged down, so that small stars have points

# Corners of the shapes that have corners, as (x, y) in units of the radius.
_THIRD = 1 / 3
_STAR_INNER_RADIUS = 0.45
_CORNERS: dict[str, list[tuple[float, float]]] = {
    "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    "triangle": [(0, -1), (1, 0.9), (-1, 0.9)],
    "star": [
        (radius * math.sin(turn * math.pi / 5), -radius * math.cos(turn * math.pi / 5))
        for turn, radius in enumerate([1, _STAR_INNER_RADIUS] * 5)
    ],
    "cross": [
        *[(-_THIRD, -1), (_THIRD, -1), (_THIRD, -_THIRD), (1, -_THIRD), (1, _THIRD), (_THIRD, _THIRD)],
        *[(_THIRD, 1), (-_THIRD, 1), (-_THIRD, _THIRD), (-1, _THIRD), (-1, -_THIRD), (-_THIRD, -_THIRD)],
    ],
}


def draw_scene(scene: Scene, scale: int = 1) -> Image.Image:
    """Draw a scene as an RGB picture on white, `SIDE` times the scale in width and height."""
    unit = scale * _SUPERSAMPLING
    picture = Image.new("RGB", (SIDE * unit, SIDE * unit), WHITE)
    draw = ImageDraw.Draw(picture)
    for thing in scene.objects:
        _draw_object(draw, thing, unit)
    return picture.reduce(_SUPERSAMPLING)


def _draw_object(draw: ImageDraw.ImageDraw, thing: SceneObject, unit: int) -> None:
    # (x, y) names a pixel; its centre lies half a pixel further on.
    x, y = (thing.x + 0.5) * unit, (thing.y + 0.5) * unit
    radius = (RADIUS[thing.size] + 0.5) * unit
    if thing.shape == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=RGB[thing.colour])
    else:
        draw.polygon([(x + radius * u, y + radius * v) for u, v in _CORNERS[thing.shape]], fill=RGB[thing.colour])
