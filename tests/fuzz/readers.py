"""The readers of vsezoo's own files, each with a folder that it reads and what it finds there; no tests in here."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from picture_folders import make_picture, write_shard
from torch import nn

from vsezoo import registry
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.data.pictures.layouts.shards import read_shard
from vsezoo.data.precomputed.feature_record import RECORD, read_extraction, read_record
from vsezoo.errors import DataError
from vsezoo.evaluation.predictions import Predictions, Query, read_predictions, write_predictions
from vsezoo.evaluation.report import Evaluation
from vsezoo.features.folder import FeatureFolder, Shard
from vsezoo.features.part import Part, Record
from vsezoo.recipe import Recipe
from vsezoo.recipe.file import read_recipe
from vsezoo.search.store import WHOLE
from vsezoo.search.stored.building import build_index
from vsezoo.search.stored.opening import open_folder
from vsezoo.search.stored_rows import read_stored, write_stored
from vsezoo.storage.checkpoint_layout import write_json
from vsezoo.sweeps.listing import list_runs
from vsezoo.training.record import RunRecord
from vsezoo.training.state import Progress, read_state, restore_tensors, save_state

ALTERED = "altered"
"""What a reader may find instead: a copy that was altered on purpose, and is otherwise sound."""


@dataclass(frozen=True)
class Reader:
    """A reader of a folder.

    Attributes:
        make: writes the folder.
        read: returns what it finds, as comparable values.
        files: those that are altered.
        covered: a change of any byte is noticed, or changes nothing.
    """

    make: Callable[[Path], object]
    read: Callable[[Path], Any]
    files: tuple[str, ...]
    covered: bool = True


def hash_tensors(tensors: Any) -> str:
    """Return the digest of tensors by name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def read_checkpoint(folder: Path) -> Any:
    """Load a model with all that its folder says."""
    checkpoint = Checkpoint.open(folder)
    model = checkpoint.model()
    told = checkpoint.evaluation()
    figures = None if told is None else Evaluation.from_json(told, folder / "metrics.json").to_json()
    config = {key: value for key, value in checkpoint.config.items() if key in ("data", "trained", "converted")}
    return hash_tensors(model.state_dict()), checkpoint.recipe.to_json(), model.tokenizer.to_files(), figures, config


