"""Index folders on object storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from colours import COLOURS, paint, paint_folder
from processes import assert_one_message

from vsezoo.errors import MissingPackageError, ServerError, UsageError
from vsezoo.search.index import open_index
from vsezoo.search.stored.building import build_index
from vsezoo.search.stored.remote import locate_folder, send_folder

ADDRESS = "memory://bucket/photos.index"


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    fsspec.filesystem("memory").store.clear()
    yield
    fsspec.filesystem("memory").store.clear()


@pytest.mark.slow
def test_an_index_is_searched_at_its_address(run: Path, tmp_path: Path) -> None:
    photos, folder = paint_folder(tmp_path / "photos"), tmp_path / "photos.index"
    build_index(run, folder, images=photos)
    send_folder(folder, ADDRESS)
    found = open_index(run, index=ADDRESS)
    assert found.search("green", 3) == open_index(run, images=photos).search("green", 3)
    place = locate_folder(ADDRESS)
    before = (place / "1.vectors").stat().st_ino
    open_index(run, index=f"{ADDRESS}/")
    assert (place / "1.vectors").stat().st_ino == before  # as new: nothing is copied
    paint(photos / "d-green.png", COLOURS["green"])
    build_index(run, folder, images=photos)
    send_folder(folder, ADDRESS)
    assert [hit.id for hit in open_index(run, index=ADDRESS).search("green", 2)] == ["b-green.png", "d-green.png"]


def test_a_place_with_other_files_is_refused(run: Path, tmp_path: Path) -> None:
    photos = paint_folder(tmp_path / "photos")
    build_index(run, tmp_path / "a.index", images=photos)
    before = sorted(photos.iterdir())
    with pytest.raises(UsageError, match="contains other files, such as 'a-"):
        send_folder(tmp_path / "a.index", f"file://{photos}")
    assert sorted(photos.iterdir()) == before


def test_addresses_without_an_index(run: Path, tmp_path: Path, vse: Any) -> None:
    with pytest.raises(ServerError, match="memory://bucket/none: cannot be read"):
        open_index(run, index="memory://bucket/none")
    assert_one_message(vse("search", str(run), "red", "--index", "memory://bucket/none"), 1, "cannot be read")
    build_index(run, tmp_path / "a.index", images=paint_folder(tmp_path / "photos"))
    with pytest.raises((MissingPackageError, ServerError), match="nowhere://a"):
        send_folder(tmp_path / "a.index", "nowhere://a")
