"""`vsezoo serve` as a process: its start, its end, and what it refuses."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import commands
import httpx
import numpy as np
import processes
import pytest
import tiny

from vsezoo.serving.server import bind

PATIENCE = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint of features, and features."""
    folder = tmp_path_factory.mktemp("serve")
    tiny.save_model(folder / "run")
    np.save(folder / "features.npy", np.eye(12, dtype=np.float32))
    return folder


class Started:
    """A process that serves, with what it writes in a folder of its own."""

    def __init__(self, folder: Path, output: Path, *arguments: str | Path) -> None:
        self.output = output
        command = ("serve", folder / "run", "--images", folder / "features.npy", "--device", "cpu", "--port", "0")
        self.process = processes.start_command(output, *command, *arguments, before=processes.set_cache)

    def read_address(self) -> str:
        """Return the address that it prints when it is ready."""

        def read_line() -> str:
            line, end, _ = (self.output / ".stdout").read_text(encoding="utf-8").partition("\n")
            return line if end else ""

        address: str = processes.wait_until(self.process, read_line)
        return address

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Send a signal; return the exit code and what was written to standard error."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)
        done = processes.read_command(self.output, self.process)
        return done.code, done.stderr


@pytest.fixture
def started(folder: Path, tmp_path: Path) -> Iterator[Started]:
    running = Started(folder, tmp_path)
    yield running
    running.process.kill()
    running.process.join()


@pytest.mark.process
@pytest.mark.slow
def test_it_serves_until_it_is_interrupted(started: Started) -> None:
    address = started.read_address()
    assert address.startswith("http://127.0.0.1:")
    answer = httpx.get(f"{address}search?query=a+dog&k=3", timeout=PATIENCE, trust_env=False).json()
    assert [result["rank"] for result in answer["results"]] == [1, 2, 3]
    code, errors = started.stop()
    assert (code, "Traceback" in errors) == (0, False)
    assert re.search(
        r"12 images of \S*features\.npy, searched with vsepp\. Ctrl-C stops it\.", " ".join(errors.split())
    )
    assert errors.endswith("Stopped.\n")


@pytest.mark.process
@pytest.mark.slow
def test_clients_that_hang_do_not_keep_it_from_ending(started: Started) -> None:
    port = int(started.read_address().rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as silent, socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        assert httpx.get(f"http://127.0.0.1:{port}/health", timeout=PATIENCE, trust_env=False).status_code == 200
        start = time.monotonic()
        code, errors = started.stop(signal.SIGTERM)
        assert silent.recv(1) == b""
    assert code in (0, -signal.SIGTERM)
    assert "Traceback" not in errors
    assert time.monotonic() - start < PATIENCE


def serve(folder: Path, *arguments: str) -> processes.Done:
    return commands.run_command(folder, "serve", "run", "--device", "cpu", *arguments, before=processes.set_cache)


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """asyncio turns Nagle's algorithm off for sockets only whose protocol is TCP by name."""
    with bind("127.0.0.1", 0) as bound:
        assert bound.proto == socket.IPPROTO_TCP


def test_a_port_in_use(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = serve(folder, "--images", "features.npy", "--port", port)
    message = f"port {port} of 127.0.0.1 is used by another program.\nChoose another by --port, or a free one by"
    processes.assert_one_message(done, 2, message)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--images", "nowhere"), 2, "^nowhere: does not exist"),
        (("--images", "features.npy", "--host", "no such host"), 2, "'no such host' is not an address"),
        (("--images", "features.npy", "--host", "192.0.2.1"), 2, "192.0.2.1 cannot be used: "),
        (("--images", "features.npy", "--token-file", "none"), 2, "^none: cannot be read: No such file"),
        (("--images", "features.npy", "--token-file", "empty"), 2, "^empty: contains no token"),
        (("--index", "indexes/none"), 2, "^indexes/none: is not an index"),
    ],
)
def test_what_cannot_be_served(folder: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    (folder / "empty").write_text("\n", encoding="utf-8")
    processes.assert_one_message(serve(folder, *arguments, "--port", "0"), code, message)


def block() -> None:
    """Have the process find no FastAPI."""
    sys.modules["fastapi"] = None  # type: ignore[assignment]


@pytest.mark.process
def test_the_extra_is_named(folder: Path) -> None:
    done = processes.run_command(folder, "serve", "run", before=block)
    message = (
        r"vsezoo serve needs fastapi, which is not installed.\nInstall it: python -m pip install 'vsezoo\[serve\]'"
    )
    processes.assert_one_message(done, 1, message)


@pytest.mark.process
@pytest.mark.slow
def test_others_need_a_token(folder: Path, tmp_path: Path) -> None:
    """On all addresses, a token is made if none is given."""
    running = Started(folder, tmp_path, "--host", "0.0.0.0")
    try:
        address, _, token = running.read_address().partition("#token=")
        with httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False) as client:
            assert client.get("/collection").status_code == 401
            assert len(token) >= 32
            assert client.get("/collection", headers={"Authorization": f"Bearer {token}"}).json()["size"] == 12
    finally:
        assert running.stop()[0] == 0
