"""The images that a command names."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from tiny import TinyPairs

from vsezoo.data.kinds import name_source
from vsezoo.errors import DataError, UsageError
from vsezoo.interfaces import PairDataset
from vsezoo.search.queries import Query, batch_images, find_images, is_file_reference, resolve_query


def refuse() -> PairDataset:
    raise AssertionError("no reference wants the split")


@pytest.fixture
def regions(tmp_path: Path) -> Path:
    path = tmp_path / "regions.npy"
    np.save(path, np.arange(5 * 2 * 3, dtype=np.float32).reshape(5, 2, 3))
    return path


def test_images_of_the_split_by_index_and_by_id() -> None:
    opened = []

    def open_split() -> PairDataset:
        opened.append(True)
        return data

    data = TinyPairs()
    data.image_ids = ["12", "cat.jpg", "0", "7", "3", "dog.jpg"]
    images = find_images(["5", "cat.jpg", "12", "3", "7"], ("vector",), open_split)
    assert [image.row for image in images] == [5, 1, 0, 3, 3]  # an index where there are so many images
    assert [image.name for image in images] == ["dog.jpg", "cat.jpg", "12", "7", "7"]
    assert len(opened) == 1
    (batch,) = batch_images(images, 64)
    assert np.array_equal(batch[0].read([image.row for image in batch]), data.features[[5, 1, 0, 3, 3]])


def test_rows_of_a_file(regions: Path) -> None:
    def find(*references: str, rows: str = "") -> list[str]:
        images = find_images(references, ("regions",), refuse, rows)
        assert all(np.array_equal(image.read([image.row])[0], np.load(regions)[image.row]) for image in images)
        return [image.name.removeprefix(f"{regions}:") for image in images]

    assert find(str(regions)) == ["0", "1", "2", "3", "4"]
    assert find(f"{regions}:3", f"{regions}:0") == ["3", "0"]
    assert find(str(regions), rows="4,0-2") == ["4", "0", "1", "2"]
    assert find(f"{regions}:3", str(regions), rows="1") == ["3", "1"]


def test_a_sentence_may_be_longer_than_a_name_of_a_file() -> None:
    sentence = "a dog " * 2000
    assert not is_file_reference(sentence)
    with pytest.raises(UsageError, match="neither a file nor an image of the"):
        find_images([sentence], ("vector",), TinyPairs)


def test_batches_are_neighbours_of_one_source(regions: Path) -> None:
    data = TinyPairs(shape=(2, 3))
    images = find_images(["0", "1", str(regions), "2"], ("regions",), lambda: data)
    assert [len(batch) for batch in batch_images(images, 3)] == [2, 3, 2, 1]
    assert [image for batch in batch_images(images, 3) for image in batch] == images
    assert list(batch_images([], 3)) == []


def test_pictures(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.new("L", (4, 3), 7).save(path)
    (image,) = find_images([str(path)], ("picture",), refuse)
    (picture,) = image.read([image.row])
    assert (picture.mode, picture.size, picture.getpixel((0, 0))) == ("RGB", (4, 3), (7, 7, 7))
    path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=rf"^{path}: is not a picture.*\nConvert it to JPEG or PNG\.$"):
        image.read([0])
    message = r"takes features of several regions .* \(images, regions, F\), not pictures\.\n.*`vsezoo features`"
    with pytest.raises(DataError, match=message):
        find_images([str(path)], ("regions",), refuse)


def test_a_mistyped_name_is_named_where_there_are_no_data() -> None:
    def open_split() -> PairDataset:
        raise UsageError("was trained on 'mine'.", file="run", remedy="Name the data.")

    problem = r"run: was trained on 'mine'\.\nName the data\.$"
    with pytest.raises(
        UsageError, match=r"^'dgo' is not a file, and no data set could be opened to look for it\.\n" + problem
    ):
        find_images(["dgo"], ("picture",), open_split)
    with pytest.raises(
        DataError, match=r"^dgo\.jpg: does not exist\.\nCheck the path\. .*: run: was trained on 'mine'\.$"
    ):
        find_images(["dgo.jpg"], ("picture",), open_split)
    with pytest.raises(UsageError, match=f"^{problem}"):
        find_images(["7"], ("picture",), open_split)


def test_references_that_mean_nothing(regions: Path, tmp_path: Path) -> None:
    data = TinyPairs()
    message = (
        r"(?s)^'{}' is neither a file nor an image of the train split of tiny\.\n{}Give an index from 0 to 5 or an id"
    )
    for reference, hint in (("6", ""), ("imag3", r"Did you mean '.*'\? ")):
        with pytest.raises(UsageError, match=message.format(reference, hint)):
            find_images([reference], ("vector",), lambda: data)
    with pytest.raises(DataError, match=rf"^{regions}: has no row 5\.\nIts rows are 0 to 4\."):
        find_images([f"{regions}:5"], ("regions",), refuse)
    for row in ("x", "-1", "0-1", ""):
        with pytest.raises(DataError, match=rf"^{regions}: '{row}' is not a row number\.\nIts rows are 0 to 4\.$"):
            find_images([f"{regions}:{row}"], ("regions",), refuse)
    with pytest.raises(DataError, match=r"none\.npy: cannot be read"):
        find_images([str(tmp_path / "none.npy")], ("regions",), refuse)
    with pytest.raises(
        DataError, match=r"takes features of one vector .* or pictures, not features of several regions"
    ):
        find_images([str(regions)], ("vector", "picture"), refuse)


@pytest.mark.parametrize("rows", ["a", "3-1", "1,,2", "-1", "1-"])
def test_rows_that_are_no_rows(regions: Path, rows: str) -> None:
    with pytest.raises(UsageError, match=rf"--rows '{rows}' is not a list of rows\.\nExample: --rows 0-4,7"):
        find_images([str(regions)], ("regions",), refuse, rows)


def test_rows_want_a_file(regions: Path) -> None:
    for references in ([f"{regions}:1"], ["0"]):
        with pytest.raises(UsageError, match=r"^--rows needs a FILE\.npy without :ROW\.\n.* without :ROW"):
            find_images(references, ("regions",), lambda: TinyPairs(shape=(2, 3)), "1")


def test_a_message_says_where_an_image_comes_from() -> None:
    with pytest.raises(DataError, match=r"^a\.npy: is bad\.\nMend it\.$"), name_source("a.npy"):
        raise DataError("is bad.", remedy="Mend it.")
    with pytest.raises(DataError, match=r"^b\.npy: is bad"), name_source("a.npy"):
        raise DataError("is bad.", file="b.npy")


def resolve(query: str, searched: Literal["images", "texts"] | None, data: PairDataset | None = None) -> Query:
    return resolve_query(query, ("regions",), refuse if data is None else lambda: data, searched)


def test_what_a_query_means(regions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(regions.parent)
    (regions.parent / "dog").write_text("a file without an ending")
    data = TinyPairs(shape=(2, 3))
    for query, searched in (("a dog", "images"), ("7", "images"), ("dog", "images")):
        assert resolve(query, searched) == Query(query)  # type: ignore[arg-type]
    assert resolve("a dog", None, data) == Query("a dog")
    assert resolve("a dog", None, data).read() == ["a dog"]
    by_name: tuple[tuple[str, Literal["texts"] | None, str], ...] = (
        ("image3", None, "image3"),
        ("3", "texts", "image3"),
        ("regions.npy:4", None, "regions.npy:4"),
        ("regions.npy:4", "texts", "regions.npy:4"),
    )
    for query, searched, name in by_name:
        found = resolve(query, searched, data)
        assert found.name == name
        row = data.features[3] if name == "image3" else np.load(regions)[4]
        assert np.array_equal(found.read(), row[None])


@pytest.mark.parametrize(
    ("query", "searched", "message"),
    [
        ("gone.jpg", "images", "'gone.jpg' is neither a file nor an image"),
        ("regions.npy", "images", "'regions.npy' contains 5 images; a query is one image"),
        ("regions.npy", "texts", "'regions.npy' contains 5 images; a query is one image"),
        ("a dog", "texts", "'a dog' is neither a file nor an image of the train split of tiny"),
        ("9", None, "'9' is neither a file nor an image"),
    ],
)
def test_queries_that_do_not_fit(
    query: str,
    searched: Literal["images", "texts"] | None,
    message: str,
    regions: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(regions.parent)
    with pytest.raises(UsageError, match=message) as caught:
        resolve(query, searched, TinyPairs(shape=(2, 3)))
    assert ("write a sentence" in caught.value.remedy) == (query == "9")
