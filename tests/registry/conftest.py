"""Distributions on the path of this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vsezoo import registry

Install = Callable[..., Path]


@pytest.fixture
def install(make_distribution: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Make a distribution and put it on this process's path, for the time of the test."""
    before = set(sys.modules)
    for name in ("VSEZOO_PLUGINS", "VSEZOO_RAISE_PLUGIN_ERRORS"):
        monkeypatch.delenv(name, raising=False)
    registry.list_distributions.cache_clear()

    def add(*arguments: object, **options: object) -> Path:
        folder = make_distribution(*arguments, **options)
        monkeypatch.syspath_prepend(folder)
        registry.list_distributions.cache_clear()
        return folder

    yield add
    registry.list_distributions.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("made_"):
            del sys.modules[name]
