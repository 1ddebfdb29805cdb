"""What several files of tests share: a file of lists and its checkpoint for `convert`, data and two runs for `eval`."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from lists_importer import (
    ListsImporter,
    convert,
)

import vsezoo
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


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds data in the name of a registered data set."""
    root = tmp_path_factory.mktemp("eval")
    tiny.write_data(root / "f30k_precomp")
    return root


@pytest.fixture(scope="session")
def runs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs that differ in their seeds."""
    runs = [tmp_path_factory.mktemp("runs") / f"seed-{seed}" for seed in range(2)]
    for seed, run in enumerate(runs):
        settings = tiny.SETTINGS | {"training.num_epochs": 6, "training.seed": seed}
        vsezoo.train("vsepp", "f30k_precomp", data_root=root, output=run, settings=settings, device="cpu")
    return runs
