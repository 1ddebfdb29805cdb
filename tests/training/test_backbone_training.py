"""Training on pictures: what is frozen stays, what is to learn does, stopped runs go on, and processes share it."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pictures
import processes
import pytest
import torch
from safetensors.torch import load_file

import vsezoo
from vsezoo.checkpoints.checkpoint import load
from vsezoo.errors import CheckpointError, InterruptedTrainingError
from vsezoo.training.callbacks import Callback
from vsezoo.training.state import Progress

SETTINGS = {
    **pictures.SIZES,
    "image_encoder": pictures.BACKBONE,
    "image_encoder.image_size": 32,
    "loss.mask_same_image": True,
    "training.batch_size": 10,
    "training.num_epochs": 2,
    "training.learning_rate": 0.01,
    "training.val_step": 2,
    "training.log_step": 1,
}
"""With twelve training pictures, six steps in each of two epochs, with validations after the second and fourth."""


class Stop(Callback):
    """Stops its own process after a step, as Ctrl-C does."""

    def __init__(self, step: int) -> None:
        self.at_step = step

    def step(self, progress: Progress) -> None:
        if progress.step == self.at_step:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.write_pictures(tmp_path_factory.mktemp("pictures") / "made", train=12, dev=5, test=5)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return pictures.write_weights(tmp_path / "weights" / "resnet.safetensors")


def train(
    data: Path, output: Path, *, resume: bool = False, init: Path | None = None, stop: int = 0, **options: Any
) -> Any:
    given = {f"image_encoder.{name}": str(value) if name == "weights" else value for name, value in options.items()}
    return vsezoo.train(
        "vsepp",
        str(data),
        output=output,
        resume=resume,
        init=init,
        settings={} if resume else SETTINGS | given,
        device="cpu",
        save_step=5,
        callbacks=[Stop(stop)] if stop else [],
    )


def read_losses(output: Path) -> list[float]:
    events = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [event["loss"] for event in events if event["event"] == "step"]


@pytest.mark.slow
def test_the_example_learns_its_colours(data: Path, weights: Path, tmp_path: Path) -> None:
    result = train(data, tmp_path / "run", weights=weights)
    losses = read_losses(tmp_path / "run")
    assert len(losses) == 12
    assert sum(losses[6:]) < sum(losses[:6])
    assert "left_out" in json.loads((result.checkpoint / "config.json").read_text())
    held = load_file(tmp_path / "run" / "last" / "state.safetensors")
    assert not [name for name in held if "backbone" in name]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"cnn_mode": "legacy"}, {"cnn_mode": "legacy", "finetune": True, "finetune_epoch": 1}, {}],
    ids=["legacy", "finetuned later", "frozen"],
)
def test_a_stopped_run_goes_on_exactly(data: Path, weights: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    """Step 3 is after a validation, which has frozen batch norm in the legacy mode; step 7 is not."""
    train(data, tmp_path / "whole", weights=weights, **options)
    for stop in (3, 7):
        with pytest.raises(InterruptedTrainingError):
            train(data, tmp_path / f"run-{stop}", weights=weights, stop=stop, **options)
        train(data, tmp_path / f"run-{stop}", resume=True)
        assert read_losses(tmp_path / f"run-{stop}") == read_losses(tmp_path / "whole")
        found, expected = (processes.read_files(tmp_path / name / "best") for name in (f"run-{stop}", "whole"))
        assert found == expected


@pytest.mark.slow
def test_a_run_without_its_weights_does_not_go_on(data: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InterruptedTrainingError):
        train(data, tmp_path / "run", weights=weights, stop=3)
    pictures.write_weights(weights, seed=8)
    with pytest.raises(CheckpointError, match="have the SHA-256"):
        train(data, tmp_path / "run", resume=True)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"resnet\.safetensors: is not a file of weights"):
        train(data, tmp_path / "run", resume=True)


@pytest.mark.slow
def test_the_backbone_learns_from_its_epoch_on(data: Path, weights: Path, tmp_path: Path) -> None:
    result = train(data, tmp_path / "run", weights=weights, finetune=True, finetune_epoch=1)
    first = load_file(weights)
    last = load(result.checkpoint)
    name = next(name for name, tensor in first.items() if tensor.dim() == 4)
    epoch = json.loads((result.checkpoint / "config.json").read_text())["trained"]["epoch"]
    trained = last.image_encoder.backbone.network.state_dict()[name]
    assert torch.equal(trained, first[name]) == (epoch == 1)
    state = load_file(tmp_path / "run" / "last" / "state.safetensors")
    assert not torch.equal(state[f"model.image_encoder.backbone.network.{name}"], first[name])


@pytest.mark.slow
def test_a_training_begins_with_a_fine_tuned_backbone_without_its_source(
    data: Path, weights: Path, tmp_path: Path
) -> None:
    train(data, tmp_path / "first", weights=weights, finetune=True, cnn_mode="train")
    frozen = train(data, tmp_path / "frozen", weights=weights)
    weights.unlink()
    begun = load(tmp_path / "first").image_encoder.backbone.state_dict()
    result = train(data, tmp_path / "second", weights=weights, init=tmp_path / "first")
    for name, tensor in load(result.checkpoint).image_encoder.backbone.state_dict().items():
        assert torch.equal(tensor, begun[name])  # which stays, and is stored, as no source has it
    with pytest.raises(CheckpointError, match=r"resnet\.safetensors: is not a file of weights"):
        train(data, tmp_path / "third", weights=weights, init=frozen.checkpoint)


@pytest.mark.slow
def test_a_training_that_begins_with_a_frozen_backbone_leaves_it_out_again(
    data: Path, weights: Path, tmp_path: Path
) -> None:
    first = train(data, tmp_path / "first", weights=weights)
    second = train(data, tmp_path / "second", weights=weights, init=first.checkpoint)
    assert not [name for name in load_file(second.checkpoint / "model.safetensors") if "backbone" in name]
    assert read_losses(tmp_path / "second")[0] < read_losses(tmp_path / "first")[0]


def take_part(data: Path, output: Path, weights: Path, rank: int, port: int) -> None:
    """Be one of two processes, as torch's launcher starts them."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    train(data, output, weights=weights, finetune=True, finetune_epoch=1)


@pytest.mark.process
def test_two_processes_begin_to_fine_tune_together(data: Path, weights: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    pair = [processes.start(take_part, data, tmp_path / "run", weights, rank, port) for rank in range(2)]
    assert [processes.finish(process) for process in pair] == [0, 0]
    assert len(read_losses(tmp_path / "run")) == 12
    state, first = load_file(tmp_path / "run" / "last" / "state.safetensors"), load_file(weights)
    name = next(name for name, tensor in first.items() if tensor.dim() == 4)
    assert not torch.equal(state[f"model.image_encoder.backbone.network.{name}"], first[name])
