"""The service's addresses and answers, over HTTP on the loopback."""

from __future__ import annotations

import json
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from colours import COLOURS, paint
from PIL import Image

RED, GREEN, BLUE = "a-red.png", "b-green.png", "more/c-blue.png"


def list_ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [result["id"] for result in answer.json()["results"]]


def encode(colour: tuple[int, int, int], form: str = "PNG") -> bytes:
    stream = BytesIO()
    Image.new("RGB", (8, 6), colour).save(stream, form)
    return stream.getvalue()


def test_a_sentence(service: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> None:
    answer = service.post("/search", json={"query": "blue", "k": 2}).json()
    assert [(r["rank"], r["id"], r["item"], r["score"]) for r in answer["results"]] == [
        (1, BLUE, 2, 1.0),
        (2, RED, 0, 0.0),
    ]
    assert service.get("/search", params={"query": "blue", "k": 2}).json() == answer
    assert str(tmp_path_factory.getbasetemp()) not in str(answer)


def test_terms(service: httpx.Client) -> None:
    def search(**asked: Any) -> list[tuple[str, float]]:
        results = service.post("/search", json=asked).json()["results"]
        return [(result["id"], result["score"]) for result in results]

    assert search(query="red", plus=["green green"], minus=["blue"]) == [(GREEN, 2.0), (RED, 1.0), (BLUE, -1.0)]
    assert search(item=2) == [(BLUE, 1.0), (RED, 0.0), (GREEN, 0.0)]
    assert search(item=BLUE) == search(item=2) == search(item="2")
    assert search(item=2, minus=["red"]) == [(BLUE, 1.0), (GREEN, 0.0), (RED, -1.0)]
    assert search(plus=["red"]) == search(query="red")
    repeated = service.get("/search?query=red&minus=red&minus=blue").json()["results"]
    assert [(r["id"], r["score"]) for r in repeated] == [(RED, 0.0), (GREEN, 0.0), (BLUE, -1.0)]


def test_a_picture(service: httpx.Client) -> None:
    files = {"picture": ("any name.bin", encode(COLOURS["green"]))}
    assert list_ids(service.post("/search/picture", files=files)) == [GREEN, RED, BLUE]
    form = {"query": "blue", "plus": ["blue"], "minus": ["green", "green"], "k": "2"}
    answer = service.post("/search/picture", files=files, data=form).json()["results"]
    assert [(r["id"], r["score"]) for r in answer] == [(BLUE, 2.0), (RED, 0.0)]


def test_vectors(service: httpx.Client) -> None:
    answer = service.post("/embed", json={"sentences": ["red", "green blue"]}).json()
    assert answer == {"model": "vsepp", "vectors": [[1, 0, 0], [0, 1, 1]]}
    found = service.post("/embed/picture", files={"picture": encode(COLOURS["blue"])}).json()
    assert found["vectors"] == [[0, 0, 1]]


def test_what_is_searched(service: httpx.Client) -> None:
    assert service.get("/health").json() == {"status": "ok"}
    expected = {"name": "photos", "size": 3, "model": "vsepp", "pictures": True, "terms": True, "uploads": True}
    assert service.get("/collection").json() == expected
    assert [item["id"] for item in service.get("/sample?k=2").json()["items"]] == [RED, BLUE]


@pytest.mark.slow
def test_pictures_are_shown(start: Any, photos: Path) -> None:
    Image.new("RGB", (900, 300), COLOURS["blue"]).save(photos / "d-tall.tif")
    client = start(photos)
    results = {r["id"]: r for r in client.post("/search", json={"query": "blue"}).json()["results"]}
    small = client.get(f"/{results['d-tall.tif']['thumbnail']}")
    assert small.headers["content-type"] == "image/jpeg"
    assert Image.open(BytesIO(small.content)).size == (320, 107)
    whole = client.get(f"/{results['d-tall.tif']['picture']}")  # a browser may not show TIFF
    assert (whole.headers["content-type"], Image.open(BytesIO(whole.content)).size) == ("image/jpeg", (900, 300))
    whole = client.get(f"/{results[RED]['picture']}")
    assert (whole.headers["content-type"], whole.content) == ("image/png", (photos / RED).read_bytes())
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in whole.headers["cache-control"]


@pytest.mark.slow
def test_features_have_no_pictures(start: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "test_ims.npy", np.eye(3, dtype=np.float32))
    client = start(tmp_path / "test_ims.npy")
    assert client.get("/collection").json()["pictures"] is False
    (result,) = client.post("/search", json={"query": "green", "k": 1}).json()["results"]
    assert result == {"rank": 1, "score": 1.0, "id": "test_ims.npy:1", "item": 1}
    answer = client.get("/thumbnails/1")
    assert (answer.status_code, answer.json()["error"]) == (404, "test_ims.npy:1 is not a picture.")


@pytest.mark.slow
def test_a_model_that_only_compares_images_with_sentences(start: Any, photos: Path) -> None:
    client = start(photos, similarity="order")
    told = client.get("/collection").json()
    assert (told["terms"], told["uploads"]) == (False, False)
    assert list_ids(client.post("/search", json={"query": "blue"}))[0] == BLUE
    answer = client.post("/search", json={"query": "blue", "minus": ["red"]})
    assert answer.status_code == 422
    assert answer.json()["error"] == "The similarity 'order' compares images with sentences only."
    answer = client.post("/search/picture", files={"picture": encode(COLOURS["blue"])})
    assert (answer.status_code, answer.json()["error"]) == (422, "The model 'vsepp' cannot search with pictures.")


def test_unknown_words_are_noted(service: httpx.Client) -> None:
    assert "knows none" in service.post("/search", json={"query": "zebra"}).json()["note"]
    assert "note" not in service.post("/search", json={"query": "zebra", "plus": ["red"]}).json()


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({}, "The request has nothing to look for: give query, item or plus."),
        ({"minus": ["red"]}, "The request has nothing to look for: give query, item or plus."),
        ({"query": " "}, "query: is empty."),
        ({"query": "\ud800"}, "query: Input should be a valid string, unable to parse raw data as a unicode string."),
        ({"query": "a" * 2001}, "query: String should have at most 2000 characters."),
        ({"query": "red", "k": 0}, "k: Input should be greater than or equal to 1."),
        ({"query": "red", "k": 10**6}, "k: Input should be less than or equal to 1000."),
        ({"query": "red", "plus": ["a"] * 17}, "plus: List should have at most 16 items after validation, not 17."),
        ({"item": 1.5}, "item: Input should be a valid integer."),
        ({"item": True}, "item: Input should be a valid integer."),
        ({"plus": ["a", ""]}, "plus: is empty."),
        ({"sentence": "red"}, "sentence: Extra inputs are not permitted."),
        ({"item": 3}, "The collection has no image 3."),
        ({"item": -1}, "The collection has no image -1."),
        ({"item": 10**30}, "The collection has no image 1000000000000000000000000000000."),
        ({"item": "../secret.png"}, "The collection has no image '../secret.png'."),
    ],
)
def test_wrong_requests(service: httpx.Client, asked: dict[str, Any], error: str) -> None:
    answer = service.post("/search", content=json.dumps(asked), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (422, error)
    assert answer.json()["remedy"] or "nothing" in error


def test_other_wrong_requests(service: httpx.Client) -> None:
    def ask(method: str, address: str, **more: Any) -> tuple[int, str]:
        answer = service.request(method, address, **more)
        return answer.status_code, answer.json()["error"]

    for body in (b"{", b"\xff\xfe", b"[1]", b""):
        assert ask("POST", "/search", content=body, headers={"content-type": "application/json"})[0] == 422
    for header in ({}, {"content-type": "application/x-www-form-urlencoded"}):
        error = "The body is not JSON by its Content-Type."
        assert ask("POST", "/search", content=b'{"query": "red"}', headers=header) == (422, error)
    assert ask("GET", "/search", params={"query": ""}) == (422, "query: is empty.")
    assert ask("POST", "/search/picture") == (422, "picture: Field required.")
    assert ask("GET", "/nothing") == (404, "Not Found")
    assert ask("DELETE", "/search") == (405, "Method Not Allowed")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "The picture is empty (0 bytes)."),
        (b"no picture", "The picture is not a picture, or has an unknown format."),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            "The picture is not a picture, or has an unknown format.",
        ),
        (encode(COLOURS["red"], "JPEG")[:200], "The picture cannot be decoded: "),
    ],
    ids=["empty", "text", "program", "truncated"],
)
def test_an_upload_that_is_no_picture(service: httpx.Client, content: bytes, error: str) -> None:
    answer = service.post("/search/picture", files={"picture": content})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(error)
    assert list_ids(service.post("/search", json={"query": "red"}))[0] == RED


