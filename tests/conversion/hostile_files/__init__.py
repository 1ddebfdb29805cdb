"""Files that are made to harm or to confuse: each has a name that says how, and a function that writes it."""

from __future__ import annotations

from hostile_files import arrays, pickles, torch_files, vocabularies  # noqa: F401  (each adds its files)
from hostile_files.corpus import CORPUS

__all__ = ["CORPUS"]
