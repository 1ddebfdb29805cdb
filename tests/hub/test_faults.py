"""What goes wrong on the way: one message with a remedy, nothing half-written, and the command repeated succeeds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import processes
import pytest
from hub_repositories import Repository
from huggingface_hub import get_session
from loopback import Fault, LoopbackHub
from test_download import assert_whole, publish

from vsezoo.hub import client

pytestmark = pytest.mark.usefixtures("draw_once")

Vse = Callable[..., processes.Done]

WEIGHTS = r"GET /org/name/resolve/\w+/model\.safetensors"


def flip(content: bytes) -> bytes:
    """Return other bytes of the same length."""
    return content[:-5] + bytes([content[-5] ^ 64]) + content[-4:]


def halve(content: bytes) -> bytes:
    return content[: len(content) // 2]


REFUSED = [
    (Fault(r"GET /api/models/org/name$", 500), r"failed with status 500\.\n.*repeat"),
    (Fault(r"GET /api/models/org/name$", 401), r"does not accept your token\.\nLog in"),
    (Fault(r"GET /api/models/org/name$", 429), r"received too many requests from you\.\nWait a few minutes"),
    (Fault(r"GET .*/tree/", 403), r"your token does not allow this\.\n"),
    (Fault(r"GET .*/tree/", 404, {"X-Error-Code": "RevisionNotFound"}), "no such revision"),
    (Fault(r"GET .*/tree/", 404, {"X-Error-Code": "RepoNotFound"}), "does not exist at http"),
    # These leave the small files in the cache.
    (Fault(WEIGHTS, 403), r"your token does not allow this\.\n"),
    (Fault(WEIGHTS, 404, {"X-Error-Code": "EntryNotFound"}), "lacks a file that it should have"),
]


@pytest.mark.slow
def test_a_pull_that_is_refused(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    publish(hub, work / "run" / "best")
    for fault, message in REFUSED:
        check_failure(hub, vse, work, fault, message)
    check_success(hub, vse, work)


DAMAGED = {
    "wrong bytes of the weights": (Fault(WEIGHTS, spoil=flip), r"was altered: .*\nThe damaged copy was removed"),
    "wrong bytes of the configuration": (
        Fault(r"GET .*/config\.json", spoil=flip),
        r"differs from the digest|removed|JSON",
    ),
    "wrong bytes of the vocabulary": (Fault(r"GET .*/vocab\.json", spoil=flip), r"vocab\.json: was altered: "),
    "a file cut short": (Fault(WEIGHTS, spoil=halve), r"a file was truncated: .*\nIt was not kept: repeat"),
    "changed between HEAD and GET": (Fault(WEIGHTS, spoil=lambda _: b"another file"), "a file was truncated"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGED)
def test_a_pull_that_is_damaged(hub: LoopbackHub, vse: Vse, work: Path, name: str) -> None:
    publish(hub, work / "run" / "best")
    check_failure(hub, vse, work, *DAMAGED[name])
    check_success(hub, vse, work)


def check_failure(hub: LoopbackHub, vse: Vse, work: Path, fault: Fault, message: str) -> None:
    """With the fault, an evaluation from the Hub fails with this message, and its cache stays whole."""
    hub.faults = [fault]
    assert_failed(vse("eval", "hub:org/name"), message)
    assert_whole(work / "hf")


def check_success(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    """Without faults, the evaluation succeeds."""
    hub.faults.clear()
    assert vse("eval", "hub:org/name").code == 0
    assert_whole(work / "hf")


def assert_failed(done: processes.Done, message: str) -> None:
    """One message, below which a remedy stands."""
    processes.assert_one_message(done, 1, message)
    assert done.stderr.count("\n", done.stderr.index("Error: ")) >= 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "faults",
    [
        [
            Fault(r"GET /api/models/org/name$", 500, times=1),
            Fault(r"GET .*/tree/", 500, times=1),
            Fault(r"HEAD .*/vocab", 500, times=1),
            Fault(WEIGHTS, cut=True, times=1),
            Fault(WEIGHTS, before=lambda: time.sleep(1.5), times=1),
        ],
        [Fault(WEIGHTS, 429, times=1)],
    ],
    ids=["500 then 200, cut half-way, then slow", "429 then 200"],
)
def test_what_the_client_overcomes(hub: LoopbackHub, vse: Vse, work: Path, faults: list[Fault]) -> None:
    publish(hub, work / "run" / "best")
    hub.faults = faults
    done = vse("eval", "hub:org/name")
    assert done.code == 0, done.stderr
    assert [fault.times for fault in faults] == [0] * len(faults)
    assert_whole(work / "hf")


@pytest.mark.slow
def test_a_file_damaged_on_this_disk(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    publish(hub, work / "run" / "best")
    assert vse("eval", "hub:org/name").code == 0
    (cached,) = (work / "hf").rglob("model.safetensors")
    cached.resolve().write_bytes(flip(cached.read_bytes()))
    processes.assert_one_message(vse("eval", "hub:org/name"), 1, r"model\.safetensors: was altered: .*\n.*repeat")
    assert vse("eval", "hub:org/name").code == 0


@pytest.mark.parametrize("arguments", [("eval", "hub:org/name"), ("push", "run", "hub:org/name")])
def test_no_connection(hub: LoopbackHub, vse: Vse, work: Path, arguments: tuple[str, ...]) -> None:
    before = processes.read_files(work / "run")
    done = vse(*arguments, HF_ENDPOINT="http://127.0.0.1:9")
    processes.assert_one_message(done, 1, r"^hub:org/name: http://127\.0\.0\.1:9 cannot be reached.*\nCheck the")
    assert processes.read_files(work / "run") == before


def test_a_disk_where_the_cache_cannot_be(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    publish(hub, work / "run" / "best")
    (work / "file").write_text("", encoding="utf-8")
    done = vse("eval", "hub:org/name", HF_HOME=str(work / "file" / "hf"))
    processes.assert_one_message(done, 1, r"cannot be written: Not a directory\.\n.*HF_HOME")


def publish_card(hub: LoopbackHub, best: Path) -> Repository:
    """Return a repository that has the card of a checkpoint, and no more."""
    hub.repositories["org/name"] = Repository()
    hub.repositories["org/name"].commit({"README.md": publish(hub, best, "org/other").head["README.md"]})
    return hub.repositories["org/name"]


PUSH = [
    ("GET /api/models/org/name$", 401, "requires a login|your token"),
    ("POST .*/batch", 403, r"your token does not allow this\.\nUse one with"),
    ("PUT ", 400, r"refused with status 400\.\n"),
    # These leave the weights at the Hub, which belong to no commit.
    ("POST .*/commit/", 429, "too many requests"),
    ("POST .*/commit/", 500, r"failed with status 500\.\nNo partial result was left"),
]


@pytest.mark.slow
def test_a_push_that_is_refused(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    repository = publish_card(hub, work / "run" / "best")
    head, before = repository.branches["main"], processes.read_files(work / "run")
    for pattern, status, message in PUSH:
        hub.faults = [Fault(pattern, status)]
        assert_failed(vse("push", "run", "hub:org/name"), message)
        assert processes.read_files(work / "run") == before
        assert repository.branches["main"] == head
    hub.faults.clear()
    assert vse("push", "run", "hub:org/name").code == 0
    assert "model.safetensors" in repository.head


@pytest.mark.slow
def test_a_push_beside_another_one(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    repository, before = publish_card(hub, work / "run" / "best"), processes.read_files(work / "run")
    hub.fail("POST .*/commit/", before=lambda: repository.edit("README.md", b"# Mine\n"), times=1)
    assert_failed(vse("push", "run", "hub:org/name"), "was changed by someone else in the meantime: A ")
    assert processes.read_files(work / "run") == before
    assert vse("push", "run", "hub:org/name").code == 0
    assert "model.safetensors" in repository.head
    assert repository.read("README.md").decode().endswith("<!-- vsezoo: end results -->\n")


@pytest.mark.slow
def test_a_hub_that_does_not_answer(hub: LoopbackHub, vse: Vse, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(hub, work / "run" / "best")
    answered = threading.Event()
    hub.fail("POST .*/commit/", before=answered.wait)
    monkeypatch.setattr(client, "WAIT", 1.0)
    done = vse("push", "run", "hub:org/another")
    answered.set()
    processes.assert_one_message(done, 1, "cannot be reached or does not answer: timed out")
    assert get_session().timeout.read is None  # that of other programs in this process


@pytest.mark.slow
def test_a_push_that_the_client_gets_through(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    hub.fail("POST .*/preupload/", 500, times=1)
    hub.fail("PUT ", 503, times=1)
    done = vse("push", "run", "hub:org/name")
    assert done.code == 0, done.stderr
    assert vse("eval", "hub:org/name").code == 0


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, r"requires a login.*\nLog in with `hf auth login`, or set HF_TOKEN\."),
        ("hf_reader", r"your token does not allow this.*\nUse one with write"),
        ("hf_wrong", r"does not accept your token.*\nLog in"),
    ],
)
def test_tokens_that_may_not_push(hub: LoopbackHub, vse: Vse, work: Path, token: str | None, message: str) -> None:
    processes.assert_one_message(vse("push", "run", "hub:org/name", HF_TOKEN=token), 1, message)
    assert hub.repositories == {}
