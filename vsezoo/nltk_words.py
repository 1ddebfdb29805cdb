"""NLTK's word tokenizer, without the rest of NLTK.

`import nltk` brings parsers, chunkers and corpus readers: a tenth of a second, a third of the time that a search
may take. The tokenizer needs four small modules of it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

PACKAGES = ("nltk", "nltk.tokenize")


def split_words(text: str) -> list[str]:
    """Cut a sentence into words as `nltk.tokenize.NLTKWordTokenizer` does."""
    return list(_load_tokenizer().tokenize(text))


@functools.cache
def _load_tokenizer() -> Any:
    if "nltk" not in sys.modules:
        try:
            return _import_alone()
        except (AttributeError, ImportError):  # another NLTK, whose modules lie or hang together in another way
            pass
    return importlib.import_module("nltk.tokenize").NLTKWordTokenizer()


def _import_alone() -> Any:
    """Import the module with empty packages in the place of those that import all else."""
    found = importlib.util.find_spec("nltk")
    if found is None or found.submodule_search_locations is None:
        raise ImportError("nltk is not installed")
    folder = found.submodule_search_locations[0]
    try:
        for name in PACKAGES:
            package = ModuleType(name)
            package.__path__ = ["/".join([folder, *name.split(".")[1:]])]
            sys.modules[name] = package
        return importlib.import_module("nltk.tokenize.destructive").NLTKWordTokenizer()
    finally:
        # What imports NLTK later gets all of it.
        for name in [name for name in sys.modules if name.partition(".")[0] == "nltk"]:
            del sys.modules[name]
