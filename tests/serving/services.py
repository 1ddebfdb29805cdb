"""A service in a thread of this process; no tests in here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from colours import save_colour_model

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.search.index import index_collection
from vsezoo.search.sources import collect_images
from vsezoo.serving import server
from vsezoo.serving.app import create_app
from vsezoo.serving.engine import Engine


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
