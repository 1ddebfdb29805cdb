"""Predictions as a Parquet table: the keys of the lines of a `.jsonl` file as columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vsezoo.errors import require_package
from vsezoo.evaluation.predictions import FORMAT, FORMAT_VERSION, Predictions

PURPOSE = "Predictions in a .parquet file"


def write_table(file: Path, predictions: Predictions) -> None:
    """Write a table with the columns direction, query, text, fold, rank, ranks, matches, tied, top and scores."""
    arrow, parquet = (require_package(name, PURPOSE) for name in ("pyarrow", "pyarrow.parquet"))
    queries = predictions.queries
    numbers = arrow.list_(arrow.float64())
    columns = {
        "direction": arrow.array([query.direction for query in queries]),
        "query": arrow.array([query.id for query in queries]),
        "text": arrow.array([query.text for query in queries]),
        "fold": arrow.array([query.fold for query in queries], arrow.int32()),
        "rank": arrow.array([query.rank for query in queries], arrow.float64()),
        "ranks": arrow.array([query.ranks for query in queries], numbers),
        "matches": arrow.array([query.matches for query in queries], arrow.list_(arrow.string())),
        "tied": arrow.array([query.tied for query in queries]),
        "top": arrow.array([query.top for query in queries], arrow.list_(arrow.string())),
        "scores": arrow.array([query.scores for query in queries], numbers),
    }
    about = {"format": FORMAT, "format_version": FORMAT_VERSION, **predictions.about}
    parquet.write_table(arrow.table(columns, metadata={"vsezoo": json.dumps(about)}), file)


def read_table(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what the table is of, and its rows in the form of the lines of a `.jsonl` file."""
    table = require_package("pyarrow.parquet", PURPOSE, file).read_table(file)
    about = json.loads((table.schema.metadata or {})[b"vsezoo"])
    rows = table.to_pylist()
    return about, [row | {"top": list(zip(row["top"], row["scores"], strict=True))} for row in rows]
