"""Write the model cards of all recipes, and the measured tables of the pages, from `measured.json`.

    python model_cards/generate.py            writes them
    python model_cards/generate.py --check    exits with 1 where they are not current

`measured.py` says what `measured.json` holds. A card is written for each recipe of this distribution, and the card of a
recipe that is gone is removed. Its chapter is the docstring of the recipe's module.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import jinja2
from measured import (
    Run,
    name_collection,
    read_runs,
    show,
    tabulate,
    tabulate_briefly,
    tabulate_originals,
    tabulate_ranks,
    tabulate_recipes,
)

from vsezoo import registry
from vsezoo.parts import load_part, resolve_recipe
from vsezoo.recipe import PART_KINDS, Paper, Recipe

sys.path.append(str(Path(__file__).parents[1] / "docs"))

from outdated import list_outdated, write_outdated

FOLDER = Path(__file__).parent
TEMPLATE = FOLDER / "template.md"
PAGES = (FOLDER.parent / "README.md", *sorted((FOLDER.parent / "docs").glob("*.md")))
BLOCK = re.compile(
    r"(<!-- (?P<form>measured|overview|ranks|originals|recipes): (?P<ids>[^\n]+) -->\n)[\s\S]*?(?=<!-- end -->)"
)


def main() -> None:
    """Write what is not current, or name it."""
    write_outdated(__doc__, "model_cards/generate.py", find_outdated)


def find_outdated() -> dict[Path, str | None]:
    """Return the files that are not current, each with what it should hold; None: it should not be there."""
    runs, recipes = read_runs(), list_recipes()
    wanted: dict[Path, str | None] = {}
    for recipe in recipes:
        wanted[FOLDER / f"{recipe.name}.md"] = render_card(recipe, runs)
    for page in PAGES:
        wanted[page] = render_tables(page.read_text(encoding="utf-8"), runs, recipes)
    for file in set(FOLDER.glob("*.md")) - wanted.keys() - {TEMPLATE}:
        wanted[file] = None
    return list_outdated(wanted)


def list_recipes() -> list[Recipe]:
    """Return the recipes of this distribution, each once, whatever other names it has."""
    loaded = (entry.load() for entry in registry.list_entries("models") if entry.distribution == registry.OWN)
    return list({recipe.name: recipe for recipe in loaded}.values())


def render_card(recipe: Recipe, runs: Iterable[Run]) -> str:
    """Return the card of a recipe as Markdown with a YAML head."""
    own = [run for run in runs if run.recipe == recipe.name]
    known = [name_collection(data) for data in (*(result.data for result in recipe.published), *recipe.overrides)]
    measured = {name_collection(run.data) for run in own}
    return load_template().render(
        recipe=recipe,
        chapter=read_chapter(recipe),
        parts={kind: describe_part(recipe, kind) for kind in PART_KINDS},
        settings=resolve_recipe(recipe).flatten(),
        runs=own,
        absent=[data for data in dict.fromkeys(known) if data not in measured],
        citation=cite(recipe.paper) if recipe.paper else "",
    )


@functools.cache
def load_template() -> jinja2.Template:
    """Return the template of a card."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"show": show, "tabulate": tabulate}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def read_chapter(recipe: Recipe) -> str:
    """Return the docstring of the module that holds the recipe, without its first line, the title of the paper."""
    module = importlib.import_module(registry.find("models", recipe.name).value.partition(":")[0])
    return inspect.cleandoc(module.__doc__ or "").partition("\n")[2].strip()


def describe_part(recipe: Recipe, kind: str) -> str:
    """Return the first paragraph of what a part says of itself, in one line."""
    return " ".join(inspect.cleandoc(load_part(recipe, kind).__doc__ or "").partition("\n\n")[0].split())


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


def render_tables(text: str, runs: Sequence[Run], recipes: Sequence[Recipe]) -> str:
    """Return a page with the present tables between its markers."""
    by_id, by_name = {run.id: run for run in runs}, {recipe.name: recipe for recipe in recipes}

    def tabulate_block(form: str, names: Sequence[str]) -> str:
        if form == "originals":
            return tabulate_originals(names[0], by_name, by_id)
        if form == "recipes":
            return tabulate_recipes([by_name[name] for name in names], by_id)
        chosen = [by_id[name] for name in names]
        if form == "overview":
            return tabulate_briefly(chosen, by_name)
        return tabulate(chosen) if form == "measured" else tabulate_ranks(chosen)

    return BLOCK.sub(lambda match: f"{match[1]}\n{tabulate_block(match['form'], match['ids'].split())}\n\n", text)


if __name__ == "__main__":
    main()
