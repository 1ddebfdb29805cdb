"""Draw splits by group, so that pictures of one folder, video or near duplicates are in the same split."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from vsezoo.errors import UsageError, list_names

RULE = "groups in the order of their SHA-256: to test and to dev until they have their shares, the rest to train"
NAMED = 3


def group_by_folder(names: Sequence[str]) -> dict[str, str]:
    """Return the folder of each picture."""
    return {name: posixpath.dirname(name) for name in names}


def group_by_pattern(names: Sequence[str], pattern: str) -> dict[str, str]:
    r"""Return what a regular expression finds in each id: its first group if it has one, such as `(clip\d+)_`.

    Raises:
        UsageError: for an invalid expression, or ids in which it finds nothing.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{pattern!r} is not a regular expression: {error}.") from None
    found = {name: compiled.search(name) for name in names}
    if absent := [name for name, match in found.items() if match is None]:
        raise UsageError(
            f"{pattern!r} finds nothing in {len(absent):,} of the {len(names):,} ids: {list_names(absent, NAMED)}.",
            remedy="Give an expression that every id contains, or --group folder.",
        )
    return {name: match[min(1, compiled.groups)] for name, match in found.items() if match}


def draw_groups(groups: Mapping[str, str], dev: float, test: float) -> dict[str, str]:
    """Return the split of each picture, by `RULE`.

    Args:
        groups: group by picture id.
        dev: share of the pictures in dev, from 0 to 1.
        test: share of the pictures in test.

    Raises:
        UsageError: for too few groups for the three splits.
    """
    sizes = Counter(groups.values())
    wanted = {split: share for split, share in (("test", test), ("dev", dev)) if share > 0}
    if len(sizes) <= len(wanted):
        raise UsageError(
            f"There are {len(sizes)} groups, too few for three splits.",
            remedy="Group the pictures in another way, or leave --group out.",
        )
    order = sorted(sizes, key=lambda group: hashlib.sha256(group.encode(errors="surrogatepass")).digest())
    of_group: dict[str, str] = {}
    for number, (split, share) in enumerate(wanted.items()):
        filled, kept = 0, len(wanted) - number  # a group for each split that follows, train included
        while len(order) > kept and (not filled or filled + sizes[order[0]] / 2 <= share * len(groups)):
            filled += sizes[order[0]]
            of_group[order.pop(0)] = split
    return {name: of_group.get(group, "train") for name, group in groups.items()}
