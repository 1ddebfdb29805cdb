"""What the service refuses: by size, rate, time, token, and name; and what it never serves."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from colours import COLOURS, paint
from PIL import Image

from vsezoo.search.sources import collect_images
from vsezoo.serving import guard, pictures, server
from vsezoo.serving.guard import BODY, Limits, make_cookie
from vsezoo.serving.pictures import PictureShelf

TOKEN = "let-me-in"
HELD = ["/search?query=red", "/sample", "/collection", "/thumbnails/0", "/pictures/0"]
"""Addresses that tell something of the collection."""


def read_all(stream: socket.socket) -> bytes:
    """Return what a server sends until it closes the connection."""
    received = b""
    while block := stream.recv(65536):
        received += block
    return received


def connect(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port), timeout=60)


def test_a_query_of_a_megabyte(service: httpx.Client) -> None:
    long = "a" * 2**20
    answer = service.post("/search", json={"query": long})
    assert (answer.status_code, answer.json()["error"]) == (413, "The request is larger than 262 kB.")
    assert service.post("/search", json={"query": "a" * 2**17}).status_code == 422
    with connect(service) as stream:
        stream.sendall(f"GET /search?query={long} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError):  # it may be closed before all of the address was sent
            assert read_all(stream).startswith(b"HTTP/1.1 400 ")
    assert service.get("/search?query=red").status_code == 200


def test_a_body_that_does_not_say_its_size(service: httpx.Client) -> None:
    pieces = (b" " * 2**14 for _ in range(2 * BODY // 2**14))
    answer = service.post("/search", content=pieces, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (413, "The request is larger than 262 kB.")


def test_an_upload_that_is_too_large(start: Any, photos: Path) -> None:
    client = start(photos, limits=Limits(upload=10_000))
    answer = client.post("/search/picture", files={"picture": bytes(20_000)})
    assert (answer.status_code, answer.json()["error"]) == (413, "The request is larger than 10 kB.")


def test_uploads_in_memory_are_few(photos: Path, tmp_path: Path) -> None:
    """Others wait before they are read."""
    shelf, held = PictureShelf(collect_images(str(photos))), []
    content = (photos / "a-red.png").read_bytes()

    async def upload(go: asyncio.Event) -> None:
        async with shelf.hold_upload(read):
            await go.wait()

    async def read() -> bytes:
        held.append(content)
        return content

    async def upload_many() -> int:
        go = asyncio.Event()
        tasks = [asyncio.create_task(upload(go)) for _ in range(3 * pictures.HELD)]
        await asyncio.sleep(0.05)
        first = len(held)
        go.set()
        await asyncio.gather(*tasks)
        return first

    assert asyncio.run(upload_many()) == pictures.HELD
    assert len(held) == 3 * pictures.HELD
    shelf.close()


@pytest.mark.parametrize(
    ("size", "reduced"), [((1200, 1100), (600, 550)), ((900, 900), (900, 900)), ((9000, 200), None)]
)
def test_pixels_of_uploads_are_few(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], reduced: tuple[int, int] | None
) -> None:
    """A picture of a few kB can have pixels of 268 MB; what is narrow stays as it is."""
    monkeypatch.setattr(pictures, "LARGE", 10**6)
    monkeypatch.setattr(pictures, "SHORT_SIDE", 500)
    content = io.BytesIO()
    Image.new("RGB", size).save(content, "BMP")
    assert pictures.decode_upload(content.getvalue()).size == (reduced or size)


def test_uploads_on_their_way_are_limited(start: Any, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "RECEIVED", 1)
    client = start(photos)
    head = "POST /search/picture HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
    with connect(client) as stream:
        stream.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode())
        for _ in range(100):
            answer = client.post("/embed/picture", files={"picture": b"x"})
            if answer.status_code == 503:
                break
    assert (answer.json()["error"], answer.headers["retry-after"]) == ("The service is busy.", "1")
    assert client.get("/search?query=red").status_code == 200


def test_heads(service: httpx.Client) -> None:
    """As monitors ask: what GET gives, without the body."""
    for address, length in (("/health", 15), ("/pictures/0", (service.get("/pictures/0").headers["content-length"]))):
        answer = service.head(address)
        assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, str(length), b"")


def test_too_many_requests(start: Any, photos: Path) -> None:
    """Of a rate of one a second, two may come at once; pictures and the page are not counted."""
    client = start(photos, limits=Limits(rate=0.001))
    assert client.get("/search?query=red").status_code == 200
    answer = client.get("/search?query=red")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert answer.json()["error"] == "More than 0.001 searches a second."
    assert [client.get(address).status_code for address in ("/", "/thumbnails/0", "/health")] == [200] * 3


@pytest.mark.slow
def test_a_client_that_never_sends_the_rest(start: Any, photos: Path) -> None:
    client = start(photos, limits=Limits(seconds=0.3))
    with connect(client) as stream:
        stream.sendall(b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        answer = read_all(stream)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"The request took longer than 0.3 s." in answer
    assert client.get("/search?query=red").status_code == 200


def test_a_client_that_goes_in_the_middle(service: httpx.Client, capfd: pytest.CaptureFixture[str]) -> None:
    with connect(service) as stream:
        stream.sendall(b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    time.sleep(0.2)
    assert service.get("/search?query=red").status_code == 200
    assert "Traceback" not in capfd.readouterr().err


def test_a_client_that_never_asks(start: Any, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says nothing, one that never ends the head of its request, and one that does so after an answer."""
    monkeypatch.setattr(server, "PATIENCE", 0.3)
    client = start(photos)
    with connect(client) as silent, connect(client) as slow, connect(client) as later:
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: local")
        later.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while not received.endswith(b'{"status":"ok"}'):
            received += later.recv(65536)
        later.sendall(b"GET /health HTTP/1.1\r\n")
        assert read_all(silent) == read_all(slow) == read_all(later) == b""


