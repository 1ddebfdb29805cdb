"""A training on Parquet: the same as on files, in the order of seed and epoch, and exact after an interruption."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pictures
import pytest

import vsezoo
from vsezoo.data.pictures.writing.convert import convert_data
from vsezoo.errors import InterruptedTrainingError
from vsezoo.training.callbacks import Callback
from vsezoo.training.state import Progress


class Stop(Callback):
    """Interrupts its own process after a step."""

    def step(self, progress: Progress) -> None:
        if progress.step == 5:
            os.kill(os.getpid(), signal.SIGINT)


def train(data: Path, output: Path, weights: Path, **options: Any) -> bytes:
    settings = {
        **pictures.SIZES,
        "image_encoder": pictures.BACKBONE,
        "image_encoder.weights": str(weights),
        "image_encoder.image_size": 32,
        "training.batch_size": 4,
        "training.num_epochs": 2,
        "training.seed": 3,
    }
    given = {} if options.get("resume") else {"settings": settings}
    vsezoo.train("vsepp", str(data), output=output, device="cpu", workers=0, **given, **options)
    return (output / "best" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_training_on_parquet_is_that_on_files_and_exact_when_resumed(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    weights = pictures.write_weights(tmp_path / "weights" / "net.safetensors")
    photos = pictures.write_pictures(tmp_path / "photos", train=8, dev=2)
    convert_data(str(photos), tmp_path / "columns" / "photos", "parquet", shard_size=3)
    whole = train(tmp_path / "columns" / "photos", tmp_path / "whole", weights)
    assert whole == train(photos, tmp_path / "files", weights)
    with pytest.raises(InterruptedTrainingError):
        train(tmp_path / "columns" / "photos", tmp_path / "run", weights, callbacks=[Stop()])
    assert train(tmp_path / "columns" / "photos", tmp_path / "run", weights, resume=True) == whole
