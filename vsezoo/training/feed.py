"""The batches of a run on their way to its device: from data loader workers, threads, or a GPU's own memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsezoo.batch import Batch, RegionSets
from vsezoo.data.precomputed.pairs import PrecomputedPairs
from vsezoo.encoders.precomputed import to_sets, to_tensor
from vsezoo.interfaces import ImageEncoder
from vsezoo.storage.read_ahead import read_ahead
from vsezoo.training.batches import PairBatches
from vsezoo.training.resident import ResidentPairs, as_stored
from vsezoo.training.splits import Split

READERS = max(1, min(8, (os.cpu_count() or 1) // 2))
"""Threads that read features for a GPU."""


def has_one_shape(split: Split, encoder: ImageEncoder) -> bool:
    """Return whether an image encoder takes the images of a split as they are stored: features of one shape."""
    return _takes_features(split, encoder) and isinstance(split.data.images(np.arange(1)), np.ndarray)


def _takes_features(split: Split, encoder: ImageEncoder) -> bool:
    return encoder.transform(training=True) in (to_tensor, to_sets) and split.data.kind != "picture"


def _convert(convert: Callable[[Any], Tensor | RegionSets], features: Any) -> Tensor | RegionSets:
    """Return features that nobody else has as `convert` does, arrays without a copy."""
    return as_stored(features).float() if isinstance(features, np.ndarray) else convert(features)


class Feed:
    """Makes the batches of a split.

    Args:
        split: the split.
        encoder: the image encoder, for its `transform`.
        device: where the batches are used.
        workers: data loader workers; without any, batches of features are read ahead by threads.
        stored: pass features on as they are stored, in float16 perhaps, and keep them on the GPU if they fit.
    """

    def __init__(
        self, split: Split, encoder: ImageEncoder, device: torch.device, workers: int = 0, *, stored: bool = False
    ) -> None:
        self._split, self._encoder, self._device, self._workers, self._stored = split, encoder, device, workers, stored
        # The rows of a file are read anew for each batch, in any thread; a subclass might refuse either.
        self._is_file = type(split.data) is PrecomputedPairs
        fits = stored and ResidentPairs.fits(split.data, device)
        self._resident = ResidentPairs(split.data, split.tokens, device) if fits else None

    def load(self, batches: Sequence[np.ndarray], seed: tuple[int, ...], start: int) -> Iterator[Batch]:
        """Yield batches of caption indices; see `PairBatches` for seed and start.

        Raises:
            DataError: for images that cannot be read.
        """
        if self._resident:
            return self._resident.load(batches)
        transform = self._choose_transform()
        pairs = PairBatches(self._split.data, self._split.tokens, transform, batches, seed, start=start)
        if self._workers or not _takes_features(self._split, self._encoder):
            return pairs.load(self._workers)
        if self._device.type == "cuda":
            return self._copy_ahead(pairs)
        return pairs.read_ahead() if self._is_file else pairs.load(0)

    def _choose_transform(self) -> Callable[[Any], Tensor | RegionSets]:
        """Return how images become the input of the encoder, which may say otherwise in each epoch."""
        if self._stored:
            return as_stored
        transform = self._encoder.transform(training=True)
        return partial(_convert, transform) if self._is_file and transform in (to_tensor, to_sets) else transform

    def _copy_ahead(self, pairs: PairBatches) -> Iterator[Batch]:
        """Yield batches that threads read, and copy to the GPU while it computes."""
        copies = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]

        def read(index: int) -> tuple[Batch, torch.cuda.Event]:
            batch, done = pairs.read(index), torch.cuda.Event()  # type: ignore[no-untyped-call]
            with torch.cuda.stream(copies):
                if isinstance(batch.images, Tensor):
                    batch = replace(batch, images=batch.images.pin_memory())
                batch = batch.to(self._device)
                done.record(copies)
            return batch, done

        threads = READERS if self._is_file else 1
        for _, (batch, done) in read_ahead(read, range(len(pairs)), threads):
            torch.cuda.current_stream(self._device).wait_event(done)
            for tensor in batch.tensors:
                if tensor.is_cuda:  # its memory must not be used again before this stream is done
                    tensor.record_stream(torch.cuda.current_stream(self._device))
            yield batch
