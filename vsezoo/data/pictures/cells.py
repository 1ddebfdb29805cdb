"""Caption cells of tables and caption fields of JSON: a text, or a list of texts."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Sequence
from typing import Any

from vsezoo.data.languages import find_language_column
from vsezoo.data.pictures.json_table import is_picture
from vsezoo.data.pictures.listing import clean_caption
from vsezoo.data.pictures.table_columns import CAPTION_COLUMNS
from vsezoo.errors import pluralise

LIST = re.compile(r"""[\[(]\s*(?:[\]),]|[bruBRU]{0,2}['"])""")
"""Starts of a list of texts; a caption may also start with a bracket: `[a sign] on a wall`."""

SENTENCE = ("raw", "caption", "text", "sentence")
"""Keys of the text in an object of a list of captions."""

LAYOUT_TOKENS = {tokenize.NEWLINE, tokenize.NL, tokenize.ENDMARKER}


def read_captions(value: Any) -> list[str]:
    """Return the captions of a cell with single spaces; an empty cell is one empty caption.

    A list of texts, as written by JSON, Python or numpy, is a list of captions.

    Raises:
        ValueError: for anything but a text or a list of texts, with the reason.
    """
    if value is None:
        return [""]
    value = _read_list(value.strip()) if isinstance(value, str) else _take_text(value)
    texts = [_take_text(text) for text in value] if isinstance(value, list) else [value]
    if wrong := [text for text in texts if text is not None and not isinstance(text, str)]:
        raise ValueError(f"a caption that is not text: {wrong[0]!r}")
    return [clean_caption(text or "") for text in texts] or [""]


def _take_text(value: Any) -> Any:
    """Return the text of a sentence as Karpathy's JSON has it, `{"raw": …, "tokens": …}`; anything else unchanged."""
    return next((value[name] for name in SENTENCE if name in value), value) if isinstance(value, dict) else value


def find_captions(value: Any) -> list[str]:
    """Return the captions of lines, or of an object of JSON; none if one of them is empty or not text."""
    if isinstance(value, dict):
        found = (value[column] for column in CAPTION_COLUMNS if column in value)
        value = next((one for one in found if not (isinstance(one, str) and is_picture(one))), [])  # a title `a.jpg`
    elif isinstance(value, list):
        value = [line for line in value if str(line).strip()]
    try:
        captions = read_captions(value)
    except ValueError:
        return []
    return captions if all(captions) else []


def read_languages(value: Any, count: int) -> list[str]:
    """Return the language of each of `count` captions: that of the cell, or those of a list in it.

    Raises:
        ValueError: for a list of another length, with the reason.
    """
    named = _read_list(value.strip()) if isinstance(value, str) else value
    if not isinstance(named, list):
        return [str(named or "").strip()] * count
    if len(named) != count:
        raise ValueError(f"{pluralise(len(named), 'language')} for {pluralise(count, 'caption')}")
    return [str(one or "").strip() for one in named]


def find_languages(value: Any, captions: Sequence[str]) -> list[str]:
    """Return the language of each caption of an object of JSON, see `read_languages`; none if it names none.

    Raises:
        ValueError: see `read_languages`.
    """
    column = find_language_column(list(value)) if isinstance(value, dict) and captions else ""
    found = read_languages(value[column], len(captions)) if column else []
    return found if any(found) else []


def _read_list(text: str) -> Any:
    """Return the list that a text represents, or the text."""
    if not text.startswith(("[", "(")) or text[-1] not in "])":
        if LIST.match(text) and text.count(text[0]) > text.count("]" if text[0] == "[" else ")"):
            raise ValueError(f"a list without an end: {text[:40]!r}")
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return _read_literals(text) if LIST.match(text) else text
    if all(isinstance(item, str | None) for item in found):
        return found
    raise ValueError(f"a list that contains something other than texts: {text[:40]!r}")


def _read_literals(text: str) -> Any:
    """Return the texts of a list as Python prints it; nothing is executed.

    numpy prints no commas, so that Python would join the texts into one: read tokens, not an expression.
    """
    texts = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(" ".join(text.split())).readline):
            if token.type == tokenize.STRING:
                texts.append(ast.literal_eval(token.string))
            elif token.type not in LAYOUT_TOKENS and token.string not in {"[", "]", "(", ")", ",", "None"}:
                raise ValueError(token.string)
    except (ValueError, SyntaxError, tokenize.TokenError):
        raise ValueError(f"a list that cannot be read: {text[:40]!r}") from None
    return [one.decode(errors="replace") if isinstance(one, bytes) else one for one in texts]
