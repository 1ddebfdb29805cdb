"""An environment that has vsezoo's wheel, and a Hub on the loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import environments
import loopback
import pytest


@pytest.fixture(scope="session")
def hub() -> Iterator[loopback.LoopbackHub]:
    hub = loopback.LoopbackHub()
    yield hub
    hub.close()


@pytest.fixture(scope="session")
def environment(
    wheel: Path, hub: loopback.LoopbackHub, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[environments.Environment]:
    """An environment with vsezoo alone, whose Hub is that on the loopback."""
    folder = tmp_path_factory.mktemp("environment")
    made = environments.make_environment(folder, wheel)
    made.variables |= {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(folder / "hf"),
        "HF_TOKEN": loopback.OWNER,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
    }
    yield made
    made.close()
