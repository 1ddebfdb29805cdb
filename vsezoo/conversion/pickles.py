"""Pickles of Python 2 and 3, protocols 0 to 5, read as plain data."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from vsezoo.conversion.files import MIB, Refusal, open_file, show
from vsezoo.conversion.pickle_contents import Namespace, Vocabulary
from vsezoo.conversion.pickle_machine import PickleMachine

LIMIT = 32 * MIB
"""Bytes of a pickle; as text of four bytes a letter, it would fill four times as many."""

DEPTH = 64
"""Containers inside each other."""

SIZE = 10_000_000
"""Values of a tree, what is in several places counted at each of them, and 64 letters as one."""

_LEAVES = (type(None), bool, int, float, complex, str, bytes, bytearray, np.ndarray)
_CONTAINERS = (dict, OrderedDict, list, tuple, set, frozenset, Namespace, Vocabulary)


def read_pickle(path: str | Path) -> Any:
    """Read a pickle; nothing of it is executed.

    A `str` of Python 2 becomes text, from UTF-8 or else Latin-1; an `argparse.Namespace` and an object of any class
    named `Vocabulary` become a `Record`; arrays become what `arrays.settle` makes of them, numpy's numbers those of
    Python.

    Returns:
        a tree of plain containers, numbers, strings, arrays and records; no container is inside itself.

    Raises:
        CheckpointError: for a file that is damaged, too large, or refers to anything else.
    """
    with open_file(Path(path), "a pickle of plain data", LIMIT) as file:
        stream = BytesIO(file.read())
        value = PickleMachine(stream).run()
        rest = len(stream.getbuffer()) - stream.tell()
        if rest:
            raise Refusal(f"goes on for {rest:,} bytes after its pickle.")
        require_tree(value)
        return value


def require_tree(root: Any, leaves: tuple[type, ...] = ()) -> None:
    """Refuse what would trouble those who walk through it: circles, depth, too many copies, and what is no plain data.

    Args:
        root: what a pickle gave.
        leaves: types that are allowed beside plain data.
    """
    allowed = (*_LEAVES, *leaves)
    measured: dict[int, tuple[int, int]] = {}  # the depth and the size of a container, by its id
    entered: set[int] = set()
    waiting: list[Any] = [[root]]  # in a list of its own, so that what is no container is checked, too
    while waiting:
        node = waiting[-1]
        depth, size, nested = 1, 1, []
        for value in _list_values(node):
            if type(value) in _CONTAINERS:
                if id(value) not in measured:
                    nested.append(value)
                    continue
                depth, size = max(depth, measured[id(value)][0] + 1), size + measured[id(value)][1]
            elif type(value) in allowed:
                size += 1 + (len(value) // 64 if isinstance(value, str | bytes | bytearray) else 0)
            else:
                raise Refusal(f"holds an object of type {show(type(value).__name__)}, which is no plain data.")
        if nested:
            if id(node) in entered:
                raise Refusal("has a container that is inside itself.")
            entered.add(id(node))
            waiting.extend(nested)
            continue
        if depth > DEPTH + 1:
            raise Refusal(f"has more than {DEPTH} containers inside each other.")
        if size > SIZE:
            raise Refusal("repeats its parts so often that they would fill the memory.")
        measured[id(node)] = depth, size
        waiting.pop()


def _list_values(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return [*node.keys(), *node.values()]
    if isinstance(node, Namespace | Vocabulary):
        return [node.attributes]
    return node  # type: ignore[no-any-return]