def make_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_a_decompression_bomb(service: httpx.Client) -> None:
    """A picture of a few kB whose pixels would take 3 GB is refused by its header."""
    size = struct.pack(">IIBBBBB", 32_000, 32_000, 1, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + make_chunk(b"IHDR", size) + make_chunk(b"IDAT", zlib.compress(b""))
    answer = service.post("/search/picture", files={"picture": content})
    assert answer.status_code == 422
    assert "too many to decode safely" in answer.json()["error"]


@pytest.mark.slow
def test_names_that_are_not_unicode(start: Any, photos: Path) -> None:
    paint(photos / "d-\udcff.png", COLOURS["blue"])
    answer = start(photos).post("/search", json={"query": "blue", "k": 2}).json()["results"]
    assert [result["id"] for result in answer] == ["d-\udcff.png", BLUE]


@pytest.mark.slow
def test_concurrent_requests_get_their_own_answers(service: httpx.Client) -> None:
    def ask(number: int) -> str:
        word = ("red", "green", "blue")[number % 3]
        return list_ids(service.post("/search", json={"query": word, "k": 1 + number % 2}))[0]

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(60))) == [RED, GREEN, BLUE] * 20


def test_the_page_and_the_description_name_no_other_server(service: httpx.Client) -> None:
    for address in ("/", "/page/page.js", "/page/page.css", "/page/icon.svg"):
        page = service.get(address)
        assert page.status_code == 200
        assert page.text
        assert "http" not in page.text.replace("http://www.w3.org/2000/svg", "")
        assert "script-src 'self'" in page.headers["content-security-policy"]
    paths = service.get("/openapi.json").json()["paths"]
    assert {"/search", "/search/picture", "/embed", "/embed/picture", "/health"} <= set(paths)
    assert service.get("/docs").status_code == 404
