"""What a training wants before its first step: splits that suit each other, captions as ids, doubts that are told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vsezoo.data.view import PairView
from vsezoo.errors import DataError
from vsezoo.interfaces import PairDataset, Tokenizer
from vsezoo.recipe import Recipe
from vsezoo.training.batches import TokenTable
from vsezoo.training.callbacks import Callback
from vsezoo.training.init_from import InitCheckpoint
from vsezoo.training.splits import Split
from vsezoo.training.state import State

CAPTIONS_AT_ONCE = 5000  # cut into words between two moves of the progress bar


def open_init(init: str | Path | None, state: State | None, recipe: Recipe) -> InitCheckpoint | None:
    """Return the checkpoint that the model begins from; on resume too, which needs its vocabulary again.

    Raises:
        UsageError: for a checkpoint of another text encoder.
    """
    reference = init if state is None else state.run.get("init")
    if reference is None:
        return None
    checkpoint = InitCheckpoint(reference)
    checkpoint.require_same_text_encoder(recipe)
    return checkpoint


def tokenize(
    recipe: Recipe,
    tokenizer: Tokenizer,
    train_data: PairDataset,
    dev_data: PairDataset,
    dev_captions: Sequence[str],
    callbacks: Sequence[Callback],
    *,
    fit: bool,
) -> tuple[Split, Split]:
    """Cut every caption into words once: for the vocabulary, if it is to be made of them, and for all epochs.

    The vocabulary is made of all dev captions, as the original codes do, though they validate on the first 5,000.

    Raises:
        DataError: for a vocabulary that would have no word.
    """
    captions, count = [*train_data.captions, *dev_captions], len(train_data.captions)
    words: list[Any] = []
    for start in range(0, len(captions), CAPTIONS_AT_ONCE):
        words += tokenizer.split(captions[start : start + CAPTIONS_AT_ONCE])
        for callback in callbacks:
            callback.prepare("captions", len(words), len(captions))
    if fit:
        tokenizer.fit(words)
        if not any(map(tokenizer.knows, captions)):
            raise _describe_unknown(recipe, train_data)
    splits = ((train_data, words[:count]), (dev_data, words[count : count + len(dev_data.captions)]))
    first, second = (Split(split, TokenTable(tokenizer.encode_split(words))) for split, words in splits)
    return first, second


def _describe_unknown(recipe: Recipe, data: PairDataset) -> DataError:
    threshold = recipe.text_encoder.options.get("vocab_threshold")
    found = "the tokenizer knows no word of" if threshold is None else f"no word occurs {threshold} times in"
    remedy = "" if threshold is None else ", or a lower threshold: --set text_encoder.vocab_threshold=1"
    return DataError(
        f"{found} the captions of {data.name!r}, so all words would be unknown, and all captions of one length alike.",
        remedy=f"Use more captions{remedy}.",
    )


def list_warnings(recipe: Recipe) -> Iterator[str]:
    """Say what is allowed and will teach the model nothing."""
    if recipe.training.batch_size == 1:
        yield "A batch of one pair has no negatives, so there is nothing to learn from. Give a larger --batch-size."


class ProgressPairs(PairView):
    """A split that reports how many of its images have been read, for what goes through all of them.

    Args:
        data: the split.
        callbacks: called with the progress.
    """

    def __init__(self, data: PairDataset, callbacks: Sequence[Callback]) -> None:
        super().__init__(data)
        self._callbacks, self._read = callbacks, 0

    def images(self, indices: Sequence[int] | np.ndarray) -> Any:
        """Return the images of these indices, and report the progress."""
        self._read = min(self._read + len(indices), len(self.image_ids))
        for callback in self._callbacks:
            callback.prepare("images", self._read, len(self.image_ids))
        return self.data.images(indices)


def digest_captions(split: Split, tokenizer: Tokenizer) -> str:
    """Return the digest of what the captions have become: ids, and what the ids mean."""
    digest = hashlib.sha256(split.tokens.ids.tobytes() + split.tokens.ends.tobytes())
    for content in tokenizer.to_files().values():
        digest.update(content)
    return digest.hexdigest()
