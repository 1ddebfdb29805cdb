"""Runs that stop at a given moment, go on, and are compared with one that was not stopped. No tests in here."""

from __future__ import annotations

import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import processes
import tiny
import torch
from torch import Tensor

import vsezoo
from vsezoo import registry
from vsezoo.encoders.recurrent import GRUTextEncoder
from vsezoo.evaluation.report import Evaluation
from vsezoo.interfaces import Tokens
from vsezoo.training.callbacks import Callback
from vsezoo.training.state import Progress

SETTINGS = {
    "text_encoder": "noisy",
    **tiny.SETTINGS,
    "training.val_step": 4,
    "training.select_mid_epoch": True,
}
SAVE_STEP = 3


class NoisyEncoder(GRUTextEncoder):
    """Draws from every generator that a part may draw from."""

    def forward(self, tokens: Tokens) -> Tensor:
        embeddings = super().forward(tokens)
        if not self.training:
            return embeddings
        scale = 1 + 0.1 * random.random() + 0.1 * float(np.random.rand()) + 0.1 * float(np.random.randn())
        return torch.nn.functional.dropout(embeddings, 0.2) * scale


class Stop(Callback):
    """Stops its own process by a signal: after a step, or in the n-th validation."""

    def __init__(self, number: int, step: int = 0, validation: int = 0) -> None:
        self.signal, self.at_step, self.at_validation = number, step, validation
        self.validations = 0

    def step(self, progress: Progress) -> None:
        if progress.step == self.at_step:
            signal.raise_signal(self.signal)

    def validation(self, progress: Progress, evaluation: Evaluation, score: float, best: bool) -> None:
        self.validations += 1
        if self.validations == self.at_validation:
            signal.raise_signal(self.signal)


def train(data: Path, output: Path, *, resume: bool = False, stop: Stop | None = None, **changes: Any) -> Any:
    """Train in this process."""
    if "noisy" not in registry.list_names("text_encoders"):
        registry.register("text_encoders", "noisy")(NoisyEncoder)
    options: dict[str, Any] = {"device": "cpu", "save_step": SAVE_STEP} | changes
    options["settings"] = ({} if resume else SETTINGS) | options.get("settings", {})
    options["callbacks"] = [stop] if stop else []
    return vsezoo.train("vsepp", str(data), output=output, resume=resume, **options)


def train_in_process(data: Path, output: Path, resume: bool, stop: Stop | None, changes: dict[str, Any]) -> None:
    train(data, output, resume=resume, stop=stop, **changes)


def assert_same(output: Path, whole: Path) -> None:
    """The checkpoint and the log are equal, bit for bit, but for where the data lie."""
    found, expected = processes.read_files(output / "best"), processes.read_files(whole / "best")
    found.pop("local.json"), expected.pop("local.json")
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name] == expected[name], name
    assert (output / "log.jsonl").read_bytes() == (whole / "log.jsonl").read_bytes()
    assert [path.name for path in output.iterdir() if path.name.endswith((".tmp", ".previous"))] == []
