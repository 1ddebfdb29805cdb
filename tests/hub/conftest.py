"""A Hub on the loopback, and commands that know no other."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import loopback
import processes
import pytest
import tiny
import torch

import vsezoo

Vse = Callable[..., processes.Done]


@pytest.fixture
def hub() -> Iterator[loopback.LoopbackHub]:
    hub = loopback.LoopbackHub()
    yield hub
    hub.close()


@pytest.fixture
def environment(hub: loopback.LoopbackHub, tmp_path: Path) -> dict[str, str]:
    """What a process needs so that this Hub is its Hub: an empty cache, the owner's token."""
    return {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": loopback.OWNER,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture
def vse(environment: dict[str, str], tmp_path: Path) -> Vse:
    """Run a command in the folder of the test, against this Hub; keywords change the environment, None removes."""

    def run(*arguments: str | Path, **changes: str | None) -> processes.Done:
        change = functools.partial(loopback.change_environment, {**environment, **changes})
        return processes.run_command(tmp_path, *arguments, before=change)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on tiny data in the name of a registered data set; the data lie beside it, in data/."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("trained")
    tiny.write_data(folder / "data" / "f8k_precomp")
    settings: dict[str, Any] = tiny.SETTINGS
    vsezoo.train(
        "vsepp", "f8k_precomp", data_root=folder / "data", output=folder / "run", settings=settings, device="cpu"
    )
    return folder


@pytest.fixture
def work(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run and of the data, in the folder of the test, where commands find them."""
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.copytree(trained / "data", tmp_path / "data")
    return tmp_path
