"""The columns of caption tables: which is the picture, and which are captions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vsezoo.data.languages import CODE, CODES, find_code
from vsezoo.data.pictures.walk import PICTURES
from vsezoo.errors import DataError, list_names

IMAGE_COLUMNS = (
    "image",
    "file_name",
    "filename",
    "file",
    "filepath",
    "file_path",
    "image_path",
    "image_file",
    "image_name",
    "image_filename",
    "img",
    "img_path",
    "img_name",
    "img_file",
    "path",
    "name",
)
ID_COLUMNS = ("image_id", "img_id", "photo_id", "imageid", "photoid", "image/key")
"""Columns of names without suffixes, if there is none of `IMAGE_COLUMNS`."""
CAPTION_COLUMNS = (
    "caption",
    "captions",
    "text",
    "texts",
    "sentence",
    "sentences",
    "title",
    "raw",
    "description",
    "comment",
    "alt_text",
    "caption_str",
    "utterance",
    "caption_text",
    "image_caption",
    "txt",
)
OF_LANGUAGE = re.compile(rf"{CODE}(?:[ _-](?:{'|'.join(CAPTION_COLUMNS)}))?")
"""A column `en` or `en_caption`, which has captions if there are several of them."""
MANY_LANGUAGES = 5
NUMBERS = {"no", "nr"}
"""Of more than `MANY_LANGUAGES` Norwegian and Ndebele may be some; among fewer, such a column has numbers."""
WORDS = NUMBERS | {"am", "as", "be", "he", "hi", "is", "it", "my", "or", "os", "so", "to", "ts"}
"""Codes that are words: `caption_is_good` is in Icelandic only if another column names a language."""
JSON_LINES = (".jsonl", ".jsonlines", ".ndjson")
JSON = (".json", *JSON_LINES)
PLACES = {**dict.fromkeys(JSON, "each object"), **dict.fromkeys((".parquet", ".arrow"), "the schema")}
"""Where files of other forms than CSV have the names of their columns."""
SPLIT_COLUMN = "split"
SPLIT_SYNONYMS = ("splits", "set", "subset", "partition", "phase", "fold")
"""Columns used as `split` if they contain only names of splits."""

NAMED = 3  # most cells that a message lists
NO_CAPTION = f"captions ({', '.join(CAPTION_COLUMNS[:5])}, …, or caption_0, caption_1, …)"


def find_columns(path: Path, place: str, columns: Sequence[str]) -> tuple[str, list[str]]:
    """Return the picture column and the caption columns: `caption`, or several: `caption_0`, `caption_en` or `en`.

    Raises:
        DataError: for missing columns, listing the existing ones.
    """
    image = next((name for name in (*IMAGE_COLUMNS, *ID_COLUMNS) if name in columns), None)
    captions = _find_captions(columns)
    if image and captions:
        return image, captions
    absent = {
        "image": "" if image else f"image ({', '.join(IMAGE_COLUMNS[:5])}, …)",
        "caption": "" if captions else NO_CAPTION,
    }
    raise _describe_absent(path, place, columns, absent)


def find_captions(path: Path, place: str, columns: Sequence[str]) -> list[str]:
    """Return only the caption columns, see `find_columns`.

    Raises:
        DataError: for missing columns, listing the existing ones.
    """
    if captions := _find_captions(columns):
        return captions
    raise _describe_absent(path, place, columns, {"caption": NO_CAPTION})


def has_columns(columns: Sequence[str]) -> bool:
    """Return whether there are a column of pictures and one of captions."""
    return any(name in columns for name in IMAGE_COLUMNS) and bool(_find_captions(columns))


def has_ids(columns: Sequence[str]) -> bool:
    """Return whether there are a column of names without suffixes and one of captions."""
    return any(name in columns for name in ID_COLUMNS) and bool(_find_captions(columns))


def normalise_column(name: str) -> str:
    """Return the name of a column as it is compared: in lower case, with `_` for spaces."""
    return re.sub(r"\s+", "_", name.strip().lower())


def _describe_absent(path: Path, place: str, columns: Sequence[str], absent: dict[str, str]) -> DataError:
    wanted = {name: text for name, text in absent.items() if text}
    if any(name.endswith(tuple(PICTURES)) for name in columns):
        raise DataError(
            f"has no names of columns in its first line, but {list_names([*map(repr, columns)], NAMED)}.",
            file=path,
            remedy="Write a line before it with a name for each cell, such as image,caption; further captions are "
            "caption_2, caption_3, …",
        )
    is_json = path.suffix.lower() in JSON  # in other tables, the first line names the columns
    return DataError(
        f"{f'{place} ' if is_json else ''}has no column for {' and none for '.join(wanted.values())}; its columns are "
        f"{', '.join(map(repr, columns))}.",
        file=path,
        remedy=f"Call {'them' if len(wanted) > 1 else 'it'} {' and '.join(map(repr, wanted))} "
        f"in {PLACES.get(path.suffix.lower(), 'the first line of the file')}.",
    )


def _find_captions(columns: Sequence[str]) -> list[str]:
    doubtful: list[str] = []
    for stem in CAPTION_COLUMNS:
        numbered = re.compile(rf"{stem}[ _-]?\d+")
        found = {name: "" for name in columns if name == stem or numbered.fullmatch(name)}
        found |= {name: code for name in columns if name.startswith(stem) and (code := find_code(name[len(stem) :]))}
        if kept := _drop_words(found):
            return [name for name in columns if name in kept]
        doubtful = doubtful or list(found)
    matches = {name: match for name in columns if (match := OF_LANGUAGE.fullmatch(name)) and match["code"] in CODES}
    of_languages = _drop_words({name: match["code"] for name, match in matches.items()})
    return doubtful or (of_languages if len(of_languages) > 1 else [])


def _drop_words(found: dict[str, str]) -> list[str]:
    """Return the columns of captions without `caption_no` and `caption_is_good`, which name no language.

    Args:
        found: the language of each column, empty for those of none.
    """
    codes = {code for code in found.values() if code}
    known = codes if codes - WORDS else set[str]()
    known -= NUMBERS if len(codes) <= MANY_LANGUAGES else set()
    return [name for name, code in found.items() if not code or code in known]
