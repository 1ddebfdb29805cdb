"""Embeddings that fall into one point: when that is told, how often, and what cures it."""

from __future__ import annotations

import functools
import json
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from torch import Tensor
from witness import Witness

import vsezoo
from vsezoo import registry
from vsezoo.encoders.recurrent import GRUTextEncoder
from vsezoo.errors import InterruptedTrainingError
from vsezoo.interfaces import Tokens
from vsezoo.training import loop
from vsezoo.training.callbacks import Callback
from vsezoo.training.collapse import CollapseMonitor
from vsezoo.training.state import Progress


def test_the_monitor() -> None:
    monitor = CollapseMonitor(patience=3, tolerance=0.02)
    losses = [51.2, 51.5, 60.0, 51.2, 50.3, 52.2, 51.2, 60.0, 51.2, 51.2, 51.2, 51.2]
    assert [monitor.update(loss, 51.2) for loss in losses] == [False] * 5 + [True] + [False] * 6  # once
    assert not any(CollapseMonitor(patience=1).update(loss, 51.2) for loss in (50.1, 52.3, math.nan, 0.0))
    assert not CollapseMonitor(patience=1).update(0.0, 0.0)  # a margin of 0 says nothing
    assert not CollapseMonitor(patience=1).update(51.2, math.nan)
    assert CollapseMonitor(2, patience=3).update(51.2, 51.2)  # goes on where it stopped


class OnePoint(GRUTextEncoder):
    """Maps every caption to one point."""

    def forward(self, tokens: Tokens) -> Tensor:
        first = super().forward(Tokens(tokens.ids[:1] * 0, tokens.lengths[:1]))
        return first.expand(len(tokens.ids), -1)


@pytest.mark.slow
def test_a_collapsed_training_warns_once(data: Path, tmp_path: Path) -> None:
    registry.register("text_encoders", "one_point")(OnePoint)
    settings = {"text_encoder": "one_point", **tiny.SETTINGS, "loss.mask_same_image": False}
    settings |= {"image_encoder.center": False, "training.learning_rate": 1e-6, "training.num_epochs": 13}
    ims = np.load(data / "train_ims.npy")
    folder = tiny.write_data(tmp_path / "one")
    for split in tiny.IMAGES:  # all images alike
        rows = len(np.load(folder / f"{split}_ims.npy"))
        np.save(folder / f"{split}_ims.npy", np.tile(ims[:1], (rows, 1)))
    witness = Witness()
    options: dict[str, Any] = {"settings": settings, "device": "cpu", "callbacks": [witness]}
    vsezoo.train("vsepp", str(folder), output=tmp_path / "run", **options)
    assert len(witness.warnings) == 1
    assert "For 100 steps, the loss has been 12.8," in witness.warnings[0]  # 2 · 32 captions · 0.2
    assert "--warmup-epochs 1" in witness.warnings[0]
    events = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_bytes().splitlines()]
    warned = [index for index, event in enumerate(events) if event["event"] == "warning"]
    assert len(warned) == 1
    assert events[warned[0]]["text"] == witness.warnings[0]
    assert events[warned[0] - 1]["step"] == 100
    assert [event["loss"] for event in events if event["event"] == "step"] == [pytest.approx(12.8, rel=1e-4)] * 13


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning after 40 steps, where the number does not matter."""
    monkeypatch.setattr(loop, "CollapseMonitor", functools.partial(CollapseMonitor, patience=4))


class Leave(Callback):
    """Stops the training after a step."""

    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, progress: Progress) -> None:
        if progress.step == self.at:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.usefixtures("_impatient")
def test_a_collapse_is_told_once_in_a_run_that_was_stopped(tmp_path: Path) -> None:
    folder = tiny.write_data(tmp_path / "data", mean=1.0)
    settings = tiny.SETTINGS | {"training.num_epochs": 9}
    vsezoo.train("vsepp", str(folder), output=tmp_path / "whole", settings=settings, device="cpu")
    log = (tmp_path / "whole" / "log.jsonl").read_bytes()
    events = [json.loads(line) for line in log.splitlines()]
    warned = next(events[index - 1]["step"] for index, event in enumerate(events) if event["event"] == "warning")
    options: dict[str, Any] = {"output": tmp_path / "run", "settings": settings, "device": "cpu"}
    for at in (warned - 15, warned + 5):  # while it is counted, and when it has been told
        with pytest.raises(InterruptedTrainingError):
            vsezoo.train("vsepp", str(folder), resume=at > warned, callbacks=[Leave(at)], **options)
    vsezoo.train("vsepp", str(folder), resume=True, **options)
    assert (tmp_path / "run" / "log.jsonl").read_bytes() == log


@pytest.mark.slow
@pytest.mark.usefixtures("_impatient")
def test_a_real_collapse_and_a_cure(tmp_path: Path) -> None:
    """Hardest negatives on features that share a large mean; with the mean subtracted, the same training learns."""
    folder = tiny.write_data(tmp_path / "data", mean=1.0)
    for center in (False, True):
        witness = Witness()
        settings = tiny.SETTINGS | {"training.num_epochs": 11, "image_encoder.center": center}
        output = tmp_path / f"run-{center}"
        vsezoo.train("vsepp", str(folder), output=output, settings=settings, device="cpu", callbacks=[witness])
        last = witness.records[-1].loss
        assert (len(witness.warnings), last < 10) == ((0, True) if center else (1, False))


@pytest.mark.slow
@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("hardest", [False, True])
def test_a_healthy_training_does_not_warn(data: Path, tmp_path: Path, hardest: bool) -> None:
    witness = Witness()
    settings = tiny.SETTINGS | {"training.num_epochs": 10, "loss.max_violation": hardest}
    vsezoo.train("vsepp", str(data), output=tmp_path / "run", settings=settings, device="cpu", callbacks=[witness])
    assert witness.warnings == []
    assert witness.validations[-1][1] > 300
