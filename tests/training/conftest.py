"""What several files of tests of the training begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch

from vsezoo import registry


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the data set of `tiny`, which the tests of a file share."""
    return tiny.write_data(tmp_path_factory.mktemp("training") / "data")


@pytest.fixture
def quiet_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a test registers be forgotten, and one thread compute."""
    monkeypatch.setattr(registry, "_session", {})
    torch.set_num_threads(1)
