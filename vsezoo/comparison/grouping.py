"""Which results belong together: the seeds of one model, or those of one name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vsezoo.comparison.hits import NAMES, Array, Result, measure, read_result
from vsezoo.errors import UsageError

SEED = "training.seed"


@dataclass(frozen=True)
class Group:
    """Results that make one row of a table: of one model, or of several that differ in their seeds.

    Attributes:
        name: in tables.
        results: one or more.
    """

    name: str
    results: Sequence[Result]

    @property
    def hits(self) -> Array:
        """`(N, 6)`, the mean over the results."""
        hits: Array = np.stack([result.hits for result in self.results]).mean(0)
        return hits

    @property
    def ranks(self) -> Array:
        """`(Q,)`, the geometric mean over the results."""
        logs: Array = np.stack([np.log(result.ranks) for result in self.results]).mean(0)
        return np.exp(logs)

    @property
    def figures(self) -> Array:
        """`(7, R)`, the figures of each of R results."""
        return np.stack([measure(result.hits.sum(0), result.weights.sum(0)) for result in self.results], axis=1)


def read_groups(references: Sequence[str], by: str | None = None) -> list[Group]:
    """Read results, and put together what belongs together.

    Args:
        references: files of predictions or folders with one; `NAME=PATH` gives a name, and those of one name are a
            group.
        by: "seeds" also puts together what differs in nothing but the seed; None: no more than the names say.

    Raises:
        DataError: for predictions that cannot be read.
        UsageError: if there is nothing to compare, or the same parameters are twice in a group.
    """
    named: dict[str, list[Result]] = {}
    for reference in references:
        name, _, path = reference.rpartition("=") if not Path(reference).exists() else ("", "", reference)
        if name:
            named.setdefault(name, []).append(read_result(name, Path(path)))
        elif by == "seeds":
            result = read_result(choose_name(Path(path)), Path(path))
            named.setdefault(json.dumps(_describe(result), sort_keys=True), []).append(result)
        else:
            named.setdefault(f"\0{path}", []).append(read_result(choose_name(Path(path)), Path(path)))
    groups = _name_groups(named, by)
    for group in groups:
        digests = [json.dumps([item.get("sha256") for item in r.evaluation["checkpoints"]]) for r in group.results]
        if len(set(digests)) < len(digests):
            remedy = "Give each run once. Without a group, the same model may be compared with itself."
            raise UsageError(f"The group {group.name!r} has the same model twice.", remedy=remedy)
    return groups


def choose_name(path: Path) -> str:
    """Return the name of predictions for which none is given: that of the run's folder or of the file."""
    parts = [part for part in (path.absolute().parent.name, path.stem) if part]
    if path.is_dir():
        parts = [path.absolute().parent.name, path.absolute().name]
    name = parts[-1]
    return parts[0] if name in ("predictions", "best") and len(parts) > 1 else name


def list_settings(result: Result) -> dict[str, Any]:
    """Return the settings of a result's recipe by dotted name; several recipes of an ensemble are one value."""
    recipes = result.about["recipes"]
    flat = _flatten(recipes[0]) if len(recipes) == 1 else {"ensemble": json.dumps(recipes, sort_keys=True)}
    return {name.replace(".options.", "."): value for name, value in flat.items()}


def _describe(result: Result) -> dict[str, Any]:
    """Return what the results of a group share."""
    settings = list_settings(result)
    if not settings:
        return {"name": result.name}
    return {name: value for name, value in settings.items() if name != SEED}


def _name_groups(named: Mapping[str, Sequence[Result]], by: str | None) -> list[Group]:
    """Return the groups with names that tell them apart: a recipe's, and what only it has set."""
    groups = []
    for key, results in named.items():
        name = results[0].name
        if by == "seeds" and key.startswith("{"):
            name = str(list_settings(results[0]).get("name", name))
        groups.append(Group(name if key.startswith(("{", "\0")) else key, results))
    for name in {group.name for group in groups}:
        same = [group for group in groups if group.name == name]
        if len(same) > 1:
            settings = [_describe(group.results[0]) for group in same]
            keys = sorted({key for one in settings for key in one if any(one.get(key) != s.get(key) for s in settings)})
            for group, one, place in zip(same, settings, _name_places(same), strict=True):
                differing = " ".join(f"{key}={json.dumps(one.get(key)).strip(chr(34))}" for key in keys)
                longer = f"{name} {differing}" if by == "seeds" and keys else place
                groups[groups.index(group)] = Group(longer, group.results)
    return groups


def _name_places(groups: Sequence[Group]) -> list[str]:
    """Return the folders of the first results of groups, or their files where those tell more."""
    files = [group.results[0].file for group in groups]
    folders = [file.parent if file.name in NAMES and file.parent.name else file for file in files]
    return list(map(str, folders if len(set(folders)) == len(files) else files))


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        flat |= _flatten(inner, f"{prefix}{name}.") if isinstance(inner, Mapping) else {f"{prefix}{name}": inner}
    return flat
