"""Every form of data, spoilt in every way: opened with what is right of it, or one message with a remedy.

Each form is made by a function of `FORMS`; each way by one of `SPOIL`, which gets its files. What holds for all of
them is asserted here; what a single form says is tested beside its reader.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from picture_folders import make_picture, make_sample, write_shard
from safetensors.numpy import save_file

from vsezoo.data.doctor.check import check_data
from vsezoo.data.lookup import open_data
from vsezoo.data.pictures.layouts.registered import list_recognised
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError, VsezooError
from vsezoo.interfaces import PairDataset

KINDS = ("vector", "regions", "picture")
NAMES = {"train": ["Aa.png", "b.png", "é.png"], "dev": ["d.png"], "test": ["e.png"]}
CAPTIONS = [f"a caption of the number {number}" for number in range(5)]


# Forms


def add_pictures(folder: Path) -> None:
    for shade, name in enumerate(chain.from_iterable(NAMES.values()), start=1):
        (folder / name).write_bytes(make_picture(shade))


def list_rows(split: str | None = None) -> list[tuple[str, str, str]]:
    splits = NAMES if split is None else {split: NAMES[split]}
    return [(name, text, split) for split, names in splits.items() for name in names for text in CAPTIONS]


def write_cells(file: Path, rows: Sequence[Sequence[str]], separator: str = ",") -> Path:
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter=separator).writerows(rows)
    return file


def make_table(folder: Path, name: str = "captions.csv", separator: str = ",") -> Path:
    add_pictures(folder)
    return write_cells(folder / name, [("image", "caption", "split"), *list_rows()], separator)


def make_json_lines(folder: Path) -> Path:
    add_pictures(folder)
    lines = [json.dumps({"file_name": name, "text": text, "split": split}) for name, text, split in list_rows()]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "metadata.jsonl"


def make_blip(folder: Path) -> Path:
    add_pictures(folder)
    for split in NAMES:
        rows = [{"image": name, "caption": text, "image_id": name} for name, text, _ in list_rows(split)]
        (folder / f"coco_karpathy_{split}.json").write_text(json.dumps(rows))
    return folder / "coco_karpathy_train.json"


def make_karpathy(folder: Path) -> Path:
    add_pictures(folder)
    images = [
        {"filename": name, "split": split, "sentences": [{"raw": text} for text in CAPTIONS]}
        for split, names in NAMES.items()
        for name in names
    ]
    (folder / "dataset_mine.json").write_text(json.dumps({"images": images}))
    return folder / "dataset_mine.json"


def make_flickr8k(folder: Path) -> Path:
    add_pictures(folder)
    lines = [f"{name}#{n % 5}\t{text}" for n, (name, text, _) in enumerate(list_rows())]
    (folder / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for split, names in NAMES.items():
        (folder / f"Flickr_8k.{split}Images.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return folder / "Flickr8k.token.txt"


def make_results(folder: Path) -> Path:
    add_pictures(folder)
    for picture in folder.glob("*.png"):
        picture.rename(picture.with_suffix(".jpg"))
    lines = [f"{name[:-4]}.jpg| {n % 5}| {text}" for n, (name, text, _) in enumerate(list_rows())]
    (folder / "results.csv").write_text("image_name| comment_number| comment\n" + "\n".join(lines), encoding="utf-8")
    for split, names in {"train": NAMES["train"], "val": NAMES["dev"], "test": NAMES["test"]}.items():
        (folder / f"{split}.txt").write_text("\n".join(names).replace(".png", "") + "\n", encoding="utf-8")
    return folder / "results.csv"


def make_coco(folder: Path) -> Path:
    add_pictures(folder)
    for split, names in {"train2017": NAMES["train"], "val2017": NAMES["dev"], "test2017": NAMES["test"]}.items():
        images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
        texts = [{"id": n, "image_id": n // 5, "caption": text} for n, text in enumerate(CAPTIONS * len(names))]
        (folder / f"captions_{split}.json").write_text(json.dumps({"images": images, "annotations": texts}))
    return folder / "captions_train2017.json"


def make_shards(folder: Path) -> Path:
    for split, names in NAMES.items():
        samples = [make_sample(name.removesuffix(".png"), len(name), "\n".join(CAPTIONS)) for name in names]
        write_shard(folder / f"{split}-0.tar", {key: value for sample in samples for key, value in sample.items()})
    return folder / "train-0.tar"


def make_texts(folder: Path) -> Path:
    for split, names in NAMES.items():
        for name in names:
            write = folder / split / name
            write.parent.mkdir(exist_ok=True)
            write.write_bytes(make_picture(len(name)))
            write.with_suffix(".txt").write_text("\n".join(CAPTIONS) + "\n")
    return folder / "train" / "b.txt"


def make_columns(folder: Path, ending: str = "parquet") -> Path:
    arrow = pytest.importorskip("pyarrow")
    for split, names in NAMES.items():
        images = [{"bytes": make_picture(len(name)), "path": name} for name in names]
        table = arrow.table({"image": images, "caption": [CAPTIONS for _ in names]})
        file = folder / f"{split}-00000-of-00001.{ending}"
        if ending == "parquet":
            pytest.importorskip("pyarrow.parquet").write_table(table, file)
        else:
            with arrow.OSFile(str(file), "wb") as sink, arrow.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
    return folder / f"train-00000-of-00001.{ending}"


def make_features(folder: Path, ending: str, save: Callable[[Path, np.ndarray], object]) -> Path:
    for split, names in NAMES.items():
        save(folder / f"{split}_ims{ending}", np.random.default_rng(0).random((len(names), 4), np.float32))
        (folder / f"{split}_caps.txt").write_text("\n".join(CAPTIONS * len(names)) + "\n")
    return folder / f"train_ims{ending}"


def save_hdf5(path: Path, array: np.ndarray) -> None:
    with pytest.importorskip("h5py").File(path, "w") as file:
        file["features"] = array


def save_lists(path: Path, array: np.ndarray) -> None:
    arrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(arrow.table({"features": array.tolist()}), path)


SAVE: Mapping[str, Callable[[Path, np.ndarray], object]] = {
    ".npy": np.save,
    ".npz": lambda path, array: np.savez(path, features=array),
    ".safetensors": lambda path, array: save_file({"features": array}, path),
    ".pt": lambda path, array: torch.save(torch.from_numpy(array), path),
    ".h5": save_hdf5,
    ".parquet": save_lists,
}

FORMS: Mapping[str, Callable[[Path], Path]] = {
    "table": make_table,
    "tabs": lambda folder: make_table(folder, "anything.tsv", "\t"),
    "semicolons": lambda folder: make_table(folder, "mine.csv", ";"),
    "json-lines": make_json_lines,
    "blip": make_blip,
    "karpathy": make_karpathy,
    "flickr8k": make_flickr8k,
    "results": make_results,
    "coco-json": make_coco,
    "shards": make_shards,
    "texts": make_texts,
    "parquet": make_columns,
    "arrow": lambda folder: make_columns(folder, "arrow"),
    **{
        f"features{ending}": lambda folder, ending=ending, save=save: make_features(folder, ending, save)
        for ending, save in SAVE.items()
    },
}
"""Each writes a small set and returns the file that is spoilt."""


# Ways to spoil them


def truncate(folder: Path, file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])


def empty(folder: Path, file: Path) -> None:
    file.write_bytes(b"")


def flip(folder: Path, file: Path) -> None:
    """Make bytes in the middle something else, which is not UTF-8 either."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4] = b"\xff\xfe\x00\x9d"
    file.write_bytes(content)


