"""The batches of an epoch, as a function of settings, seed and epoch only."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from vsezoo.errors import DataError
from vsezoo.recipe import TrainingSettings


def order_epoch(
    settings: TrainingSettings, captions: np.ndarray, lengths: np.ndarray, image_of: np.ndarray, epoch: int
) -> list[np.ndarray]:
    """Return the batches of an epoch as arrays of caption indices.

    Args:
        settings: `batches` defines what makes a batch, `last_batch` whether the last one is dropped.
        captions: indices of the captions to train on, ascending.
        lengths: `(M,)` number of ids of every caption of the split.
        image_of: `(M,)` image index of every caption.
        epoch: counted from 0.

    Raises:
        DataError: when no batch is left.
    """
    random = np.random.default_rng([settings.seed, epoch])
    if settings.batches == "lengths":
        batches = _batch_lengths(captions, lengths[captions], settings.batch_size, random)
    elif settings.batches == "images":
        chosen = _choose_captions(captions, image_of[captions], random)
        batches = _cut(chosen[random.permutation(len(chosen))], settings.batch_size)
    else:
        batches = _cut(captions[random.permutation(len(captions))], settings.batch_size)
    if not batches:
        raise DataError(
            f"no caption of the training split is as short as training.max_words={settings.max_words}.",
            remedy="Use a larger --max-words, or 0 for no limit.",
        )
    partial = len(batches[-1]) < settings.batch_size
    if settings.last_batch == "drop" or (settings.last_batch == "full" and partial):
        if len(batches) == 1:
            raise DataError(
                f"an epoch is one batch of {len(batches[0]):,} captions, and training.last_batch={settings.last_batch} "
                "drops the last batch.",
                remedy="Use more data, a smaller --batch-size, or --set training.last_batch=keep.",
            )
        batches = batches[:-1]
    return batches


def share_batches(batches: Sequence[np.ndarray], rank: int, world_size: int) -> list[np.ndarray]:
    """Return the share of a process in each batch.

    All processes get the same number of pairs, so that their embeddings can be gathered: up to `world_size - 1` pairs
    at the end of a batch are dropped.

    Raises:
        DataError: when no batch is left, since all have fewer pairs than there are processes.
    """
    sizes = [len(batch) // world_size for batch in batches]
    if not any(sizes):
        raise DataError(
            f"no batch of the epoch has a pair for each of the {world_size:,} processes.",
            remedy="Use a larger --batch-size, or train with fewer processes.",
        )
    return [batch[rank * size : (rank + 1) * size] for batch, size in zip(batches, sizes, strict=True) if size]


def _cut(order: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Return batches of consecutive items; the last contains the rest."""
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _batch_lengths(
    captions: np.ndarray, lengths: np.ndarray, batch_size: int, random: np.random.Generator
) -> list[np.ndarray]:
    """Return batches of one caption length each, cycling through the lengths until each is exhausted.

    The original codes of Kiros et al. (2014) do the same, and need no mask.
    """
    shuffled = random.permutation(np.unique(lengths))
    of_lengths = [_cut(random.permutation(captions[lengths == length]), batch_size) for length in shuffled]
    rounds = itertools.zip_longest(*of_lengths)
    return [batch for batches in rounds for batch in batches if batch is not None]


def _choose_captions(captions: np.ndarray, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return one random caption per image, as the order-embedding code trains."""
    shuffled = random.permutation(len(captions))
    _, first = np.unique(images[shuffled], return_index=True)
    chosen: np.ndarray = captions[shuffled[first]]
    return chosen
