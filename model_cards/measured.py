"""The measured figures of the recipes, and the tables that pages have of them.

`measured.json` is the one place of measured figures. It holds machines by their name, and runs:

    id         what `docs/results.md` names the run by, between `<!-- measured: ID … -->` and `<!-- end -->`;
               RECIPE-DATA is that of the recipe as it is, which the page of the model has
    recipe, data, split, protocol
    label      what tells the run from others of the recipe, as Markdown
    command    as it was called, with {seed} where the seed stands
    precision, hardware (a name of a machine), commit (null: not recorded), note
    next to     figures of others for the same task, with their source, for the README; may be left out
    seeds      for each seed: i2t and t2i (R@1, R@5, R@10 in percent, MedR, MeanR; null: not recorded), rsum, cost
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsezoo.evaluation.metrics import PROTOCOLS
from vsezoo.recipe import Recipe

MEASURED = Path(__file__).with_suffix(".json")

Figures = Sequence[float | None]


@dataclass(frozen=True)
class Seed:
    """The figures of one seed of a run: of each direction R@1, R@5, R@10, MedR and MeanR."""

    seed: int
    i2t: Figures
    t2i: Figures
    rsum: float
    cost: str


@dataclass(frozen=True)
class Run:
    """What was measured with one command; see the top of the file."""

    id: str
    recipe: str
    data: str
    split: str
    protocol: str
    label: str
    command: str
    precision: str
    hardware: str
    commit: str | None
    note: str
    seeds: Sequence[Seed]
    beside: str = ""

    @property
    def commands(self) -> list[str]:
        """The command of each seed."""
        return [self.command.format(seed=figures.seed) for figures in self.seeds]


def read_runs() -> list[Run]:
    """Read `measured.json`, each machine's name replaced by what it is."""
    value = json.loads(MEASURED.read_text(encoding="utf-8"))
    return [
        Run(**{**run, "hardware": value["hardware"][run["hardware"]], "seeds": [Seed(**seed) for seed in run["seeds"]]})
        for run in value["runs"]
    ]


def name_collection(data: str) -> str:
    """Return what the data sets of one collection share: f8k_precomp and f8k are both Flickr8K."""
    return data.split("_")[0]


def tabulate(runs: Iterable[Run]) -> str:
    """Return a table: a row for each seed, and one for mean and standard deviation where a run has several."""
    rows = [
        "| run, seed | i2t R@1/5/10, MedR | t2i R@1/5/10, MedR | rsum | cost |",
        "|---|---|---|---|---|",
    ]
    for run in runs:
        for seed in run.seeds:
            ways = " | ".join(f"{'/'.join(map(show, way[:3]))}, {show(way[3], 'g')}" for way in (seed.i2t, seed.t2i))
            rows.append(f"| {run.label}, {seed.seed} | {ways} | {show(seed.rsum)} | {seed.cost} |")
        if len(run.seeds) > 1:
            recalls = [[way[:3] for way in ways] for ways in zip(*((s.i2t, s.t2i) for s in run.seeds), strict=True)]
            ways = " | ".join(" / ".join(map(spread, zip(*way, strict=True))) for way in recalls)
            rsum = spread([seed.rsum for seed in run.seeds])
            rows.append(f"| {run.label}, **mean ± standard deviation** | {ways} | **{rsum}** | |")
    return "\n".join(rows)


