"""The data doctor on features: each fault is made, found, and named with its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny
from doctor_reports import check, find, list_findings

from vsezoo.data.doctor.check import check_data
from vsezoo.errors import DataError

Features = np.ndarray


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sound features; the captions of a split all differ, in words that the training captions have."""
    folder = tiny.write_data(tmp_path / "mine")
    for split in tiny.IMAGES:
        path = folder / f"{split}_caps.txt"
        lines = path.read_text(encoding="utf-8").splitlines()
        numbered = (
            f"{line} {' '.join(tiny.WORDS[int(digit)] for digit in f'{i:03}')}\n" for i, line in enumerate(lines)
        )
        path.write_text("".join(numbered), encoding="utf-8")
    return folder


def change(folder: Path, split: str, edit: Callable[[Features], Features | None]) -> None:
    """Write the features of a split anew, after an edit of them."""
    path = folder / f"{split}_ims.npy"
    array = np.load(path)
    edited = edit(array)
    np.save(path, array if edited is None else edited)


def test_sound_features_give_no_finding(folder: Path) -> None:
    report = check(folder)
    assert report.findings == []
    assert not report.fails
    assert list(report.splits) == ["train", "dev", "test"]
    train = report.splits["train"]
    assert (train.images, train.captions, train.rows, train.kind, train.image_shape, train.dtype) == (
        *(64, 320, 64, "vector", (tiny.WIDTH,), "float32"),
    )
    assert train.captions_per_image is not None
    assert (train.captions_per_image.min, train.captions_per_image.max) == (5, 5)


def test_norms_and_mean_cosine_are_those_of_all_images(folder: Path) -> None:
    change(folder, "train", lambda array: array * np.linspace(0.5, 1.5, len(array), dtype=np.float32)[:, None] + 0.1)
    array = np.load(folder / "train_ims.npy").astype(np.float64)
    norms = np.linalg.norm(array, axis=1)
    unit = array / norms[:, None]
    cosines = (unit @ unit.T)[~np.eye(len(array), dtype=bool)]
    figures = check(folder).splits["train"]
    assert figures.norms is not None
    assert [figures.norms.min, figures.norms.mean, figures.norms.max] == pytest.approx(
        [norms.min(), norms.mean(), norms.max()]
    )
    assert figures.mean_cosine == pytest.approx(cosines.mean())


def test_blocks_do_not_change_what_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(array: Features) -> None:
        array[50] = array[3]
        array[40] = 0
        array[63, 1] = np.nan

    change(folder, "train", spoil)
    whole = check(folder).to_json()
    monkeypatch.setattr("vsezoo.data.doctor.scan.BLOCK", 7 * tiny.WIDTH * 4)
    parts = check(folder).to_json()
    for report in (whole, parts):  # sums in another order
        for split in report["splits"].values():
            split["norms"]["mean"] = round(split["norms"]["mean"], 9)
            split["mean_cosine"] = round(split["mean_cosine"], 9)
    assert whole == parts


@pytest.mark.parametrize(("split", "level"), [("train", "error"), ("dev", "error"), ("test", "warning")])
def test_nan_and_infinity_are_counted_and_named(folder: Path, split: str, level: str) -> None:
    def spoil(array: Features) -> None:
        array[4, 2] = np.nan
        array[[9, 17], 0] = np.inf

    change(folder, split, spoil)
    report = check(folder)
    assert list_findings(report) == [(level, split)]
    finding = find(report, "3 images with NaN or an infinite value")
    assert finding.at == ("row 4", "row 9", "row 17")
    assert (finding.count, finding.file) == (3, str(folder / f"{split}_ims.npy"))
    assert report.fails == (level == "error")


def test_float64_beyond_float32_is_as_infinite_as_in_training(folder: Path) -> None:
    def widen(array: Features) -> Features:
        array = array.astype(np.float64)
        array[2, 0] = 1e300
        return array

    change(folder, "train", widen)
    assert find(check(folder), "NaN or an infinite value").at == ("row 2",)


