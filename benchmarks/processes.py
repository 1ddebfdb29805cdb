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
    chosen = keep_bytecode(os.environ if environment is None else environment)
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=chosen)
    wall, after = time.perf_counter() - start, os.times()
    children = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    return Seconds(wall, children)


def keep_bytecode(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which Python writes bytecode, as an installer does: containers often forbid it.

    Without it, each process would compile vsezoo, but not the libraries that it is compared with.
    """
    return {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}
