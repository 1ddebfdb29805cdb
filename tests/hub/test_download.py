"""Checkpoints from the Hub: `eval` and `show`, the cache, and repositories that mean no good."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hub_environment
import loopback
import processes
import pytest
import torch
from hub_repositories import Blob, Repository
from loopback import LoopbackHub

import vsezoo

Vse = Callable[..., processes.Done]

CONFIG = "config.json"
DIGEST = {"size": 1, "sha256": "0" * 64}


def publish(hub: LoopbackHub, folder: Path, name: str = "org/name", **more: Any) -> Repository:
    """Put a folder on the Hub as it is, without vsezoo."""
    repository = hub.repositories.setdefault(name, Repository(**more))
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    repository.commit({name: Blob.of(content, name.endswith(".safetensors")) for name, content in files.items()})
    return repository


def read_json(done: processes.Done) -> dict[str, Any]:
    assert done.code == 0, done.stderr
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def change_config(repository: Repository, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads(repository.read(CONFIG))
    del config["entries_sha256"]
    change(config)
    repository.edit(CONFIG, json.dumps(config).encode())


def assert_whole(home: Path) -> None:
    """Nothing half-written is in the cache, and every blob is what its name says."""
    for path in (home / "hub").rglob("*"):
        assert not path.name.endswith((".incomplete", ".tmp")), path
        if path.parent.name == "blobs":
            content = path.read_bytes()
            assert path.name in (Blob.of(content, True).etag, Blob.of(content, False).etag), path
        if path.is_symlink():
            assert path.exists(), path


@pytest.mark.usefixtures("draw_once")
def test_train_push_pull_eval_gives_the_same_figures(hub: LoopbackHub, vse: Vse, start_vse: Vse, work: Path) -> None:
    """The evaluation as a process of its own."""
    trained = json.loads((work / "run" / "best" / "metrics.json").read_bytes())
    assert vse("push", "run", "hub:org/name").code == 0
    found = read_json(start_vse("eval", "hub:org/name", "--json", HF_HOME=str(work / "other")))
    found.pop("account")  # of what was opened now
    assert {**found, "checkpoints": 0} == {**trained, "checkpoints": 0}
    commit = hub.repositories["org/name"].branches["main"]
    assert found["checkpoints"] == [trained["checkpoints"][0] | {"reference": f"hub:org/name@{commit}"}]


@pytest.mark.slow
def test_a_reference_is_resolved_to_a_commit(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    commit = publish(hub, work / "run" / "best").branches["main"]
    done = vse("eval", "hf://org/name", "--json")
    assert read_json(done)["checkpoints"][0]["reference"] == f"hub:org/name@{commit}"
    assert f"hub:org/name is commit {commit}\n" in done.stderr
    assert [path for method, path, _ in hub.requests if path == "/api/models/org/name"] == ["/api/models/org/name"]


@pytest.mark.slow
def test_no_more_than_the_checkpoint_is_fetched_and_once(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    repository = publish(hub, work / "run" / "best")
    repository.commit({"pytorch_model.bin": Blob.of(b"x" * 100, True), "train.py": Blob.of(b"1", False)})
    vse("show", "hub:org/name")
    fetched = {path.rsplit("/", 1)[1] for method, path, _ in hub.requests if method == "GET" and "/resolve/" in path}
    assert fetched == {"README.md", "config.json", "metrics.json", "vocab.json"}
    assert vse("eval", "hub:org/name").code == 0
    fetched = {path.rsplit("/", 1)[1] for method, path, _ in hub.requests if method == "GET" and "/resolve/" in path}
    assert fetched == {"README.md", "config.json", "metrics.json", "vocab.json", "model.safetensors"}
    hub.requests.clear()
    assert vse("eval", "hub:org/name").code == 0
    assert hub.bodies("GET") == 0
    assert_whole(work / "hf")


@pytest.mark.slow
def test_an_ensemble_of_the_hub_and_a_folder(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    commit = publish(hub, work / "run" / "best").branches["main"]
    found = read_json(vse("eval", "hub:org/name", "run", "--ensemble", "--json"))
    assert [member["reference"] for member in found["checkpoints"]] == [f"hub:org/name@{commit}", "run"]


# The cache


@pytest.mark.slow
def test_offline(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    repository = publish(hub, work / "run" / "best")
    old = repository.branches["main"]
    offline = functools.partial(vse, HF_HUB_OFFLINE="1")
    message = r"^hub:org/name: is not complete in the cache, .*HF_HUB_OFFLINE forbids.*\n.*HF_HUB_OFFLINE=0"
    processes.assert_one_message(offline("eval", "hub:org/name"), 1, message)
    online = read_json(vse("eval", "hub:org/name", "--json"))
    repository.edit("README.md", b"# New\n")
    assert vse("show", "hub:org/name").code == 0  # the branch has moved on, without the weights
    hub.requests.clear()
    assert read_json(offline("eval", f"hub:org/name@{old}", "--json")) == online
    processes.assert_one_message(offline("eval", "hub:org/name"), 1, "HF_HUB_OFFLINE forbids")
    assert read_json(offline("show", "hub:org/name", "--json"))["reference"].endswith(repository.branches["main"])
    assert hub.requests == []


def test_from_the_cache_when_the_hub_is_down(hub: LoopbackHub, start_vse: Vse, vse: Vse, work: Path) -> None:
    publish(hub, work / "run" / "best")
    online = read_json(vse("eval", "hub:org/name", "--json"))
    hub.fail(".", 503)
    done = start_vse("eval", "hub:org/name", "--json")
    assert read_json(done) == online
    assert "Using cached commit hash" in done.stderr


# Who may see it


@pytest.mark.slow
def test_private_and_gated(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    publish(hub, work / "run" / "best", "org/private", private=True)
    publish(hub, work / "run" / "best", "org/gated", gated=True)
    show = functools.partial(vse, "show")
    for name in ("private", "gated"):
        assert show(f"hub:org/{name}").code == 0
    one = processes.assert_one_message
    one(
        show("hub:org/private", HF_TOKEN=None),
        1,
        rf"^hub:org/private: does not exist at {hub.endpoint}, or is private and you .*\n.*hf auth login",
    )
    one(show("hub:org/private", HF_TOKEN=loopback.READER), 1, "or is private and your token has no access to it")
    elsewhere = str(work / "elsewhere")
    one(show("hub:org/gated", HF_TOKEN=loopback.READER, HF_HOME=elsewhere), 1, r"is gated, .*\nRequest access at http")
    one(show("hub:org/private", HF_TOKEN="hf_wrong"), 1, "does not accept your token.*\n.*settings/tokens")


@pytest.mark.slow
def test_what_is_not_there(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    hub.repositories["org/name"] = Repository()
    one = processes.assert_one_message
    one(vse("eval", "hub:org/absent"), 1, "^hub:org/absent: does not exist at http")
    one(vse("eval", "hub:org/name@v9"), 1, r"^hub:org/name@v9: has no such revision\.\nOmit the revision")
    one(
        vse("eval", "hub:org/name"),
        1,
        r"is not a checkpoint of vsezoo: it has no config\.json \(it contains \.gitattr",
    )
    one(vse("eval", "org/name"), 2, r"^org/name: does not exist\.\n.*runs/NAME, or hub:org/name")


@pytest.mark.slow
def test_the_data_are_not_there(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    publish(hub, work / "run" / "best")
    (work / "data").rename(work / "elsewhere")
    done = vse("eval", "hub:org/name")
    processes.assert_one_message(done, 1, r"^The features of data set 'f8k_precomp' were not found\.\n")
    for words in ("test_ims.npy", str(work / "data" / "f8k_precomp"), "Origin: data.tar of VSE++"):
        assert words in done.stderr
    assert vse("eval", "hub:org/name", "--data-root", "elsewhere").code == 0
    assert vse("eval", "hub:org/name", VSEZOO_DATA=str(work / "elsewhere")).code == 0


# What means no good


EVIL = ["../model.safetensors", "/etc/passwd", "a/b", "..", ".", "", "C:\\x", "a\\b", ".git", "x\n", "a" * 200, "~root"]


@pytest.mark.slow
def test_names_that_lead_elsewhere(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    for number, name in enumerate(EVIL):
        repository = publish(hub, work / "run" / "best", f"org/evil{number}")
        change_config(repository, lambda config, name=name: config["files"].update({name: DIGEST}))
        repository.commit({name: Blob.of(b"x", False)})
    hub.requests.clear()
    for number in (0, 1, 2, 6, 8):
        done = vse("show", f"hub:org/evil{number}")
        processes.assert_one_message(done, 1, r"its config\.json lists the file '.*', which is not a plain file name")
    assert not [path for _, path, _ in hub.requests if "/resolve/" in path and not path.endswith(CONFIG)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda files: files["vocab.json"].update(size=2**40),
            r"vocab\.json has \d+ bytes on the Hub; config\.json",
        ),
        (
            lambda files: files.update({f"f{n}": DIGEST for n in range(200)}),
            "lists 203 files; at most",
        ),
        (lambda files: files.update({"x.json": DIGEST}), r"it has no x\.json"),
    ],
)
@pytest.mark.slow
def test_lists_of_files_that_are_not_true(
    hub: LoopbackHub, vse: Vse, work: Path, change: Callable[[Any], object], message: str
) -> None:
    repository = publish(hub, work / "run" / "best")
    change_config(repository, lambda config: change(config["files"]))
    processes.assert_one_message(vse("eval", "hub:org/name"), 1, message)
    assert "model.safetensors" not in {path.name for path in (work / "hf").rglob("*")}


def test_sizes_are_bounded_before_anything_is_fetched(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    repository = publish(hub, work / "run" / "best")
    commit = repository.branches["main"]
    huge = Blob(b"{}", False, "0" * 64, 2**30)
    repository.commits[commit] = {**repository.commits[commit], CONFIG: huge}
    processes.assert_one_message(vse("eval", "hub:org/name"), 1, r"config\.json has 1,073,741,824 bytes; at most")
    assert hub.bodies("GET") == 0


@pytest.mark.slow
def test_a_part_that_is_missing_is_named_with_its_distribution(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    repository = publish(hub, work / "run" / "best")

    def change(config: dict[str, Any]) -> None:
        config["recipe"]["similarity"]["name"] = "os:system"
        config["plugins"]["similarity"] = {"name": "os:system", "distribution": "vsezoo-evil", "version": "1.0"}

    change_config(repository, change)
    processes.assert_one_message(vse("eval", "hub:org/name"), 1, r"no similarity 'os:system'.*\n.*vsezoo-evil 1\.0")


@pytest.mark.slow
def test_a_pickle_is_not_read(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    repository = publish(hub, work / "run" / "best")
    evil = b"cos\nsystem\n(S'touch evil'\ntR."
    repository.commit({"model.safetensors": Blob.of(evil, True), "pytorch_model.bin": Blob.of(evil, True)})
    digest = {"size": len(evil), "sha256": Blob.of(evil, True).sha256}
    change_config(repository, lambda config: config["files"].update({"model.safetensors": digest}))
    processes.assert_one_message(vse("eval", "hub:org/name"), 1, r"model\.safetensors: is not a safetensors file")
    assert not (work / "evil").exists()


@pytest.mark.slow
def test_python(hub: LoopbackHub, work: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    publish(hub, work / "run" / "best")
    monkeypatch.chdir(work)
    texts = ["red and green .", "zebra"]
    with hub_environment.client_of(environment):
        model, local = vsezoo.load("hub:org/name"), vsezoo.load("run")
        assert torch.equal(model.encode_texts(texts), local.encode_texts(texts))
        assert not model.training
        evaluation = vsezoo.evaluate("hub:org/name@main")
        assert evaluation.checkpoints[0]["reference"].startswith("hub:org/name@")
        assert evaluation.metrics == vsezoo.evaluate("run").metrics
