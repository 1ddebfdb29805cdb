"""Writing checkpoints as VSE++ and codebases derived from it do; see `vsezoo.conversion.state_dicts`."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vsezoo.conversion.output import create_file
from vsezoo.conversion.vocabulary_files import write_vocabulary
from vsezoo.model import JointEmbedding
from vsezoo.text import WordTokenizer


def write_state_dicts(
    model: JointEmbedding,
    path: Path,
    image: Mapping[str, Tensor],
    text: Mapping[str, Tensor],
    options: dict[str, Any],
    *more: Mapping[str, Tensor],
) -> list[Path]:
    """Write a checkpoint like the originals, in the older format of torch, which every version reads.

    Args:
        model: the model, whose vocabulary is written next to it, named after `data_name` in the options: as a pickle
            like the originals, and as JSON like SCAN.
        path: the file of the checkpoint.
        image: tensors of the image encoder, by their original names.
        text: tensors of the text encoder.
        options: the options of training.
        *more: tensors of further parts, which follow those of the encoders.

    Raises:
        StorageError: if a file cannot be written.
    """
    tokenizer = model.tokenizer
    assert isinstance(tokenizer, WordTokenizer), "of the text encoder gru"
    words = tokenizer.vocabulary.words
    write_encoders(path, image, text, {**options, "vocab_size": len(words)}, *more)
    return [path, *write_vocabulary(words, path.with_name(f"{options['data_name']}_vocab"))]


def write_encoders(
    path: Path,
    image: Mapping[str, Tensor],
    text: Mapping[str, Tensor],
    options: Mapping[str, Any],
    *more: Mapping[str, Tensor],
) -> None:
    """Write a checkpoint without its vocabulary; the arguments are those of `write_state_dicts`.

    Raises:
        StorageError: if the file cannot be written.
    """
    value = {
        "epoch": 0,
        "model": [
            OrderedDict((name, tensor.contiguous()) for name, tensor in part.items()) for part in (image, text, *more)
        ],
        "best_rsum": 0.0,
        "opt": argparse.Namespace(**options),
        "Eiters": 0,
    }
    with create_file(path) as stream:
        torch.save(value, stream, _use_new_zipfile_serialization=False)


def list_tensors(model: JointEmbedding) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors of image and text encoder on the CPU, by our names."""
    image, text = (
        {name: tensor.detach().cpu() for name, tensor in encoder.state_dict().items()}
        for encoder in (model.image_encoder, model.text_encoder)
    )
    return image, text
