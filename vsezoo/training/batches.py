"""Training batches: which pairs, in which order, as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vsezoo.data.workers import draw_from, leave_interrupts_to_parent
from vsezoo.errors import TrainingError, VsezooError
from vsezoo.interfaces import Batch, PairDataset, RegionSets, Tokens
from vsezoo.storage.read_ahead import read_ahead


class TokenTable:
    """The ids of all captions of a split in one flat array, built once per run."""

    def __init__(self, captions: Sequence[np.ndarray]) -> None:
        self.ids = np.concatenate(captions)
        self.ends = np.cumsum([len(caption) for caption in captions])

    def __len__(self) -> int:
        """Return the number of captions."""
        return len(self.ends)

    @property
    def lengths(self) -> np.ndarray:
        """The number of ids of each caption."""
        return np.diff(self.ends, prepend=0)

    def caption(self, index: int) -> np.ndarray:
        """Return the ids of one caption."""
        start = self.ends[index - 1] if index else 0
        return self.ids[start : self.ends[index]]

    def pad(self, indices: np.ndarray) -> Tokens:
        """Return the captions of these indices as a batch."""
        return Tokens.pad([self.caption(index) for index in indices])


class PairBatches(Dataset[Batch | VsezooError]):
    """Batches of captions with their images.

    Args:
        data: the split.
        tokens: its captions as ids.
        transform: the `transform` of the image encoder.
        batches: caption indices of each batch.
        seed: seed for random changes of pictures, such as seed, epoch and rank.
        start: number of the first of `batches` in the epoch. Each batch has its own seed, so that neither the number of
            workers nor the position of a resumption makes a difference.
    """

    def __init__(
        self,
        data: PairDataset,
        tokens: TokenTable,
        transform: Callable[[Any], Tensor | RegionSets],
        batches: Sequence[np.ndarray],
        seed: Sequence[int] = (0,),
        start: int = 0,
    ) -> None:
        self.data, self.tokens, self.transform, self.batches = data, tokens, transform, batches
        self.seed, self.start = seed, start

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.batches)

    def __getitem__(self, index: int) -> Batch | VsezooError:
        """Read a batch or return its error, because a data loader would wrap an exception raised in a worker."""
        try:
            return self.read(index)
        except VsezooError as error:
            return error

    def read(self, index: int) -> Batch:
        """Read a batch.

        Raises:
            DataError: for images that cannot be read.
        """
        captions = self.batches[index]
        images = self.data.image_of[captions]
        pictures = self.data.images(images)
        with draw_from(*self.seed, self.start + index) if self.data.kind == "picture" else nullcontext():
            features = self.transform(pictures)
        return Batch(
            images=features,
            tokens=self.tokens.pad(captions),
            image_index=torch.from_numpy(images),
            caption_index=torch.from_numpy(captions),
        )

    def read_ahead(self) -> Iterator[Batch]:
        """Yield the batches in order, the next read by a thread.

        Raises:
            DataError: for images that cannot be read.
        """
        for _, batch in read_ahead(self.read, range(len(self))):
            yield batch

    def load(self, workers: int) -> Iterator[Batch]:
        """Yield the batches in order, read ahead by data loader workers if there are any.

        Raises:
            DataError: for images that cannot be read.
        """
        loader = DataLoader(
            self,
            batch_size=None,
            num_workers=workers,
            worker_init_fn=leave_interrupts_to_parent,
            # Its own generator: creating the iterator draws a number, which must not affect training.
            generator=torch.Generator(),
        )
        batches = iter(loader)
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                raise TrainingError(
                    "a data loader worker was killed, perhaps because the memory was full.",
                    remedy="Continue with --resume and fewer --workers; the last saved state is kept.",
                ) from None
            if isinstance(batch, VsezooError):
                raise batch
            yield batch