def garble(folder: Path, file: Path) -> None:
    file.write_bytes(np.random.default_rng(0).bytes(3000))


def make_numbers(folder: Path, file: Path) -> None:
    """Write a number in the place of each caption, where the file has texts."""
    content = file.read_bytes()
    for number, text in enumerate(CAPTIONS):
        content = content.replace(f'"{text}"'.encode(), str(number).encode()).replace(text.encode(), b"%d" % number)
    file.write_bytes(content)


def join_another(folder: Path, file: Path) -> None:
    """Put the files of another form beside those of this one."""
    other = folder.parent / "other"
    other.mkdir()
    (make_karpathy if file.suffix in (".csv", ".tsv", ".jsonl") else make_table)(other)
    shutil.copytree(other, folder, dirs_exist_ok=True)
    shutil.rmtree(other)


def change_case(folder: Path, file: Path) -> None:
    """Give a picture a name that differs in case."""
    for picture in list(folder.rglob("Aa.*g")):
        picture.rename(picture.with_name(f"aA{picture.suffix}"))


def decompose(folder: Path, file: Path) -> None:
    """Give a picture the name that macOS gives it."""
    for picture in list(folder.rglob("é.*g")):
        picture.rename(picture.with_name(f"e\u0301{picture.suffix}"))


def replace_by_folder(folder: Path, file: Path) -> None:
    file.unlink()
    file.mkdir()


def break_picture(folder: Path, file: Path) -> None:
    for picture in folder.rglob("b.*g"):
        picture.write_bytes(picture.read_bytes()[:20])


SPOIL = {
    one.__name__: one
    for one in (truncate, empty, flip, garble, make_numbers, join_another, change_case, decompose, replace_by_folder)
} | {"break_picture": break_picture}


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


@pytest.mark.slow
@pytest.mark.parametrize("way", SPOIL)
@pytest.mark.parametrize("form", FORMS)
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
