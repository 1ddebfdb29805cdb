"""A service on the loopback, in a thread of this process, over pictures of three colours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from colours import COLOURS, paint, paint_folder
from services import make_engine, serve

Start = Callable[..., httpx.Client]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with a red, a green and a blue picture."""
    return paint_folder(tmp_path / "photos")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a service, and returns a client of it."""
    with ExitStack() as running:

        def start_service(
            images: Any, similarity: str = "cosine", index: str = "exact", **options: Any
        ) -> httpx.Client:
            engine = make_engine(tmp_path / "run", images, similarity, index)
            return running.enter_context(serve(engine, **options))

        yield start_service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Return a client of a service that the tests of a module share."""
    folder = tmp_path_factory.mktemp("service")
    paint(folder / "secret.png", COLOURS["red"])  # beside the collection
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VSEZOO_CACHE", str(folder / "cache"))
        engine = make_engine(folder / "run", paint_folder(folder / "photos"))
    with serve(engine) as client:
        yield client
