"""Update a model card that people have edited: their text is kept, the sections of vsezoo are replaced."""

from __future__ import annotations

import re
from typing import Any

from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import ModelCardData, model_index_to_eval_results

from vsezoo.cards.metadata import UNKNOWN_LICENSE

SECTION = re.compile(r"<!-- vsezoo: begin (?P<name>\w+) -->.*?<!-- vsezoo: end (?P=name) -->", flags=re.DOTALL)
RESULTS = "results"
"""The section that every card must have: old figures must not stay next to a new model."""

INDEX = "model-index"


class _RawData(ModelCardData):
    """Metadata whose `model-index` is as it is written: the client makes one model of all its entries."""

    def __init__(self, **fields: Any) -> None:
        index = fields.pop(INDEX, None)
        super().__init__(**fields)
        setattr(self, INDEX, index)


class _RawCard(ModelCard):
    """A card with such metadata."""

    card_data_class = _RawData


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
    merged, fresh = _RawCard(card, ignore_metadata_errors=True), _RawCard(renewed)
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
    """Update the metadata; keep keys, tags, a licence, and figures on other data or of other models."""
    old: Any = merged.data
    new: Any = fresh.data
    named = old.license if old.license != UNKNOWN_LICENSE else None
    kept: dict[str, Any] = {"license": license or named or new.license}
    for name in ("datasets", "metrics", "tags"):
        kept[name] = list(dict.fromkeys([*_as_list(getattr(new, name)), *_as_list(getattr(old, name))]))
    fields = {name: value for name, value in vars(new).items() if value is not None}
    index = _merge_indexes(getattr(old, INDEX, None), getattr(new, INDEX, None))
    for name, value in {**fields, **kept, INDEX: index}.items():
        setattr(old, name, value)


def _as_list(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _merge_indexes(old: Any, new: Any) -> list[dict[str, Any]] | None:
    """Return the `model-index` with new figures, and those of an earlier one on other data, splits and protocols.

    Each model keeps an entry of its own: figures of another one, such as a base model, stay under its name.
    """
    entries = [entry for entry in old if _is_valid(entry)] if isinstance(old, list) else []
    for fresh in new or []:
        measured = {_identify(result) for result in fresh["results"]}
        own = [result for entry in entries if entry["name"] == fresh["name"] for result in entry["results"]]
        results = [*fresh["results"], *(_name_protocol(one) for one in own if _identify(one) not in measured)]
        others = [entry for entry in entries if entry["name"] != fresh["name"]]
        entries = [{"name": fresh["name"], "results": results}, *others]
    return entries or None


def _is_valid(entry: Any) -> bool:
    """Return whether an entry of a `model-index` is one that the Hub's client reads."""
    try:
        model_index_to_eval_results([entry])
    except (KeyError, TypeError, AttributeError, ValueError):
        return False
    return True


def _identify(result: dict[str, Any]) -> tuple[object, ...]:
    data = result["dataset"]
    return result["task"]["type"], data["type"], _find_protocol(data), data.get("split"), data.get("revision")


def _find_protocol(data: dict[str, Any]) -> Any:
    args = data.get("args")
    return args["protocol"] if isinstance(args, dict) and "protocol" in args else data.get("config")


def _name_protocol(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result whose protocol is also its `config`: the client groups results by that, not by arguments."""
    protocol = _find_protocol(result["dataset"])
    return {**result, "dataset": {**result["dataset"], **({} if protocol is None else {"config": protocol})}}
