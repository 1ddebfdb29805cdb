"""An opened checkpoint: each file is read and hashed once, and all parts are of one moment."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import processes
import pytest
import tiny
import torch

import vsezoo
from vsezoo.checkpoints.checkpoint import load_loss, save_checkpoint
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.construction import build_loss
from vsezoo.errors import CheckpointError, UsageError
from vsezoo.model import JointEmbedding
from vsezoo.storage.checkpoint_layout import read_config, write_json

Hashed = Callable[[], Counter[str]]


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Hashed:
    """Return how often each content was hashed since, by its sha256."""
    made: list[Any] = []
    sha256, file_digest = hashlib.sha256, hashlib.file_digest

    def keep(*arguments: Any, **options: Any) -> Any:
        made.append(sha256(*arguments, **options))
        return made[-1]

    def keep_file(*arguments: Any, **options: Any) -> Any:
        made.append(file_digest(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(hashlib, "sha256", keep)
    monkeypatch.setattr(hashlib, "file_digest", keep_file)
    return lambda: Counter(digest.hexdigest() for digest in made)


def save_vsrn(folder: Path) -> JointEmbedding:
    """Write a checkpoint that has a loss with parameters."""
    data = tiny.TinyPairs(shape=(4, tiny.WIDTH))
    model = tiny.make_model("vsrn", data, loss__hidden_size=8, loss__word_dim=4, loss__max_len=9)
    save_checkpoint(folder, model, data, {}, loss=build_loss(model.recipe, model.tokenizer))
    return model


def list_digests(folder: Path) -> list[str]:
    config = json.loads((folder / "config.json").read_bytes())
    return [file["sha256"] for file in config["files"].values()]


def count_of(counts: Counter[str], digests: list[str]) -> list[int]:
    return [counts[digest] for digest in digests]


def test_a_load_hashes_each_file_once(tmp_path: Path, hashed: Hashed) -> None:
    save_vsrn(tmp_path / "run")
    digests = list_digests(tmp_path / "run")
    assert len(digests) == 3  # model, loss, vocabulary
    before = hashed()
    vsezoo.load(tmp_path / "run")
    assert count_of(hashed() - before, digests) == [1, 1, 1]


def test_whatever_is_taken_of_it_each_file_is_hashed_once(tmp_path: Path, hashed: Hashed) -> None:
    save_vsrn(tmp_path / "run")
    digests = list_digests(tmp_path / "run")
    before = hashed()
    checkpoint = Checkpoint.open(tmp_path / "run")
    checkpoint.verify()
    model, loss = checkpoint.model(), checkpoint.loss()
    assert checkpoint.model() is model
    assert checkpoint.text_side() is model
    assert checkpoint.loss() is loss
    assert vsezoo.load(checkpoint) is model
    assert count_of(hashed() - before, digests) == [1, 1, 1]


def test_the_figures_alone_cost_no_weights(tmp_path: Path, hashed: Hashed) -> None:
    tiny.save_model(tmp_path / "run")
    before = hashed()
    checkpoint = Checkpoint.open(tmp_path / "run")
    assert checkpoint.recipe.name == "vsepp"
    assert checkpoint.evaluation() == json.loads((tmp_path / "run" / "metrics.json").read_bytes())
    counts = hashed() - before
    files = checkpoint.config["files"]
    assert [counts[files[name]["sha256"]] for name in ("metrics.json", "vocab.json", "model.safetensors")] == [1, 0, 0]


def test_texts_alone_hash_the_weights_once_for_each_time_that_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashed: Hashed
) -> None:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))
    model = tiny.save_model(tmp_path / "run")
    digest = Checkpoint.open(tmp_path / "run").config["files"]["model.safetensors"]["sha256"]
    counts = []
    for _ in range(2):
        before = hashed()
        side = Checkpoint.open(tmp_path / "run").text_side()
        assert torch.equal(side.encode_texts(tiny.CAPTIONS), model.encode_texts(tiny.CAPTIONS))
        counts.append((hashed() - before)[digest])
    assert counts == [1, 0]


def test_a_loss_without_parameters(tmp_path: Path) -> None:
    tiny.save_model(tmp_path / "run")
    checkpoint = Checkpoint.open(tmp_path / "run")
    assert not checkpoint.has_loss
    assert type(checkpoint.loss()) is type(load_loss(tmp_path / "run"))
    assert checkpoint.evaluation() is not None
    save_vsrn(tmp_path / "other")
    assert Checkpoint.open(tmp_path / "other").has_loss
    assert Checkpoint.open(tmp_path / "other").evaluation() is None


def test_the_data_of_the_training(tmp_path: Path) -> None:
    tiny.save_model(tmp_path / "run")
    with pytest.raises(UsageError, match=r"run: was trained on 'tiny', which is not the name of a registered data set"):
        Checkpoint.open(tmp_path / "run").training_data()
    write_json(tmp_path / "run" / "local.json", {"data": str(tmp_path / "data")})
    with pytest.raises(UsageError, match=r"and the folder .*data does not exist"):
        Checkpoint.open(tmp_path / "run").training_data()
    (tmp_path / "data").mkdir()
    assert Checkpoint.open(tmp_path / "run").training_data() == str(tmp_path / "data")


# The folder is replaced


def save_variant(folder: Path, number: int) -> None:
    torch.manual_seed(0)
    words = [f"word{index}" for index in range(5 + number)]
    settings: dict[str, Any] = {"embed_size": 4, "image_encoder__img_dim": 3, "text_encoder__vocab_threshold": 1}
    model = vsezoo.create_model(
        "vsepp",
        captions=words,
        settings={"text_encoder.word_dim": 2, "loss.margin": float(number), **tiny.dotted(settings)},
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(number)
    save_checkpoint(folder, model, tiny.TinyPairs(), {"epoch": number, "step": 1, "criterion": "rsum", "score": 0.0})


def read_variant(model: JointEmbedding) -> set[int]:
    """Return the numbers that recipe, vocabulary and weights of a loaded model have: one, if they belong together."""
    words = len(model.tokenizer) - 4 - 5
    weights = {int(value) for parameter in model.parameters() for value in parameter.unique()}
    return {int(model.recipe.loss.options["margin"]), words, *weights}


def test_what_was_opened_stays_when_the_folder_is_replaced(tmp_path: Path) -> None:
    save_variant(tmp_path / "best", 1)
    checkpoint = Checkpoint.open(tmp_path)
    assert checkpoint.is_current()
    save_variant(tmp_path / "best", 2)
    assert not checkpoint.is_current()
    assert read_variant(checkpoint.model()) == {1}
    assert read_variant(vsezoo.load(tmp_path)) == {2}
    checkpoint = Checkpoint.open(tmp_path / "best")
    shutil.rmtree(tmp_path / "best")
    assert read_variant(checkpoint.model()) == {2}
    assert checkpoint.config["trained"]["epoch"] == 2


def test_a_file_that_is_written_over_is_noticed(tmp_path: Path) -> None:
    tiny.save_model(tmp_path / "run")
    (tmp_path / "run" / "vocab.json").write_text("{}")
    checkpoint = Checkpoint.open(tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"vocab\.json: has 2 bytes instead of"):
        checkpoint.model()


def replace_again_and_again(folder: str, variants: str, stop: Any) -> None:
    """Replace `best/` as trainings do, as fast as a file system can, by copies of the variants in turn."""
    best = Path(folder, "best")
    previous = best.with_name("best.previous")
    number = 0
    while not stop.is_set():
        number += 1
        temporary = best.with_name(f".best.{number}.tmp")
        shutil.copytree(Path(variants, str(number % 3)), temporary)
        shutil.rmtree(previous, ignore_errors=True)
        best.rename(previous)
        temporary.rename(best)
        shutil.rmtree(previous, ignore_errors=True)
    os.sync()


@pytest.mark.process
def test_no_load_mixes_two_checkpoints(tmp_path: Path) -> None:
    for number in range(3):
        save_variant(tmp_path / "variants" / str(number), number)
    shutil.copytree(tmp_path / "variants" / "0", tmp_path / "run" / "best")
    stop = multiprocessing.get_context("forkserver").Event()
    writer = processes.start(replace_again_and_again, str(tmp_path / "run"), str(tmp_path / "variants"), stop)
    seen = Counter[frozenset[int]]()
    try:
        while sum(seen.values()) < 60 or (len(seen) < 3 and sum(seen.values()) < 2000):
            model = vsezoo.load(tmp_path / "run" if sum(seen.values()) % 2 else tmp_path / "run" / "best")
            seen[frozenset(read_variant(model))] += 1
    finally:
        stop.set()
        assert processes.finish(writer) == 0
    assert all(len(numbers) == 1 for numbers in seen)
    assert len(seen) == 3  # it was replaced meanwhile


# What a configuration asks for


@pytest.mark.slow
def test_a_model_that_its_weights_are_not_of_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    tiny.save_model(tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    config = read_config(tmp_path / "run")
    for option, value, message in (
        ("num_layers", 100_000_000, r"config\.json: describes a model of more than 1,.* parameter tensors"),
        ("word_dim", 10**8, r"config\.json: describes a tensor of shape .* larger than all of its weights"),
    ):
        options = {**config["recipe"]["text_encoder"]["options"], option: value}
        recipe = {**config["recipe"], "text_encoder": {**config["recipe"]["text_encoder"], "options": options}}
        write_json(path, {**config, "recipe": recipe})
        with pytest.raises(CheckpointError, match=message):
            vsezoo.load(tmp_path / "run")
