"""What stops a training run: faulty numbers, damaged features, mistakes in settings; losses with parameters."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from loops_of_tiny import MakeLoop, first_batch
from torch import Tensor, nn
from witness import Witness

import vsezoo
from vsezoo import registry
from vsezoo.checkpoints.checkpoint import load_loss
from vsezoo.errors import CheckpointError, DataError, RecipeError, TrainingError, UsageError
from vsezoo.interfaces import Batch, ImageOutput, Loss, LossOutput
from vsezoo.losses import HingeLoss
from vsezoo.storage.json_file import read_object
from vsezoo.training.batches import PairBatches
from vsezoo.training.loop import Loop
from vsezoo.training.state import read_state

# What stops a training


class Faulty(HingeLoss):
    """Gives NaN from the n-th batch on: as the loss itself, or in its gradient alone."""

    def __init__(self, *, at: int = 0, in_gradient: bool = False) -> None:
        super().__init__()
        self.at, self.in_gradient, self.calls = at, in_gradient, 0

    def forward(self, scores: Tensor, images: Tensor | ImageOutput, texts: Tensor, batch: Batch) -> LossOutput:
        output = super().forward(scores, images, texts, batch)
        self.calls += scores.requires_grad
        if self.calls < self.at:
            return output
        if self.in_gradient:
            return LossOutput(output.total + (scores.sum() * 0).sqrt())
        return LossOutput(output.total * math.nan)


@pytest.mark.slow
@pytest.mark.parametrize("in_gradient", [False, True])
@pytest.mark.parametrize(
    ("at", "save_step", "val_step", "saved"),
    [(5, 3, 0, 3), (5, 0, 6, 0), (7, 0, 0, 0), (15, 200, 0, 10), (20, 4, 0, 16)],
    ids=["before a save", "before a validation", "before a record", "in the second epoch", "in the last step"],
)
def test_not_a_number(
    data: Path, tmp_path: Path, in_gradient: bool, at: int, save_step: int, val_step: int, saved: int
) -> None:
    registry.register("losses", "faulty")(Faulty)
    settings = {name: value for name, value in tiny.SETTINGS.items() if not name.startswith("loss.")}
    settings |= {"loss": "faulty", "loss.at": at, "loss.in_gradient": in_gradient, "training.val_step": val_step}
    output = tmp_path / "run"
    message = r"the (loss|norm of the gradient) is nan at step \d+; the state saved before is unchanged"
    with pytest.raises(TrainingError, match=message) as raised:
        vsezoo.train(
            "vsepp", str(data), output=output, settings=settings, overrides=False, device="cpu", save_step=save_step
        )
    assert str(raised.value).startswith(f"{output}: ")
    assert "lower learning rate" in str(raised.value)
    state = read_state(output)
    assert state.progress.step == saved
    assert all(tensor.isfinite().all() for tensor in state.tensors.values())
    if saved >= tiny.STEPS:
        assert vsezoo.evaluate(output, str(data)).captions == 100


@pytest.mark.process
def test_damaged_features_while_training(make_loop: MakeLoop, tmp_path: Path) -> None:
    """A row that was damaged after the data were opened: one message, from a worker as well."""
    folder = tiny.write_data(tmp_path / "data")
    loop = make_loop(folder=folder)
    features = np.load(folder / "train_ims.npy")
    features[:, 3] = np.nan
    np.save(folder / "train_ims.npy", features)
    for workers in (0, 1):
        loop.workers = workers
        with pytest.raises(DataError, match=r"train_ims\.npy: row \d+ \(counted from 0\) contains NaN") as raised:
            loop.start()
        assert raised.value.file == str(folder / "train_ims.npy")
        assert "Traceback" not in str(raised.value)


def test_an_unknown_criterion_fails_before_anything_is_written(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'rsun' is not a selection criterion\.\nDid you mean 'rsum'"):
        vsezoo.train("vsepp", str(data), output=tmp_path / "run", settings={"training.criterion": "rsun"})
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_plateau_is_the_loss_of_equal_scores(make_loop: MakeLoop) -> None:
    for hardest, masked in ((True, False), (False, False), (False, True)):
        loop = make_loop(loss__max_violation=hardest, loss__mask_same_image=masked, training__log_step=1)
        batch = first_batch(loop)
        _, _, plateau = loop.step(batch)
        same = (batch.image_index[:, None] == batch.image_index[None, :]).sum().item()
        negatives = 32 if hardest else 32 * 32 - (same if masked else 32)
        assert plateau == pytest.approx(2 * 0.2 * negatives)


# Features that are stored once or five times (`im_div` 1 and 5)


@pytest.mark.slow
def test_duplicated_features_train_alike(data: Path, make_loop: MakeLoop, tmp_path: Path) -> None:
    duplicated = tiny.write_data(tmp_path / "duplicated", copies=5)
    assert len(np.load(duplicated / "train_ims.npy")) == 5 * len(np.load(data / "train_ims.npy"))
    compact, copied = make_loop(folder=data), make_loop(folder=duplicated)
    for first, second in zip(*(all_batches(loop) for loop in (compact, copied)), strict=True):
        assert torch.equal(first.images, second.images)
        assert torch.equal(first.tokens.ids, second.tokens.ids)
        assert torch.equal(first.image_index, second.image_index)
    compact.start()
    copied.start()
    for name, tensor in compact.model.state_dict().items():
        assert torch.equal(tensor, copied.model.state_dict()[name]), name


def all_batches(loop: Loop) -> list[Batch]:
    transform = loop.model.image_encoder.transform(True)
    return list(PairBatches(loop.train.data, loop.train.tokens, transform, loop.order(0)).load(0))


class Scaled(Loss):
    """Has a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, scores: Tensor, images: Tensor | ImageOutput, texts: Tensor, batch: Batch) -> LossOutput:
        scores = scores * self.scale
        return LossOutput(scores.logsumexp(dim=1).sum() - scores.diagonal().sum())


