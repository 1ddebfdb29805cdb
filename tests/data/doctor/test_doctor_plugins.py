"""The data doctor on the data sets of plugins: what a source says of its files is what the doctor looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from doctor_reports import find, list_findings
from PIL import Image

from vsezoo import registry
from vsezoo.data.doctor.check import check_data
from vsezoo.data.doctor.report import Report
from vsezoo.data.pictures.picture_file import Place
from vsezoo.data.source import DEFAULT_OPTIONS, DataSource, OpenOptions, SplitFiles
from vsezoo.errors import DataError
from vsezoo.interfaces import PairDataset

COUNTS = {"train": 30, "dev": 12, "test": 12, "extra": 6}


class PluginPairs(PairDataset):
    """Two captions for each image."""

    name = "plugin-data"

    def __init__(self, split: str, captions: Sequence[str], images: int) -> None:
        if len(captions) != 2 * images:
            raise DataError(f"{split}: {len(captions)} captions for {images} images.", remedy="Write two for each.")
        self.split, self.captions = split, captions
        self.image_ids = [f"{split}-{index}" for index in range(images)]
        self.image_of = np.repeat(np.arange(images), 2)


class FeaturePairs(PluginPairs):
    kind, image_shape = "vector", (tiny.WIDTH,)

    def __init__(self, split: str, captions: Sequence[str], features: np.ndarray) -> None:
        super().__init__(split, captions, len(features))
        self.features = features

    def images(self, indices: Sequence[int] | np.ndarray) -> Any:
        return self.features[np.asarray(indices)]


class FeatureSource(DataSource):
    """`SPLIT.npy` and `SPLIT.txt` in a folder."""

    name, summary, origin = "plugin-data", "The data set of a plugin.", "Made up."
    splits, kinds = ("train", "dev", "test"), ("vector",)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, split: str, kinds: Sequence[str], options: OpenOptions = DEFAULT_OPTIONS) -> PairDataset:
        files = self.locate_split(split, options)
        if not files.features or not files.captions:
            raise DataError(f"has no split {split!r}.", file=self.folder, remedy="Write it.")
        features = np.load(files.features)
        if options.check_values and not np.isfinite(features).all():
            raise DataError("has NaN.", file=files.features, remedy="Write it again.")
        return FeaturePairs(split, files.captions.read_text(encoding="utf-8").splitlines(), features)

    def list_splits(self, options: OpenOptions = DEFAULT_OPTIONS) -> list[str]:
        return [name for name in COUNTS if (self.folder / f"{name}.npy").is_file()]

    def find_folder(self, options: OpenOptions = DEFAULT_OPTIONS) -> Path:
        return self.folder

    def list_files(self, options: OpenOptions = DEFAULT_OPTIONS) -> Iterator[Path]:
        for name in self.list_splits(options):
            yield from (self.folder / f"{name}{ending}" for ending in (".npy", ".txt"))

    def locate_split(self, split: str, options: OpenOptions = DEFAULT_OPTIONS) -> SplitFiles:
        if split not in self.list_splits(options):
            return SplitFiles()
        return SplitFiles(self.folder / f"{split}.txt", self.folder / f"{split}.npy")


class PicturePairs(PluginPairs):
    kind, image_shape = "picture", ()

    def __init__(self, split: str, captions: Sequence[str], files: Sequence[Path]) -> None:
        super().__init__(split, captions, len(files))
        self.places = [Place(str(file)) for file in files]

    def images(self, indices: Sequence[int] | np.ndarray) -> Any:
        return [self.places[index].read() for index in indices]


class PictureSource(DataSource):
    """`SPLIT/*.png` in a folder; nothing else is said of the files than where the pictures are."""

    name, summary, origin = "plugin-data", "The data set of a plugin.", "Made up."
    splits, kinds = ("train", "dev", "test"), ("picture",)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, split: str, kinds: Sequence[str], options: OpenOptions = DEFAULT_OPTIONS) -> PairDataset:
        files = sorted((self.folder / split).glob("*.png"))
        return PicturePairs(split, list_captions(split, len(files)), files)

    def find_folder(self, options: OpenOptions = DEFAULT_OPTIONS) -> Path:
        return self.folder

    def list_files(self, options: OpenOptions = DEFAULT_OPTIONS) -> Iterator[Path]:
        return self.folder.glob("*/*.png")


def list_captions(split: str, images: int) -> list[str]:
    """Return captions that all differ, of words that each split has."""
    start = list(COUNTS).index(split)
    words = tiny.WORDS
    return [
        f"{words[start]} {words[index % 7]} {words[index // 7 % 7]} {' '.join(words[:form])}"
        for index in range(images)
        for form in (1, 3)
    ]


@pytest.fixture(autouse=True)
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """The folder of a registered data set of features of unit norm."""
    folder = tmp_path / "features"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for split, count in COUNTS.items():
        array = rng.normal(size=(count, tiny.WIDTH)).astype(np.float32)
        np.save(folder / f"{split}.npy", array / np.linalg.norm(array, axis=1, keepdims=True))
        (folder / f"{split}.txt").write_text("\n".join(list_captions(split, count)) + "\n", encoding="utf-8")
    registry.register("datasets", "plugin-data")(FeatureSource(folder))
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """The folder of a registered data set of pictures of random pixels."""
    folder, rng = tmp_path / "pictures", np.random.default_rng(0)
    for split in PictureSource.splits:
        (folder / split).mkdir(parents=True)
        for index in range(COUNTS[split]):
            pixels = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / split / f"{index:02}.png")
    registry.register("datasets", "plugin-data")(PictureSource(folder))
    return folder


def check() -> Report:
    return check_data("plugin-data", vocab_threshold=1)


def change(file: Path, spoil: Callable[[np.ndarray], None]) -> None:
    array = np.load(file)
    spoil(array)
    np.save(file, array)


def test_sound_features_and_their_figures(features: Path) -> None:
    report = check()
    assert report.findings == []
    assert {name: figures.images for name, figures in report.splits.items()} == COUNTS  # also one not in `splits`
    assert {figures.rows for figures in report.splits.values()} == set(COUNTS.values())
    assert report.splits["dev"].dtype == "float32"


def test_rows_that_are_no_numbers_are_named_in_a_split_that_does_not_open(features: Path) -> None:
    change(features / "train.npy", lambda array: array.__setitem__(([3, 8], 0), np.nan))
    report = check()
    assert list_findings(report) == [("error", "train")]
    finding = find(report, "2 images with NaN or an infinite value")
    assert (finding.file, finding.at) == (str(features / "train.npy"), ("row 3 (train-3)", "row 8 (train-8)"))
    assert report.fails


def test_captions_of_a_split_whose_files_do_not_fit_together(features: Path) -> None:
    lines = (features / "dev.txt").read_text(encoding="utf-8").splitlines()
    lines[4] = ""
    (features / "dev.txt").write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    change(features / "dev.npy", lambda array: array.__setitem__((5, 0), np.inf))
    report = check()
    assert {split for _, split in list_findings(report)} == {"dev"}
    assert find(report, "23 captions for 12 images").level == "error"
    assert find(report, "1 image with NaN").at == ("row 5",)
    empty = find(report, "1 caption empty")
    assert (empty.file, empty.at) == (str(features / "dev.txt"), ("line 5",))


def test_files_that_the_source_does_not_read(features: Path) -> None:
    for name in ("tset.npy", ".hidden"):
        (features / name).write_bytes(b"")
    report = check()
    assert list_findings(report) == [("note", None)]
    finding = find(report, "1 file without a split")
    assert (finding.file, finding.at) == (str(features), ("tset.npy",))
    assert "train.npy, train.txt" in finding.remedy


def test_features_that_are_in_two_splits(features: Path) -> None:
    train = np.load(features / "train.npy")
    change(features / "extra.npy", lambda array: array.__setitem__(2, train[7]))
    finding = find(check(), "1 image of extra is also in train, with equal contents")
    assert finding.at == ("row 2 (extra-2) is row 7 (train-7) of train",)


def test_pictures_are_seen_as_they_are_in_their_files(pictures: Path) -> None:
    Image.effect_noise((9, 6), 50).save(pictures / "train" / "05.png")
    Image.effect_noise((9, 6), 50).save(pictures / "other.png")
    report = check()
    assert report.splits["train"].modes == {"RGB": 29, "L": 1}
    assert report.splits["train"].sizes == {"7 x 5": 29, "9 x 6": 1}
    assert list_findings(report) == [("note", None)]
    assert find(report, "1 file without a split").at == ("other.png",)


def test_a_picture_that_cannot_be_read(pictures: Path) -> None:
    (pictures / "dev" / "04.png").write_bytes(b"no picture")
    report = check()
    assert list_findings(report) == [("error", "dev")]
    assert str(pictures / "dev" / "04.png") in find(report, "1 image that cannot be read").at[0]
