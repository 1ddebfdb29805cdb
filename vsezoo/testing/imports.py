"""What importing a module loads."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

from vsezoo.testing.kit import require
from vsezoo.testing.subject import Subject

HEAVY = ("numpy", "torch", "torchvision", "timm", "transformers", "huggingface_hub", "nltk", "PIL")
"""Modules that are slow to import; listings and `--help` must be quick."""


def require_light(subject: Subject) -> None:
    """Require that the module of an entry point loads nothing heavy when it is imported in a fresh process."""
    assert subject.module is not None
    loaded, error = _import_alone(subject.module)
    require(not error, f"importing {subject.module} on its own fails: {error}")
    require(not loaded, f"importing {subject.module} loads {', '.join(loaded)}")


@functools.cache  # a module holds several recipes
def _import_alone(module: str) -> tuple[list[str], str]:
    """Return which of `HEAVY` a module loads, and the last line of an error."""
    program = f"import sys; import {module}; print(*[name for name in {HEAVY} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    return (done.stdout.split(), "") if done.returncode == 0 else ([], done.stderr.splitlines()[-1])
