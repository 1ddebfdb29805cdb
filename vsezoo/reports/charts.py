"""Charts as SVG, whose colours are those of the page: light or dark. No script, no network.

What is returned is markup: all texts in it are escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

WIDTH, HEIGHT = 440, 240
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 10, 38
TICKS, LETTER = 5, 7
"""Most labels of an axis, about, and the width of a letter."""


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: in the legend.
        points: x and y, by ascending x.
        dots: whether the points are marked.
    """

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        title: what it is of.
        low: its least value.
        high: its greatest.
        logarithmic: whether equal distances are equal ratios.
    """

    title: str
    low: float
    high: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Return where a value is, from 0 to 1."""
        if self.logarithmic:
            return math.log(value / self.low) / (math.log(self.high / self.low) or 1)
        return (value - self.low) / ((self.high - self.low) or 1)

    def list_ticks(self) -> list[float]:
        """Return round values to label."""
        if self.logarithmic:
            ticks = [m * 10.0**p for p in range(9) for m in (1, 2, 5)]
            return [tick for tick in ticks if self.low <= tick <= self.high]
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        raw = span / TICKS
        unit = 10.0 ** math.floor(math.log10(raw))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw * 0.999)
        start = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(start, math.floor(self.high / step + 1e-9) + 1)]


def draw_lines(title: str, lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """Return a chart of lines."""
    parts = [_draw_frame(x.title, y), *_draw_x_ticks(x)]
    for number, line in enumerate(lines):
        places = [(_to_x(x.place(a)), _to_y(y.place(b))) for a, b in line.points]
        path = " ".join(f"{left:.1f},{top:.1f}" for left, top in places)
        parts.append(f'<polyline class="line c{number}" points="{path}"/>')
        if line.dots:
            parts += [
                f'<circle class="dot c{number}" cx="{left:.1f}" cy="{top:.1f}" r="3">'
                f"<title>{escape(line.name)}: {b:.4g} at {a:.4g}</title></circle>"
                for (left, top), (a, b) in zip(places, line.points, strict=True)
            ]
    return _wrap(title, parts)


def draw_bars(
    title: str, labels: Sequence[str], series: Sequence[tuple[str, Sequence[float]]], x_title: str, y: Axis
) -> str:
    """Return a chart of bars: at each label one bar of each series `(name, values)`."""
    parts = [_draw_frame(x_title, y)]
    slot = (WIDTH - LEFT - RIGHT) / len(labels)
    width = slot * 0.8 / len(series)
    every = math.ceil(LETTER * max(map(len, labels)) / slot)  # so that labels do not overlap
    for index, label in enumerate(labels):
        if index % every == 0:
            middle = LEFT + slot * (index + 0.5)
            parts.append(f'<text class="tick" x="{middle:.1f}" y="{HEIGHT - BOTTOM + 14}">{escape(label)}</text>')
        for number, (name, values) in enumerate(series):
            top = _to_y(y.place(values[index]))
            left = LEFT + slot * (index + 0.1) + number * width
            parts.append(
                f'<rect class="bar c{number}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" '
                f'height="{HEIGHT - BOTTOM - top:.1f}"><title>{escape(name)}, {escape(label)}: {values[index]:.4g}'
                "</title></rect>"
            )
    return _wrap(title, parts)


def draw_matrix(title: str, scores: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> str:
    """Return scores `(N, M)` as squares, the darker the higher; the names are shown at the pointer."""
    low, high = float(scores.min()), float(scores.max())
    side = 14
    parts = []
    for row, values in enumerate(scores.tolist()):
        for column, value in enumerate(values):
            strength = (value - low) / ((high - low) or 1)
            own = " own" if row == column else ""
            parts.append(
                f'<rect class="cell{own}" x="{column * side}" y="{row * side}" width="{side - 1}" height="{side - 1}" '
                f'fill-opacity="{strength:.2f}"><title>{value:.4g}: {escape(rows[row])}: {escape(columns[column])}'
                "</title></rect>"
            )
    width, height = side * len(columns), side * len(rows)
    return _wrap(title, parts, width, height)


def _to_x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _to_y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _draw_frame(x_title: str, y: Axis) -> str:
    parts = []
    for tick in y.list_ticks():
        top = _to_y(y.place(tick))
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{top:.1f}" y2="{top:.1f}"/>')
        parts.append(f'<text class="tick y" x="{LEFT - 6}" y="{top + 4:.1f}">{tick:g}</text>')
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    parts.append(f'<text class="name" x="{middle}" y="{HEIGHT - 4}">{escape(x_title)}</text>')
    height = TOP + (HEIGHT - TOP - BOTTOM) / 2
    parts.append(f'<text class="name" transform="translate(12 {height}) rotate(-90)">{escape(y.title)}</text>')
    return "".join(parts)


def _draw_x_ticks(x: Axis) -> list[str]:
    return [
        f'<text class="tick" x="{_to_x(x.place(tick)):.1f}" y="{HEIGHT - BOTTOM + 14}">{tick:g}</text>'
        for tick in x.list_ticks()
    ]


def _wrap(title: str, parts: Sequence[str], width: int = WIDTH, height: int = HEIGHT) -> str:
    start = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
    return f"{start}{''.join(parts)}</svg>"
