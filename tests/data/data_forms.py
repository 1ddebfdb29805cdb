"""Every form of data, each a small set that a function of `FORMS` writes. No tests in here."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_folders import make_picture, make_sample, write_shard
from safetensors.numpy import save_file

NAMES = {"train": ["Aa.png", "b.png", "é.png"], "dev": ["d.png"], "test": ["e.png"]}
CAPTIONS = [f"a caption of the number {number}" for number in range(5)]


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
