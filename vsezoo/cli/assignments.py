"""Arguments of the form `NAME=VALUE`, for `--set` and `--option`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vsezoo.errors import UsageError
from vsezoo.recipe.values import parse_value


def read_assignments(flag: str, texts: Iterable[str], example: str) -> dict[str, Any]:
    """Return the values by name.

    Args:
        flag: the option that takes them, for the message.
        texts: each `NAME=VALUE`; a value that is not JSON (number, true, false, null) is a string.
        example: such a text, for the message.

    Raises:
        UsageError: for a text without a name or an equals sign.
    """
    values = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise UsageError(f"{flag} takes NAME=VALUE, not {text!r}.", remedy=f"Example: {flag} {example}")
        values[name.strip()] = parse_value(value.strip())
    return values
