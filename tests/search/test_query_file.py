"""Many queries at once, here and at a service."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from colours import paint_folder
from processes import assert_one_message

from vsezoo.errors import DataError, ServerError
from vsezoo.search import service
from vsezoo.search.query_file import Asked, read_queries


def read_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    lines = [
        '"red"',
        "",
        '{"id": "x", "query": "green", "k": 1}',
        '{"query": "red", "plus": ["blue"], "minus": ["red"]}',
    ]
    (tmp_path / "many.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "many.jsonl"


def test_queries_of_a_file(queries: Path, tmp_path: Path) -> None:
    plain, named, terms = read_queries(str(queries), 3)
    assert plain == Asked(1, "red", [], [], 3)
    assert named == Asked("x", "green", [], [], 1)
    assert (terms.plus, terms.minus) == (["blue"], ["red"])
    (tmp_path / "many.txt").write_text("red\n\ngreen\n", encoding="utf-8")
    assert [(one.id, one.query, one.k) for one in read_queries(str(tmp_path / "many.txt"), 2)] == [
        ("1", "red", 2),
        ("3", "green", 2),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("red", "line 2 is not JSON"),
        ("{}", "line 2 has no `query`"),
        ('{"query": " "}', "line 2 has no `query`"),
        ('{"query": "a", "limit": 3}', "line 2 has the unknown field 'limit'"),
        ('{"query": "a", "k": 0}', "line 2 has a `k` that is not"),
        ('{"query": "a", "minus": "b"}', "line 2 has a 'minus' that is not a list"),
    ],
)
def test_lines_that_are_no_query(tmp_path: Path, line: str, problem: str) -> None:
    (tmp_path / "many.jsonl").write_text(f'"red"\n{line}\n', encoding="utf-8")
    with pytest.raises(DataError, match=problem):
        read_queries(str(tmp_path / "many.jsonl"), 3)


def test_a_file_of_queries_gives_what_each_gives_alone(run: Path, queries: Path, tmp_path: Path, vse: Any) -> None:
    photos = str(paint_folder(tmp_path / "photos"))
    done = vse("search", str(run), "--queries", str(queries), "--images", photos, "-k", "2")
    assert done.code == 0, done.stderr
    lines = read_lines(done.stdout)
    assert [(line["id"], line["query"], len(line["hits"])) for line in lines] == [
        (1, "red", 2),
        ("x", "green", 1),
        (4, "red", 2),
    ]
    alone = [
        json.loads(vse("search", str(run), *words, "--images", photos, "-k", "2", "--json").stdout)["hits"]
        for words in (["red"], ["green"], ["red", "--plus", "blue", "--minus", "red"])
    ]
    assert [line["hits"] for line in lines] == [alone[0], alone[1][:1], alone[2]]


def test_what_does_not_go_together(run: Path, queries: Path, vse: Any) -> None:
    assert_one_message(vse("search", str(run)), 2, "Give a checkpoint and a query, or --queries")
    assert_one_message(vse("search", str(run), "red", "--queries", str(queries)), 2, "Give a checkpoint and a query")
    done = vse("search", str(run), "--queries", str(queries), "--unique")
    assert_one_message(done, 2, "--unique cannot be combined with --queries")
    assert_one_message(
        vse("search", str(run), "red", "--at", "http://a"), 2, "A checkpoint cannot be combined with --at"
    )
    assert_one_message(vse("search", "red", "--at", "a"), 2, "'a' is not the address of a service")
    assert_one_message(vse("search", "--at", "http://127.0.0.1:1"), 2, "There is no query")


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the service does: the query is the id of the only result."""

    answers: list[tuple[int, Any]]
    """What is answered first."""
    asked: list[tuple[str, str | None, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, self.headers["Authorization"], body))
        result = {"rank": 1, "id": body["query"], "item": 7, "score": 0.5, "thumbnail": "thumbnails/7"}
        status, content = self.answers.pop(0) if self.answers else (200, {"results": [result], "note": None})
        self.send_response(status)
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode() if content is not None else b"<html>")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Handler, "answers", [], raising=False)
    monkeypatch.setattr(Handler, "asked", [], raising=False)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_service_is_asked(address: str, queries: Path, vse: Any) -> None:
    done = vse("search", "a dog", "--at", address, "--minus", "snow", "-k", "3")
    assert done.stdout.splitlines()[1].split() == ["1", "0.5000", "a", "dog"]
    expected = {"query": "a dog", "plus": [], "minus": ["snow"], "k": 3}
    assert Handler.asked == [("/search", None, expected)]
    service.Service(address, "secret").search(Asked("", "red"))
    assert Handler.asked[1][1] == "Bearer secret"
    done = vse("search", "--at", f"{address}/", "--queries", str(queries))
    lines = read_lines(done.stdout)
    assert [(line["id"], line["hits"][0]["id"]) for line in lines] == [(1, "red"), ("x", "green"), (4, "red")]
    assert lines[0]["hits"] == [{"rank": 1, "score": 0.5, "id": "red", "item": 7}]


def test_a_busy_service_is_asked_again(address: str, vse: Any) -> None:
    Handler.answers += [(429, {"error": "too many"}), (503, {"error": "busy"})]
    done = vse("search", "red", "--at", address, "--json")
    assert json.loads(done.stdout)["hits"][0]["id"] == "red"
    assert len(Handler.asked) == 3


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((401, {"error": "The token is wrong.", "remedy": "Set it."}), r"The token is wrong\.\nSet it\."),
        ((404, None), "answers 404"),
        ((200, None), "does not answer with JSON"),
        ((200, {"hits": []}), "does not answer as `vsezoo serve` does"),
    ],
)
def test_services_that_refuse(address: str, vse: Any, answer: Any, problem: str) -> None:
    Handler.answers.append(answer)
    done = vse("search", "red", "--at", address)
    assert_one_message(done, 1, problem)
    assert address in done.stderr


def test_a_service_that_stays_busy_or_is_down(address: str, vse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "TRIES", 2)
    Handler.answers += [(503, {"error": "The service is busy."})] * 2
    assert_one_message(vse("search", "red", "--at", address), 1, "The service is busy")
    assert_one_message(vse("search", "red", "--at", "http://127.0.0.1:1"), 1, "cannot be reached: ")


@pytest.mark.parametrize(
    "answer",
    [{"results": [{"rank": 1}]}, {"results": [1]}, {"results": [{"rank": "1", "score": 0, "id": "a", "item": 0}]}, []],
)
def test_a_service_that_answers_something_else(answer: Any, address: str) -> None:
    Handler.answers.append((200, answer))
    with pytest.raises(ServerError, match="does not answer as `vsezoo serve` does"):
        service.Service(address).search(Asked("", "red"))


def test_deep_json(tmp_path: Path) -> None:
    file = tmp_path / "deep.jsonl"
    file.write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(DataError, match="line 1 is not JSON"):
        read_queries(str(file), 1)
    for count in (True, 0, 10**400, 1e9):
        file.write_text(json.dumps({"query": "red", "k": count}), encoding="utf-8")
        with pytest.raises(DataError, match="has a `k` that is not a number from 1 to 1,000,000"):
            read_queries(str(file), 1)
