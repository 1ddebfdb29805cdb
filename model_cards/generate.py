"""Write the model cards of all recipes, and the measured tables of the pages, from `measured.json`.

    python model_cards/generate.py            writes them
    python model_cards/generate.py --check    exits with 1 where they are not current

`measured.json` is the one place of measured figures. It holds machines by their name, and runs:

    id         what `docs/results.md` names the run by, between `<!-- measured: ID … -->` and `<!-- end -->`
    recipe, data, split, protocol
    label      what tells the run from others of the recipe, as Markdown
    command    as it was called, with {seed} where the seed stands
    precision, hardware (a name of a machine), commit (null: not recorded), note
    next to     figures of others for the same task, with their source, for the README; may be left out
    seeds      for each seed: i2t and t2i (R@1, R@5, R@10 in percent, MedR, MeanR; null: not recorded), rsum, cost

A card is written for each recipe of this distribution, and the card of a recipe that is gone is removed. Its chapter is
the docstring of the recipe's module.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from vsezoo import registry
from vsezoo.cards.command import flatten
from vsezoo.evaluation.metrics import PROTOCOLS
from vsezoo.parts import load_part, resolve_recipe
from vsezoo.recipe import PART_KINDS, Paper, Recipe

FOLDER = Path(__file__).parent
TEMPLATE = FOLDER / "template.md"
MEASURED = FOLDER / "measured.json"
RESULTS = FOLDER.parent / "docs" / "results.md"
README = FOLDER.parent / "README.md"
ORIGINALS = FOLDER.parent / "docs" / "originals.md"
BLOCK = re.compile(r"(<!-- (?P<form>measured|overview|ranks|originals): (?P<ids>[^\n]+) -->\n)[\s\S]*?(?=<!-- end -->)")

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


def main() -> None:
    """Write what is not current, or name it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a file is not current")
    options = parser.parse_args()
    outdated = find_outdated()
    for file, text in outdated.items():
        if options.check:
            print(f"{file.relative_to(FOLDER.parent)} is not current: run python model_cards/generate.py")
        elif text is None:
            file.unlink()
        else:
            file.write_text(text, encoding="utf-8")
    sys.exit(1 if options.check and outdated else 0)


def find_outdated() -> dict[Path, str | None]:
    """Return the files that are not current, each with what it should hold; None: it should not be there."""
    runs = read_runs()
    wanted: dict[Path, str | None] = {}
    for recipe in list_recipes():
        wanted[FOLDER / f"{recipe.name}.md"] = render_card(recipe, runs)
    for page in (RESULTS, README, ORIGINALS):
        wanted[page] = render_tables(page.read_text(encoding="utf-8"), runs)
    for file in set(FOLDER.glob("*.md")) - wanted.keys() - {TEMPLATE}:
        wanted[file] = None
    return {file: text for file, text in wanted.items() if not file.exists() or file.read_text("utf-8") != text}


def read_runs() -> list[Run]:
    """Read `measured.json`, each machine's name replaced by what it is."""
    value = json.loads(MEASURED.read_text(encoding="utf-8"))
    return [
        Run(**{**run, "hardware": value["hardware"][run["hardware"]], "seeds": [Seed(**seed) for seed in run["seeds"]]})
        for run in value["runs"]
    ]


def list_recipes() -> list[Recipe]:
    """Return the recipes of this distribution, each once, whatever other names it has."""
    loaded = (entry.load() for entry in registry.list_entries("models") if entry.distribution == registry.OWN)
    return list({recipe.name: recipe for recipe in loaded}.values())


def render_card(recipe: Recipe, runs: Iterable[Run]) -> str:
    """Return the card of a recipe as Markdown with a YAML head."""
    own = [run for run in runs if run.recipe == recipe.name]
    known = [name_collection(data) for data in (*(result.data for result in recipe.published), *recipe.overrides)]
    measured = {name_collection(run.data) for run in own}
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"show": show, "tabulate": tabulate}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        recipe=recipe,
        chapter=read_chapter(recipe),
        parts={kind: describe_part(recipe, kind) for kind in PART_KINDS},
        settings=flatten(resolve_recipe(recipe)),
        runs=own,
        absent=[data for data in dict.fromkeys(known) if data not in measured],
        citation=cite(recipe.paper) if recipe.paper else "",
    )


