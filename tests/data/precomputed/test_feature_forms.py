"""Files of features in other forms than `.npy`, and the names that the field gives to splits and captions."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from vsezoo.data.caption_file import write_split
from vsezoo.data.folder_source import FolderSource
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError, MissingPackageError
from vsezoo.interfaces import PairDataset

ROWS = np.arange(24, dtype=np.float32).reshape(4, 6)
SAVED = {
    ".npy": np.save,
    ".npz": lambda path, array: np.savez(path, other=np.arange(3), features=array),
    ".safetensors": lambda path, array: save_file({"image_features": np.ascontiguousarray(array)}, path),
    ".pt": lambda path, array: torch.save(torch.from_numpy(array.copy()), path),
    ".pth": lambda path, array: torch.save({"ids": torch.arange(2), "feats": torch.from_numpy(array.copy())}, path),
}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


def write_captions(folder: Path, count: int, name: str = "train_caps.txt") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(f"caption {number}\n" for number in range(count)), encoding="utf-8")


def read(folder: Path, split: str = "train") -> PairDataset:
    return FolderSource(folder).open(split, ("vector", "regions"))


def read_all(folder: Path) -> np.ndarray:
    pairs = read(folder)
    return np.asarray(pairs.images(range(len(pairs.image_ids))))


@pytest.mark.parametrize("ending", SAVED)
@pytest.mark.parametrize("shape", [(4, 6), (4, 3, 2), (4, 6, 1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_form_gives_the_same_rows(tmp_path: Path, ending: str, shape: tuple[int, ...], dtype: str) -> None:
    array = ROWS.reshape(shape).astype(dtype)
    SAVED[ending](tmp_path / f"train_ims{ending}", array)
    write_captions(tmp_path, 20)
    found = read_all(tmp_path)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, array.reshape(shape[:3] if shape[-1] > 1 else (4, 6)))
    np.testing.assert_array_equal(read(tmp_path).images([3, 0, 3]), found[[3, 0, 3]])


def test_a_compressed_archive_is_unpacked_to_the_cache_once(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "train_ims.npz", ROWS)
    write_captions(tmp_path, 20)
    np.testing.assert_array_equal(read_all(tmp_path), ROWS)
    np.testing.assert_array_equal(read_all(tmp_path), ROWS)
    np.savez_compressed(tmp_path / "train_ims.npz", ROWS + 1)
    np.testing.assert_array_equal(read_all(tmp_path), ROWS + 1)


@pytest.mark.process  # h5py asks for the processor when it is imported
@pytest.mark.parametrize("settings", [{}, {"chunks": (2, 3), "compression": "gzip"}])
def test_hdf5_contiguous_and_in_chunks(tmp_path: Path, settings: dict[str, object]) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "train_ims.h5", "w") as file:
        file.create_dataset("image_ids", data=np.arange(4))
        file.create_dataset("group/features", data=ROWS, **settings)
    write_captions(tmp_path, 20)
    pairs = pickle.loads(pickle.dumps(read(tmp_path)))  # as workers get it
    np.testing.assert_array_equal(pairs.images([2, 0, 2]), ROWS[[2, 0, 2]])
    content = (tmp_path / "train_ims.h5").read_bytes()
    (tmp_path / "train_ims.h5").write_bytes(content[:-30])
    with pytest.raises(DataError, match=r"not a whole HDF5 file|cannot be read"):
        read(tmp_path)


def test_hdf5_without_its_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    (tmp_path / "train_ims.h5").write_bytes(b"\x89HDF\r\n")
    write_captions(tmp_path, 20)
    with pytest.raises(MissingPackageError, match=r"vsezoo\[hdf5\]"):
        read(tmp_path)


class Harm:
    """What a file of pickles may do."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return (Path.touch, (Path("harm"),))


def test_no_file_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"features": torch.from_numpy(ROWS), "more": Harm()}, "train_ims.pt")
    write_captions(tmp_path, 20)
    with pytest.raises(DataError, match="not a file of tensors alone") as caught:
        read(tmp_path)
    assert "numpy.save('train_ims.npy'" in caught.value.remedy
    assert not Path("harm").exists()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        ({"a": ROWS, "b": ROWS[:, :5]}, "several arrays, none of which is known"),
        ({"a": np.arange(3)}, "contains no array"),
        ({"a": np.zeros((4, 6, 7, 7), np.float32)}, "maps of features, channels first"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, array: dict[str, np.ndarray], words: str) -> None:
    np.savez(tmp_path / "train_ims.npz", **array)
    write_captions(tmp_path, 20)
    with pytest.raises(DataError, match=words):
        read(tmp_path)


def test_cut_off_archives_are_refused(tmp_path: Path) -> None:
    write_captions(tmp_path, 20)
    for ending in (".npz", ".safetensors", ".pt"):
        file = tmp_path / f"train_ims{ending}"
        SAVED[ending](file, ROWS)
        file.write_bytes(file.read_bytes()[:-20])
        with pytest.raises(DataError) as caught:
            read(tmp_path)
        assert caught.value.file == str(file)
        file.unlink()


def test_val_is_dev_unless_there_are_both(tmp_path: Path) -> None:
    for split in ("train", "val"):
        np.save(tmp_path / f"{split}_ims.npy", ROWS)
        write_captions(tmp_path, 20, f"{split}_caps.txt")
    source = FolderSource(tmp_path)
    assert source.list_splits() == ["train", "dev"]
    np.save(tmp_path / "dev_ims.npy", ROWS + 1)
    write_captions(tmp_path, 20, "dev_caps.txt")
    assert source.list_splits() == ["train", "dev", "val"]
    assert read(tmp_path, "dev").images([0])[0, 0] == 1


