"""Update a model card that people have edited: their text is kept, the sections of vsezoo are replaced."""

from __future__ import annotations

import re
from typing import Any

from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import EvalResult, eval_results_to_model_index

from vsezoo.cards.metadata import UNKNOWN_LICENSE

SECTION = re.compile(r"<!-- vsezoo: begin (?P<name>\w+) -->.*?<!-- vsezoo: end (?P=name) -->", flags=re.DOTALL)
RESULTS = "results"
"""The section that every card must have: old figures must not stay beside a new model."""


def merge_card(card: str, renewed: str, license: str | None = None) -> str:
    """Return a card with updated metadata and marked sections.

    A section that was removed together with its markers stays removed, except the results, which are appended.

    Args:
        card: the card as edited.
        renewed: the new card from `render_card`.
        license: replaces the licence of the card; None: keep it, if it has one.

    Raises:
        ValueError: for a card whose front matter is not YAML or not an object.
    """
    merged, fresh = ModelCard(card, ignore_metadata_errors=True), ModelCard(renewed)
    sections = {match["name"]: match[0] for match in SECTION.finditer(fresh.text)}
    held = {match["name"] for match in SECTION.finditer(merged.text)}
    merged.text = SECTION.sub(lambda match: sections.get(match["name"], match[0]), merged.text)
    if RESULTS not in held and RESULTS in sections:
        merged.text = f"{merged.text.rstrip()}\n\n{sections[RESULTS]}\n"
    _renew_metadata(merged, fresh, license)
    return str(merged)


def choose_card(local: str, remote: str | None, renewed: str) -> tuple[str, bool]:
    """Return the card whose text to keep: the local one or the one on the Hub; both may have been edited.

    Args:
        local: the card in the checkpoint folder.
        remote: the card on the Hub; None: there is none.
        renewed: the new card from `render_card`, which no one has edited.

    Returns:
        the card, and whether local text is dropped in favour of the text on the Hub.
    """
    mine, theirs = read_prose(local), None if remote is None else read_prose(remote)
    if remote is None or (theirs == read_prose(renewed) and mine != theirs):
        return local, False
    return remote, mine not in (theirs, read_prose(renewed))


def read_prose(card: str) -> str:
    """Return the text outside the front matter and the marked sections, stripped."""
    return SECTION.sub("", ModelCard(card, ignore_metadata_errors=True).text).strip()


def _renew_metadata(merged: ModelCard, fresh: ModelCard, license: str | None) -> None:
    """Update the metadata; keep keys, tags, a licence and figures on other data added by people."""
    old: Any = merged.data
    new: Any = fresh.data
    figures = new.eval_results or []
    measured = {_identify(result) for result in figures}
    figures = figures + [result for result in old.eval_results or [] if _identify(result) not in measured]
    named = old.license if old.license != UNKNOWN_LICENSE else None
    kept: dict[str, Any] = {"license": license or named or new.license}
    for name in ("datasets", "metrics", "tags"):
        kept[name] = list(dict.fromkeys([*_as_list(getattr(new, name)), *_as_list(getattr(old, name))]))
    fields = {name: value for name, value in vars(new).items() if value is not None}
    index = _index_figures(new.model_name, figures) if figures else None
    for name, value in {**fields, **kept, "model-index": index, "model_name": None, "eval_results": None}.items():
        setattr(old, name, value)


def _as_list(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _index_figures(model: str, figures: list[EvalResult]) -> list[dict[str, Any]]:
    """Return the `model-index`, with an entry for each data set, split and protocol.

    The Hub's client makes one entry of all results of a type of data and a split, with the protocol of the first.
    """
    groups: dict[tuple[object, ...], list[EvalResult]] = {}
    for figure in figures:
        shared = (figure.task_name, figure.dataset_name, figure.source_name, figure.source_url)
        groups.setdefault((*_identify(figure), *shared), []).append(figure)
    entries = [entry for group in groups.values() for entry in eval_results_to_model_index(model, group)[0]["results"]]
    return [{"name": model, "results": entries}]


def _identify(result: EvalResult) -> tuple[object, ...]:
    return (*result.unique_identifier, str(result.dataset_args))
