"""`vsezoo card`: what it writes into a checkpoint folder, and what it leaves."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import processes
import pytest
from click.testing import CliRunner, Result
from huggingface_hub import ModelCard

from vsezoo.checkpoints.checkpoint import load
from vsezoo.cli import main
from vsezoo.publishing.curves import draw_curves
from vsezoo.storage.checkpoint_layout import read_config


def write_card(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(main, ["card", *map(str, arguments)])
    assert done.exit_code == 0, done.stderr
    return done


@pytest.fixture
def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.slow
@pytest.mark.usefixtures("without_matplotlib")
def test_what_it_writes(work: Path) -> None:
    best = work / "run" / "best"
    before = processes.read_files(best)
    done = write_card(work / "run")
    written = [best / "README.md", best / ".eval_results" / "vsezoo.yaml"]
    assert done.stdout.splitlines() == [str(path) for path in written]
    assert "Missing in the card: The licence" in done.stderr
    absent = "The plot of the training curves needs matplotlib, which is not installed. Install it: "
    assert f"Missing in the card: {absent}python -m pip install 'vsezoo[plot]'" in " ".join(done.stderr.split())
    after = processes.read_files(best)
    assert {name for name in after if after[name] != before.get(name)} == {"README.md", ".eval_results/vsezoo.yaml"}
    card = ModelCard(written[0].read_text(encoding="utf-8")).text
    state = json.loads((work / "run" / "last" / "state.json").read_bytes())
    assert state["run"]["captions_sha256"] in card
    assert "curves.png" not in card
    load(work / "run")
    assert write_card(work / "run").stdout == done.stdout
    assert processes.read_files(best) == after


@pytest.mark.slow
def test_the_curves_are_those_of_the_log(work: Path) -> None:
    best = work / "run" / "best"
    write_card(work / "run")
    assert (best / "curves.png").read_bytes() == draw_curves(work / "run")
    assert (best / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "](curves.png)" in (best / "README.md").read_text(encoding="utf-8")
    log = work / "run" / "log.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:1]))
    assert draw_curves(work / "run") is None


@pytest.mark.usefixtures("draw_once")
def test_a_licence_is_named_and_stays(work: Path) -> None:
    card = work / "run" / "best" / "README.md"
    assert "licence" not in write_card(work / "run", "--license", "cc-by-nc-4.0").stderr
    write_card(work / "run")
    assert ModelCard(card.read_text(encoding="utf-8")).data.to_dict()["license"] == "cc-by-nc-4.0"
    write_card(work / "run", "--license", "mit")
    assert ModelCard(card.read_text(encoding="utf-8")).data.to_dict()["license"] == "mit"


@pytest.mark.usefixtures("draw_once")
def test_words_stay_and_damaged_logs_cost_only_the_curves(work: Path) -> None:
    card = work / "run" / "best" / "README.md"
    card.write_text(card.read_text(encoding="utf-8") + "\nAsk Ada.\n", encoding="utf-8")
    (work / "run" / "log.jsonl").write_text("{", encoding="utf-8")
    write_card(work / "run")
    assert card.read_text(encoding="utf-8").endswith("\nAsk Ada.\n")
    assert "curves.png" not in card.read_text(encoding="utf-8")


@pytest.mark.usefixtures("draw_once")
def test_a_card_that_cannot_be_read_is_left_alone(work: Path) -> None:
    card = work / "run" / "best" / "README.md"
    card.write_text("---\na: [\n---\n# Mine\n", encoding="utf-8")
    value = json.loads(write_card(work / "run", "--json").stdout)
    assert any("is not changed" in sentence for sentence in value["missing"])
    assert str(card) not in value["written"]
    assert card.read_text(encoding="utf-8") == "---\na: [\n---\n# Mine\n"


def test_a_checkpoint_without_its_run(work: Path) -> None:
    alone = work / "alone"
    shutil.copytree(work / "run" / "best", alone)
    write_card(alone)
    card = (alone / "README.md").read_text(encoding="utf-8")
    assert "Digest of the captions" not in card
    assert f"rsum {json.loads((alone / 'metrics.json').read_bytes())['rsum']:.1f}" in card
    read_config(alone)


@pytest.mark.slow
def test_mistakes(work: Path) -> None:
    invoke = CliRunner().invoke
    processes.assert_one_message(invoke(main, ["card", "hub:org/name"]), 2, "is already on the Hub")
    processes.assert_one_message(invoke(main, ["card", str(work / "none")]), 2, "does not exist")
    (work / "run" / "best" / ".eval_results").write_text("", encoding="utf-8")
    processes.assert_one_message(invoke(main, ["card", str(work / "run")]), 1, r"vsezoo\.yaml: cannot be written: ")
