"""What the worker processes of a data loader share: random states of their own, and interrupts left to the parent."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def draw_from(*seed: int) -> Iterator[None]:
    """Let all generators that a transform may draw from begin with a seed; afterwards they are as before."""
    own = np.random.SeedSequence(seed)
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=()):
        first, second, third = (int(word) for word in own.generate_state(3))
        torch.manual_seed(first)
        random.seed(second)
        np.random.seed(third)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)


def leave_interrupts_to_parent(worker: int) -> None:
    """Let Ctrl-C reach the process that a worker reads for, alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
