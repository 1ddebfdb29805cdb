"""A file of lists and its checkpoint, which the tests of `convert` share."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from lists_importer import (
    ListsImporter,
    convert,
)

from vsezoo.model import JointEmbedding


@pytest.fixture(scope="module")
def original() -> JointEmbedding:
    return tiny.make_model()


@pytest.fixture(scope="module")
def source(original: JointEmbedding, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("old") / "lists.v2.json"
    ListsImporter().write(original, path)
    return path


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    convert(folder, source)
    return folder / "runs" / "lists"