@pytest.mark.parametrize(("en", "de"), [(20, 20), (20, 4), (4, 4)])
def test_captions_of_several_languages(tmp_path: Path, en: int, de: int) -> None:
    """Each file has five captions or one for each image; an image has those of all files."""
    np.save(tmp_path / "train_ims.npy", ROWS)
    write_captions(tmp_path, en, "train_caps.en.txt")
    assert read(tmp_path).account["languages"] == ["en"]
    write_captions(tmp_path, de, "train_caps.de.txt")
    pairs = read(tmp_path)
    assert pairs.account["languages"] == ["de", "en"]
    assert "captions of train_caps.de.txt and train_caps.en.txt" in pairs.account["summary"]
    assert np.bincount(pairs.image_of).tolist() == [(en + de) // 4] * 4
    of_last = [(pairs.languages[index], pairs.captions[index]) for index in np.flatnonzero(pairs.image_of == 3)]
    expected = [("de", f"caption {3 * de // 4 + index}") for index in range(de // 4)]
    assert of_last == expected + [("en", f"caption {3 * en // 4 + index}") for index in range(en // 4)]
    (tmp_path / "train_caps.fr.tsv").write_text("0\tun\n0\tdeux\n1\tun\n2\tun\n3\tun\n")
    pairs = read(tmp_path)
    assert np.bincount(pairs.image_of)[0] == (en + de) // 4 + 2
    write_captions(tmp_path, 20)
    assert read(tmp_path).account["languages"] == []
    assert "Not read, since another is: train_caps.de.txt, train_caps.en.txt" in read(tmp_path).account["summary"]


@pytest.mark.parametrize("second", ["de", ""])
def test_languages_are_written_with_features(tmp_path: Path, second: str) -> None:
    """In a file for each, if each image has captions in all; otherwise all captions are in one, without languages."""
    captions, languages = [["ein Hund", "a dog", "dogs"], ["a cat", "eine Katze"]], [["de", "en", "en"], ["en", second]]
    write_split(tmp_path / "train", ["a.jpg", "b.jpg"], captions, languages)
    np.save(tmp_path / "train_ims.npy", ROWS[:2])
    pairs = read(tmp_path)
    expected = ["ein Hund", "a dog", "dogs", "eine Katze", "a cat"] if second else [*captions[0], *captions[1]]
    assert list(pairs.captions) == expected
    assert list(pairs.languages) == (["de", "en", "en", "de", "en"] if second else [])
    assert (list(pairs.image_ids), pairs.image_of.tolist()) == (["a.jpg", "b.jpg"], [0, 0, 0, 1, 1])


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("train_caps.tok.txt", 20, r"several files of captions: train_caps\.en\.txt, train_caps\.tok\.txt"),
        ("train_caps.txt", -20, "train_caps.txt: has a tab in each line, as if something stood before the captions"),
        ("train_caps.de.txt", 3, "has 4 rows, and train_caps.de.txt has 3 captions"),
    ],
)
def test_captions_that_do_not_fit_together(tmp_path: Path, name: str, count: int, message: str) -> None:
    np.save(tmp_path / "train_ims.npy", ROWS)
    write_captions(tmp_path, 20, "train_caps.en.txt")
    write_captions(tmp_path, abs(count), name)
    if count < 0:
        (tmp_path / name).write_text((tmp_path / name).read_text().replace(" ", "\t"))
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_a_table_of_ids_and_captions(tmp_path: Path) -> None:
    np.save(tmp_path / "train_ims.npy", ROWS)
    text = "a\tone\na\ttwo \nb\tthree\nc\tfour\tmore\nd\t\n"
    (tmp_path / "train_caps.tsv").write_text(text, encoding="utf-8")
    pairs = read(tmp_path)
    assert list(pairs.captions) == ["one", "two", "three", "four\tmore", ""]
    assert pairs.image_of.tolist() == [0, 0, 1, 2, 3]
    assert list(pairs.image_ids) == list("abcd")
    (tmp_path / "train_caps.tsv").write_text("a\tone\nwithout\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 2 has no tab"):
        read(tmp_path)


@pytest.mark.parametrize("rows", [7, 10])
def test_one_caption_for_each_row(tmp_path: Path, rows: int) -> None:
    np.save(tmp_path / "train_ims.npy", np.arange(rows * 2, dtype=np.float32).reshape(rows, 2))
    write_captions(tmp_path, rows)
    pairs = read(tmp_path)
    assert pairs.image_of.tolist() == list(range(rows))
    assert "one per image" in pairs.account["summary"]


def test_rows_that_stand_five_times_are_five_captions_of_an_image(tmp_path: Path) -> None:
    np.save(tmp_path / "train_ims.npy", np.repeat(ROWS, 5, axis=0))
    write_captions(tmp_path, 20)
    pairs = read(tmp_path)
    assert len(pairs.image_ids) == 4
    assert pairs.account["rule"] == "five per image"


def test_one_group_of_equal_rows_among_others_is_a_fault(tmp_path: Path) -> None:
    rows = np.repeat(ROWS, 5, axis=0)
    rows[7] += 1
    np.save(tmp_path / "train_ims.npy", rows)
    write_captions(tmp_path, 20)
    with pytest.raises(DataError, match="rows 5 to 9 are not 5 times the same image"):
        read(tmp_path)


def test_the_folder_precomp_is_found_and_named_for_its_data_set(tmp_path: Path) -> None:
    folder = tmp_path / "f30k" / "precomp"
    write_captions(folder, 20)
    np.save(folder / "train_ims.npy", ROWS)
    for path in (folder, folder.parent):
        source = FolderSource(path)
        assert source.name == "f30k_precomp"
        assert len(source.open("train", ("vector",), OpenOptions()).captions) == 20