def tabulate_briefly(runs: Iterable[Run], recipes: Mapping[str, Recipe]) -> str:
    """Return a table with a row for each run: R@1 in the mean of its seeds, rsum with its spread, figures of others."""
    rows = [
        "| model | data | i2t R@1 | t2i R@1 | rsum | seeds | original code, or a port | paper, R@1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        ways = zip(*((seed.i2t, seed.t2i) for seed in run.seeds), strict=True)
        first = [show(statistics.mean(figures[0] or 0 for figures in way)) for way in ways]
        published = [one for one in recipes[run.recipe].published if one.source == "paper"]
        paper = [
            f"{show(one.i2t[0])} and {show(one.t2i[0])}, {one.features}"
            for one in published
            if name_collection(one.data) == name_collection(run.data)
        ]
        others = f"{run.beside or '–'} | {'; '.join(paper) or '–'}"
        rows.append(
            f"| {run.label} | `{run.data}` | {' | '.join(first)} | **{total(run)}** | {len(run.seeds)} | {others} |"
        )
    return "\n".join(rows)


def tabulate_recipes(recipes: Iterable[Recipe], runs: Mapping[str, Run]) -> str:
    """Return a table with a row for each recipe: the rsum measured here, R@1 of others, and the card with the rest."""
    rows = ["| recipe | rsum, measured here | published R@1, i2t and t2i | card |", "|---|---|---|---|"]
    for recipe in recipes:
        own = [run for run in runs.values() if run.id == f"{recipe.name}-{run.data}"]
        measured = ", ".join(f"{total(run)} on `{run.data}`" for run in own)
        published = dict[str, str]()
        for one in recipe.published:
            split = one.data if one.protocol == "full" else f"{one.data} {one.protocol}"
            published.setdefault(split, f"{split} {show(one.i2t[0])} and {show(one.t2i[0])}")
        card = f"[{recipe.name}](../model_cards/{recipe.name}.md)"
        rows.append(f"| `{recipe.name}` | {measured or 'no'} | {', '.join(published.values()) or '–'} | {card} |")
    return "\n".join(rows)


def total(run: Run) -> str:
    """Return the rsum of a run, with its spread if there are several seeds."""
    sums = [seed.rsum for seed in run.seeds]
    return spread(sums) if len(sums) > 1 else show(sums[0])


def tabulate_ranks(runs: Iterable[Run]) -> str:
    """Return a table of mean ranks, with a row for each seed."""
    rows = ["| run, seed | mean rank i2t | mean rank t2i |", "|---|---|---|"]
    for run in runs:
        for seed in run.seeds:
            rows.append(f"| {run.label}, {seed.seed} | {show(seed.i2t[4])} | **{show(seed.t2i[4])}** |")
    return "\n".join(rows)


SEEDS = ("kiros-lstm", "kiros-gru", "order", "vse0", "vsepp", "vsrn")
"""The recipes whose originals have tables of their own, in the order of the page."""
OURS = {("kiros-lstm", "f8k"): "kiros-lstm-f8k_precomp", ("kiros-gru", "f8k"): "kiros-gru-f8k_precomp"}
"""The runs that stand next to published figures, by recipe and collection of data."""


def tabulate_originals(collection: str, recipes: Mapping[str, Recipe], runs: Mapping[str, Run]) -> str:
    """Return the published figures of the originals on a collection of data, each next to our own."""
    rows = [
        "| recipe | features, protocol | theirs, i2t R@1/5/10 (MedR) | theirs, t2i | ours, i2t | ours, t2i | source |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in SEEDS:
        own = OURS.get((name, collection))
        ours = ["not measured"] * 2 if own is None else _average_recalls(runs[own])
        for result in (one for one in recipes[name].published if name_collection(one.data) == collection):
            theirs = [
                "/".join(map(show, way)) + ("" if median is None else f" ({median:g})")
                for way, median in ((result.i2t, result.i2t_medr), (result.t2i, result.t2i_medr))
            ]
            how = ", ".join(filter(None, (result.features, PROTOCOLS.get(result.protocol, result.protocol))))
            rows.append(f"| `{name}` | {how} | {' | '.join([*theirs, *ours])} | {result.source} |")
    return "\n".join(rows)


def _average_recalls(run: Run) -> list[str]:
    """Return the recalls of both directions in the mean of the seeds, and how many there are."""
    ways = zip(*((seed.i2t, seed.t2i) for seed in run.seeds), strict=True)
    means = [
        "/".join(show(statistics.mean(column)) for column in zip(*(f[:3] for f in way), strict=True)) for way in ways
    ]
    return [means[0], f"{means[1]} ({len(run.seeds)} seeds)"]


def spread(sample: Sequence[Any]) -> str:
    """Return the mean and the standard deviation of a sample."""
    return f"{show(statistics.mean(sample))} ± {show(statistics.stdev(sample))}"


def show(figure: float | None, form: str = ".1f") -> str:
    """Return a figure as tables have it."""
    return "–" if figure is None else format(figure, form)
