"""The page of an explanation: whole in itself, safe, and with the maps of the weights."""

from __future__ import annotations

import base64
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vsezoo.errors import StorageError
from vsezoo.explanation.explain import Explanation
from vsezoo.explanation.heat import LONG_SIDE, paint_attention, paint_signed, rasterize
from vsezoo.explanation.page import write_page
from vsezoo.explanation.regions import Regions

PHOTO = Image.new("RGB", (80, 40), "white")
CELLS = Regions(4, grid=(2, 2), view=(0.25, 0, 0.75, 1), picture=PHOTO, aspect=2)
ATTENTION = np.array([[0.7, 0.1, 0.1, 0.1], [0.0, 0.1, 0.2, 0.7]])


def make_explanation(regions: Regions = CELLS, method: str = "attention") -> Explanation:
    if method == "attention":
        return Explanation(
            'a <b>"dog"</b>', 0.25, method, "words", ("<start>", "dog"), ATTENTION.max(axis=1), ATTENTION, regions
        )
    weights = np.array([[0.5, -0.25, 0.0, 0.0]])[:, : regions.count]
    return Explanation("a dog", -0.5, method, "", ("a", "dog"), np.array([0.125, -0.5]), weights, regions)


def read_page(path: Path, explanation: Explanation, image: str = "/private/dog.jpg") -> str:
    write_page(path / "page.html", explanation, image=image, model="scan-t2i")
    return (path / "page.html").read_text(encoding="utf-8")


def decode(source: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(source.partition("base64,")[2])))


def find_text(page: str) -> str:
    return " ".join(re.sub("<[^>]*>", " ", page.partition("<header>")[2]).split())


def test_attention_has_a_map_for_each_word(tmp_path: Path) -> None:
    page = read_page(tmp_path, make_explanation())
    assert "http" not in page
    assert "<script" not in page
    assert "private" not in page
    assert "<b>&#34;" not in page
    assert "a &lt;b&gt;&#34;dog&#34;&lt;/b&gt;" in page
    text = find_text(page)
    assert "Score 0.2500 · dog.jpg · scan-t2i" in text
    assert "region 3: 0.700" in text
    assert "3 row 2, column 2 0.700" in text
    maps = re.findall(r'<img src="(data:image/png;base64,[^"]+)"', page)
    assert len(maps) == 4  # of each word a large and a small one
    assert maps[0] == maps[2]
    assert maps[0] != maps[1]
    assert page.count(" checked>") == 1
    assert re.search(r'id="w-1"[^>]* checked>', page)  # "dog", not "<start>"
    assert "left: 50.00%; top: 50.00%; width: 25.00%; height: 50.00%" in page  # the best cell of "dog"
    assert len(re.findall("data:image", page)) == 5  # the photo once


def test_the_gradient_has_one_map(tmp_path: Path) -> None:
    page = read_page(tmp_path, make_explanation(method="gradient"))
    text = find_text(page)
    assert "a +0.1250 dog -0.5000" in text
    assert "0 row 1, column 1 +0.5000" in text
    assert len(re.findall('<img src="data:image/png', page)) == 1
    assert 'type="radio"' not in page


def test_regions_without_places_are_bars(tmp_path: Path) -> None:
    page = read_page(tmp_path, make_explanation(Regions(4)))
    assert "data:image" not in page
    assert page.count("<i class=") == 16
    assert "place" not in find_text(page)


def test_an_image_of_one_vector_has_weights_of_words(tmp_path: Path) -> None:
    text = find_text(read_page(tmp_path, make_explanation(Regions(0), "gradient")))
    assert "The image is one vector, without regions: only the words have weights." in text


def test_a_region_without_a_place_is_called_so(tmp_path: Path) -> None:
    boxes = np.array([[0, 0, 0.5, 1], [0.5, 0, 1, 1], [0, 0, 1, 1], [np.nan] * 4])
    text = find_text(read_page(tmp_path, make_explanation(Regions(4, boxes=boxes, picture=PHOTO, aspect=2))))
    assert "region 3, no place: 0.700" in text
    assert "3 none 0.700" in text


def test_a_map_veils_what_is_not_looked_at() -> None:
    layer = np.asarray(decode(paint_attention(CELLS, ATTENTION[0], 0.7)))
    height, width = layer.shape[:2]
    assert (width, height) == (LONG_SIDE, LONG_SIDE // 2)
    veil = layer[..., 3].astype(int)
    assert veil[0, LONG_SIDE // 4 + 1] == 0  # the corner of the first cell
    assert veil[0, 0] == veil[-1, -1] == veil.max() > 150  # outside of the view
    assert veil[-1, LONG_SIDE // 4 + 1] == pytest.approx(veil.max() * 6 / 7, abs=1)


def test_a_signed_map_has_two_colours() -> None:
    layer = np.asarray(decode(paint_signed(Regions(2, grid=(1, 2)), np.array([1.0, -0.5]), 1.0)))
    left, right = layer[0, 0].astype(int), layer[0, -1].astype(int)
    assert left[0] > left[2]
    assert right[2] > right[0]
    assert left[3] == pytest.approx(2 * right[3], abs=1)
    assert not np.asarray(decode(paint_signed(Regions(2, grid=(1, 2)), np.zeros(2), 0.0)))[..., 3].any()


def test_where_boxes_overlap_the_larger_weight_counts() -> None:
    boxes = np.array([[0, 0, 1, 1], [0.5, 0, 1, 1], [0.75, 0, 1, 1], [np.nan] * 4])
    values = rasterize(Regions(4, boxes=boxes), np.array([0.2, -0.5, 0.1, 9.0]))
    assert values[0, [0, LONG_SIDE // 2, LONG_SIDE - 1]] == pytest.approx([0.2, -0.5, -0.5])


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"page\.html"):
        write_page(tmp_path / "file" / "page.html", make_explanation(), image="a", model="b")
    (tmp_path / "page.html").mkdir()
    with pytest.raises(StorageError, match=r"page\.html"):
        write_page(tmp_path / "page.html", make_explanation(), image="a", model="b")
