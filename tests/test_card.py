"""The model card that every checkpoint carries."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from tiny import TinyPairs, make_model, save_model

from vsezoo.checkpoint import save_checkpoint
from vsezoo.hub.card import find_paper, render_card


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "best"
    save_model(folder)
    return folder


@pytest.fixture
def card(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def find_row(card: str, head: str) -> list[str]:
    (row,) = [line for line in card.splitlines() if line.startswith(f"| {head} |")]
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def test_the_head_is_yaml_that_the_hub_reads(card: str) -> None:
    head = ModelCard(card).data.to_dict()
    assert head["library_name"] == "vsezoo"
    assert head["tags"] == ["visual-semantic-embedding", "image-text-retrieval", "vsepp"]


@pytest.mark.parametrize("name", ["vse++", "yes", "1.0", "a: b", "# c", "[x", '"q"'])
def test_any_name_of_a_model_is_a_tag(name: str) -> None:
    recipe = make_model().recipe
    object.__setattr__(recipe, "name", name)
    assert ModelCard(render_card(recipe, TinyPairs(), None)).data.to_dict()["tags"][-1] == name


def test_the_figures_are_those_of_the_metrics(folder: Path, card: str) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    for key, head in (("i2t", "image to text"), ("t2i", "text to image")):
        expected = [f"{metrics[key][label]:.1f}" for label in ("R@1", "R@5", "R@10", "MedR", "MeanR")]
        assert find_row(card, head) == expected
    assert find_row(card, "direction") == ["R@1", "R@5", "R@10", "MedR", "MeanR"]
    assert f"rsum {metrics['rsum']:.1f}." in card
    assert "6 images and 30 captions of `tiny`, split `train`" in card
    assert "ties by the rule `lower_index`" in card


def test_every_setting_is_listed(folder: Path, card: str) -> None:
    recipe: dict[str, Any] = json.loads((folder / "config.json").read_text())["recipe"]
    assert find_row(card, "`embed_size`") == ["`5`"]
    for kind in ("image_encoder", "text_encoder", "similarity", "loss"):
        assert find_row(card, f"`{kind}`") == [f"`{recipe[kind]['name']}`"]
        for name, value in recipe[kind]["options"].items():
            assert find_row(card, f"`{kind}.{name}`") == [f"`{value}`"]
    for name, value in recipe["training"].items():
        assert find_row(card, f"`training.{name}`") == [f"`{value}`"]


def test_it_says_what_it_was_trained_on_and_after_which_paper(card: str) -> None:
    assert "6 training images with 30 captions" in card
    assert "an array of shape (images, 12)" in card
    paper = find_paper("vsepp")
    assert paper is not None
    assert f"Paper: {paper.authors}, *{paper.title}*, BMVC 2018 ({paper.url})." in card
    assert find_paper("absent") is None


def test_no_path_of_this_machine_is_in_any_file_of_text(folder: Path) -> None:
    for name in ("README.md", "config.json", "metrics.json"):
        text = (folder / name).read_text()
        for place in (folder.parent, Path.cwd(), Path.home(), Path(__file__).parent):
            assert str(place) not in text, (name, place)
        assert not re.search(r"(?<![\w./])/(tmp|home|Users|root)/", text)


def test_without_an_evaluation_it_claims_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best", make_model(), TinyPairs(), {})
    card = (tmp_path / "best" / "README.md").read_text()
    assert "Not measured." in card
    assert "R@1" not in card
    assert not (tmp_path / "best" / "metrics.json").exists()


def test_the_text_has_no_holes(card: str) -> None:
    body = ModelCard(card).text
    assert "None" not in body
    assert "{{" not in body
    assert "{%" not in body
    assert "\n\n\n" not in body
    assert card.endswith("\n")
    for line in body.splitlines():
        assert line == line.rstrip()
