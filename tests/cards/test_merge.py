"""A card that people have edited is renewed, and their words stay."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import save_model

from vsezoo.cards.card import render_card
from vsezoo.cards.merge import choose_card, merge_card, read_prose
from vsezoo.storage.checkpoint_layout import read_config
from vsezoo.storage.json_file import read_object

WORDS = "Ask Ada before you use it."
PROSE = "## Intended use and limits"


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("merge") / "best"
    save_model(folder)
    return read_config(folder), read_object(folder / "metrics.json")


@pytest.fixture
def old(facts: tuple[dict[str, Any], dict[str, Any]]) -> str:
    return render_card(*facts).text


@pytest.fixture
def new(facts: tuple[dict[str, Any], dict[str, Any]]) -> str:
    """The same model after more training."""
    config, evaluation = copy.deepcopy(facts)
    evaluation["i2t"]["R@1"], evaluation["rsum"] = 99.5, 512.5
    config["trained"]["epoch"] = 7
    return render_card(config, evaluation, reference="hub:org/name").text


def find_figure(card: str) -> list[Any]:
    results = ModelCard(card).data.to_dict()["model-index"][0]["results"]
    return [m["value"] for result in results for m in result["metrics"] if m["type"] == "i2t_recall_at_1"]


def test_an_unedited_card_becomes_the_new_one(old: str, new: str) -> None:
    assert ModelCard(merge_card(old, new)).text == ModelCard(new).text
    assert find_figure(merge_card(old, new)) == [99.5]


def test_merging_twice_changes_nothing_more(old: str, new: str) -> None:
    edited = old.replace(PROSE, f"{WORDS}\n\n{PROSE}").replace("library_name: vsezoo", "extra: 1\nlibrary_name: vsezoo")
    merged = merge_card(edited, new)
    assert merge_card(merged, new) == merged
    assert merge_card(new, new) == new


def test_words_stay_and_figures_are_renewed(old: str, new: str) -> None:
    edited = (
        old.replace(PROSE, f"{WORDS}\n\n{PROSE}").replace("Scores are meant for ranking;", "It merely ranks;")
        + "\n## Thanks\n\nTo Ada.\n"
    )
    merged = merge_card(edited, new)
    for words in (WORDS, "It merely ranks;", "## Thanks\n\nTo Ada.\n"):
        assert merged.count(words) == 1
    assert "| image to text | 99.5 |" in merged
    assert "rsum 512.5" in merged
    assert 'vsezoo.load("hub:org/name")' in merged
    assert "epoch 7" in merged
    assert "| image to text | 16.7 |" not in merged


def test_metadata_of_people_stays(old: str, new: str) -> None:
    added = "language: en\nlicense: cc-by-nc-4.0\n"
    edited = old.replace("license: unknown\n", added).replace("- vsepp\n", "- vsepp\n- mine\n", 1)
    data = ModelCard(merge_card(edited, new)).data.to_dict()
    assert (data["language"], data["license"], data["tags"][-1]) == ("en", "cc-by-nc-4.0", "mine")
    assert ModelCard(merge_card(edited, new, "mit")).data.to_dict()["license"] == "mit"


def test_figures_on_other_data_stay(old: str, new: str) -> None:
    card = ModelCard(old)
    other = copy.deepcopy(card.data.eval_results[0])
    other.dataset_type, other.metric_value = "coco", 42.0
    card.data.eval_results.append(other)
    assert sorted(find_figure(merge_card(str(card), new))) == [42.0, 99.5]


def test_figures_by_another_protocol_stay_with_it(old: str, new: str) -> None:
    card = ModelCard(re.sub(r"\n *config: full", "", old.replace("protocol: full", "protocol: fold5")))
    merged = merge_card(merge_card(str(card), new), new)
    results = yaml.safe_load(merged.split("---")[1])["model-index"][0]["results"]
    figures = [
        (result["dataset"]["args"]["protocol"], metric["value"])
        for result in results
        for metric in result["metrics"]
        if metric["type"] == "i2t_recall_at_1"
    ]
    assert figures == [("full", 99.5), ("fold5", pytest.approx(16.7, abs=0.05))]


def test_a_card_without_markers_gets_the_results_at_its_end(new: str) -> None:
    merged = merge_card(f"---\nlicense: mit\n---\n# Mine\n\n{WORDS}\n", new)
    body = ModelCard(merged).text
    assert body.startswith(f"# Mine\n\n{WORDS}\n\n<!-- vsezoo: begin results -->")
    assert body.endswith("<!-- vsezoo: end results -->\n")
    assert "## Citation" not in body


def test_a_card_without_a_head_gets_one(new: str) -> None:
    merged = ModelCard(merge_card("# Mine\n", new))
    assert merged.data.to_dict()["library_name"] == "vsezoo"
    assert merged.text.startswith("# Mine\n")


def test_a_section_that_was_removed_stays_out(old: str, new: str) -> None:
    start, end = old.index("<!-- vsezoo: begin use -->"), old.index("<!-- vsezoo: begin results -->")
    merged = merge_card(old[:start] + old[end:], new)
    assert "## Use" not in merged
    assert "| image to text | 99.5 |" in merged


def test_line_ends_of_windows(old: str, new: str) -> None:
    merged = merge_card(old.replace("\n", "\r\n"), new)
    assert find_figure(merged) == [99.5]
    assert "| image to text | 16.7 |" not in merged


@pytest.mark.parametrize("head", ["- a list", "a: [", "a: b: c"])
def test_a_head_that_cannot_be_read_is_an_error(head: str, new: str) -> None:
    with pytest.raises(Exception, match=r".+"):
        merge_card(f"---\n{head}\n---\n# Mine\n", new)


@pytest.mark.slow
@given(words=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=200))
@settings(deadline=None, max_examples=20)
def test_any_words_stay(facts: tuple[dict[str, Any], dict[str, Any]], words: str) -> None:
    card = render_card(*facts).text
    edited = card.replace(PROSE, f"{words}\n\n{PROSE}", 1)
    merged = merge_card(edited, render_card(*facts, reference="hub:a/b").text)
    assert f"{words}\n\n{PROSE}" in merged


def test_whose_words_are_taken(new: str) -> None:
    mine, theirs = (new.replace(PROSE, f"{words}\n\n{PROSE}") for words in ("Mine.", "Theirs."))
    assert choose_card(mine, None, new) == (mine, False)
    assert choose_card(new, theirs, new) == (theirs, False)  # the local one has no words of its own
    assert choose_card(mine, new, new) == (mine, False)  # nor has the one on the Hub
    assert choose_card(theirs, theirs, new) == (theirs, False)
    assert choose_card(mine, theirs, new) == (theirs, True)
    assert "rsum" not in read_prose(new)


def make_card(facts: tuple[dict[str, Any], dict[str, Any]], protocol: str, rsum: float) -> str:
    """Return the card of the model with figures of a protocol, as NumPy's numbers."""
    config, evaluation = copy.deepcopy(facts)
    evaluation.update(protocol=protocol, rsum=np.float32(rsum))
    evaluation["i2t"]["R@1"] = np.float64(rsum / 6)
    return render_card(config, evaluation).text


