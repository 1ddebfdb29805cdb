"""The checkpoint folder: written atomically, verified when read, and the same on disk and on the Hub.

    config.json         format version, resolved recipe, data, plugins, sizes and SHA-256 of the files below
    model.safetensors   every parameter and buffer, except those of a frozen backbone (config.json has the digest)
    loss.safetensors    those of the loss, if it has any, such as a caption head
    vocab.json          (or whatever files the tokenizer has)
    metrics.json        the last evaluation, labelled
    README.md           the model card, which people may edit
    local.json          paths of data and of external weights on the machine that wrote it; never published

Reading unpickles nothing and imports no module named in the folder: parts are looked up in the registry.
"""

from __future__ import annotations

from pathlib import Path

import torch

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.checkpoints.writing import describe_data as describe_data
from vsezoo.checkpoints.writing import save_checkpoint as save_checkpoint
from vsezoo.errors import report_system_errors
from vsezoo.interfaces import Loss
from vsezoo.model import JointEmbedding


@report_system_errors
def load(reference: str | Path | Checkpoint, device: str | torch.device = "cpu") -> JointEmbedding:
    """Load the model of a checkpoint.

    Args:
        reference: a checkpoint folder, the folder of a run (for its best checkpoint), a Hub repository,
            `hub:org/name[@revision]`, or a name that `list_models(pretrained=True)` lists.
        device: device of the model.

    Returns:
        the model in eval mode.

    Raises:
        CheckpointError: for a folder that is absent, damaged, newer than this vsezoo, or needs a missing plugin.
        HubError: if it cannot be downloaded.
    """
    return Checkpoint.open(reference).model(device)


@report_system_errors
def load_loss(reference: str | Path | Checkpoint, device: str | torch.device = "cpu") -> Loss:
    """Load the loss that a checkpoint was trained with, including parameters such as those of a caption head.

    Args:
        reference: see `load`.
        device: device of the loss.

    Returns:
        the loss in eval mode.

    Raises:
        CheckpointError: see `load`; also for a checkpoint without the parameters of the loss.
    """
    return Checkpoint.open(reference).loss(device)
