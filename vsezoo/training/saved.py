"""When the state of a run is worth saving."""

from __future__ import annotations

import time
from dataclasses import dataclass

CHEAP = 0.1
"""A state that is saved in less than this, in seconds, is saved whenever it is due."""

SHARE = 0.05
"""Saving takes at most about this share of the time."""


@dataclass(frozen=True)
class Saved:
    """When the state was last saved, by the monotonic clock, and how long that took, in seconds."""

    at: float = 0.0
    took: float = 0.0

    def is_due(self) -> bool:
        """Return whether saving it again would not take most of the time: on a GPU, an epoch may last a second."""
        return self.took < CHEAP or time.monotonic() - self.at > self.took / SHARE