def test_a_bad_row_that_no_training_reads_is_a_warning(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files are not checked whole at opening, and of dev no more than the first 1,000 images are read."""
    monkeypatch.setattr("vsezoo.data.precomputed.feature_file.CHECKED_WHOLE", 0)
    monkeypatch.setattr("vsezoo.data.precomputed.feature_file.SAMPLED_IMAGES", 2)
    monkeypatch.setattr("vsezoo.data.precomputed.pairs.DEV_IMAGES", 10)

    def spoil(row: int) -> Callable[[Features], None]:
        return lambda array: array.__setitem__((row, 0), np.nan)

    sound = np.load(folder / "dev_ims.npy")
    change(folder, "dev", spoil(12))
    assert list_findings(check(folder)) == [("warning", "dev")]
    change(folder, "dev", spoil(9))
    assert list_findings(check(folder)) == [("error", "dev")]
    change(folder, "dev", lambda array: sound)
    change(folder, "test", spoil(5))  # read when the training is over, which it then fails
    assert list_findings(check(folder)) == [("error", "test")]


def test_rows_of_zeros(folder: Path) -> None:
    change(folder, "dev", lambda array: array.__setitem__([3, 5], 0))
    report = check(folder)
    assert list_findings(report) == [("warning", "dev")]  # and neither as equal to each other nor as of no unit norm
    assert find(report, "2 images with only zeros").at == ("row 3", "row 5")


def test_equal_features_of_different_images(folder: Path) -> None:
    def repeat(array: Features) -> None:
        array[30], array[31], array[8] = array[2], array[2], array[7]

    change(folder, "train", repeat)
    report = check(folder)
    assert list_findings(report) == [("warning", "train")]
    finding = find(report, "3 features equal to that of an earlier image")
    assert finding.at == ("row 2 = row 30 = row 31", "row 7 = row 8")


def test_rows_that_stand_five_times(tmp_path: Path) -> None:
    folder = tiny.write_data(tmp_path / "mine", copies=5)
    report = check(folder)
    assert report.splits["train"].rows == 320
    assert report.splits["train"].images == 64
    assert "1/5" in next(finding for finding in report.findings if "has 5 rows" in finding.what).remedy
    change(folder, "train", lambda array: array.__setitem__(12, array[12] * 2))
    report = check(folder)
    assert report.fails
    assert find(report, "1 image whose 5 rows differ").at == ("row 10",)
    assert not [f for f in report.findings if "has 5 rows" in f.what and f.split == "train"]


def test_one_split_that_cannot_be_opened_does_not_hide_the_others(folder: Path) -> None:
    os.truncate(folder / "dev_ims.npy", 500)
    (folder / "dev_caps.txt").write_bytes(b"one\ncaf\xe9\n")
    change(folder, "train", lambda array: array.__setitem__((1, 1), np.nan))
    report = check(folder)
    assert {(finding.level, finding.split) for finding in report.findings} == {("error", "dev"), ("error", "train")}
    assert "500 bytes" in find(report, "its header").what
    assert find(report, "is not UTF-8").file == str(folder / "dev_caps.txt")
    assert find(report, "1 image with NaN").at == ("row 1",)
    assert report.splits["dev"].images is None
    assert report.splits["test"].images == 20


def test_numbers_of_rows_and_captions_that_do_not_fit(folder: Path) -> None:
    change(folder, "test", lambda array: array[:-1])
    change(folder, "dev", lambda array: np.concatenate([array[:-1], np.full_like(array[:2], np.nan)]))
    report = check(folder)
    assert list_findings(report) == [("error", "dev"), ("error", "dev"), ("warning", "test")]
    assert find(report, "has 19 rows").split == "test"
    assert find(report, "has 21 rows").split == "dev"
    assert find(report, "2 images with NaN").split == "dev"
    assert report.splits["dev"].captions == 100


@pytest.mark.parametrize(("split", "level"), [("train", "error"), ("dev", "error"), ("test", "warning")])
def test_absent_splits(folder: Path, split: str, level: str) -> None:
    for path in folder.glob(f"{split}_ims.npy"):
        path.unlink()
    report = check(folder)
    assert (level, split) in list_findings(report)
    assert find(report, f"has no split '{split}'").level == level
    unnamed = find(report, "1 file without a split")
    assert (unnamed.level, unnamed.at) == ("note", (f"{split}_caps.txt",))


@pytest.mark.parametrize(("split", "shape", "level"), [
    ("dev", (20, 7), "error"),
    ("test", (20, 7), "error"),
    ("extra", (20, 7), "warning"),
    ("dev", (20, 3, tiny.WIDTH), "error"),
    ("test", (20, 3, tiny.WIDTH), "warning"),
])  # fmt: skip
def test_forms_that_differ_between_splits(folder: Path, split: str, shape: tuple[int, ...], level: str) -> None:
    rng = np.random.default_rng(1)
    np.save(folder / f"{split}_ims.npy", rng.normal(size=shape, scale=shape[-1] ** -0.5).astype(np.float32))
    if split == "extra":
        lines = "".join(f"an extra thing {i}\n" for i in range(100))
        (folder / "extra_caps.txt").write_text(lines, encoding="utf-8")
    report = check(folder)
    finding = find(report, "The images")
    assert (finding.level, finding.split) == (level, split)
    assert (
        f"those of train {(tiny.WIDTH,)}" in finding.what
        or "'regions', those of train of kind 'vector'" in finding.what
    )


def test_a_number_of_regions_that_differs_is_a_note(tmp_path: Path, folder: Path) -> None:
    for split, regions in (("train", 4), ("dev", 4), ("test", 3)):
        shape = (tiny.IMAGES[split], regions, 6)
        np.save(
            folder / f"{split}_ims.npy", np.random.default_rng(len(split) + regions).normal(size=shape).astype("f4")
        )
    assert list_findings(check(folder)) == [("note", "test")]


def test_norms(folder: Path) -> None:
    for split in tiny.IMAGES:
        change(folder, split, lambda array: array * 20)
    report = check(folder)
    assert list_findings(report) == [("note", None)]
    assert "not have unit norm" in report.findings[0].what
    change(folder, "test", lambda array: array / 20)
    report = check(folder)
    assert list_findings(report) == [("warning", None)]
    assert "train 20, dev 20, test 1" in report.findings[0].what


def test_float16_of_unit_norm_is_of_unit_norm(folder: Path) -> None:
    for split in tiny.IMAGES:
        change(folder, split, lambda array: array.astype(np.float16))
    assert check(folder).findings == []


def test_a_large_common_mean(folder: Path) -> None:
    for split in tiny.IMAGES:
        change(folder, split, lambda array: (array + 1) / np.linalg.norm(array + 1, axis=1, keepdims=True))
    report = check(folder)
    assert list_findings(report) == [("note", "train")]
    assert "image_encoder.center=true" in report.findings[0].remedy


def test_leaks_by_features_and_by_ids(folder: Path) -> None:
    train = np.load(folder / "train_ims.npy")
    captions = (folder / "train_caps.txt").read_text(encoding="utf-8").splitlines()

    def leak(array: Features) -> None:
        array[4], array[11] = train[8], train[60]

    change(folder, "dev", leak)
    path = folder / "dev_caps.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[4 * 5 + 2] = captions[8 * 5 + 1]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = check(folder)
    assert list_findings(report) == [("warning", "dev")]
    finding = find(report, "2 images of dev are also in train, with equal contents; 1 of them with an equal caption")
    assert finding.at == ("row 4 is row 8 of train", "row 11 is row 60 of train")
    for split, count in tiny.IMAGES.items():
        (folder / f"{split}_ids.txt").write_text("".join(f"{split}-{i}\n" for i in range(count)), encoding="utf-8")
    ids = [f"dev-{i}" for i in range(19)] + ["test-3"]
    (folder / "dev_ids.txt").write_text("\n".join(ids), encoding="utf-8")
    report = check(folder)
    finding = find(report, "1 image of test is also in dev, with equal ids")
    assert finding.at == ("row 3 (test-3) is row 19 (test-3) of dev",)
    assert len(report.findings) == 2


def test_test_may_be_a_part_of_testall(folder: Path) -> None:
    for ending in ("ims.npy", "caps.txt"):
        (folder / f"testall_{ending}").write_bytes((folder / f"test_{ending}").read_bytes())
    assert check(folder).findings == []


def test_ids_that_occur_twice(folder: Path) -> None:
    ids = [f"image{i}" for i in range(20)]
    ids[7] = ids[2]
    (folder / "test_ids.txt").write_text("\n".join(ids), encoding="utf-8")
    finding = find(check(folder), "1 image with the id of an earlier image")
    assert finding.at == ("row 2 (image2) = row 7 (image2)",)


def test_splits_that_are_chosen(folder: Path) -> None:
    change(folder, "train", lambda array: array.__setitem__((0, 0), np.nan))
    assert list(check(folder, "dev").splits) == ["dev"]
    assert check(folder, "dev").findings == []
    assert check(folder, "train").fails
    with pytest.raises(DataError, match=r"has no split 'tset'[\s\S]*train, dev, test"):
        check(folder, "tset")


def test_data_that_are_not_there_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="were not found"):
        check_data(str(tmp_path / "nothing"))


def test_generated_data_are_checked_through_what_they_yield() -> None:
    report = check_data("shapes", splits=["dev"])
    assert not report.fails
    figures = report.splits["dev"]
    assert figures.images
    assert figures.norms is not None
    assert figures.rows is None


@pytest.mark.slow
@pytest.mark.skipif("VSEZOO_SHARED" not in os.environ, reason="wants the real data")
def test_flickr8k() -> None:
    report = check_data(str(Path(os.environ["VSEZOO_SHARED"], "data", "f8k_precomp")))
    assert not report.fails
    assert [figures.images for figures in report.splits.values()] == [6000, 1000, 1000]
    assert report.vocabulary == 3178  # as in the vocabulary that VSE++ shipped
    twins = find(report, "1 feature equal")  # two files of one photograph
    assert twins.at == ("row 1027 (3050606344_af711c726c.jpg) = row 1359 (2851198725_37b6027625.jpg)",)
