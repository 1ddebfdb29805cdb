"""Which runs a sweep has: a grid of settings or a list, each with some seeds. Imports no torch."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vsezoo.errors import UsageError, require_name, suggest_name
from vsezoo.recipe.values import parse_value
from vsezoo.storage.plain_file import explain_unread, read_plain
from vsezoo.sweeps.space import Search, read_choice

SEED = "training.seed"
KEYS = ("model", "data", "data_root", "output", "seeds", "set", "grid", "runs", "search", "full_dev", "use_restval")
NAME = "name"
LONGEST = 200
"""Bytes of a folder's name without the seed: file systems allow 255, and temporary names beside it are longer."""
EXAMPLE = 'Example: model = "vsepp", seeds = 3, and in [grid] "loss.margin" = [0.1, 0.2].'


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Attributes:
        name: of its folder.
        settings: changes to the recipe by dotted names, the seed included.
    """

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """A sweep.

    Attributes:
        model: a registered model or a recipe file.
        data: a registered data set or a folder; None: `shapes`.
        data_root: the folder that contains the data set's folder.
        output: the folder of the runs' folders; None: `runs/MODEL-DATA-sweep`.
        seeds: of each combination.
        settings: of all runs.
        grid: values by dotted names; every combination is a run.
        listed: settings of the runs of a list, instead of the grid or in addition to it; with `name`, the name of the
            run's folder in place of its settings.
        opening: `full_dev` and `use_restval`, as for a training run.
        search: what is searched for, in place of a grid and a list; None: nothing.
    """

    model: str
    data: str | None = None
    data_root: str | None = None
    output: Path | None = None
    seeds: Sequence[int] = (1,)
    settings: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    listed: Sequence[Mapping[str, Any]] = ()
    opening: Mapping[str, bool] = field(default_factory=dict)
    search: Search | None = None

    @property
    def folder(self) -> Path:
        """The folder of the runs' folders."""
        data = Path(self.data or "shapes").absolute().name
        return self.output or Path("runs") / f"{Path(self.model).stem}-{data}-sweep"

    def list_runs(self) -> list[PlannedRun]:
        """Return the runs: each combination with each seed, seeds of a combination as neighbours.

        Raises:
            UsageError: if two runs have the same settings.
        """
        combinations = [
            {**dict(zip(self.grid, values, strict=True)), **listed}
            for listed in (self.listed or [{}])
            for values in itertools.product(*self.grid.values())
        ]
        shorten = _choose_short_names([name for settings in combinations for name in settings if name != NAME])
        runs = []
        for settings in combinations:
            parts = [_write(settings[NAME])] if NAME in settings else []
            parts += [f"{shorten[k]}-{_write(v)}" for k, v in settings.items() if not parts or k in self.grid]
            name = _limit("_".join(parts))
            for seed in self.seeds:
                known = {key: value for key, value in settings.items() if key != NAME}
                runs.append(PlannedRun(f"{name}_seed-{seed}".lstrip("_"), {**self.settings, **known, SEED: seed}))
        names = [run.name for run in runs]
        if doubled := next((name for name in names if names.count(name) > 1), None):
            raise UsageError(f"The sweep has the run {doubled} twice.", remedy="Name each value and each seed once.")
        return runs


def read_plan(file: Path) -> Plan:
    """Read a plan.

    Raises:
        UsageError: for a file that cannot be read, and for unknown or impossible entries.
    """
    try:
        with explain_unread(file, UsageError):
            value = tomllib.loads(read_plain(file).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"is not TOML: {error}.", file=file, remedy=EXAMPLE) from error
    for key in value:
        if key not in KEYS:
            raise UsageError(f"has the unknown entry {key!r}.", file=file, remedy=suggest_name(key, KEYS, EXAMPLE))
    forms = {"model": str, "data": str, "data_root": str, "output": str, "set": dict, "grid": dict, "runs": list}
    for key, form in (forms | {"search": dict, "full_dev": bool, "use_restval": bool}).items():
        if not isinstance(value.get(key, form()), form):
            raise UsageError(f"the entry {key!r} has an impossible value.", file=file, remedy=EXAMPLE)
    if not value.get("model"):
        raise UsageError("names no model.", file=file, remedy=EXAMPLE)
    grid, listed = dict(_flatten(value.get("grid", {}))), value.get("runs", [])
    if any(not isinstance(values, list) or not values for values in grid.values()):
        raise UsageError("an entry of [grid] is not a list of values.", file=file, remedy=EXAMPLE)
    if any(not isinstance(item, dict) for item in listed):
        raise UsageError("an entry of [[runs]] is not a table.", file=file, remedy=EXAMPLE)
    return Plan(
        value["model"],
        value.get("data"),
        value.get("data_root"),
        Path(value["output"]) if "output" in value else None,
        read_seeds(value.get("seeds", 1), file),
        dict(_flatten(value.get("set", {}))),
        grid,
        [dict(_flatten(item)) for item in listed],
        {key: value[key] for key in ("full_dev", "use_restval") if key in value},
        _read_search(value["search"], file) if "search" in value else None,
    )


def _read_search(value: Mapping[str, Any], file: Path) -> Search:
    """Return the search of `[search]`."""
    for key in value:
        require_name("entry of [search]", key, ("trials", "prune", "seed", "space"))
    space = value.get("space", {})
    if not isinstance(space, dict) or not isinstance(value.get("prune", True), bool) or "trials" not in value:
        remedy = 'Example: trials = 20, and in [search.space] "loss.margin" = "0.05..0.5".'
        raise UsageError("[search] needs trials and space.", file=file, remedy=remedy)
    chosen = {name: read_choice(name, choice) for name, choice in _flatten(space)}
    return Search(value["trials"], chosen, value.get("prune", True), value.get("seed", 0))


def read_seeds(value: Any, file: Path | None = None) -> list[int]:
    """Return the seeds of a number, 3 meaning 1, 2 and 3, or of a list.

    Raises:
        UsageError: for anything else.
    """
    if type(value) is int and value > 0:
        return list(range(1, value + 1))
    if isinstance(value, list) and value and all(type(seed) is int and seed >= 0 for seed in value):
        return value
    remedy = "Give how many, such as 3 for the seeds 1, 2 and 3, or a list of numbers."
    raise UsageError(f"{value!r} is not a number of seeds.", file=file, remedy=remedy)


def split_values(text: str) -> list[Any]:
    """Return the values of `0.1,0.2`, or of a JSON list; what is not JSON is a string."""
    try:
        value = json.loads(f"[{text}]")
    except (ValueError, RecursionError):
        value = [parse_value(part.strip()) for part in text.split(",")]
    return value if len(value) != 1 or not isinstance(value[0], list) else value[0]


def _flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield settings by dotted name: `loss.margin = [...]` of TOML is a table in a table."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flatten(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner


def _choose_short_names(names: Sequence[str]) -> dict[str, str]:
    """Return the last part of dotted names, or all of a name whose last part another one has."""
    last = {name: name.rpartition(".")[2] for name in names}
    taken = list(last.values())
    return {name: short if taken.count(short) == 1 else name for name, short in last.items()}


def _limit(name: str) -> str:
    """Return a name that file systems allow: of a long one the beginning, and a digest of all of it."""
    whole = name.encode()
    if len(whole) <= LONGEST:
        return name
    digest = hashlib.sha256(whole).hexdigest()[:12]
    return f"{whole[: LONGEST - len(digest) - 1].decode(errors='ignore')}-{digest}"


def _write(value: Any) -> str:
    """Return a value as a part of a folder's name."""
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"[^\w.+-]+", "-", text).strip("-") or "none"
