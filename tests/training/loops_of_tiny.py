"""What the tests of the loop share; no tests in here."""

from __future__ import annotations

from collections.abc import Callable

from vsezoo.interfaces import Batch
from vsezoo.training.batches import PairBatches
from vsezoo.training.loop import Loop

MakeLoop = Callable[..., Loop]


def first_batch(loop: Loop) -> Batch:
    transform = loop.model.image_encoder.transform(True)
    batches = PairBatches(loop.train.data, loop.train.tokens, transform, loop.order(0)[:1])
    return next(iter(batches.load(0)))
