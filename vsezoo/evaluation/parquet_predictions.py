"""Predictions as a Parquet table: the keys of the lines of a `.jsonl` file as columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from vsezoo.errors import require_package

PURPOSE = "Predictions in a .parquet file"


def write_table(file: Path, about: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> None:
    """Write a table with the columns direction, query, text, fold, rank, ranks, matches, tied, top and scores.

    Args:
        file: where to write it.
        about: what the table is of, which goes into the metadata of its schema.
        lines: the queries in the form of the lines of a `.jsonl` file.
    """
    arrow, parquet = (require_package(name, PURPOSE) for name in ("pyarrow", "pyarrow.parquet"))
    text, number, names, numbers = (
        arrow.string(),
        arrow.float64(),
        arrow.list_(arrow.string()),
        arrow.list_(arrow.float64()),
    )
    columns = {
        "direction": arrow.array([line["direction"] for line in lines], text),
        "query": arrow.array([line["query"] for line in lines], text),
        "text": arrow.array([line.get("text", "") for line in lines], text),
        "fold": arrow.array([line.get("fold", 0) for line in lines], arrow.int32()),
        "rank": arrow.array([line["rank"] for line in lines], number),
        "ranks": arrow.array([line["ranks"] for line in lines], numbers),
        "matches": arrow.array([line["matches"] for line in lines], names),
        "tied": arrow.array([line["tied"] for line in lines], arrow.bool_()),
        "top": arrow.array([[item for item, _ in line["top"]] for line in lines], names),
        "scores": arrow.array([[score for _, score in line["top"]] for line in lines], numbers),
    }
    table = arrow.table(columns).replace_schema_metadata({"vsezoo": json.dumps(about)})
    parquet.write_table(table, file, write_page_checksum=True)


def read_table(file: Path, stream: BinaryIO) -> tuple[bytes, list[dict[str, Any]]]:
    """Return what the table is of, as JSON, and its rows in the form of the lines of a `.jsonl` file.

    Args:
        file: its path, for the message.
        stream: its content.

    Raises:
        OSError, ValueError: for a damaged file; pages of the table have checksums.
    """
    arrow, parquet = (require_package(name, PURPOSE, file) for name in ("pyarrow", "pyarrow.parquet"))
    try:
        table = parquet.read_table(stream, page_checksum_verification=True)
        rows = table.to_pylist()
    except (arrow.ArrowException, IndexError) as error:  # of several kinds, some of which are no ValueError
        raise ValueError(str(error)) from error
    about: bytes = (table.schema.metadata or {})[b"vsezoo"]
    return about, [row | {"top": list(zip(row["top"], row["scores"], strict=True))} for row in rows]
