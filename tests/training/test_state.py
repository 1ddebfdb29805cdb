"""The state of a run: what goes in comes out, and damage is noticed."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vsezoo import registry
from vsezoo.data.source import OpenOptions
from vsezoo.errors import CheckpointError
from vsezoo.recipe import Recipe
from vsezoo.storage.json_file import read_object
from vsezoo.training.record import RunRecord
from vsezoo.training.state import (
    Progress,
    has_state,
    read_state,
    restore_tensors,
    save_state,
    seed_all,
)

PROGRESS = Progress(epoch=3, batch=7, step=307, best_score=12.5, best_epoch=2, best_step=200, records_on_plateau=4)
RECIPE = Recipe.from_json(registry.load("models", "vsepp").to_json())
RUN = RunRecord(RECIPE, "/somewhere/data", full_dev=True, captions_sha256="ab", log_size=5)


def make(seed: int, width: int = 3) -> tuple[dict[str, nn.Module], torch.optim.Adam]:
    """Return modules, one with a buffer, and their optimiser after two steps."""
    torch.manual_seed(seed)
    modules: dict[str, nn.Module] = {
        "model": nn.Sequential(nn.Linear(width, 2), nn.BatchNorm1d(2)),
        "loss": nn.Linear(2, 1),
    }
    parameters = [parameter for module in modules.values() for parameter in module.parameters()]
    optimizer = torch.optim.Adam(parameters, 0.1, fused=True)
    for _ in range(2):
        optimizer.zero_grad()
        modules["loss"](modules["model"](torch.randn(4, width))).square().sum().backward()
        optimizer.step()
    return modules, optimizer


def draw() -> tuple[float, ...]:
    """Draw from every generator; the normal ones keep a second number for the next call."""
    numbers = [random.random(), random.gauss(0, 1), float(np.random.rand()), float(np.random.randn())]
    return (*numbers, float(torch.rand(())), float(torch.randn(3).sum()))


def test_round_trip(tmp_path: Path) -> None:
    modules, optimizer = make(1)
    draw()  # so that the generators hold half of a pair of normal numbers
    assert not has_state(tmp_path)
    save_state(tmp_path, PROGRESS, modules, optimizer, RUN)
    expected = draw()
    assert has_state(tmp_path)
    others, other_optimizer = make(2)
    seed_all(99)
    state = read_state(tmp_path)
    restore_tensors(state, others, other_optimizer)
    assert (state.progress, state.run) == (PROGRESS, RUN)
    assert draw() == expected
    for name, module in modules.items():
        for key, tensor in module.state_dict().items():
            assert torch.equal(tensor, others[name].state_dict()[key]), key
    first, second = optimizer.state_dict()["state"], other_optimizer.state_dict()["state"]
    assert first.keys() == second.keys()
    assert {slot for slots in first.values() for slot in slots} == {"step", "exp_avg", "exp_avg_sq"}
    for index, slots in first.items():
        assert all(torch.equal(tensor, second[index][slot]) for slot, tensor in slots.items())
    for either, adam in ((modules, optimizer), (others, other_optimizer)):  # and both take the same next step
        adam.zero_grad()
        either["loss"](either["model"](torch.ones(4, 3).tril())).sum().backward()
        adam.step()
    assert torch.equal(modules["loss"].weight, others["loss"].weight)


def test_progress_without_a_best(tmp_path: Path) -> None:
    modules, optimizer = make(1)
    save_state(tmp_path, Progress(), modules, optimizer, RUN)
    assert read_state(tmp_path).progress == Progress(best_score=None)


def test_the_names_in_the_file_are_those_of_its_first_version(tmp_path: Path) -> None:
    modules, optimizer = make(1)
    save_state(tmp_path, Progress(epoch=3, without_improvement=2), modules, optimizer, RUN)
    file = tmp_path / "last" / "state.json"
    stored = read_object(file)
    names = "epoch batch step best_score best_epoch best_step without_gain records_on_plateau complete"
    assert list(stored["place"]) == names.split()
    assert (stored["place"]["epoch"], stored["place"]["without_gain"]) == (3, 2)
    stored["place"] = {"epoch": 4, "without_gain": 5}
    file.write_text(json.dumps(stored), encoding="utf-8")
    assert read_state(tmp_path).progress == Progress(epoch=4, without_improvement=5)


def test_a_record_of_an_earlier_version_has_fewer_entries() -> None:
    value = RUN.to_json()
    names = "recipe data data_root full_dev use_restval on_bad_image init captions_sha256 log_size world_size"
    assert list(value) == names.split()
    assert RunRecord.from_json(value) == RUN
    del value["on_bad_image"], value["init"], value["full_dev"]
    early = RunRecord.from_json({**value, "data_root": "/root", "of a later version": 1})
    assert (early.on_bad_image, early.init, early.full_dev, early.log_size) == ("error", None, False, 5)
    assert early.opening == OpenOptions(Path("/root"))


def test_a_state_before_the_first_step(tmp_path: Path) -> None:
    modules = {"model": nn.Linear(2, 1)}
    optimizer = torch.optim.Adam(modules["model"].parameters(), fused=True)
    save_state(tmp_path, Progress(), modules, optimizer, RUN)
    restore_tensors(read_state(tmp_path), modules, optimizer)
    assert optimizer.state_dict()["state"] == {}


@pytest.mark.parametrize("seed", [0, 7, 2**40])
def test_a_seed_repeats_every_generator(seed: int) -> None:
    seed_all(seed)
    first = draw()
    seed_all(seed)
    assert draw() == first
    seed_all(seed + 1)
    assert not set(draw()) & set(first)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_state(tmp_path, PROGRESS, *make(1), RUN)
    return tmp_path / "last"


def test_another_model(saved: Path) -> None:
    with pytest.raises(CheckpointError, match=r"the state belongs to another model: .*\nStart a new run"):
        restore_tensors(read_state(saved.parent), *make(1, width=4))


def test_a_flipped_byte(saved: Path) -> None:
    path = saved / "state.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"state\.safetensors: .*SHA-256"):
        read_state(saved.parent)


def test_a_state_cut_off(saved: Path) -> None:
    path = saved / "state.json"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"state\.json: cannot be read as JSON"):
        read_state(saved.parent)


@pytest.mark.parametrize("key", ["place", "python_random", "run", "files"])
def test_a_state_that_lacks_something(saved: Path, key: str) -> None:
    value = read_object(saved / "state.json")
    del value[key]
    (saved / "state.json").write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(CheckpointError, match=rf"state\.json: is damaged: {key} is missing"):
        read_state(saved.parent)


def test_a_state_of_a_later_version(saved: Path) -> None:
    value = read_object(saved / "state.json")
    (saved / "state.json").write_text(json.dumps({**value, "state_version": 99}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="has the state version 99; this vsezoo resumes from 1"):
        read_state(saved.parent)


def test_a_state_whose_place_has_an_unknown_field(saved: Path) -> None:
    value = read_object(saved / "state.json")
    value["place"]["moon"] = "full"
    (saved / "state.json").write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"is damaged: .*moon"):
        read_state(saved.parent)