@pytest.mark.slow
def test_a_loss_with_parameters_is_trained_and_saved(data: Path, tmp_path: Path) -> None:
    registry.register("losses", "scaled")(Scaled)
    settings = {name: value for name, value in tiny.SETTINGS.items() if not name.startswith("loss.")}
    settings |= {"loss": "scaled", "training.num_epochs": 1}
    options: dict[str, Any] = {"output": tmp_path / "run", "device": "cpu"}
    vsezoo.train("vsepp", str(data), settings=settings, **options)
    first = read_state(tmp_path / "run").tensors["loss.scale"].item()
    assert first > 1.05  # ten steps of 0.01 in one direction
    vsezoo.train("vsepp", str(data), settings={"training.num_epochs": 2}, resume=True, **options)
    last = read_state(tmp_path / "run").tensors["loss.scale"].item()
    assert last > first + 0.05
    # The checkpoint has the loss of the epoch that was the best.
    loss = load_loss(tmp_path / "run")
    assert not loss.training
    assert loss.scale.item() in (pytest.approx(first), pytest.approx(last))


@pytest.mark.slow
def test_a_checkpoint_without_the_parameters_of_its_loss(data: Path, tmp_path: Path) -> None:
    registry.register("losses", "scaled")(Scaled)
    settings = {name: value for name, value in tiny.SETTINGS.items() if not name.startswith("loss.")}
    settings |= {"loss": "scaled", "training.num_epochs": 1}
    vsezoo.train("vsepp", str(data), output=tmp_path / "run", settings=settings, device="cpu")
    config = tmp_path / "run" / "best" / "config.json"
    value = read_object(config)
    del value["files"]["loss.safetensors"]
    config.write_text(json.dumps(value))
    (config.parent / "loss.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"loss.safetensors"):
        load_loss(tmp_path / "run")
    assert vsezoo.load(tmp_path / "run").recipe.loss.name == "scaled"


@pytest.mark.slow
def test_a_batch_of_one_pair_is_told(tmp_path: Path) -> None:
    data = tiny.write_data(tmp_path / "data", images={"train": 2, "dev": 2, "test": 2})
    settings = tiny.SETTINGS | {"training.num_epochs": 1, "training.batch_size": 1}
    witness = Witness()
    vsezoo.train("vsepp", str(data), output=tmp_path / "run", settings=settings, device="cpu", callbacks=[witness])
    assert witness.warnings[0].startswith("A batch of one pair has no negatives")


def test_embeddings_of_two_widths(make_loop: MakeLoop) -> None:
    loop = make_loop()
    loop.model.image_encoder.fc = nn.Linear(tiny.WIDTH, 7)
    message = (
        r"'precomp' gives embeddings of width 7, the text encoder 'gru' of width 16; .*\n"
        r"The image encoder 'precomp' must take the width from embed_size\.$"
    )
    with pytest.raises(RecipeError, match=message):
        loop.step(first_batch(loop))
