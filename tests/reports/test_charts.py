"""Charts: where things are, and that no text becomes markup."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from vsezoo.reports.charts import Axis, Line, draw_bars, draw_lines, draw_matrix


def test_axes() -> None:
    assert [Axis("", 10, 20).place(value) for value in (10, 15, 20)] == [0, 0.5, 1]
    assert Axis("", 1, 100, logarithmic=True).place(10) == pytest.approx(0.5)
    assert Axis("", 0, 100).list_ticks() == [0, 20, 40, 60, 80, 100]
    assert Axis("", 0.07, 0.21).list_ticks() == pytest.approx([0.1, 0.15, 0.2])
    assert Axis("", 1, 100, logarithmic=True).list_ticks() == [1, 2, 5, 10, 20, 50, 100]
    assert Axis("", 3, 3).list_ticks() == [3]
    assert Axis("", 3, 3).place(3) == 0


def test_a_line_rises_where_its_values_do() -> None:
    svg = draw_lines(
        "c", [Line("x", [(1, 0), (10, 50), (100, 100)], dots=True)], Axis("K", 1, 100, True), Axis("", 0, 100)
    )
    points = re.search(r'points="([^"]+)"', svg)[1].split()
    left, top = zip(*(map(float, point.split(",")) for point in points), strict=True)
    assert left[1] - left[0] == pytest.approx(left[2] - left[1], abs=0.11)
    assert top[0] - top[1] == pytest.approx(top[1] - top[2], abs=0.11)
    assert top[0] > top[2]
    assert svg.count("<circle") == 3


def test_bars_have_the_heights_of_their_values() -> None:
    svg = draw_bars("c", ["a", "b"], [("one", [10, 20]), ("two", [0, 5])], "", Axis("", 0, 20))
    heights = [float(height) for height in re.findall(r'<rect [^>]*height="([\d.]+)"', svg)]
    assert [height / heights[2] for height in heights] == pytest.approx([0.5, 0, 1, 0.25], abs=0.01)


def test_the_matrix_is_strongest_at_the_highest_score() -> None:
    svg = draw_matrix("m", np.array([[1.0, 0.0], [0.5, 0.25]]), ["i0", "i1"], ["c0", "c1"])
    assert re.findall(r'fill-opacity="([\d.]+)"', svg) == ["1.00", "0.00", "0.50", "0.25"]
    assert svg.count("cell own") == 2


@pytest.mark.parametrize(
    "draw",
    [
        lambda text: draw_lines(text, [Line(text, [(0, 1)], dots=True)], Axis(text, 0, 1), Axis(text, 0, 1)),
        lambda text: draw_bars(text, [text], [(text, [1])], text, Axis(text, 0, 1)),
        lambda text: draw_matrix(text, np.ones((1, 1)), [text], [text]),
    ],
)
def test_texts_are_no_markup(draw) -> None:
    svg = draw('<b>"&')
    assert "<b>" not in svg
    ElementTree.fromstring(svg)
