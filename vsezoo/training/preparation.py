"""Prepare a training run: tokenised captions, the model and its loss, warnings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from vsezoo.construction import build_loss, build_model, open_pretrained
from vsezoo.data.lookup import locate
from vsezoo.data.precomputed.feature_record import compare_extraction
from vsezoo.data.sentinel import describe_repeated, make_sentinel
from vsezoo.data.view import PairView
from vsezoo.errors import DataError, UsageError
from vsezoo.interfaces import Loss, PairDataset, Tokenizer
from vsezoo.model import JointEmbedding
from vsezoo.parts import make_tokenizer, resolve_recipe
from vsezoo.pretrained.sharing import load_part
from vsezoo.recipe import Recipe
from vsezoo.text.known_words import check_known_words
from vsezoo.training.batches import TokenTable
from vsezoo.training.callbacks import Callback
from vsezoo.training.init_from import InitCheckpoint
from vsezoo.training.plan import RunPlan
from vsezoo.training.record import RunRecord
from vsezoo.training.splits import Split, Splits

CAPTIONS_AT_ONCE = 5000  # tokenised between two updates of the progress bar


@dataclass(frozen=True)
class Prepared:
    """Model, loss and splits of a run.

    Attributes:
        model: on the device of the run, with its initial weights (a resumed run then restores its own).
        loss: likewise.
        train: the training split.
        dev: the split for choosing the best checkpoint.
        run: record of the start of the run.
        warnings: warnings at the start of the run.
        sentinel: what the checkpoint remembers of the data.
    """

    model: JointEmbedding
    loss: Loss
    train: Split
    dev: Split
    run: RunRecord
    warnings: tuple[str, ...] = ()
    sentinel: Mapping[str, Any] = field(default_factory=dict)


def prepare(plan: RunPlan, splits: Splits, device: torch.device, callbacks: Sequence[Callback]) -> Prepared:
    """Build the tokenizer, the model and the loss of a run.

    Raises:
        DataError: for captions without a word that the model could learn.
        UsageError: for an unsuitable `init` checkpoint, or captions that differ from those of the resumed run.
        RecipeError: for settings that contradict the data.
    """
    weights = open_pretrained(plan.recipe)
    recipe = resolve_recipe(plan.recipe, splits.train, weights)
    init = open_init(plan, recipe)
    tokenizer = make_tokenizer(recipe, weights) if init is None else init.model.tokenizer
    train, dev = tokenize(recipe, tokenizer, splits, callbacks, fit=init is None)
    model, loss = build_model(recipe, tokenizer), build_loss(recipe, tokenizer)
    model.require_uncertainty()
    model.to(device)  # before a backbone is used
    loss.to(device)
    if plan.state is None:
        load_part(loss, weights)
        if init is None:
            model.load_pretrained(weights)
            model.image_encoder.fit(ProgressPairs(splits.train, callbacks))
        else:
            init.copy_into(model, loss, weights)
    opening, digest = plan.options.opening, digest_captions(train, tokenizer)
    if plan.state is not None and digest != plan.state.run.captions_sha256:
        raise UsageError(
            f"the captions of {plan.data!r} differ from those that the run was started with.",
            file=plan.folder,
            remedy="Restore them, or start a new run with another --output.",
        )
    run = RunRecord(
        recipe,
        data=locate(plan.data),
        data_root=None if opening.root is None else str(opening.root),
        full_dev=opening.full_dev,
        use_restval=opening.use_restval,
        on_bad_image=opening.on_bad_image,
        init=None if init is None else init.reference,
        captions_sha256=digest,
    )
    others = "" if init is None else compare_extraction(init.data, splits.train)
    unknown = check_known_words(tokenizer, splits.train.captions)
    repeated = filter(None, map(describe_repeated, (splits.train, splits.dev)))
    warnings = (*splits.warnings, *repeated, *list_warnings(recipe), *filter(None, (unknown, others)))
    sentinel = make_sentinel(splits.train, splits.dev, splits.test)
    return Prepared(model, loss, train, dev, run, warnings, sentinel)


def open_init(plan: RunPlan, recipe: Recipe) -> InitCheckpoint | None:
    """Return the checkpoint that initialises the model; also for a resumed run, which needs its vocabulary.

    Raises:
        UsageError: for a checkpoint with another text encoder.
    """
    reference = plan.options.init if plan.state is None else plan.state.run.init
    if reference is None:
        return None
    checkpoint = InitCheckpoint(reference)
    checkpoint.require_same_text_encoder(recipe)
    return checkpoint


def tokenize(
    recipe: Recipe, tokenizer: Tokenizer, splits: Splits, callbacks: Sequence[Callback], *, fit: bool
) -> tuple[Split, Split]:
    """Tokenise every caption once: for the vocabulary, if it is built from them, and for all epochs.

    Raises:
        DataError: for a vocabulary without words.
    """
    captions = splits.vocabulary_captions
    words: list[Any] = []
    for start in range(0, len(captions), CAPTIONS_AT_ONCE):
        words += tokenizer.split(captions[start : start + CAPTIONS_AT_ONCE])
        for callback in callbacks:
            callback.prepare("captions", len(words), len(captions))
    if fit:
        tokenizer.fit(words)
        if not any(map(tokenizer.knows, captions)):
            raise _describe_unknown(recipe, splits.train)
    start = len(splits.train.captions)
    of_dev = words[start : start + len(splits.dev.captions)]  # the first of all dev captions
    train, dev = (TokenTable(tokenizer.encode_split(part)) for part in (words[:start], of_dev))
    return Split(splits.train, train), Split(splits.dev, dev)


def _describe_unknown(recipe: Recipe, data: PairDataset) -> DataError:
    threshold = recipe.text_encoder.options.get("vocab_threshold")
    found = "the tokenizer knows no word of" if threshold is None else f"no word occurs {threshold} times in"
    remedy = "" if threshold is None else ", or a lower threshold: --set text_encoder.vocab_threshold=1"
    return DataError(
        f"{found} the captions of {data.name!r}: all words would be unknown, and all captions of one length the same.",
        remedy=f"Use more captions{remedy}.",
    )


def list_warnings(recipe: Recipe) -> Iterator[str]:
    """Yield warnings about settings from which the model cannot learn."""
    if recipe.training.batch_size == 1:
        yield "A batch of one pair has no negatives, so there is nothing to learn from. Use a larger --batch-size."


class ProgressPairs(PairView):
    """A split that reports progress when all its images are read.

    Args:
        data: the split.
        callbacks: called with the progress.
    """

    def __init__(self, data: PairDataset, callbacks: Sequence[Callback]) -> None:
        super().__init__(data)
        self._callbacks, self._read = callbacks, 0

    def images(self, indices: Sequence[int] | np.ndarray) -> Any:
        """Return the images at these indices, and report the progress."""
        self._read = min(self._read + len(indices), len(self.image_ids))
        for callback in self._callbacks:
            callback.prepare("images", self._read, len(self.image_ids))
        return self.data.images(indices)


def digest_captions(split: Split, tokenizer: Tokenizer) -> str:
    """Return the digest of the tokenised captions: ids, and their meaning."""
    digest = hashlib.sha256(split.tokens.ids.tobytes() + split.tokens.ends.tobytes())
    for content in tokenizer.to_files().values():
        digest.update(content)
    return digest.hexdigest()
