"""Models with the tiny BERT as their text encoder; no tests in here."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import torch

import vsezoo
from vsezoo.model import JointEmbedding

CAPTIONS = ["a dog", "The REDISH thing is hot and dry", "dogs", "", "the old one [PAD]"]


def make_model(folder: Path, **options: Any) -> JointEmbedding:
    torch.manual_seed(3)
    options = {f"text_encoder__{name}": value for name, value in options.items()}
    return vsezoo.create_model(
        "vsepp", tiny.TinyPairs(), settings={"embed_size": 5, "text_encoder": f"hf:{folder}", **tiny.dotted(options)}
    )


def settings_of(folder: Path, **options: Any) -> dict[str, Any]:
    """Settings of one epoch of five steps."""
    return {
        "text_encoder": f"hf:{folder}",
        "embed_size": 16,
        "loss.mask_same_image": True,
        "training.batch_size": 64,
        "training.num_epochs": 1,
        "training.learning_rate": 0.01,
        "training.val_step": 0,
        **{f"text_encoder.{name}": value for name, value in options.items()},
    }


def read_without_network(checkpoint: str, home: str, output: str) -> None:
    """Read a checkpoint in a process of its own, which ends when a socket is made."""

    def refuse(event: str, arguments: object) -> None:
        if event.startswith("socket."):
            os._exit(1)

    os.environ.update({"HF_HUB_OFFLINE": "1", "HF_HOME": home})
    sys.addaudithook(refuse)
    np.save(output, vsezoo.load(checkpoint).encode_texts(CAPTIONS).numpy())


# A checkpoint without the frozen weights


def read_config(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    return value
