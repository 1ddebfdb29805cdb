"""The index of a Qdrant server: in this process, and with a real server where QDRANT_URL names one."""

from __future__ import annotations

import http.server
import json
import os
import threading
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from processes import assert_one_message

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.errors import ServerError, UsageError
from vsezoo.search.backends import qdrant
from vsezoo.search.index import open_index
from vsezoo.search.sources import collect_images
from vsezoo.search.stored.building import add_to_folder, build_index, remove_from_folder
from vsezoo.search.stored.manifest import read_manifest

pytestmark = pytest.mark.skipif(find_spec("qdrant_client") is None, reason="qdrant_client is not installed")

SERVER = os.environ.get("QDRANT_URL", "")


@pytest.fixture(params=["memory", pytest.param("server", marks=pytest.mark.skipif(not SERVER, reason="QDRANT_URL"))])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client that all connections share in this process, or of the server, without what the test has made."""
    if request.param == "memory":
        import qdrant_client  # takes seconds

        shared = qdrant_client.QdrantClient(":memory:")
        monkeypatch.setattr(qdrant, "connect", lambda url: shared)
    else:
        monkeypatch.setattr(qdrant, "URL", SERVER)
        shared = qdrant.connect(SERVER)
    before = {one.name for one in shared.get_collections().collections}
    yield shared
    for one in shared.get_collections().collections:
        if one.name not in before:
            shared.delete_collection(one.name)


def write_features(path: Path, count: int = 300, seed: int = 0) -> Path:
    rows = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    np.save(path, rows / np.linalg.norm(rows, axis=1, keepdims=True))
    return path


def names(client: Any) -> list[str]:
    return sorted(one.name for one in client.get_collections().collections)


@pytest.mark.slow
def test_it_finds_what_exact_does(run: Path, tmp_path: Path, client: Any) -> None:
    features, folder = write_features(tmp_path / "a.npy"), tmp_path / "a.index"
    build_index(run, folder, images=features, index="qdrant")
    found, exact = open_index(run, index=str(folder)), open_index(run, images=features)
    for query in ("red", "green blue", "blue"):
        assert found.search(query, 5) == exact.search(query, 5)
        assert found.search(query, 299) == exact.search(query, 299)


@pytest.mark.slow
def test_equal_rows_are_in_order(run: Path, tmp_path: Path, client: Any) -> None:
    np.save(tmp_path / "a.npy", np.eye(3, dtype=np.float32).repeat(200, axis=0))
    build_index(run, tmp_path / "a.index", images=tmp_path / "a.npy", index="qdrant")
    assert [hit.item for hit in open_index(run, index=str(tmp_path / "a.index")).search("green", 4)] == [
        200,
        201,
        202,
        203,
    ]


@pytest.mark.slow
def test_changes(run: Path, tmp_path: Path, client: Any) -> None:
    features, folder = write_features(tmp_path / "a.npy"), tmp_path / "a.index"
    build_index(run, folder, images=features, index="qdrant")
    before = open_index(run, index=str(folder))
    best = [hit.id for hit in before.search("red", 6)]
    remove_from_folder(folder, best[:2])
    np.save(tmp_path / "b.npy", np.array([[3, 0, 0]], np.float32))
    add_to_folder(Checkpoint.open(run), folder, collect_images(tmp_path / "b.npy"))
    assert [hit.id for hit in before.search("red", 6)] == best  # opened before
    after = [hit.id for hit in open_index(run, index=str(folder)).search("red", 5)]
    assert after == [f"{tmp_path / 'b.npy'}:0", *best[2:]]
    for _ in range(3):
        build_index(run, folder, images=features, index="qdrant")
    assert len([name for name in names(client) if name.startswith("a-index-")]) == 2
    assert [hit.id for hit in open_index(run, index=str(folder)).search("red", 6)] == best


@pytest.mark.slow
def test_a_build_that_fails_leaves_the_one_before(
    run: Path, tmp_path: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, folder = write_features(tmp_path / "a.npy"), tmp_path / "a.index"
    build_index(run, folder, images=features, index="qdrant")
    best = open_index(run, index=str(folder)).search("red", 5)

    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("the line is cut")

    other = write_features(tmp_path / "b.npy", seed=1)
    with monkeypatch.context() as broken:
        broken.setattr(type(client), "upsert", fail)
        with pytest.raises(ServerError, match="cannot be reached: the line is cut"):
            build_index(run, folder, images=other, index="qdrant")
    assert open_index(run, index=str(folder)).search("red", 5) == best
    assert build_index(run, folder, images=tmp_path / "b.npy", index="qdrant").generation == 2


@pytest.mark.slow
def test_a_collection_that_is_gone(run: Path, tmp_path: Path, client: Any) -> None:
    folder = tmp_path / "a.index"
    build_index(run, folder, images=write_features(tmp_path / "a.npy"), index="qdrant")
    client.delete_collection(read_manifest(folder).state["collection"])
    with pytest.raises(ServerError, match="has no collection 'a-index-"):
        open_index(run, index=str(folder)).search("red")


def test_it_is_kept_in_a_folder(run: Path, tmp_path: Path) -> None:
    index = open_index(run, images=write_features(tmp_path / "a.npy"), index="qdrant")
    with pytest.raises(UsageError, match="is kept on a server"):
        index.search("red")


@pytest.fixture
def answering() -> Iterator[Any]:
    """A server that answers every request alike; `answer` is the status and the JSON."""

    class Handler(http.server.BaseHTTPRequestHandler):
        answer: tuple[int, Any] = (200, {})

        def do_GET(self) -> None:
            status, content = self.answer
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield Handler, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            (200, {"title": "qdrant", "version": "0.9.1"}),
            r"is Qdrant 0\.9\.1, and the installed client is for 1\.\d+\.",
        ),
        ((401, {"status": "no key"}), r"refuses the request \(401\)\."),
        ((500, {"status": "out of memory"}), "answers 500"),
        ((200, ["hello"]), "does not answer as Qdrant does"),
    ],
)
@pytest.mark.slow
def test_servers_that_cannot_be_used(
    run: Path, tmp_path: Path, vse: Any, answering: Any, answer: Any, problem: str
) -> None:
    handler, url = answering
    handler.answer = answer
    features = str(write_features(tmp_path / "a.npy"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = vse("index", "build", str(run), "a.index", "--images", features, "--index", "qdrant", "--url", url)
    assert_one_message(done, 1, problem)
    assert url in done.stderr


def test_a_server_that_is_down(run: Path, tmp_path: Path, vse: Any) -> None:
    features, url = str(write_features(tmp_path / "a.npy")), "http://127.0.0.1:1"
    done = vse("index", "build", str(run), "a.index", "--images", features, "--index", "qdrant", "--url", url)
    assert_one_message(done, 1, f"{url}: cannot be reached: .*\n?Start it")


def test_numbers_of_rows_are_those_of_torch(run: Path, tmp_path: Path, client: Any) -> None:
    """Several queries together find what each finds alone."""
    folder = tmp_path / "a.index"
    build_index(run, folder, images=write_features(tmp_path / "a.npy"), index="qdrant", dtype="float16")
    found = open_index(run, index=str(folder))
    queries = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    together = found.search_vectors(queries, 4)
    assert [[hit.item for hit in hits] for hits in together] == [
        [hit.item for hit in found.search_vectors(query[None], 4)[0]] for query in queries
    ]
