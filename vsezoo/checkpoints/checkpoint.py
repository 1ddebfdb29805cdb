"""The checkpoint folder: written whole, verified when read, and the same on disk and on the Hub.

    config.json         format version, resolved recipe, data, plugins, sizes and sha256 of the files below
    model.safetensors   every parameter and buffer, but for those of a frozen backbone, whose digest config.json has
    loss.safetensors    those of the loss, where it has any, such as a head that writes captions
    vocab.json          (or whatever files the tokenizer has)
    metrics.json        the last evaluation, labelled
    README.md           the model card, which people may edit
    local.json          where weights that are not stored, and data, lie on the machine that wrote it; never published

Reading unpickles nothing and imports no module that the folder names: parts are looked up in the registry.
"""

from __future__ import annotations

from pathlib import Path

import torch

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.checkpoints.writing import describe_data as describe_data
from vsezoo.checkpoints.writing import save_checkpoint as save_checkpoint
from vsezoo.interfaces import Loss
from vsezoo.model import JointEmbedding


def load(reference: str | Path | Checkpoint, device: str | torch.device = "cpu") -> JointEmbedding:
    """Read the model of a checkpoint.

    Args:
        reference: a checkpoint folder, the folder of a run, whose best checkpoint it means, a repository of the Hub,
            `hub:org/name[@revision]`, or a name that `list_models(pretrained=True)` lists.
        device: where to put it.

    Returns:
        the model in eval mode.

    Raises:
        CheckpointError: for a folder that is absent, damaged, newer than this vsezoo, or needs a missing plugin.
        HubError: for what the Hub does not give.
    """
    return Checkpoint.open(reference).model(device)


def load_loss(reference: str | Path | Checkpoint, device: str | torch.device = "cpu") -> Loss:
    """Read the loss that a checkpoint was trained with, and its parameters, such as those of a caption head.

    Args:
        reference: as `load` takes it.
        device: where to put it.

    Returns:
        the loss in eval mode.

    Raises:
        CheckpointError: as `load` does, and for a checkpoint without the parameters that the loss has.
    """
    return Checkpoint.open(reference).loss(device)
