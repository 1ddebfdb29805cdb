"""The command line as a process, for the benchmarks that time one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Seconds(NamedTuple):
    """What a process took."""

    wall: float
    processor: float


def find_script() -> str:
    """Return the path of this Python's `vsezoo`."""
    script = shutil.which("vsezoo", path=str(Path(sys.executable).parent))
    if script is None:
        sys.exit("vsezoo is not installed next to this Python.")
    return script


def measure(command: list[str], environment: Mapping[str, str] | None = None) -> Seconds:
    """Return the wall time and the processor time of a process, whose output is discarded."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    wall, after = time.perf_counter() - start, os.times()
    children = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    return Seconds(wall, children)
