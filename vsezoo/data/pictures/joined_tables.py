"""Caption tables of the same pictures that are read together: of several languages, or of several translators."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from vsezoo.data.caption_file import read_lines, read_start
from vsezoo.data.languages import find_code
from vsezoo.data.pictures.splits import find_word
from vsezoo.data.pictures.tagged_lines import LINE, is_tagged
from vsezoo.errors import DataError

Tables = Mapping[Path, str]
"""Tables that are read together, and the language that the name of each says; empty if it says none."""


def join_tables(folder: Path, files: Sequence[Path]) -> Tables:
    """Return tables that are read together, with their languages.

    There is one; or their names differ only in the language, as `captions_en.csv` and `captions_de.csv` do; or all have
    tagged lines, as Flickr8k-CN has them for each language and translator.

    Raises:
        DataError: for other tables.
    """
    if len(files) == 1:
        return {files[0]: ""}
    codes = {file: find_code(file.stem.lower()) for file in files}
    stems = {re.sub(rf"(?<![a-z]){code}(?![a-z])", "", file.stem.lower(), count=1) for file, code in codes.items()}
    if all(codes.values()) and len(set(codes.values())) == len(files) and len(stems) == 1:
        return codes
    if all(is_tagged(read_start(file)) for file in files) and len({find_word(file.stem) for file in files}) == 1:
        return dict.fromkeys(files, "")
    listing = ", ".join(str(path.relative_to(folder)) for path in files)
    raise DataError(
        f"has several caption tables: {listing}.",
        file=folder,
        remedy="Keep one of them, with all captions; or name each after its split (train.csv) or its language "
        "(captions_en.csv).",
    )


def require_distinct(files: Sequence[Path]) -> None:
    """Check that no two files of tagged lines have the same image, tag and number, as a copy with spaces would have.

    Raises:
        DataError: for such a caption.
    """
    first: dict[str, Path] = {}
    for file in files:
        for found in filter(None, map(LINE.match, read_lines(file))):
            if (other := first.setdefault(found["key"], file)) != file:
                raise DataError(
                    f"has {found['key']}, and so has {other.name}: they seem to be the same captions in two forms.",
                    file=file,
                    remedy="Keep one of them.",
                )
