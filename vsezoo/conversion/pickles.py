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
"""Most bytes of a pickle; decoded text may need four times as many."""

DEPTH = 64
"""Most levels of nested containers."""

SIZE = 10_000_000
"""Most values of a tree, counting shared values at each place and 64 characters as one."""

_LEAVES = (type(None), bool, int, float, complex, str, bytes, bytearray, np.ndarray)
_CONTAINERS = (dict, OrderedDict, list, tuple, set, frozenset, Namespace, Vocabulary)


def read_pickle(path: str | Path) -> Any:
    """Read a pickle; nothing in it is executed.

    A `str` of Python 2 becomes text, from UTF-8 or else Latin-1; an `argparse.Namespace` and an object of any class
    named `Vocabulary` become a `Record`; arrays are converted by `arrays.settle`, numpy scalars to Python numbers.

    Returns:
        a tree of plain containers, numbers, strings, arrays and records, without cycles.

    Raises:
        CheckpointError: for a file that is damaged, too large, or refers to anything else.
    """
    with open_file(Path(path), "a pickle of plain data", LIMIT) as file:
        stream = BytesIO(file.read())
        value = PickleMachine(stream).run()
        rest = len(stream.getbuffer()) - stream.tell()
        if rest:
            raise Refusal(f"has {rest:,} bytes after its pickle.")
        require_tree(value)
        return value


def require_tree(root: Any, leaves: tuple[type, ...] = ()) -> None:
    """Refuse trees that are unsafe to walk: cycles, deep nesting, too many copies, and objects that are not plain data.

    Args:
        root: the value of a pickle.
        leaves: types allowed in addition to plain data.
    """
    allowed = (*_LEAVES, *leaves)
    measured: dict[int, tuple[int, int]] = {}  # depth and size of a container, by its id
    entered: set[int] = set()
    waiting: list[Any] = [[root]]  # in a list, so that a root that is not a container is checked as well
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
                raise Refusal(f"holds an object of type {show(type(value).__name__)}, which is not plain data.")
        if nested:
            if id(node) in entered:
                raise Refusal("has a container that contains itself.")
            entered.add(id(node))
            waiting.extend(nested)
            continue
        if depth > DEPTH + 1:
            raise Refusal(f"has more than {DEPTH} levels of nested containers.")
        if size > SIZE:
            raise Refusal("repeats its parts so often that they would exhaust memory.")
        measured[id(node)] = depth, size
        waiting.pop()


def _list_values(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return [*node.keys(), *node.values()]
    if isinstance(node, Namespace | Vocabulary):
        return [node.attributes]
    return node  # type: ignore[no-any-return]
