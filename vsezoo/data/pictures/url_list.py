"""Lists of the addresses of pictures, without the pictures: what they are, and how these are downloaded."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from vsezoo.data.caption_file import read_start
from vsezoo.data.pictures.table_columns import CAPTION_COLUMNS

ADDRESS = re.compile(r"https?:/+\S+")  # a path loses the second slash
URL_COLUMNS = ("url", "image_url", "img_url", "picture_url", "link")
"""Columns of tables that have addresses."""
FORMATS = {".tsv": "tsv", ".csv": "csv", ".txt": "txt", ".json": "json", ".jsonl": "jsonl", ".parquet": "parquet"}
HEAD = 20  # lines of a list that are looked at


def describe_addresses(file: Path) -> str:
    """Return a sentence about a list of addresses and one about what to do."""
    return (
        f"{file.name} lists the addresses of pictures, as CC3M, CC12M and LAION do, and the pictures are missing. "
        f"{advise_download(file)}"
    )


def lists_addresses(file: Path) -> bool:
    """Return whether most of the first lines of a text have addresses."""
    lines = read_start(file).splitlines()[:HEAD]
    return sum(bool(ADDRESS.search(line)) for line in lines) * 2 > len(lines)


def advise_download(file: Path, columns: Sequence[str] = ()) -> str:
    """Return how to download the pictures of a list.

    Args:
        file: the list.
        columns: its columns; none: they are read from it.
    """
    form, first, source = FORMATS.get(file.suffix.lower(), "tsv"), "", shlex.quote(str(file))
    if not columns and form in ("tsv", "csv"):
        cells = _cut(read_start(file).partition("\n")[0], form)
        columns = cells
        if any(map(ADDRESS.match, cells)):
            columns = ["url" if ADDRESS.match(cell) else "caption" for cell in cells]
            names = ("\\t" if form == "tsv" else ",").join(columns)
            first, source = f"(printf '{names}\\n'; cat {source}) > list.{form}; ", f"list.{form}"
    elif not columns and form in ("json", "jsonl"):
        columns = list(dict.fromkeys(re.findall(r'"([\w/ ]+)"\s*:', read_start(file))))
    url = next((name for name in columns if name.lower() in URL_COLUMNS), "")
    url = url or next((name for name in columns if re.search("url|image|file", name.lower())), "url")
    caption = next((name for name in columns if name.lower() in CAPTION_COLUMNS), "")
    caption = caption or next((name for name in columns if re.search("caption|text", name.lower())), "")
    of_captions = f" --caption_col {shlex.quote(caption)}" if caption else ""
    advice = (
        f"Download them with img2dataset: {first}img2dataset --url_list {source} --input_format {form} "
        f"--url_col {shlex.quote(url)}{of_captions} --output_format webdataset --output_folder SHARDS; "
        "then use --data SHARDS."
    )
    return advice if caption else f"{advice} Put the captions into a column next to the addresses first."


def _cut(line: str, form: str) -> list[str]:
    mark = "\t" if form == "tsv" else max(",;|\t", key=line.count)
    return [cell.strip(' "\ufeff') for cell in line.strip("\r\n").split(mark)]
