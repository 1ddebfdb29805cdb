"""What the codes of CLIP and open_clip do to captions before they cut them into ids.

`whitespace`, `lower` and `canonicalize` are the names that open_clip 3.3 has for them in its configurations. OpenAI's
code does what is called `lower` here. transformers does none of it.
"""

from __future__ import annotations

import html
import string
from collections.abc import Callable, Mapping

PUNCTUATION = str.maketrans("_", " ", string.punctuation.replace("_", ""))


def clean_whitespace(text: str) -> str:
    """Return a caption without mojibake, curly quotes and HTML entities, its words separated by single spaces."""
    from ftfy import fix_text  # only some checkpoints need it, and it takes long to import

    return " ".join(html.unescape(html.unescape(fix_text(text))).split())


def clean_lower(text: str) -> str:
    """Return what `clean_whitespace` does, in lower case."""
    return clean_whitespace(text).lower()


def canonicalize(text: str) -> str:
    """Return what `clean_lower` does, without punctuation; an underscore is a space."""
    return " ".join(clean_whitespace(text).translate(PUNCTUATION).lower().split())


CLEANERS: Mapping[str, Callable[[str], str]] = {
    "none": str,
    "whitespace": clean_whitespace,
    "lower": clean_lower,
    "canonicalize": canonicalize,
}
