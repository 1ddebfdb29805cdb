"""Lists of the addresses of pictures, without the pictures: what they are, and how these are downloaded."""

from __future__ import annotations

import re
from pathlib import Path

ADDRESS = re.compile(r"https?:/+\S+")  # a path loses the second slash
URL_COLUMNS = ("url", "image_url", "img_url", "picture_url", "link")
"""Columns of tables that have addresses."""
FORMATS = {".tsv": "tsv", ".csv": "csv", ".txt": "txt", ".json": "json", ".jsonl": "jsonl", ".parquet": "parquet"}


def describe_addresses(file: Path) -> str:
    """Return a sentence about a list of addresses and one about what to do."""
    return (
        f"{file.name} lists the addresses of pictures, as CC3M, CC12M and LAION do, and the pictures are missing. "
        f"{advise_download(file)}"
    )


def advise_download(file: Path) -> str:
    """Return how to download the pictures of a list."""
    form = FORMATS.get(file.suffix.lower(), "tsv")
    return (
        f"Download them with img2dataset: img2dataset --url_list {file} --input_format {form} --url_col url "
        "--caption_col caption --output_format webdataset --output_folder SHARDS, with the names of its columns "
        "(CC3M's files have none: write a first line, caption, a tab and url); then use --data SHARDS."
    )
