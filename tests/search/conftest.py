"""A cache of its own for each test, and a model of colours."""

from __future__ import annotations

from pathlib import Path

import pytest
from colours import save_colour_model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("VSEZOO_CACHE", str(folder))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the folder of a checkpoint."""
    save_colour_model(tmp_path / "run")
    return tmp_path / "run"
