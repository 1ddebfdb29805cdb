"""The page of an answer: whole in itself, and with nothing in it that a name or a sentence could do."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from colours import COLOURS, paint, paint_folder, save_colour_model
from PIL import Image

from vsezoo.data.pictures.thumbnail import SIDE
from vsezoo.search.collection import FeatureRows
from vsezoo.search.gallery import write_gallery
from vsezoo.search.hit import Hit
from vsezoo.search.index import open_index

URI = re.compile(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)")


class Reader(HTMLParser):
    """Notes the tags, the sources and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def decode(source: str) -> Image.Image:
    match = URI.fullmatch(source)
    assert match is not None
    return Image.open(BytesIO(base64.b64decode(match[1])))


@pytest.mark.slow
def test_pictures(tmp_path: Path) -> None:
    save_colour_model(tmp_path / "run")
    photos = paint_folder(tmp_path / "photos")
    paint(photos / "<b>&wide.png", COLOURS["blue"])
    Image.new("RGB", (3000, 1000), COLOURS["blue"]).save(photos / "<b>&wide.png")
    index = open_index(tmp_path / "run", images=photos)
    query = 'blue <script>alert("1")</script> & more'
    write_gallery(tmp_path / "page.html", query, None, index.search(query, 2), index.collection, "vsepp")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    read = Reader(page)
    assert "script" not in read.tags
    assert query in read.text
    assert "<b>&wide.png" in read.text
    assert "http" not in page
    assert len(read.sources) == 2
    wide, small = map(decode, read.sources)
    assert (max(wide.size), small.size) == (SIDE, (8, 6))
    pixel = wide.getpixel((5, 5))
    assert isinstance(pixel, tuple)
    assert pixel[2] > 240


def test_pictures_of_features_are_found_by_their_ids(tmp_path: Path) -> None:
    photos = paint_folder(tmp_path / "photos")
    names = sorted(file.name for file in photos.iterdir())
    np.save(tmp_path / "test_ims.npy", np.eye(len(names) + 1, 3, dtype=np.float32))
    (tmp_path / "test_ids.txt").write_text("\n".join([*names, "gone.png"]), encoding="utf-8")
    rows = FeatureRows(tmp_path / "test_ims.npy")
    hits = [Hit(rank + 1, 1.0, rows.ids[rank], rank) for rank in range(len(rows.ids))]
    write_gallery(tmp_path / "page.html", "green", None, hits, rows, "vsepp", photos)
    read = Reader((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert len(read.sources) == len([name for name in names if name.endswith(".png")])
    assert "gone.png" in read.text


def test_sentences_of_a_picture(tmp_path: Path) -> None:
    save_colour_model(tmp_path / "run")
    picture = Image.open(paint(tmp_path / "a.png", COLOURS["green"]))
    index = open_index(tmp_path / "run", texts=["red & <i>", "green {{ query }}"])
    hits = index.search(picture, 2)
    write_gallery(tmp_path / "page.html", "a.png", [picture], hits, index.collection, "vsepp")
    read = Reader((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert len(read.sources) == 1  # the picture that was asked about
    assert read.text.index("green {{ query }}") < read.text.index("red & <i>")
    assert "i" not in read.tags


@pytest.mark.slow
def test_no_folder_of_the_machine_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_colour_model(tmp_path / "run")
    folder = tmp_path / "private" / "album"
    picture = Image.open(paint(folder / "sub" / "a.png", COLOURS["green"]))
    (folder / "a.txt").write_text("green", encoding="utf-8")
    np.save(folder / "a.npy", np.eye(3, dtype=np.float32))

    def read_page(what: Mapping[str, str | Path], query: str, asked: Image.Image | None) -> str:
        index = open_index(tmp_path / "run", **what)  # type: ignore[arg-type]
        hits = index.search(asked or query, 1)
        batch = None if asked is None else [asked]
        write_gallery(tmp_path / "page.html", query, batch, hits, index.collection, "vsepp")
        page = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert "private" not in page
        return Reader(page).text

    text = read_page({"images": folder}, "green/blue", None)
    assert "of 1 in album, found" in text
    assert "sub/a.png" in text
    assert "green/blue" in text
    text = read_page({"images": folder / "a.npy"}, "green", None)
    assert "of 3 in a.npy, found" in text
    assert "a.npy:1" in text
    text = read_page({"texts": folder / "a.txt"}, str(folder / "sub" / "a.png"), picture)
    assert "of 1 in a.txt, found" in text
    assert "a.png" in text
    monkeypatch.chdir(folder / "sub")
    for typed in (".", ".."):
        assert f"in {'sub' if typed == '.' else 'album'}, found" in read_page({"images": typed}, "green", None)