def make_modules() -> tuple[dict[str, nn.Module], torch.optim.Optimizer]:
    """Return small modules and their optimiser after a step."""
    torch.manual_seed(0)
    modules: dict[str, nn.Module] = {"model": nn.Linear(3, 2)}
    optimizer = torch.optim.Adam(modules["model"].parameters(), 0.1)
    modules["model"](torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return modules, optimizer


def make_state(folder: Path) -> None:
    """Write the state of a run."""
    recipe = Recipe.from_json(registry.load("models", "vsepp").to_json())
    progress = Progress(epoch=3, batch=7, step=307, best_score=12.5, best_epoch=2, best_step=200)
    save_state(folder, progress, *make_modules(), RunRecord(recipe, "/data", captions_sha256="0" * 64, log_size=5))


def read_whole_state(folder: Path) -> Any:
    """Read a state and restore it."""
    state = read_state(folder)
    modules, optimizer = make_modules()
    before = torch.get_rng_state()
    try:
        restore_tensors(state, modules, optimizer)
    finally:
        torch.set_rng_state(before)
    run = {**vars(state.run), "recipe": state.run.recipe.to_json()}
    return asdict(state.progress), run, hash_tensors(state.tensors), state.python_random


PREDICTIONS = ("all.jsonl", "all.parquet")
SETTINGS = {"backbone": {"name": "timm:resnet18"}, "shards": 1}
NAMES = ["a.jpg", "b.jpg", "c.jpg"]


def make_features(folder: Path) -> None:
    """Write an extraction in progress."""
    features = FeatureFolder(folder, SETTINGS, {"vsezoo": "1"}, Shard(), resume=False)
    with features.open_part("train", (4,), "float32", NAMES, 2) as part:
        part.append([np.ones((2, 4), np.float32)])


def read_features(folder: Path) -> Any:
    """Continue an extraction."""
    features = FeatureFolder(folder, SETTINGS, {"vsezoo": "1"}, Shard(), resume=True)
    with features.open_part("train", (4,), "float32", NAMES, 2) as part:
        return part.record, read_record(folder), read_extraction(folder / "train")


def read_part(folder: Path) -> Any:
    """Read the record of a part, and open it."""
    stem = folder / "unfinished" / "train.0-of-1"
    part = Part(stem, (4,), "float32", NAMES, 2)
    part.close()
    return Record.read(stem)


def make_index(folder: Path) -> None:
    """Build an index of four rows of features."""
    source = folder.parent / f"{folder.name}-source"
    tiny.save_model(source / "model")
    np.save(source / "rows.npy", np.eye(4, tiny.WIDTH, dtype=np.float32))
    build_index(source / "model", folder, images=source / "rows.npy")


def read_index(folder: Path) -> Any:
    """Open an index, and list its items."""
    opened = open_folder(folder)
    return asdict(opened.manifest), list(opened.items.ids), opened.rows.vectors.numpy().tobytes()


def make_store(folder: Path) -> None:
    """Write the embeddings of three items, one of them unreadable, as the cache has them."""
    folder.mkdir(parents=True)
    keys = np.arange(48, dtype=np.uint8).reshape(3, 16)
    write_stored(folder, [np.eye(2, 4, dtype=np.float32)], keys, {1: "is empty"}).rename(folder / WHOLE)


def read_store(folder: Path) -> Any:
    """Read embeddings of the cache; what is damaged is embedded again."""
    held = read_stored(folder / WHOLE)
    if held is None:
        raise DataError("is damaged.", file=folder / WHOLE)
    return held.rows.numpy().tobytes(), held.keys.tobytes(), held.reasons


def make_predictions(folder: Path) -> None:
    """Write predictions in both forms."""
    folder.mkdir(parents=True)
    queries = [
        Query("i2t", "a", (1.0, 4.0), ("a#0", "a#1"), False, ("a#0",), (0.5,)),
        Query("t2i", "a#0", (2.0,), ("a",), True, ("b", "a"), (0.25, 0.25), "a dog", 1),
    ]
    about = {"evaluation": {"checkpoints": [{"model": "vsepp"}]}, "ground_truth": "0" * 64, "recipes": [], "top": 2}
    for name in PREDICTIONS:
        write_predictions(folder / name, Predictions(about, queries))


def read_both(folder: Path) -> Any:
    """Read predictions in both forms."""
    return [(found.about, found.queries) for found in (read_predictions(folder / name) for name in PREDICTIONS)]


def make_shard(folder: Path) -> None:
    """Write a shard of two samples."""
    members = {"a.jpg": make_picture(1), "a.txt": "a dog", "b.jpg": make_picture(2), "b.json": '{"caption": "a cat"}'}
    write_shard(folder / "train.tar", members)


def read_samples(folder: Path) -> Any:
    """Scan the shard, and decode its pictures."""
    with tempfile.TemporaryDirectory() as cache, pytest.MonkeyPatch.context() as patch:
        patch.setenv("VSEZOO_CACHE", cache)
        found = read_shard(str(folder / "train.tar"))
    images = [(image.name, image.captions, image.place and image.place.read().tobytes()) for image in found.images]
    return images, dict(found.left_out)


def make_run(folder: Path) -> None:
    """Write what a listing of runs reads."""
    make_state(folder)
    recipe = Recipe.from_json(registry.load("models", "vsepp").to_json())
    events = [
        {"event": "begin", "recipe": recipe.to_json(), "steps_per_epoch": 100},
        {"event": "validation", "epoch": 1, "step": 100, "score": 10.0, "best": True},
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")


def make_recipe(folder: Path) -> None:
    """Write a recipe file."""
    folder.mkdir(parents=True)
    write_json(folder / "recipe.json", registry.load("models", "vsepp").to_json())


READERS: dict[str, Reader] = {
    "checkpoint": Reader(
        tiny.save_model, read_checkpoint, ("config.json", "metrics.json", "model.safetensors", "vocab.json")
    ),
    "state": Reader(make_state, read_whole_state, ("last/state.json", "last/state.safetensors")),
    "features": Reader(make_features, read_features, (RECORD,)),
    "part": Reader(make_features, read_part, ("unfinished/train.0-of-1.json",)),
    "index": Reader(
        make_index, read_index, ("index.json", *(f"1.{name}" for name in ("vectors", "keys", "ids", "ids.ends")))
    ),
    "store": Reader(make_store, read_store, (WHOLE,)),
    "predictions": Reader(make_predictions, read_both, PREDICTIONS),
    "shard": Reader(make_shard, read_samples, ("train.tar",), covered=False),
    "run": Reader(
        make_run,
        lambda folder: str(list_runs(folder)).replace(str(folder), ""),
        ("last/state.json", "log.jsonl"),
        covered=False,
    ),
    "recipe": Reader(make_recipe, lambda folder: read_recipe(folder / "recipe.json"), ("recipe.json",), covered=False),
}
"""The readers by name."""


def copy_folder(folder: Path, target: Path) -> Path:
    """Copy a folder to a place that may be taken."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    return target