def read_chapter(recipe: Recipe) -> str:
    """Return the docstring of the module that holds the recipe, without its first line, the title of the paper."""
    module = importlib.import_module(registry.find("models", recipe.name).value.partition(":")[0])
    return inspect.cleandoc(module.__doc__ or "").partition("\n")[2].strip()


def describe_part(recipe: Recipe, kind: str) -> str:
    """Return the first paragraph of what a part says of itself, in one line."""
    return " ".join(inspect.cleandoc(load_part(recipe, kind).__doc__ or "").partition("\n\n")[0].split())


def name_collection(data: str) -> str:
    """Return what the data sets of one collection share: f8k_precomp and f8k are both Flickr8K."""
    return data.split("_")[0]


def cite(paper: Paper) -> str:
    """Return a paper as an entry for BibTeX."""
    authors = re.split(r",\s*|\s+and\s+", paper.authors)
    form, place = ("misc", "howpublished") if paper.venue == "arXiv" else ("inproceedings", "booktitle")
    fields = {
        "title": f"{{{paper.title}}}",  # twice in braces: BibTeX would change its capitals
        "author": " and ".join(authors),
        place: paper.venue,
        "year": str(paper.year),
        "url": paper.url,
    }
    key = f"{authors[0].split()[-1].lower()}{paper.year}{re.split(r'[^a-z0-9]', paper.title.lower())[0]}"
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{form}{{{key},", *lines, "}"])


def render_tables(text: str, runs: Sequence[Run]) -> str:
    """Return a page with the present tables between its markers."""
    by_id = {run.id: run for run in runs}

    def render(match: re.Match[str]) -> str:
        if match["form"] == "originals":
            return f"{match[1]}\n{tabulate_originals(match['ids'], list_recipes(), by_id)}\n\n"
        form = {"measured": tabulate, "overview": tabulate_briefly, "ranks": tabulate_ranks}[match["form"]]
        return f"{match[1]}\n{form([by_id[name] for name in match['ids'].split()])}\n\n"

    return BLOCK.sub(render, text)


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


def tabulate_briefly(runs: Iterable[Run]) -> str:
    """Return a table with a row for each run: R@1 in the mean of its seeds, rsum with its spread, figures of others."""
    rows = ["| model | data | i2t R@1 | t2i R@1 | rsum | seeds | for comparison |", "|---|---|---|---|---|---|---|"]
    for run in runs:
        ways = zip(*((seed.i2t, seed.t2i) for seed in run.seeds), strict=True)
        first = [show(statistics.mean(figures[0] or 0 for figures in way)) for way in ways]
        sums = [seed.rsum for seed in run.seeds]
        total = spread(sums) if len(sums) > 1 else show(sums[0])
        rows.append(f"| {run.label} | `{run.data}` | {' | '.join(first)} | **{total}** | {len(sums)} | {run.beside} |")
    return "\n".join(rows)


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


def tabulate_originals(collection: str, recipes: Iterable[Recipe], runs: Mapping[str, Run]) -> str:
    """Return the published figures of the originals on a collection of data, each next to our own."""
    rows = [
        "| recipe | features, protocol | theirs, i2t R@1/5/10 (MedR) | theirs, t2i | ours, i2t | ours, t2i | source |",
        "|---|---|---|---|---|---|---|",
    ]
    by_name = {recipe.name: recipe for recipe in recipes}
    for name in SEEDS:
        own = OURS.get((name, collection))
        ours = ["not measured"] * 2 if own is None else _average_recalls(runs[own])
        for result in (one for one in by_name[name].published if name_collection(one.data) == collection):
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


if __name__ == "__main__":
    main()
