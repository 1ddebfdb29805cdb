"""A comparison as one HTML file without network: the table, and the queries that differ, with their pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vsezoo.comparison.compare import Comparison, Row
from vsezoo.comparison.pictures import Pictures
from vsezoo.comparison.queries import Difference, describe, find_differences
from vsezoo.comparison.tables import explain, tabulate
from vsezoo.evaluation.metrics import PROTOCOLS
from vsezoo.evaluation.predictions import Query
from vsezoo.storage.html_page import write_html

SHOWN = 5
"""First candidates of a query."""


def write_page(path: Path, comparison: Comparison, *, most: int = 10, images: Path | None = None) -> None:
    """Write the page.

    Args:
        path: the output file; replaced if it exists.
        comparison: what it shows.
        most: queries of each kind that it lists for each model.
        images: a folder with the pictures, whose names are the ids of the images; None: no pictures.

    Raises:
        StorageError: when the page cannot be written; an existing file is left unchanged.
    """
    pictures = Pictures.of_folder(images)
    headings, rows = tabulate(comparison)
    first, about = comparison.rows[0], comparison.evaluation
    values = {
        "title": f"{about['data']}, {about['split']} split: {', '.join(row.name for row in comparison.rows)}",
        "subtitle": f"{PROTOCOLS.get(about['protocol'], about['protocol'])}; {about['images']:,} images, "
        f"{about['captions']:,} captions",
        "headings": headings,
        "rows": rows,
        "notes": explain(comparison),
        "sections": [_make_section(first, row, most, pictures) for row in comparison.rows[1:] if row.p is not None],
    }
    write_html(path, "vsezoo.comparison", values)


def _make_section(first: Row, second: Row, most: int, pictures: Pictures) -> dict[str, Any]:
    found = find_differences(first.group, second.group, most)
    counts = "; ".join(
        f"{way}: {found.only_second[way]:.4g} queries have a match in the first place under {second.name} only, "
        f"{found.only_first[way]:.4g} under {first.name} only"
        for way in ("i2t", "t2i")
    )
    parts = [
        {"title": title, "queries": _list_queries(first, second, differences, pictures)}
        for title, differences in (("Gains most", found.better), ("Loses most", found.worse))
    ]
    return {"first": first.name, "second": second.name, "counts": f"{counts}.", "parts": parts}


def _list_queries(
    first: Row, second: Row, differences: Sequence[Difference], pictures: Pictures
) -> list[dict[str, Any]]:
    texts = {query.id: query.text for query in first.group.results[0].queries if query.text}
    listed = []
    for item in differences:
        query = item.query
        tops = [
            {"name": row.name, "items": _list_items(row.group.results[0].queries[item.index], texts, pictures)}
            for row in (first, second)
        ]
        image = query.id if query.direction == "i2t" else query.id.rpartition("#")[0]
        listed.append(
            {
                "direction": query.direction,
                "label": describe(query),
                "ranks": f"rank {item.first:.3g} → {item.second:.3g}",
                "picture": pictures.show(image),
                "tops": tops,
            }
        )
    return listed


def _list_items(query: Query, texts: Mapping[str, str], pictures: Pictures) -> list[dict[str, Any]]:
    return [
        {
            "label": texts.get(item, item),
            "picture": pictures.show(item) if query.direction == "t2i" else "",
            "match": item in query.matches,
        }
        for item in query.top[:SHOWN]
    ]
