"""Options of `vsezoo search` for several terms and for conditions on the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from datetime import datetime

    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.inputs import PairDataset
    from vsezoo.search.hit import Hit
    from vsezoo.search.index import Index
    from vsezoo.search.queries import Query

OPTIONS = (
    click.option("--plus", multiple=True, metavar="QUERY", help="Another sentence or image file; repeatable."),
    click.option("--minus", multiple=True, metavar="QUERY", help="A sentence or image file to avoid; repeatable."),
    click.option("--since", metavar="DATE", help="Only pictures taken since, such as 2024 or 2024-07-31."),
    click.option("--in", "folder", metavar="FOLDER", help="Only images in this folder, or whose ids match a pattern."),
    click.option("--unique", is_flag=True, help="Show one of equal or nearly equal pictures."),
)


def add_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with the options."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def find_hits(
    found: Index,
    checkpoint: Checkpoint,
    device: Any,
    asked: Query,
    content: Any,
    terms: Sequence[tuple[str, bool]],
    open_data: Callable[[], PairDataset],
    k: int,
    conditions: tuple[datetime | None, str | None, bool],
) -> list[Hit]:
    """Return the results of a query.

    Args:
        found: the collection.
        checkpoint: the model.
        device: its device.
        asked: the query.
        content: what it was read into.
        terms: further queries, and whether they are to be avoided.
        open_data: opens the split.
        k: number of results.
        conditions: the time that --since means, and the values of --in and --unique.
    """
    from vsezoo.cli import console
    from vsezoo.errors import pluralise
    from vsezoo.parts import accepted_kinds
    from vsezoo.search.filters import Filters, search_filtered
    from vsezoo.search.queries import resolve_query
    from vsezoo.search.terms import search_by_terms

    since, folder, unique = conditions
    filters = Filters(found.collection, since, folder or "", unique)
    kinds = accepted_kinds(checkpoint.recipe)
    resolved = [(resolve_query(text, kinds, open_data, "images"), avoid) for text, avoid in terms]
    plus = [asked, *(query for query, avoid in resolved if not avoid)]
    minus = [query for query, avoid in resolved if avoid]

    def search(wanted: int) -> list[Hit]:
        if resolved or (asked.image is not None and not found.collection.is_text):
            return search_by_terms(found, checkpoint, device, plus, minus, wanted)
        return found.search_many(content, wanted)[0]

    hits = search_filtered(search, filters, k, len(found))
    if not hits and not filters.is_empty:
        given = " and ".join(option for option, value in (("--since", since), ("--in", folder)) if value)
        console.print_warning(
            f"None of the {pluralise(len(found), 'image')} of {found.collection.name} passes {given}."
        )
    return hits
