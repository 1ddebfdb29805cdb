"""Our own JSON files, read in one way: bounded, strict, of a declared form, and with a digest of their own.

Refused with one message: what is not a plain file (opening a pipe would wait for its writer), more than `LARGEST` bytes
or `DEEPEST` levels, a key that occurs twice, NaN and infinite numbers, which are not JSON, and a value whose digest
differs from the one that was written with it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vsezoo.errors import CheckpointError, VsezooError
from vsezoo.storage.digests import RESTORE
from vsezoo.storage.forms import Form, FormError
from vsezoo.storage.plain_file import explain_unread, read_plain

LARGEST = 256 * 2**20
"""Bytes of a file."""
DEEPEST = 64
"""Levels of objects and lists in one another."""
SEAL = "entries_sha256"
"""The entry with the digest of all other entries."""


def parse_strictly(content: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: for a text that is not JSON, or that readers understand differently.
    """
    try:
        value = json.loads(
            content.decode("utf-8-sig"),
            object_pairs_hook=make_object,
            parse_constant=_refuse_number,
            parse_float=_read_float,
        )
    except RecursionError:
        raise ValueError(f"it has more than {DEEPEST} levels") from None
    _require_depth(value)
    return value


def make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs of an object as a dictionary: the `object_pairs_hook` of a reader that refuses repeated keys.

    Raises:
        ValueError: for a key that occurs twice.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        ((repeated, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {repeated[:80]!r} occurs twice")
    return found


def read_object(
    file: Path, form: Form | None = None, *, error: type[VsezooError] = CheckpointError, remedy: str = RESTORE
) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        file: its path.
        form: the form of its entries; None: any.
        error: the class of the error.
        remedy: what to do about a damaged file.

    Returns:
        the entries without the digest.

    Raises:
        VsezooError: of the given class, for a file that is missing, cannot be read, or has other contents.
    """
    with explain_unread(file, error):
        try:
            content = read_plain(file, LARGEST)
        except FileNotFoundError as problem:
            raise error("is missing.", file=file, remedy=remedy) from problem
    return parse_object(content, file, form, error=error, remedy=remedy)


def parse_object(
    content: bytes,
    file: Path,
    form: Form | None = None,
    *,
    error: type[VsezooError] = CheckpointError,
    remedy: str = RESTORE,
) -> dict[str, Any]:
    """Parse the content of a file; see `read_object`."""
    try:
        value = parse_strictly(content)
    except ValueError as problem:
        raise error(f"cannot be read as JSON: {problem}.", file=file, remedy=remedy) from problem
    if not isinstance(value, dict):
        raise error("does not contain a JSON object.", file=file, remedy=remedy)
    sealed = value.pop(SEAL, None)
    if sealed is not None and sealed != digest_value(value):
        raise error(f"was altered: its entries differ from its {SEAL!r}.", file=file, remedy=remedy)
    if form is not None:
        try:
            form.check(value, "")
        except FormError as problem:
            raise error(f"is damaged: {problem}.", file=file, remedy=remedy) from problem
    return value


def seal(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with its digest, which `read_object` compares."""
    return {**value, SEAL: digest_value(value)}


def digest_value(value: Any) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys and the spaces of its text."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _refuse_number(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _read_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


def _require_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for item in level if isinstance(item, dict | list) for inner in _list_items(item)]
        if not level:
            return
    raise ValueError(f"it has more than {DEEPEST} levels")


def _list_items(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
