"""The data doctor on pictures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from doctor_reports import check, find, list_findings
from PIL import Image
from torch import nn
from torch.nn import functional

import vsezoo
from vsezoo import registry
from vsezoo.errors import VsezooError
from vsezoo.interfaces import ImageEncoder

COUNTS = {"train": 16, "dev": 6, "test": 6}


class ColourEncoder(ImageEncoder):
    """The mean colour of a picture, through one layer."""

    kinds = ("picture",)

    def __init__(self, *, embed_size: int) -> None:
        super().__init__()
        self.fc = nn.Linear(3, embed_size)

    def transform(self, training: bool) -> Callable[[list[Image.Image]], torch.Tensor]:
        return mean_colours

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.fc(images), dim=-1)


def mean_colours(pictures: list[Image.Image]) -> torch.Tensor:
    return torch.stack([torch.tensor(np.array(picture)).float().mean(dim=(0, 1)) for picture in pictures])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of random pixels, 8 wide and 6 high, with a table of captions that all differ."""
    folder = tmp_path / "mine"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = ["file_name,split,caption"]
    for split, count in COUNTS.items():
        for image in range(count):
            name = f"{split}{image}.png"
            Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(folder / name)
            first, second = tiny.WORDS[image // 10], tiny.WORDS[image % 10]
            rows += [f"{name},{split},the {first} {second} {word} thing" for word in tiny.WORDS[:3]]
    (folder / "captions.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def test_sound_pictures(folder: Path) -> None:
    report = check(folder)
    assert report.findings == []
    assert [figures.images for figures in report.splits.values()] == [16, 6, 6]
    train = report.splits["train"]
    assert (train.kind, train.sizes, train.modes) == ("picture", {"8 x 6": 16}, {"RGB": 16})
    assert (train.image_shape, train.norms, train.mean_cosine) == (None, None, None)
    assert train.captions_per_image is not None
    assert train.captions_per_image.max == 3


@pytest.mark.slow
def test_sizes_and_modes_are_those_of_the_files(folder: Path) -> None:
    Image.effect_noise((9, 7), 50).save(folder / "dev0.png")
    Image.new("CMYK", (4000, 3000), (10, 20, 30, 40)).save(folder / "big.jpg")
    (folder / "big.jpg").replace(folder / "dev1.png")  # a list may name any file; it is decoded at a part of its size
    dev = check(folder).splits["dev"]
    assert dev.sizes == {"8 x 6": 4, "9 x 7": 1, "4000 x 3000": 1}
    assert dev.modes == {"RGB": 4, "L": 1, "CMYK": 1}


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_pictures_that_cannot_be_read(folder: Path, split: str) -> None:
    (folder / f"{split}3.png").write_bytes(b"")
    (folder / f"{split}5.png").write_bytes((folder / f"{split}5.png").read_bytes()[:60])
    report = check(folder)
    assert list_findings(report) == [("error", split)]  # test, too: it is read when the training is over
    finding = find(report, "2 images that cannot be read")
    assert "test3.png: is empty (0 bytes)" in finding.at[0].replace(split, "test")
    assert "test5.png: cannot be decoded" in finding.at[1].replace(split, "test")


@pytest.mark.parametrize(("split", "level"), [("train", "error"), ("dev", "error"), ("test", "warning")])
def test_absent_pictures_do_not_hide_what_is_wrong_with_the_others(folder: Path, split: str, level: str) -> None:
    (folder / f"{split}0.png").unlink()
    (folder / f"{split}1.png").write_bytes(b"no picture")
    shutil.copy(folder / f"{split}2.png", folder / f"{split}3.png")
    report = check(folder)
    assert report.fails == (level == "error")
    absent = find(report, "1 picture not there")
    assert (absent.level, absent.split, absent.at) == (level, split, (f"{split}0.png",))
    assert absent.remedy.startswith("Copy them to ")
    unreadable = find(report, "1 picture that cannot be read")
    assert unreadable.level == level
    assert unreadable.remedy.startswith("Copy them again")
    assert find(report, "1 picture equal").at == (f"{split}2.png = {split}3.png",)
    assert report.splits[split].images == COUNTS[split] - 2
    assert len(report.findings) == 3


def test_equal_pictures_in_files_that_differ(folder: Path) -> None:
    with Image.open(folder / "train2.png") as picture:
        picture.save(folder / "dev4.png", compress_level=0)
    assert (folder / "dev4.png").read_bytes() != (folder / "train2.png").read_bytes()
    report = check(folder)
    assert list_findings(report) == [("warning", "dev")]
    finding = find(report, "1 image of dev is also in train, with equal contents; 0 of them")
    assert finding.at == ("dev4.png is train2.png of train",)


def test_pictures_of_the_same_bytes_and_other_shapes_differ(folder: Path) -> None:
    Image.new("RGB", (6, 4)).save(folder / "train1.png")
    Image.new("RGB", (4, 6)).save(folder / "train2.png")
    assert check(folder).findings == []


def test_pictures_that_nothing_names(folder: Path) -> None:
    (folder / "more").mkdir()
    for name in ("extra.png", "more/other.jpg"):
        shutil.copy(folder / "dev0.png", folder / name)
    finding = find(check(folder), "2 files without a split")
    assert (finding.level, finding.at) == ("note", ("extra.png", "more/other.jpg"))
    assert "captions.csv" in finding.remedy


@pytest.mark.slow
def test_pictures_that_are_named_by_their_whole_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = folder / "captions.csv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *(f"{folder}/{row}" for row in rows)]))
    monkeypatch.chdir(folder.parent)
    assert check(Path(folder.name)).findings == []


def test_a_folder_of_features_and_pictures(folder: Path, tmp_path: Path) -> None:
    for path in tiny.write_data(tmp_path / "features", images=COUNTS).iterdir():
        shutil.copy(path, folder)
    features, pictures = check(folder), check(folder, pictures=True)
    assert [report.splits["train"].kind for report in (features, pictures)] == ["vector", "picture"]
    assert "with --pictures" in find(features, "also has pictures").remedy
    assert "without --pictures" in find(pictures, "also has features").remedy


def spoil_without_harm(folder: Path) -> None:
    (folder / "test3.png").unlink()
    shutil.copy(folder / "train3.png", folder / "train4.png")
    Image.new("L", (5, 5)).save(folder / "train5.png")


BROKEN: dict[str, tuple[Callable[[Path], object], bool]] = {
    "absent in train": (lambda folder: (folder / "train3.png").unlink(), True),
    "absent in dev": (lambda folder: (folder / "dev3.png").unlink(), True),
    "empty in train": (lambda folder: (folder / "train3.png").write_bytes(b""), True),
    "empty in dev": (lambda folder: (folder / "dev3.png").write_bytes(b""), True),
    "empty in test": (lambda folder: (folder / "test3.png").write_bytes(b""), True),
    "absent in test, equal and grey": (spoil_without_harm, False),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_the_doctor_and_a_training_agree(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register("image_encoders", "colours")(ColourEncoder)
    breaks, fails = BROKEN[name]
    breaks(folder)
    settings = {**tiny.SETTINGS, "image_encoder": "colours", "training.num_epochs": 1}
    failed = False
    try:
        vsezoo.train("vsepp", str(folder), output=tmp_path / "run", settings=settings, device="cpu", overrides=False)
    except VsezooError:
        failed = True
    assert failed == fails
    assert check(folder).fails == fails
