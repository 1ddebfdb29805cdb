"""Every form of data, spoilt in every way: opened with what is right of it, or one message with a remedy.

Each form is made by a function of `FORMS`; each way by one of `SPOIL`, which gets its files. What holds for all of
them is asserted here; what a single form says is tested beside its reader.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from damage import SPOIL, make_numbers
from data_forms import CAPTIONS, FORMS, make_karpathy, make_table
from picture_folders import make_picture, make_sample, write_shard

from vsezoo.data.doctor.check import check_data
from vsezoo.data.lookup import open_data
from vsezoo.data.pictures.layouts.registered import list_recognised
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError, VsezooError
from vsezoo.interfaces import PairDataset

KINDS = ("vector", "regions", "picture")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("VSEZOO_CACHE", str(cache))
    return cache


def read(folder: Path, policy: str) -> PairDataset | VsezooError:
    """Open the split train and read all its images."""
    try:
        pairs = open_data(folder, "train", KINDS, OpenOptions(on_bad_image=policy))
        pairs.images(range(len(pairs.image_ids)))
    except VsezooError as error:
        return error
    return pairs


def list_contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", FORMS)
def test_a_whole_set_is_opened(tmp_path: Path, form: str) -> None:
    FORMS[form](tmp_path)
    pairs = read(tmp_path, "error")
    assert isinstance(pairs, PairDataset), pairs
    assert (len(pairs.image_ids), len(pairs.captions)) == (3, 15)
    assert not check_data(str(tmp_path)).fails


def is_spoilt(form: str, way: str) -> bool:
    """Return whether a way changes anything: features have no texts in their file, and no pictures beside it."""
    packed = form in ("shards", "parquet", "arrow")
    if way in ("change_case", "decompose", "break_picture"):
        return not (packed or form.startswith("features"))
    return way != "make_numbers" or not form.startswith("features")


@pytest.mark.slow
@pytest.mark.parametrize(("form", "way"), [(form, way) for form in FORMS for way in SPOIL if is_spoilt(form, way)])
def test_a_spoilt_set(tmp_path: Path, own_cache: Path, form: str, way: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    SPOIL[way](folder, FORMS[form](folder))
    before = list_contents(folder)
    strict, lenient = read(folder, "error"), read(folder, "skip")
    for error in (strict, lenient):
        if isinstance(error, VsezooError):
            assert error.problem
            assert error.remedy, error.problem
    if isinstance(strict, PairDataset):  # what was not refused is counted
        assert isinstance(lenient, PairDataset), lenient
        assert strict.account["used"] + sum(strict.account["left_out"].values()) == strict.account["images"]
        assert len(strict.captions) == 15 or (form, way) == ("texts", "truncate")  # the end of a text may be missing
    if isinstance(lenient, PairDataset):
        assert len(lenient.image_ids) + len(lenient.skipped) >= 1
        assert all(lenient.captions)
    with suppress(DataError):  # of a folder in which nothing is known
        report = check_data(str(folder))
        assert report.fails == isinstance(strict, VsezooError), [finding.what for finding in report.findings]
        assert all(finding.remedy for finding in report.findings if finding.level == "error")
    assert list_contents(folder) == before
    assert not [path for path in own_cache.rglob("*") if path.name.startswith("tmp")]


BAD_ROWS = {
    "table": ("captions.csv", "b.png,a,train,more", "line 27 has 4 cells, the first line has 3"),
    "json-lines": (
        "metadata.jsonl",
        '{"file_name": "b.png", "text": 7, "split": "dev"}',
        "caption that is not text",
    ),
    "tabs": ("anything.tsv", "\ta cat\ttrain", "line 27 names no picture"),
    "flickr8k": ("Flickr8k.token.txt", "b.png a cat", "line 26 is not IMAGE#NUMBER"),
    "results": ("results.csv", "\nb.jpg", r"line 27 is not IMAGE\| NUMBER"),
}


@pytest.mark.parametrize("form", BAD_ROWS)
def test_one_bad_row_is_refused_or_skipped_as_asked(tmp_path: Path, form: str) -> None:
    FORMS[form](tmp_path)
    name, row, message = BAD_ROWS[form]
    with (tmp_path / name).open("a", encoding="utf-8") as file:
        file.write(f"{row}\n")
    with pytest.raises(DataError, match=message) as caught:
        open_data(tmp_path, "train", KINDS)
    assert caught.value.remedy.endswith("or skip them with --on-bad-image skip.")
    lenient = open_data(tmp_path, "train", KINDS, OpenOptions(on_bad_image="skip"))
    assert (len(lenient.captions), lenient.account["bad_rows"]) == (15, 1)
    assert "1 bad rows of the list" in lenient.account["summary"]
    report = check_data(str(tmp_path))
    assert report.fails
    assert sum(finding.level == "error" for finding in report.findings) == 2  # of train and of dev


def spoil_karpathy(folder: Path) -> None:
    change_json(folder / "dataset_mine.json", lambda value: value["images"].append({"filename": "b.png"}))


def spoil_coco(folder: Path) -> None:
    entry = {"id": 99, "image_id": 77, "caption": "a dog"}
    change_json(folder / "captions_train2017.json", lambda value: value["annotations"].append(entry))


def spoil_shard(folder: Path) -> None:
    samples = {k: v for name in ("x", "b", "c") for k, v in make_sample(name, 1, "\n".join(CAPTIONS)).items()}
    write_shard(folder / "train-0.tar", {**samples, "bad.jpg": make_picture(9), "bad.txt": b"a caf\xe9"})


def spoil_columns(folder: Path, ending: str = "parquet") -> None:
    arrow = pytest.importorskip("pyarrow")
    images = [{"bytes": make_picture(n), "path": f"{n}.png"} for n in range(4)]
    texts = arrow.array([*[json.dumps(CAPTIONS)] * 3, "['a dog', 3]"])
    table = arrow.table({"image": images, "caption": texts})
    pytest.importorskip("pyarrow.parquet").write_table(table, folder / "train-00000-of-00001.parquet")


def change_json(file: Path, change: Callable[[Any], object]) -> None:
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))


BAD_ENTRIES: Mapping[str, tuple[Callable[[Path], None], str]] = {
    "karpathy": (spoil_karpathy, r"images\[5\] lacks 'split'"),
    "coco-json": (spoil_coco, r"annotations\[15\] is of the image 77, which is not among the images"),
    "shards": (spoil_shard, r"train-0\.tar \(bad\.txt\): is not UTF-8 text"),
    "parquet": (spoil_columns, r"row 3 has a list that cannot be read: .*a dog"),
}


@pytest.mark.parametrize("form", BAD_ENTRIES)
def test_one_bad_entry_is_refused_or_skipped_as_asked(tmp_path: Path, form: str) -> None:
    FORMS[form](tmp_path)
    spoil, message = BAD_ENTRIES[form]
    spoil(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        open_data(f"{tmp_path}/", "train", KINDS)
    assert caught.value.remedy.endswith("or skip them with --on-bad-image skip.")
    lenient = open_data(f"{tmp_path}/", "train", KINDS, OpenOptions(on_bad_image="skip"))
    account = lenient.account
    assert (len(lenient.captions), account["bad_rows"]) == (15, 1)
    assert account["used"] + sum(account["left_out"].values()) == account["images"]


def test_two_forms_in_one_folder_are_told(tmp_path: Path) -> None:
    make_table(tmp_path)
    make_karpathy(tmp_path)
    (finding,) = (one for one in check_data(str(tmp_path)).findings if "also has files" in one.what)
    assert "of the layout table: they are not read" in finding.what


def test_one_file_that_two_forms_know_is_not_a_second_form(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("image_name| comment_number| comment\na.png| 0| a dog\n")
    assert list_recognised(tmp_path) == ["flickr30k", "table"]
    assert list_recognised(tmp_path, tmp_path / "results.csv") == []


def test_captions_that_are_numbers_or_names_are_told(tmp_path: Path) -> None:
    make_numbers(tmp_path, file := make_table(tmp_path))
    file.write_text(file.read_text().replace(",4,", ",b.png#2,"))
    findings = check_data(str(tmp_path)).findings
    for words, count in (("nothing but a number", 12), ("nothing but the name of a picture", 3)):
        assert next(one.count for one in findings if words in one.what and one.split == "train") == count
