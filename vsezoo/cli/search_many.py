"""`vsezoo search --queries FILE` and `--at ADDRESS`: many queries at once, and searches at a service."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from vsezoo.cli import console
from vsezoo.cli.output import find_output
from vsezoo.errors import UsageError

if TYPE_CHECKING:
    from vsezoo.search.query_file import Asked

TOKEN = "VSEZOO_TOKEN"
"""The variable with the token of a service."""


def refuse(given: Mapping[str, Any], purpose: str) -> None:
    """Refuse options that do not go with another.

    Args:
        given: values by option; empty ones were not given.
        purpose: the option that they do not go with.
    """
    names = [name for name, value in given.items() if value]
    if names:
        raise UsageError(f"{names[0]} cannot be combined with {purpose}.")


def ask_service(
    at: str, query: str | None, queries: str | None, plus: Sequence[str], minus: Sequence[str], k: int, as_json: bool
) -> None:
    """Search at a service, and print the results: of a file of queries as JSON lines."""
    from vsezoo.cli.hits import print_hits
    from vsezoo.search.hit import Hit
    from vsezoo.search.query_file import Asked, read_queries
    from vsezoo.search.service import Service

    service = Service(at, os.environ.get(TOKEN, ""))
    if queries is not None:
        asked = read_queries(queries, k)
        results = service.search_many(asked)
        print_lines(asked, ([_choose(result) for result in found] for found in results))
        return
    if query is None:
        raise UsageError("There is no query.", remedy="Give a sentence, or --queries FILE.")
    found = service.search(Asked("", query, plus, minus, k))
    if as_json:
        terms = {**({"plus": plus} if plus else {}), **({"minus": minus} if minus else {})}
        console.print_json({"at": at, "query": query, **terms, "hits": [_choose(result) for result in found]})
        return
    print_hits([Hit(one["rank"], one["score"], one["id"], one["item"]) for one in found])


def print_lines(asked: Sequence[Asked], answers: Iterable[list[dict[str, Any]]]) -> None:
    """Print a line of JSON for each query."""
    for one, hits in zip(asked, answers, strict=True):
        line = json.dumps({"id": one.id, "query": one.query, "hits": hits}, ensure_ascii=False)
        click.echo(console.CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", line), file=find_output())


def _choose(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a search without a service prints of a result, too."""
    return {name: result[name] for name in ("rank", "score", "id", "item")}