@pytest.mark.slow
def test_a_client_that_does_not_read(start: Any, photos: Path) -> None:
    """The time that a request may take includes that of reading its answer."""
    (photos / "noise.png").write_bytes((photos / "a-red.png").read_bytes() + bytes(30_000_000))
    client = start(photos, limits=Limits(seconds=0.5))
    item = next(r["item"] for r in client.get("/search?query=red").json()["results"] if r["id"] == "noise.png")
    with connect(client) as stream:
        stream.sendall(f"GET /pictures/{item} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        time.sleep(1.5)
        stream.setblocking(True)
        stream.settimeout(60)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            received = read_all(stream)
    assert len(received) < 30_000_000


@pytest.mark.slow
def test_a_token(start: Any, photos: Path) -> None:
    client = start(photos, token=TOKEN)
    for address in HELD:
        assert client.get(address).json()["error"] == "The service needs a token."
        assert client.get(address).headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer let-me-in2", "Bearer", "Basic let-me-in", "Bearer \xff", "let-me-in"):
            answer = client.get(address, headers={"Authorization": wrong.encode("latin-1")})
            assert (answer.status_code, answer.json()["error"]) == (401, "The token is wrong.")
        assert client.get(address, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.post("/search", json={"query": "red"}).status_code == 401
    assert client.post("/session").status_code == 401
    assert [client.get(address).status_code for address in ("/", "/page/page.js", "/health")] == [200] * 3


@pytest.mark.slow
def test_a_browser_gets_a_cookie_for_the_token(start: Any, photos: Path) -> None:
    client = start(photos, token=TOKEN)
    answer = client.post("/session", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 204
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(answer.headers["set-cookie"].split("; "))
    assert TOKEN not in answer.headers["set-cookie"]
    assert [client.get(address).status_code for address in HELD] == [200] * len(HELD)
    client.cookies.clear()
    for wrong in ("vsezoo=", f"vsezoo={make_cookie('another')}", "vsezoo", "=;;vsezoo=;", 'vsezoo="'):
        assert client.get("/sample", headers={"Cookie": wrong}).status_code == 401


def test_other_names_are_not_answered_to(service: httpx.Client) -> None:
    """A website can have its own name lead to the loopback, and so read what is there (DNS rebinding)."""
    answer = service.get("/sample", headers={"Host": "evil.example"})
    assert answer.status_code == 403
    assert answer.json()["error"] == "The service does not answer to the name 'evil.example'."
    for name in ("localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:8000"):
        assert service.get("/sample", headers={"Host": name}).status_code == 200
    for name in ("127.0.0.1.evil.example", "localhost.evil:80", "localhost:80@evil.example", "[::1]:8000.evil", ""):
        assert service.get("/sample", headers={"Host": name}).status_code == 403


def test_other_websites_are_refused(service: httpx.Client) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert service.get("/thumbnails/0", headers=foreign).status_code == 403
    assert service.get("/", headers=foreign | {"Sec-Fetch-Mode": "navigate"}).status_code == 200
    own = f"http://{service.base_url.netloc.decode()}"
    for origin, status in ((own, 200), ("http://localhost:3000", 403), ("https://evil.example", 403), ("null", 403)):
        answer = service.post("/search", json={"query": "red"}, headers={"Origin": origin})
        assert (answer.status_code, "access-control-allow-origin" in answer.headers) == (status, False)
    assert service.get("/thumbnails/0").headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "path",
    [
        "/pictures/../secret.png",
        "/pictures/..%2Fsecret.png",
        "/pictures/%2e%2e%2fsecret.png",
        "/pictures/..%252Fsecret.png",
        "/pictures/....//secret.png",
        "/pictures/..\\secret.png",
        "/pictures/..%5Csecret.png",
        "/pictures//etc/passwd",
        "/pictures/%2Fetc%2Fpasswd",
        "/pictures/0%00.png",
        "/pictures/0/../../secret.png",
        "/pictures/-1",
        "/pictures/1e0",
        "/pictures/999999999999999999999999",
        "/pictures/a-red.png",
        "/thumbnails/..%2Fsecret.png",
        "/page/../app.py",
        "/page/..%2Fapp.py",
        "/page/%2e%2e/app.py",
        "/page//etc/passwd",
        "/../../../../etc/passwd",
        "//etc/passwd",
        "file:///etc/passwd",
        "/notes.txt",
    ],
)
def test_paths_lead_nowhere(service: httpx.Client, path: str) -> None:
    """Addresses have numbers, not paths; sent as they are, since a client would tidy them."""
    with connect(service) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = read_all(stream)
    status = int(answer.split()[1])
    assert status in (400, 404, 422)
    assert b"image/" not in answer
    assert b"root:" not in answer


def test_links_that_lead_out_of_the_collection(start: Any, photos: Path) -> None:
    """They are found, since they belong to the folder, but the files that they lead to are not shown."""
    outside = photos.parent / "outside"
    paint(outside / "secret.png", COLOURS["red"])
    (photos / "file.png").symlink_to(outside / "secret.png")
    (photos / "folder").symlink_to(outside)
    (photos / "inside.png").symlink_to(photos / "a-red.png")
    client = start(photos)
    results = {r["id"]: r for r in client.get("/search?query=red&k=100").json()["results"]}
    assert {"file.png", "folder/secret.png", "inside.png"} <= set(results)
    for name in ("file.png", "folder/secret.png"):
        for kind in ("picture", "thumbnail"):
            answer = client.get(f"/{results[name][kind]}")
            assert (answer.status_code, answer.json()["error"]) == (404, f"{name} lies outside of the collection.")
    assert client.get(f"/{results['inside.png']['picture']}").status_code == 200


@pytest.mark.slow
def test_a_file_that_becomes_something_else(start: Any, photos: Path) -> None:
    """What was a picture when it was embedded is shown only if it still is one, inside of the folder."""
    client = start(photos)
    results = {r["id"]: r for r in client.get("/search?query=red").json()["results"]}
    assert client.get(f"/{results['b-green.png']['thumbnail']}").status_code == 200  # and kept in memory
    (photos / "a-red.png").write_text("root:x:0:0", encoding="utf-8")
    (photos / "b-green.png").unlink()
    (photos / "more" / "c-blue.png").unlink()
    (photos / "more" / "c-blue.png").symlink_to("/etc/passwd")
    for result in results.values():
        for kind in ("picture", "thumbnail"):
            answer = client.get(f"/{result[kind]}")
            assert answer.status_code == 404
            assert answer.json()["error"].startswith(result["id"])
            assert "root:" not in answer.text
            assert str(photos) not in answer.text
    found = client.get("/search?query=green&k=1").json()["results"]  # until the service starts again
    assert [result["id"] for result in found] == ["b-green.png"]
