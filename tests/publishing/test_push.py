"""`vsezoo push`: what is sent, and what is left alone. The real client and command line, and a Hub on the loopback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import processes
import pytest
from hub_repositories import Blob, Repository
from huggingface_hub import ModelCard
from loopback import LoopbackHub

pytestmark = pytest.mark.usefixtures("draw_once")

Vse = Callable[..., processes.Done]

CURVES = {"curves.png"}
BESIDE = {"README.md", ".eval_results/vsezoo.yaml", *CURVES}
FILES = {"config.json", "metrics.json", "model.safetensors", "vocab.json", *BESIDE}


def push(vse: Vse, *options: str, **environment: str | None) -> processes.Done:
    done = vse("push", "run", "hub:org/name", *options, **environment)
    assert done.code == 0, done.stderr
    return done


def change_metrics(work: Path, rsum: float) -> None:
    """Change the figures of the checkpoint, as another evaluation would."""
    for name in ("metrics.json", "config.json"):
        path = work / "run" / "best" / name
        value = json.loads(path.read_bytes())
        if name == "metrics.json":
            value["rsum"] = rsum
        else:
            content = (work / "run" / "best" / "metrics.json").read_bytes()
            blob = Blob.of(content, False)
            value["files"]["metrics.json"] = {"size": blob.size, "sha256": blob.sha256}
            value.pop("entries_sha256", None)  # of the other entries
        path.write_text(json.dumps(value), encoding="utf-8")


@pytest.mark.slow
def test_a_push_and_one_more_without_a_change(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    before = processes.read_files(work / "run")
    done = push(vse)
    repository = hub.repositories["org/name"]
    commit = repository.branches["main"]
    assert done.stdout == f"{hub.endpoint}/org/name/commit/{commit}\n"
    assert "Traceback" not in done.stderr
    assert set(repository.head) == {*FILES, ".gitattributes"}
    assert repository.messages[-1].startswith("vsepp trained on f8k_precomp, rsum ")
    for name in FILES - BESIDE:
        assert repository.read(name) == before[f"best/{name}"]
    assert repository.head["model.safetensors"].lfs
    card = ModelCard(repository.read("README.md").decode())
    assert 'vsezoo.load("hub:org/name")' in card.text
    assert "Digest of the captions as the model read them" in card.text
    hub.requests.clear()
    again = push(vse)
    assert again.stdout == done.stdout
    assert "nothing was uploaded" in again.stderr
    assert repository.branches["main"] == commit
    assert hub.bodies("PUT", "POST") == 0
    assert processes.read_files(work / "run") == before


@pytest.mark.slow
def test_what_has_changed_is_sent_and_no_more(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    push(vse)
    change_metrics(work, 512.5)
    hub.requests.clear()
    sent = json.loads(push(vse, "--json").stdout)
    assert set(sent["sent"]) == {"README.md", "config.json", "metrics.json", ".eval_results/vsezoo.yaml"}
    assert set(sent["unchanged"]) == {"model.safetensors", "vocab.json", *CURVES}
    assert hub.bodies("PUT") == 0
    assert sent["reference"] == f"hub:org/name@{hub.repositories['org/name'].branches['main']}"
    assert "rsum 512.5" in hub.repositories["org/name"].read("README.md").decode()


@pytest.mark.slow
def test_the_words_of_people_stay(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    push(vse)
    repository = hub.repositories["org/name"]
    edited = repository.read("README.md").decode() + "\nAsk Ada before you use it.\n"
    repository.edit("README.md", edited.replace("license: unknown", "license: cc-by-nc-4.0").encode())
    assert "nothing was uploaded" in push(vse).stderr
    change_metrics(work, 512.5)
    push(vse)
    card = ModelCard(repository.read("README.md").decode())
    assert card.text.endswith("\nAsk Ada before you use it.\n")
    assert "rsum 512.5" in card.text
    assert card.data.to_dict()["license"] == "cc-by-nc-4.0"


@pytest.mark.slow
def test_words_on_both_sides(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    push(vse)
    local = work / "run" / "best" / "README.md"
    local.write_text(local.read_text(encoding="utf-8") + "\nMine.\n", encoding="utf-8")
    push(vse)
    repository = hub.repositories["org/name"]
    assert repository.read("README.md").endswith(b"\nMine.\n")
    repository.edit("README.md", repository.read("README.md").replace(b"Mine.", b"Theirs."))
    assert "the card on the Hub has different text, which is kept" in push(vse).stderr
    assert repository.read("README.md").endswith(b"\nTheirs.\n")


@pytest.mark.slow
def test_a_dry_run_sends_nothing(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    done = push(vse, "--dry-run")
    for name in FILES:
        assert name in done.stdout
    assert {method for method, _, _ in hub.requests} == {"GET"}
    assert hub.repositories == {}
    push(vse)
    assert json.loads(push(vse, "--dry-run", "--json").stdout)["sent"] == {}


@pytest.mark.slow
def test_a_dry_run_without_a_hub_lists_all(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    done = push(vse, "--dry-run", "--json", HF_HUB_OFFLINE="1")
    assert set(json.loads(done.stdout)["sent"]) == FILES
    assert "The files on the Hub are unknown" in done.stderr
    assert hub.requests == []


def test_a_push_never_works_offline(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    done = vse("push", "run", "hub:org/name", HF_HUB_OFFLINE="1")
    message = r"^hub:org/name: .*HF_HUB_OFFLINE forbids.*\nRepeat the command with HF_HUB_OFFLINE=0\.$"
    processes.assert_one_message(done, 1, message)


@pytest.mark.slow
def test_a_branch_and_a_pull_request(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    push(vse, "--revision", "next")
    repository = hub.repositories["org/name"]
    assert set(repository.head) == {".gitattributes"}
    assert set(repository.commits[repository.branches["next"]]) == {*FILES, ".gitattributes"}
    done = push(vse, "--create-pr", "--message", "Please take it")
    assert done.stdout == f"{hub.endpoint}/org/name/discussions/1\n"
    assert set(repository.head) == {".gitattributes"}
    assert repository.messages[-1] == "Please take it"
    shown = vse("show", "hub:org/name@refs/pr/1", "--json")
    assert json.loads(shown.stdout)["recipe"]["name"] == "vsepp"


@pytest.mark.slow
def test_private(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    push(vse, "--private")
    assert hub.repositories["org/name"].private
    push(vse, "--private")
    hub.repositories["org/open"] = Repository()
    done = vse("push", "run", "hub:org/open", "--private")
    processes.assert_one_message(
        done, 2, r"^hub:org/open: already exists and is public: --private cannot change that\.\n"
    )
    assert set(hub.repositories["org/open"].head) == {".gitattributes"}


@pytest.mark.slow
def test_the_training_state_is_sent_only_when_asked_for(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    push(vse)
    assert not any("state" in name for name in hub.repositories["org/name"].head)
    push(vse, "--with-state")
    held = hub.repositories["org/name"].head
    assert {name for name in held if name.startswith("last/")} == {"last/state.json", "last/state.safetensors"}
    alone = work / "alone"
    shutil.copytree(work / "run" / "best", alone)
    done = vse("push", "alone", "hub:org/name", "--with-state")
    processes.assert_one_message(done, 1, r"alone: is not in a run with a last/ folder, so there is no training state")


# The card


@pytest.mark.slow
def test_a_card_on_the_hub_that_cannot_be_read_is_left_alone(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    push(vse)
    repository = hub.repositories["org/name"]
    for figure, card in ((512.5, b"---\na: [\n---\n# Mine\n"), (513.5, b"---\n- a list\n---\n")):
        repository.edit("README.md", card)
        change_metrics(work, figure)
        assert "Missing in the card: The card: the existing one cannot be read and is not changed" in push(vse).stderr
        assert str(figure).encode() in repository.read("metrics.json")
        assert repository.read("README.md") == card
    repository.edit("README.md", b"\xff\xfe")  # not text, but not wrong either: no head is in it, and no words
    push(vse)
    assert "rsum 513.5" in repository.read("README.md").decode()


@pytest.mark.slow
def test_a_card_that_the_hub_refuses_is_left_out(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    local = work / "run" / "best" / "README.md"
    local.write_text(local.read_text(encoding="utf-8").replace("license: unknown", "license: MINE"), encoding="utf-8")
    done = push(vse)
    assert "Missing in the card: The card, which was not uploaded: Invalid metadata in README.md." in done.stderr
    assert set(hub.repositories["org/name"].head) == {*FILES, ".gitattributes"} - {"README.md"}


@pytest.mark.slow
def test_a_card_of_a_model_that_is_not_known_here_is_sent(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    path = work / "run" / "best" / "config.json"
    config = json.loads(path.read_bytes())
    del config["entries_sha256"]  # of the other entries
    config["recipe"]["name"] = "telepathy"
    path.write_text(json.dumps(config), encoding="utf-8")
    assert "no model 'telepathy'" in push(vse).stderr
    assert "How these settings differ" in hub.repositories["org/name"].read("README.md").decode()


# xet


@pytest.mark.slow
def test_with_xet_where_there_is_none(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    done = push(vse, HF_HUB_DISABLE_XET=None)
    assert f"{hub.endpoint} does not accept xet: uploaded with LFS." in done.stderr
    weights = (work / "run" / "best" / "model.safetensors").read_bytes()
    assert hub.objects[Blob.of(weights, True).sha256] == weights
    assert vse("show", "hub:org/name", HF_HUB_DISABLE_XET=None).code == 0


@pytest.mark.slow
def test_with_xet(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    hub.xet = f"local://{work / 'xet'}"
    done = push(vse, HF_HUB_DISABLE_XET=None)
    assert "LFS" not in done.stderr
    assert hub.bodies("PUT") == 0
    weights = (work / "run" / "best" / "model.safetensors").read_bytes()
    assert hub.repositories["org/name"].head["model.safetensors"].sha256 == Blob.of(weights, True).sha256
    assert any(path.is_file() for path in (work / "xet").rglob("*"))


# Mistakes


def test_mistakes(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    one = processes.assert_one_message
    one(vse("push", "run", "org/name"), 2, r"^'org/name' is not a repository of the Hub\.\nExamples: hub:org/name,")
    one(vse("push", "run", "hub:name"), 2, r"^'hub:name' is not a valid reference: 'name' is not org/name")
    one(vse("push", "run", "hub:a/b", "--revision", "../x"), 2, "is not a revision")
    one(vse("push", "run", f"hub:a/b@{'0' * 40}"), 2, "is a commit; a push needs a branch")
    one(vse("push", "hub:a/b", "hub:a/c"), 2, "is already on the Hub")
    one(vse("push", "absent", "hub:a/b"), 2, "^absent: does not exist")
    (work / "run" / "best" / "vocab.json").write_text("{}", encoding="utf-8")
    one(vse("push", "run", "hub:a/b"), 1, r"vocab\.json: has 2 bytes instead of")
    assert hub.requests == []


def test_a_link_out_of_the_folder_is_not_followed(hub: LoopbackHub, vse: Vse, work: Path) -> None:
    (work / "secret").write_text("secret", encoding="utf-8")
    card = work / "run" / "best" / "README.md"
    card.unlink()
    card.symlink_to(work / "secret")
    processes.assert_one_message(
        vse("push", "run", "hub:org/name"), 1, r"README\.md: is a symbolic link that leads out of"
    )
    assert hub.repositories == {}
