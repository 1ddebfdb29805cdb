"""Where a collection is embedded: in this process, or on the machines of a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.devices import choose_device
from vsezoo.errors import UsageError
from vsezoo.search.cluster import embed_on_cluster
from vsezoo.search.collection import Collection
from vsezoo.search.embedding import Embed, EmbeddedBlock, embed_items

RAY = "ray"
ENGINES = ("local", RAY)


def choose_place(device: str, engine: str) -> str | torch.device:
    """Return the device for `embed_with`: chosen on this machine, or left to the cluster.

    Raises:
        UsageError: for a device that this machine does not have.
    """
    return device if engine == RAY else choose_device(device)


def embed_with(
    checkpoint: Checkpoint,
    collection: Collection,
    device: str | torch.device = "cpu",
    engine: str = "local",
    skipped: dict[str, str] | None = None,
) -> Embed:
    """Return what embeds the items of a collection by a model.

    Args:
        checkpoint: the model.
        collection: images or sentences.
        device: device of the model.
        engine: "local": this process. "ray": the actors of a Ray cluster, for which `device` may be "auto".
        skipped: receives the reasons of unreadable items, by their ids.

    Raises:
        UsageError: for another engine.
    """
    if engine not in ENGINES:
        raise UsageError(f"There is no engine {engine!r}.", remedy=f"Engines: {', '.join(ENGINES)}.")
    side = checkpoint.text_side if collection.is_text else checkpoint.model

    def embed(items: Sequence[int]) -> Iterator[EmbeddedBlock]:
        if engine == RAY:
            blocks = embed_on_cluster(checkpoint, collection, items, str(device))
        else:
            blocks = embed_items(lambda: side(device), collection, items)
        for block in blocks:
            if skipped is not None:
                skipped.update({collection.ids[item]: error.problem for item, error in block.bad.items()})
            yield block

    return embed
