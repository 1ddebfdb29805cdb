"""What goes wrong on the way: one message with a remedy, nothing half-written, and the command repeated succeeds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import processes
import pytest
from hub_repositories import Repository
from huggingface_hub import get_session
from loopback import Fault, LoopbackHub
from test_download import assert_whole, publish

from vsezoo.hub import client

Vse = Callable[..., processes.Done]

WEIGHTS = r"GET /org/name/resolve/\w+/model\.safetensors"


def flip(content: bytes) -> bytes:
    """Return other bytes of the same length."""
    return content[:-5] + bytes([content[-5] ^ 64]) + content[-4:]


def halve(content: bytes) -> bytes:
    return content[: len(content) // 2]


PULL = {
    "500 of the repository": (Fault(r"GET /api/models/org/name$", 500), r"failed with status 500\.\n.*repeat"),
    "403 of the list": (Fault(r"GET .*/tree/", 403), r"your token does not allow this\.\n"),
    "wrong bytes of the weights": (
        Fault(WEIGHTS, spoil=flip),
        r"was altered: .*\nThe damaged copy was removed",
    ),
    "wrong bytes of the configuration": (
        Fault(r"GET .*/config\.json", spoil=flip),
        r"differs from the digest|removed|JSON",
    ),
    "wrong bytes of the vocabulary": (Fault(r"GET .*/vocab\.json", spoil=flip), r"vocab\.json: was altered: "),
    "a file cut short": (Fault(WEIGHTS, spoil=halve), r"a file was truncated: .*\nIt was not kept: repeat"),
    "changed between HEAD and GET": (Fault(WEIGHTS, spoil=lambda _: b"another file"), "a file was truncated"),
    "401": (Fault(r"GET /api/models/org/name$", 401), r"does not accept your token\.\nLog in"),
    "403": (Fault(WEIGHTS, 403), r"your token does not allow this\.\n"),
    "404 of a file": (Fault(WEIGHTS, 404, {"X-Error-Code": "EntryNotFound"}), "lacks a file that it should have"),
    "404 of the revision": (Fault(r"GET .*/tree/", 404, {"X-Error-Code": "RevisionNotFound"}), "no such revision"),
    "404 of the repository": (Fault(r"GET .*/tree/", 404, {"X-Error-Code": "RepoNotFound"}), "does not exist at http"),
    "429": (Fault(r"GET /api/models/org/name$", 429), r"received too many requests from you\.\nWait a few minutes"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PULL)
def test_pull(hub: LoopbackHub, vse: Vse, work: Path, name: str) -> None:
    publish(hub, work / "run" / "best")
    fault, message = PULL[name]
    hub.faults = [fault]
    done = vse("eval", "hub:org/name")
    processes.assert_one_message(done, 1, message)
    assert done.stderr.count("\n", done.stderr.index("Error: ")) >= 2  # a remedy stands below
    assert_whole(work / "hf")
    hub.faults.clear()
    assert vse("eval", "hub:org/name").code == 0
    assert_whole(work / "hf")


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        Fault(r"GET /api/models/org/name$", 500, times=1),
        Fault(r"GET .*/tree/", 500, times=1),
        Fault(WEIGHTS, cut=True, times=1),
        Fault(r"HEAD .*/vocab", 500, times=1),
        Fault(WEIGHTS, before=lambda: time.sleep(1.5), times=1),
        Fault(WEIGHTS, 429, times=1),
    ],
    ids=["500 then 200", "500 of the list", "cut half-way", "500 of HEAD", "slow", "429 then 200"],
)
def test_what_the_client_overcomes(hub: LoopbackHub, vse: Vse, work: Path, fault: Fault) -> None:
    publish(hub, work / "run" / "best")
    hub.faults = [fault]
    done = vse("eval", "hub:org/name")
    assert done.code == 0, done.stderr
    assert fault.times == 0
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


def edit_card(hub: LoopbackHub) -> Callable[[], object]:
    return lambda: hub.repositories["org/name"].edit("README.md", b"# Mine\n")


PUSH: dict[str, tuple[str, dict[str, Any], str]] = {
    "500 of the commit": ("POST .*/commit/", {"status": 500}, r"failed with status 500\.\nNo partial result was left"),
    "403 of the upload": (
        "POST .*/batch",
        {"status": 403},
        r"your token does not allow this\.\nUse one with",
    ),
    "a stale parent": (
        "POST .*/commit/",
        {"before": edit_card},
        "was changed by someone else in the meantime: A ",
    ),
    "wrong bytes on the way": ("PUT ", {"status": 400}, r"refused with status 400\.\n"),
    "429": ("POST .*/commit/", {"status": 429}, "too many requests"),
    "401": ("GET /api/models/org/name$", {"status": 401}, "requires a login|your token"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUSH)
def test_push(hub: LoopbackHub, vse: Vse, work: Path, name: str) -> None:
    pattern, fault, message = PUSH[name]
    hub.repositories["org/name"] = Repository()
    hub.repositories["org/name"].commit(
        {"README.md": publish(hub, work / "run" / "best", "org/other").head["README.md"]}
    )
    head = hub.repositories["org/name"].branches["main"]
    before = processes.read_files(work / "run")
    if "before" in fault:
        fault = {"before": fault["before"](hub)}
    hub.fail(pattern, times=1 if "before" in fault else -1, **fault)
    done = vse("push", "run", "hub:org/name")
    processes.assert_one_message(done, 1, message)
    assert done.stderr.count("\n", done.stderr.index("Error: ")) >= 2
    assert processes.read_files(work / "run") == before
    if "before" not in fault:
        assert hub.repositories["org/name"].branches["main"] == head
    hub.faults.clear()
    assert vse("push", "run", "hub:org/name").code == 0
    assert "model.safetensors" in hub.repositories["org/name"].head
    if "before" in fault:
        assert hub.repositories["org/name"].read("README.md").decode().endswith("<!-- vsezoo: end results -->\n")


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
