"""Precomputed features and captions, in the three layouts."""

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from vsezoo.data.precomputed.feature_file import FeatureFile
from vsezoo.data.precomputed.source import PrecomputedSource
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError

VECTOR = ("vector",)


def features(images: int, *shape: int, dtype: str = "float32") -> np.ndarray:
    """Features of which every number is another: image i holds i, i + 1/1024, i + 2/1024, …"""
    size = int(np.prod(shape))
    return (np.arange(images)[:, None] + np.arange(size) / 1024).reshape(images, *shape).astype(dtype)


def write_split(folder: Path, stem: str, array: np.ndarray, captions: list[str] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{stem}_ims.npy", array)
    lines = [f"caption {i}" for i in range(5 * len(array))] if captions is None else captions
    (folder / f"{stem}_caps.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def source(folder: Path) -> PrecomputedSource:
    return PrecomputedSource(name=folder.name, summary="", folder=folder)


def open_error(folder: Path, split: str = "train", kinds: tuple[str, ...] = VECTOR) -> DataError:
    with pytest.raises(DataError) as caught:
        source(folder).open(split, kinds)
    assert caught.value.remedy
    return caught.value


def test_one_row_per_image(tmp_path: Path) -> None:
    array = features(4, 3)
    write_split(tmp_path, "train", array)
    pairs = source(tmp_path).open("train", VECTOR)
    assert (pairs.name, pairs.split, pairs.kind, pairs.image_shape) == (tmp_path.name, "train", "vector", (3,))
    assert list(pairs.image_ids) == ["0", "1", "2", "3"]
    assert pairs.captions[19] == "caption 19"
    assert pairs.image_of.dtype == np.int64
    assert pairs.image_of.tolist() == [i // 5 for i in range(20)]
    got = pairs.images([3, 0, 3])
    np.testing.assert_array_equal(got, array[[3, 0, 3]])
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    assert got.flags.owndata


def test_rows_repeated_for_each_caption_read_as_one_image(tmp_path: Path) -> None:
    array = features(4, 3)
    write_split(tmp_path, "train", np.repeat(array, 5, axis=0), [f"caption {i}" for i in range(20)])
    pairs = source(tmp_path).open("train", VECTOR)
    assert len(pairs.image_ids) == 4
    np.testing.assert_array_equal(pairs.images([2, 1, 3]), array[[2, 1, 3]])
    with pytest.raises(IndexError):
        pairs.images([4])


@pytest.mark.parametrize("index", [-1, 4])
def test_index_outside_the_split_is_refused(tmp_path: Path, index: int) -> None:
    write_split(tmp_path, "train", features(4, 3))
    with pytest.raises(IndexError):
        source(tmp_path).open("train", VECTOR).images([0, index])


def test_no_images_asked_for_gives_an_empty_array(tmp_path: Path) -> None:
    write_split(tmp_path, "train", features(4, 3))
    assert source(tmp_path).open("train", VECTOR).images([]).shape == (0, 3)


def test_repeated_rows_that_differ_are_refused(tmp_path: Path) -> None:
    array = np.repeat(features(4, 3), 5, axis=0)
    array[12, 1] += 1
    write_split(tmp_path, "train", array, [f"caption {i}" for i in range(20)])
    error = open_error(tmp_path)
    assert "train_ims.npy" in str(error)
    assert "rows 10 to 14" in str(error)


def test_regions_with_ids_for_each_caption(tmp_path: Path) -> None:
    array = features(2, 36, 8, dtype="float16")
    write_split(tmp_path, "testall", array)
    (tmp_path / "testall_ids.txt").write_text("391895\n" * 5 + "60623\n" * 5)
    pairs = source(tmp_path).open("testall", ("vector", "regions"))
    assert (pairs.kind, pairs.image_shape) == ("regions", (36, 8))
    assert list(pairs.image_ids) == ["391895", "60623"]
    got = pairs.images(np.array([1]))
    assert got.dtype == np.float16
    np.testing.assert_array_equal(got, array[1:])


def test_ids_for_each_image(tmp_path: Path) -> None:
    write_split(tmp_path, "train", features(3, 2))
    (tmp_path / "train_ids.txt").write_text("a.jpg\r\nb.jpg\r\nc.jpg")
    assert list(source(tmp_path).open("train", VECTOR).image_ids) == ["a.jpg", "b.jpg", "c.jpg"]


@pytest.mark.parametrize(
    ("ids", "words"),
    [("a\nb\nc\n", ["3 ids", "2 images"]), ("a\n" * 5 + "b\n" * 4 + "c\n", ["line 6 differ"])],
)
def test_ids_that_do_not_fit_are_refused(tmp_path: Path, ids: str, words: list[str]) -> None:
    write_split(tmp_path, "train", features(2, 2))
    (tmp_path / "train_ids.txt").write_text(ids)
    text = str(open_error(tmp_path))
    assert all(word in text for word in ["train_ids.txt", *words])


def test_kiros_layout(tmp_path: Path) -> None:
    folder = tmp_path / "f8k"
    array = features(2, 4)
    write_split(folder, "f8k_dev", np.repeat(array, 5, axis=0), [f"caption {i}" for i in range(10)])
    pairs = PrecomputedSource(name="f8k", summary="", prefix="f8k_").open("dev", VECTOR, OpenOptions(tmp_path))
    np.testing.assert_array_equal(pairs.images([0, 1]), array)


@pytest.mark.parametrize("split", ["dev", "train"])
@pytest.mark.parametrize("full_dev", [False, True])
def test_dev_alone_is_cut_to_a_thousand_images(tmp_path: Path, split: str, full_dev: bool) -> None:
    write_split(tmp_path, split, features(1014, 2))
    pairs = source(tmp_path).open(split, VECTOR, OpenOptions(full_dev=full_dev))
    expected = 1000 if split == "dev" and not full_dev else 1014
    assert (len(pairs.image_ids), len(pairs.captions), len(pairs.image_of)) == (expected, 5 * expected, 5 * expected)
    assert pairs.captions[-1] == f"caption {5 * expected - 1}"
    assert len(pairs.all_captions) == 5070
    with pytest.raises(IndexError):
        pairs.images([expected])


def test_float64_and_big_endian_are_read_as_float32(tmp_path: Path) -> None:
    for number, dtype in enumerate(["<f8", ">f4", ">f2"]):
        folder = tmp_path / str(number)
        write_split(folder, "train", features(3, 2).astype(dtype))
        got = source(folder).open("train", VECTOR).images([2, 1])
        assert got.dtype == np.dtype("float16" if dtype == ">f2" else "float32")
        np.testing.assert_array_equal(got, features(3, 2, dtype=got.dtype.name)[[2, 1]])


@pytest.mark.parametrize(("rows", "captions"), [(3, 10), (10, 12), (2, 9), (2, 20)])
def test_counts_that_do_not_fit_are_refused_with_both(tmp_path: Path, rows: int, captions: int) -> None:
    write_split(tmp_path, "train", features(rows, 2), ["a"] * captions)
    text = str(open_error(tmp_path))
    assert f"{rows} rows" in text
    assert f"{captions} captions" in text
    assert f"{5 * rows} captions for one row per image" in text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_value_that_is_not_finite_is_found_at_opening(tmp_path: Path, value: float) -> None:
    array = features(9, 4)
    array[7, 2] = value
    write_split(tmp_path, "train", array)
    text = str(open_error(tmp_path))
    assert "train_ims.npy" in text
    assert "row 7 " in text


def test_float64_beyond_float32_is_not_finite(tmp_path: Path) -> None:
    array = features(3, 2, dtype="float64")
    array[1, 0] = 1e300
    write_split(tmp_path, "train", array)
    assert "row 1 " in str(open_error(tmp_path))


@pytest.mark.slow
def test_value_that_is_not_finite_in_a_large_file_is_found_when_read(tmp_path: Path) -> None:
    path = tmp_path / "train_ims.npy"
    rows, width = 700, 2**17
    write_split(tmp_path, "train", np.zeros((1, 1)), ["a"] * (5 * rows))
    array = np.lib.format.open_memmap(path, "w+", np.dtype("float32"), (rows, width))  # sparse: 350 MiB
    array[3, 5] = np.nan  # between the rows 0 and 7 of the sample
    array.flush()
    del array
    pairs = source(tmp_path).open("train", VECTOR)
    assert not pairs.images([0, 2]).any()
    with pytest.raises(DataError, match=r"train_ims\.npy: row 3 "):
        pairs.images([0, 3, 2])


def test_an_image_is_looked_at_when_it_is_first_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = features(4, 3)
    write_split(tmp_path, "train", array)
    pairs, looked, usual = source(tmp_path).open("train", VECTOR), [], FeatureFile.read
    monkeypatch.setattr(FeatureFile, "read", lambda file, rows: (looked.append(list(rows)), usual(file, rows))[1])
    for chosen in ([0, 2], [2, 0, 0], [2, 3], [3]):
        np.testing.assert_array_equal(pairs.images(chosen), array[chosen])
    assert looked == [[0, 2], [2, 3]]


def test_file_cut_off_while_in_use_gives_a_message(tmp_path: Path) -> None:
    write_split(tmp_path, "train", features(9, 4))
    pairs = source(tmp_path).open("train", VECTOR)
    os.truncate(tmp_path / "train_ims.npy", 140)
    with pytest.raises(DataError, match="truncated"):
        pairs.images([8])


def test_pairs_travel_to_worker_processes_without_their_features(tmp_path: Path) -> None:
    array = features(20, 2**16)
    write_split(tmp_path, "train", array)
    message = pickle.dumps(source(tmp_path).open("train", VECTOR))
    assert len(message) < 10_000
    np.testing.assert_array_equal(pickle.loads(message).images([19]), array[19:])


@pytest.mark.process
def test_memory_stays_small_when_all_of_a_large_file_is_read(tmp_path: Path) -> None:
    """A file of 1 GiB (sparse), every row read in batches: the peak grows by a fraction of it."""
    pytest.importorskip("resource")
    rows, shape = 4096, (32, 2048)
    write_split(tmp_path, "train", np.zeros((1, 1)), ["a"] * (5 * rows))
    with (tmp_path / "train_ims.npy").open("wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, *shape)}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.truncate(stream.tell() + rows * 32 * 2048 * 4)
    script = textwrap.dedent("""
        import resource, sys
        from pathlib import Path
        import numpy as np
        from vsezoo.data.precomputed.source import PrecomputedSource
        unit = 1 if sys.platform == "darwin" else 1024
        pairs = PrecomputedSource(name="x", summary="", folder=Path(sys.argv[1])).open("train", ("regions",))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for rows in np.array_split(np.random.default_rng(0).permutation(len(pairs.image_ids)), 64):
            pairs.images(rows)
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit)
    """)
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200 * 2**20
