"""A service on the loopback, in a thread of this process, over pictures of three colours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from colours import paint_folder, save_colour_model

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.search.index import index_collection
from vsezoo.search.sources import collect_images
from vsezoo.serving import server
from vsezoo.serving.app import create_app
from vsezoo.serving.engine import Engine

Start = Callable[..., httpx.Client]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with a red, a green and a blue picture."""
    return paint_folder(tmp_path / "photos")


def make_engine(run: Path, images: Any, similarity: str = "cosine", index: str = "exact") -> Engine:
    """Return an engine over images, with a model of colours that is written first."""
    if not run.exists():
        save_colour_model(run, similarity)
    checkpoint = Checkpoint.open(run)
    opened = index_collection(checkpoint, "cpu", None if images is None else collect_images(images), index)
    return Engine(opened, checkpoint, "cpu")


@contextmanager
def serve(engine: Engine, **options: Any) -> Iterator[httpx.Client]:
    """Run a service while the block runs, and yield a client of it."""
    ready, serving = threading.Event(), server.make_server(create_app(engine, **options))
    bound = server.bind("127.0.0.1", 0)
    address = server.name_address(bound)
    thread = threading.Thread(target=server.run, args=(serving, bound, ready.set))
    thread.start()
    try:
        assert ready.wait(60)
        with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
            yield client
    finally:
        serving.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


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
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VSEZOO_CACHE", str(folder / "cache"))
        engine = make_engine(folder / "run", paint_folder(folder / "photos"))
    with serve(engine) as client:
        yield client
