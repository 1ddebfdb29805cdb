"""The model card that every checkpoint carries."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, parse_eval_result_entries
from markdown_it import MarkdownIt
from tiny import TinyPairs, make_model, save_model

from vsezoo import registry
from vsezoo.cards.card import HERE, Run, render_card
from vsezoo.cards.metadata import write_eval_results
from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.storage.checkpoint_layout import read_config
from vsezoo.storage.json_file import read_object

SECTIONS = ["use", "results", "training"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "best"
    save_model(folder)
    return folder


@pytest.fixture
def card(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def config(folder: Path) -> dict[str, Any]:
    return copy.deepcopy(read_config(folder))


@pytest.fixture
def evaluation(folder: Path) -> dict[str, Any]:
    return read_object(folder / "metrics.json")


def find_row(card: str, head: str) -> list[str]:
    (row,) = [line for line in card.splitlines() if line.startswith(f"| {head} |")]
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


# The head


def test_the_head_is_yaml_that_the_hub_reads(card: str) -> None:
    head = ModelCard(card).data.to_dict()
    assert (head["library_name"], head["pipeline_tag"]) == ("vsezoo", "feature-extraction")
    assert head["tags"] == ["visual-semantic-embedding", "image-text-retrieval", "vsepp"]
    assert (head["datasets"], head["license"]) == (["tiny"], "unknown")


def test_the_model_index_has_the_figures_of_the_metrics(card: str, evaluation: dict[str, Any]) -> None:
    figures = {result.metric_type: result for result in ModelCard(card).data.eval_results}
    for way in ("i2t", "t2i"):
        for k in (1, 5, 10):
            assert figures[f"{way}_recall_at_{k}"].metric_value == pytest.approx(evaluation[way][f"R@{k}"], abs=1e-4)
        assert figures[f"{way}_median_rank"].metric_value == evaluation[way]["MedR"]
    assert figures["rsum"].metric_value == pytest.approx(evaluation["rsum"], abs=1e-4)
    for result in figures.values():
        assert (result.dataset_name, result.dataset_split) == ("tiny", "train")
        assert result.dataset_args == {"protocol": "full"}


def test_eval_results_are_those_of_the_hub(evaluation: dict[str, Any]) -> None:
    from huggingface_hub.repocard import yaml  # the parser that the client itself uses

    entries = parse_eval_result_entries(yaml.safe_load(write_eval_results(evaluation)))
    figures = {entry.task_id: entry for entry in entries}
    assert figures["t2i_recall_at_5"].value == pytest.approx(evaluation["t2i"]["R@5"], abs=1e-4)
    assert figures["rsum"].dataset_id == "tiny"
    assert figures["i2t_recall_at_1"].notes == "image to text R@1, split train, protocol full, ties lower_index"


@pytest.mark.parametrize("name", ["vse++", "yes", "1.0", "a: b", "# c", "[x", '"q"'])
def test_any_name_of_a_model_is_a_tag(name: str, config: dict[str, Any]) -> None:
    config["recipe"]["name"] = name
    assert ModelCard(render_card(config, None).text).data.to_dict()["tags"][-1] == name


# The text


def test_the_figures_are_those_of_the_metrics(card: str, evaluation: dict[str, Any]) -> None:
    for key, head in (("i2t", "image to text"), ("t2i", "text to image")):
        expected = [f"{evaluation[key][label]:.1f}" for label in ("R@1", "R@5", "R@10", "MedR", "MeanR")]
        assert find_row(card, head) == expected
    assert find_row(card, "direction") == ["R@1", "R@5", "R@10", "MedR", "MeanR"]
    assert f"rsum {evaluation['rsum']:.1f}." in card
    assert "6 images and 30 captions of `tiny`, split `train`" in card
    assert "ties by the rule `lower_index`" in card


def test_every_setting_is_listed_once_and_the_changed_ones_apart(config: dict[str, Any], card: str) -> None:
    recipe = config["recipe"]
    assert find_row(card, "`embed_size`") == ["`5`", "`1024`"]
    changed = {"text_encoder.word_dim": "`300`", "text_encoder.vocab_threshold": "`4`"}
    for kind in ("image_encoder", "text_encoder", "similarity", "loss"):
        assert find_row(card, f"`{kind}`") == [f"`{recipe[kind]['name']}`"]
        for name, value in recipe[kind]["options"].items():
            cells = [f"`{value}`", *([changed[f"{kind}.{name}"]] if f"{kind}.{name}" in changed else [])]
            assert find_row(card, f"`{kind}.{name}`") == cells
    for name, value in recipe["training"].items():
        assert find_row(card, f"`training.{name}`") == [f"`{value}`"]


def test_it_says_what_it_was_trained_on_and_after_which_paper(card: str) -> None:
    assert "6 training images with 30 captions" in card
    assert "an array of shape (images, 12)" in card
    paper = registry.load("models", "vsepp").paper
    assert f"Paper: {paper.authors}, *{paper.title}*, BMVC 2018 ({paper.url})." in card
    assert "author = {Faghri and Fleet and Kiros and Fidler}," in card


def test_it_says_how_to_train_and_to_load_it(config: dict[str, Any]) -> None:
    text = render_card(config, None, Run("ab" * 32), reference="hub:org/name").text
    flags = "--set embed_size=5 --set text_encoder.word_dim=4 --set text_encoder.vocab_threshold=2"
    assert f"```sh\nvsezoo train vsepp --data ./tiny {flags}\n```" in text
    assert f"sha256 `{'ab' * 32}`" in text
    assert "Seed 0, best of 30 epochs by `rsum`" in text
    assert re.search(r"Written with vsezoo [\d.]+\w*, python 3\.\d+\.\d+\S*, torch 2\.\S+\.$", text, flags=re.MULTILINE)
    (snippet,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len([line for line in snippet.splitlines() if line]) == 3
    assert 'vsezoo.load("hub:org/name")' in snippet


def test_the_three_lines_work(folder: Path, card: str) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    place: dict[str, Any] = {"images": TinyPairs().features}
    exec(snippet.replace("path/to/this/folder", str(folder)), place)
    assert place["scores"].shape == (6, 1)


def test_published_figures_stand_beside_the_measured_ones(config: dict[str, Any], evaluation: dict[str, Any]) -> None:
    assert "No published result of this model on this data set is known." in render_card(config, evaluation).text
    config["data"]["name"] = "f30k_precomp"
    text = render_card(config, evaluation | {"data": "f30k_precomp"}).text
    rows = [line for line in text.splitlines() if line.startswith(("| published: ", "| measured: "))]
    published = [row for row in registry.load("models", "vsepp").published if row.data == "f30k"]
    assert len(rows) == 1 + len(published)
    assert rows[0].startswith("| measured: this model, f30k_precomp | vector of 12 | full, train | 16.7 |")
    for row, result in zip(rows[1:], published, strict=True):
        assert f"| {result.features} | full, f30k | {result.i2t[0]} |" in row
        assert result.source in row
    for row in rows:
        assert row.count("|") == 12


def test_the_origin_of_registered_data_and_what_the_recipe_changes_for_them(config: dict[str, Any]) -> None:
    config["data"]["name"] = "f8k_precomp"
    text = render_card(config, None).text
    assert registry.load("datasets", "f8k_precomp").origin in text
    assert registry.load("models", "vsepp").overrides["f8k_precomp"].reason in text


def test_it_renders(card: str) -> None:
    html = MarkdownIt("commonmark").enable("table").render(ModelCard(card).text)
    headings = re.findall(r"<h\d>(.*?)</h\d>", html)
    assert headings == [
        "vsepp trained on tiny",
        "Intended use and limits",
        *("Use", "Results", "Training data", "Training", "Citation"),
    ]
    assert html.count("<table>") == 3
    assert re.search(r"<td>image to text</td>\s*<td>16.7</td>", html)
    for section in SECTIONS:
        assert f"<!-- vsezoo: begin {section} -->" in html


def test_no_path_of_this_machine_is_in_any_file_of_text(folder: Path) -> None:
    for name in ("README.md", "config.json", "metrics.json"):
        text = (folder / name).read_text()
        for place in (folder.parent, Path.cwd(), Path.home(), Path(__file__).parents[1]):
            assert str(place) not in text, (name, place)
        assert not re.search(r"(?<![\w./])/(tmp|home|Users|root)/", text)


def test_without_an_evaluation_it_claims_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best", make_model(), TinyPairs(), {})
    card = (tmp_path / "best" / "README.md").read_text()
    assert "Not measured." in card
    assert "R@1" not in card
    assert "model-index" not in ModelCard(card).data.to_dict()
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


# What cannot be said


def test_a_model_that_is_not_registered_here_has_a_card(config: dict[str, Any], evaluation: dict[str, Any]) -> None:
    config["recipe"]["name"] = "telepathy"
    card = render_card(config, evaluation)
    assert [re.search("no model 'telepathy'", sentence) is not None for sentence in card.missing] == [True]
    assert "How these settings differ from the recipe is unknown." in card.text
    assert "| image to text | 16.7 |" in card.text


@pytest.mark.parametrize("broken", [{"recipe": {}}, {"data": {}}, {"plugins": None}, {"trained": []}])
def test_a_card_that_cannot_be_written_costs_nothing_else(config: dict[str, Any], broken: dict[str, Any]) -> None:
    card = render_card({**config, **broken}, None)
    assert card.missing
    assert ModelCard(card.text).data.to_dict()["library_name"] == "vsezoo"
    assert "could not be written" in card.text


def test_a_checkpoint_is_saved_with_a_card_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsezoo.cards.card.TEMPLATE", tmp_path / "absent.md")
    save_model(tmp_path / "best")
    assert "could not be written" in (tmp_path / "best" / "README.md").read_text()
    assert json.loads((tmp_path / "best" / "config.json").read_text())["format"] == "vsezoo"


def test_the_distributions_that_a_model_needs_are_to_be_installed(config: dict[str, Any]) -> None:
    assert "pip install" not in render_card(config, None).text
    config["plugins"]["loss"] |= {"distribution": "session", "version": ""}  # which nobody can install
    assert "pip install" not in render_card(config, None).text
    config["plugins"]["image_encoder"] |= {"distribution": "vsezoo-example", "version": "1.2.0"}
    config["plugins"]["similarity"] |= {"distribution": "other", "version": "0.3+local"}
    use = render_card(config, None).text.partition("## Use")[2].partition("## Results")[0]
    assert "`other` 0.3+local and `vsezoo-example` 1.2.0, which must be installed in addition to vsezoo:\n" in use
    assert "```sh\npip install 'other>=0.3' 'vsezoo-example>=1.2.0'\n```\n\n```python\n" in use


# The example runs


@pytest.mark.parametrize(("recipe", "shape"), [("vsepp", (6,)), ("scan-i2t-avg", (3, 6))])
def test_the_example_of_the_card_runs(tmp_path: Path, recipe: str, shape: tuple[int, ...]) -> None:
    data = TinyPairs(shape=shape)
    save_model(tmp_path, make_model(recipe, data), data)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[0].replace(HERE, str(tmp_path))
    names: dict[str, Any] = {"images": data.images(range(3))}
    exec(example, names)  # users copy it
    assert names["scores"].shape == (3, 1)
