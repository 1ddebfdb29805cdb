"""The tiny BERT and the data that the tests of a file share."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from tiny_bert import write_model


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "bert"
    write_model(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_data(tmp_path_factory.mktemp("data") / "words", images={"train": 64, "dev": 6, "test": 6})