def list_sums(card: str) -> set[tuple[str, str, Any]]:
    """Return the protocol, as arguments and as the client groups it, and the rsum of each entry."""
    index = yaml.safe_load(card.split("---")[1])["model-index"]
    return {
        (result["dataset"]["args"]["protocol"], result["dataset"]["config"], metric["value"])
        for entry in index
        for result in entry["results"]
        for metric in result["metrics"]
        if metric["type"] == "rsum"
    }


@pytest.mark.slow
def test_two_protocols_stay_apart_through_the_client(facts: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """huggingface_hub makes one result of all that differ only in their arguments."""
    folds, full = make_card(facts, "fold5", 400.5), make_card(facts, "full", 300.25)
    merged = merge_card(folds, full)
    expected = {("fold5", "fold5", 400.5), ("full", "full", 300.25)}
    for _ in range(3):
        assert list_sums(merged) == expected
        merged = str(ModelCard(merged))
    assert list_sums(merge_card(merged, make_card(facts, "full", 310.0))) == expected ^ {
        ("full", "full", 300.25),
        ("full", "full", 310.0),
    }
    assert {type(value) for _, _, value in list_sums(folds)} == {float}


def test_figures_of_another_model_stay_under_its_name(old: str, new: str) -> None:
    head = ModelCard(old).data.to_dict()["model-index"][0]
    head["name"] = "base"
    raw = yaml.safe_load(old.split("---")[1])
    raw["model-index"].append(head)
    merged = merge_card(f"---\n{yaml.safe_dump(raw)}---\n# Mine\n", new)
    index = yaml.safe_load(merged.split("---")[1])["model-index"]
    assert [entry["name"] for entry in index] == ["vsepp", "base"]
    figures = [m["value"] for e in index for r in e["results"] for m in r["metrics"] if m["type"] == "i2t_recall_at_1"]
    assert figures == [99.5, pytest.approx(16.7, abs=0.05)]
