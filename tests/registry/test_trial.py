"""Imports on trial: one that does not end is stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vsezoo.registry.entry import Entry
from vsezoo.registry.trial import try_entries


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_import_that_does_not_end(
    make_distribution: Callable[..., Path], recipe_source: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {"made_endless": "while True: pass", "made_sound": recipe_source("sound")}
    monkeypatch.syspath_prepend(make_distribution("demo", {}, modules))
    entries = [Entry("models", name, f"made_{name}:recipe", "demo", "1.0", 1) for name in ("endless", "sound")]
    endless, sound = try_entries(entries, limit=3)
    assert endless.reason == "importing it takes more than 3 s"
    assert sound.reason == ""
