"""Shared by data loader workers: independent random states, and interrupts handled by the parent process."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def draw_from(*seed: int) -> Iterator[None]:
    """Seed all generators that a transform may use, and restore their states afterwards."""
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
    """Ignore Ctrl-C in a worker; the parent process handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
