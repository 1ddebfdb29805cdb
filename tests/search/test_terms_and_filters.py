"""Searches by several terms and by pictures, and conditions on the results."""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.errors import UsageError
from vsezoo.search.collection import FeatureRows
from vsezoo.search.filters import Filters, find_time, read_time, search_filtered
from vsezoo.search.hit import Hit
from vsezoo.search.index import open_index
from vsezoo.search.picture_folder import PictureFolder
from vsezoo.search.queries import Query, resolve_query
from vsezoo.search.terms import search_by_terms


def refuse_split() -> None:
    raise AssertionError("no split is needed")


@pytest.mark.slow
def test_terms_add_up_and_are_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The score of a combined query is the sum of the scores of its terms."""
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))
    tiny.save_model(tmp_path / "run")
    features = np.random.default_rng(0).standard_normal((6, tiny.WIDTH)).astype(np.float32)
    np.save(tmp_path / "a.npy", features)
    index, checkpoint = open_index(tmp_path / "run", images=tmp_path / "a.npy"), Checkpoint.open(tmp_path / "run")
    image = resolve_query(f"{tmp_path / 'a.npy'}:2", ("vector",), refuse_split, "images")  # type: ignore[arg-type]

    def scores(plus: list[Query], minus: list[Query] = []) -> dict[str, float]:  # noqa: B006
        return {hit.id: hit.score for hit in search_by_terms(index, checkpoint, "cpu", plus, minus, 6)}

    one, two, like = scores([Query("a dog")]), scores([Query("snow")]), scores([image])
    alone = {hit.id: hit.score for hit in index.search("a dog", 6)}
    assert one == pytest.approx(alone, abs=1e-6)
    assert max(like, key=like.__getitem__).endswith(":2")
    combined = scores([Query("a dog"), image], [Query("snow")])
    assert combined == pytest.approx({name: one[name] + like[name] - two[name] for name in one}, abs=1e-5)
    with pytest.raises(UsageError, match="The query is empty"):
        scores([Query("a dog")], [Query(" ")])
    with pytest.raises(UsageError, match="are for images"):
        search_by_terms(open_index(tmp_path / "run", texts=["a"]), checkpoint, "cpu", [image])


@pytest.fixture
def photos(tmp_path: Path) -> PictureFolder:
    """Four photos: one of 2020 by its EXIF data, a copy of it, one of today, one in a folder."""
    pixels = np.random.default_rng(1).integers(0, 256, (3, 5, 5, 3), dtype=np.uint8)
    pictures = [Image.fromarray(one).resize((64, 64), Image.Resampling.BICUBIC) for one in pixels]
    exif = Image.Exif()
    exif[306] = "2020:05:04 03:02:01"
    (tmp_path / "trip").mkdir()
    pictures[0].save(tmp_path / "a.png", exif=exif)
    pictures[0].save(tmp_path / "b.png", exif=exif)
    pictures[1].save(tmp_path / "c.png")
    pictures[2].save(tmp_path / "trip" / "d.png")
    old = time.mktime(datetime(2021, 6, 1).timetuple())
    os.utime(tmp_path / "trip" / "d.png", (old, old))
    return PictureFolder(tmp_path, skips=True)


def find(photos: PictureFolder, k: int = 4, **conditions: object) -> list[str]:
    hits = [Hit(item + 1, -float(item), name, item) for item, name in enumerate(photos.ids)]
    filters = Filters(photos, **conditions)  # type: ignore[arg-type]
    found = search_filtered(lambda wanted: hits[:wanted], filters, k, len(hits))
    assert [hit.rank for hit in found] == list(range(1, len(found) + 1))
    return [hit.id for hit in found]


def test_conditions(photos: PictureFolder) -> None:
    assert find(photos) == ["a.png", "b.png", "c.png", "trip/d.png"]
    assert find(photos, since=read_time("2021")) == ["c.png", "trip/d.png"]
    assert find(photos, since=read_time("2021-06-02")) == ["c.png"]
    assert find(photos, folder="trip") == find(photos, folder="trip/*") == ["trip/d.png"]
    assert find(photos, unique=True) == ["a.png", "c.png", "trip/d.png"]
    assert find(photos, k=1, folder="trip/") == ["trip/d.png"]  # though it is the last


def test_times(photos: PictureFolder) -> None:
    assert find_time(photos.find_picture(0)) == datetime(2020, 5, 4, 3, 2, 1)
    assert find_time(photos.find_picture(3)) == datetime(2021, 6, 1)
    assert find_time(Path("gone.jpg")) == datetime.min
    assert read_time("2024-07") == datetime(2024, 7, 1)
    with pytest.raises(UsageError, match="'yesterday' is not a date"):
        read_time("yesterday")


def test_features_have_no_time(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 3), np.float32))
    with pytest.raises(UsageError, match="for pictures in files"):
        Filters(FeatureRows(tmp_path / "a.npy"), since=datetime(2024, 1, 1))
