"""The model cards of the recipes and the tables of the results: current, and with no figure but measured ones."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from huggingface_hub import ModelCard

from vsezoo import registry
from vsezoo.recipe import Paper, PublishedResult

ROOT = Path(__file__).parent.parent
CARDS = sorted(path for path in (ROOT / "model_cards").glob("*.md") if path.name != "template.md")
RUNS = json.loads((ROOT / "model_cards" / "measured.json").read_text(encoding="utf-8"))["runs"]
SEEDS = [(run, seed) for run in RUNS for seed in run["seeds"]]
CALL = "run: python model_cards/generate.py"


@pytest.fixture(scope="module")
def generate(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("model_cards/generate.py")


@pytest.fixture(scope="module")
def measured(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("model_cards/measured.py")


@pytest.mark.slow
def test_cards_and_tables_are_current(generate: ModuleType) -> None:
    assert not generate.find_outdated(), CALL


def test_there_is_a_card_for_each_recipe_and_none_for_an_alias() -> None:
    entries = [entry for entry in registry.list_entries("models") if entry.distribution == "vsezoo"]
    assert {path.stem for path in CARDS} == {entry.load().name for entry in entries}
    assert "vse++" in {entry.name for entry in entries}
    assert not (ROOT / "model_cards" / "vse++.md").exists()


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_the_hub_reads_a_card(path: Path) -> None:
    card = ModelCard.load(path)
    assert card.data.to_dict()["tags"][-1] == path.stem
    assert card.data.license is None  # there are no weights to license
    prose = re.sub(r"`[^`\n]*`", "", card.text)
    assert not re.search(r"\bNone\b(?!( are known)?\.)|\{\{ |\{%|\n\n\n", prose)  # no holes of the template
    assert all(line == line.rstrip() for line in card.text.splitlines())


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_a_card_has_the_measured_figures_and_no_others(path: Path) -> None:
    section = path.read_text(encoding="utf-8").partition("## Measured results")[2].partition("## Limits")[0]
    rows = [line for line in section.splitlines() if re.match(r"\| `", line)]
    assert sum("±" not in row for row in rows) == len([run for run, _ in SEEDS if run["recipe"] == path.stem])
    for row in rows:
        assert any(is_row_of(row, run) for run in RUNS if run["recipe"] == path.stem), row
    assert rows or "Not measured" in section


def is_row_of(row: str, run: dict[str, Any]) -> bool:
    """Tell whether a row has the figures of a seed, or the mean and standard deviation of all seeds."""
    _, name, *cells = (cell.strip() for cell in row.strip("|\n").join("||").split("|")[:-1])
    found = [float(figure) for figure in re.findall(r"\d+(?:\.\d+)?", " ".join(cells[:3]))]
    columns = [[*seed["i2t"][:3], *seed["t2i"][:3], seed["rsum"]] for seed in run["seeds"]]
    if "±" in row:
        if len(run["seeds"]) == 1:
            return False
        pairs = [(statistics.mean(column), statistics.stdev(column)) for column in zip(*columns, strict=True)]
        expected = [figure for pair in pairs for figure in pair]
    else:
        seeds = [seed for seed in run["seeds"] if name == f"{run['label']}, {seed['seed']}"]
        if not seeds or cells[3] != seeds[0]["cost"]:
            return False
        expected = [*seeds[0]["i2t"][:4], *seeds[0]["t2i"][:4], seeds[0]["rsum"]]
    return name.startswith(run["label"]) and found == pytest.approx(expected, abs=0.0501)


@pytest.mark.parametrize(("run", "seed"), SEEDS, ids=lambda value: value.get("id", value.get("seed")))
def test_a_measurement_agrees_with_itself(run: dict[str, Any], seed: dict[str, Any]) -> None:
    recalls = [*seed["i2t"][:3], *seed["t2i"][:3]]
    assert seed["rsum"] == pytest.approx(sum(recalls), abs=0.31)  # each of six was rounded to 0.1
    for way in (seed["i2t"], seed["t2i"]):
        assert len(way) == 5
        assert 0 <= way[0] <= way[1] <= way[2] <= 100
        median, mean = way[3:]
        assert median >= 1
        assert median == 1 or way[0] < 50
        assert mean is None or mean >= 1


@pytest.mark.parametrize(("run", "seed"), SEEDS, ids=lambda value: value.get("id", value.get("seed")))
def test_the_command_of_a_measurement_is_a_training_of_its_recipe(run: dict[str, Any], seed: dict[str, Any]) -> None:
    program, command, *arguments = shlex.split(run["command"].format(seed=seed["seed"]))
    assert (program, command) == ("vsezoo", "train")
    found: click.Command = registry.load("commands", "train")
    given = found.make_context("train", arguments).params
    recipe = registry.load("models", given["model"])
    assert recipe.name == run["recipe"]
    assert (given["data"] or "shapes") == run["data"]
    assert (given["seed"] or 0) == seed["seed"]
    planned = recipe.for_data(run["data"]) if given["overrides"] else recipe
    assert (given["precision"] or planned.training.precision) == run["precision"]


def test_every_run_is_in_the_results() -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    named = [name for ids in re.findall(r"<!-- measured: (.+) -->", page) for name in ids.split()]
    assert sorted(named) == sorted(run["id"] for run in RUNS)


def test_mean_and_standard_deviation(measured: ModuleType) -> None:
    def seed(number: int, shift: float) -> Any:
        recalls = [10 + shift, 20 + shift, 30 + shift, 7, None]
        return measured.Seed(number, recalls, [1, 2, 3, 9, 12.5], 66 + 3 * shift, "1 min")

    shared = ("x", "vsepp", "d", "test", "full", "`x`", "vsezoo train x --seed {seed}", "fp32", "a machine", None, "")
    run = measured.Run(*shared, [seed(1, 0), seed(2, 2)])
    assert run.commands == ["vsezoo train x --seed 1", "vsezoo train x --seed 2"]
    *_, first, second, spread = measured.tabulate([run]).splitlines()
    assert first == "| `x`, 1 | 10.0/20.0/30.0, 7 | 1.0/2.0/3.0, 9 | 66.0 | 1 min |"
    assert second == "| `x`, 2 | 12.0/22.0/32.0, 7 | 1.0/2.0/3.0, 9 | 72.0 | 1 min |"
    # Of 10 and 12: mean 11, deviation sqrt(2). Of 66 and 72: mean 69, deviation sqrt(18).
    ways = "11.0 ± 1.4 / 21.0 ± 1.4 / 31.0 ± 1.4 | 1.0 ± 0.0 / 2.0 ± 0.0 / 3.0 ± 0.0"
    assert spread == f"| `x`, **mean ± standard deviation** | {ways} | **69.0 ± 4.2** | |"


def test_a_row_for_each_run_and_each_recipe(measured: ModuleType) -> None:
    def seed(number: int, shift: float) -> Any:
        return measured.Seed(number, [10 + shift, 20, 30, 7, None], [1, 2, 3, 9, 12.5], 66 + shift, "1 min")

    def published(data: str, first: float, source: str, protocol: str = "full") -> PublishedResult:
        return PublishedResult(data, (first, 2, 3), (4, None, 6), source, features="VGG", protocol=protocol)

    shared = ("test", "full", "`x`", "vsezoo train x --seed {seed}", "fp32", "a machine", None, "")
    several = measured.Run("x-d_1", "x", "d_1", *shared, [seed(1, 0), seed(2, 2)], "theirs: 60")
    one = measured.Run("x-d_1-wide", "x", "d_1", *shared, [seed(1, 0)])
    results = (published("d", 1, "a port"), published("d", 9, "paper"), published("e", 7, "paper", "fold5"))
    recipe = dataclasses.replace(registry.load("models", "vsepp"), name="x", published=results)
    bare = dataclasses.replace(recipe, name="bare", published=())

    *_, first, second = measured.tabulate_briefly([several, one], {"x": recipe}).splitlines()
    assert first == "| `x` | `d_1` | 11.0 | 1.0 | **67.0 ± 1.4** | 2 | theirs: 60 | 9.0 and 4.0, VGG |"
    assert second == "| `x` | `d_1` | 10.0 | 1.0 | **66.0** | 1 | – | 9.0 and 4.0, VGG |"
    *_, first, second = measured.tabulate_recipes([recipe, bare], {run.id: run for run in (several, one)}).splitlines()
    cells = "67.0 ± 1.4 on `d_1` | d 1.0 and 4.0, e fold5 7.0 and 4.0"
    assert first == f"| `x` | {cells} | [x](../model_cards/x.md) |"
    assert second == "| `bare` | no | – | [bare](../model_cards/bare.md) |"


def test_a_page_keeps_what_stands_outside_its_markers(generate: ModuleType, measured: ModuleType) -> None:
    runs = measured.read_runs()
    name = runs[0].id
    page = f"before\n\n<!-- measured: {name} -->\nstale\n<!-- end -->\n\nafter\n<!-- end -->\n"
    table = measured.tabulate([runs[0]])
    expected = f"before\n\n<!-- measured: {name} -->\n\n{table}\n\n<!-- end -->\n\nafter\n<!-- end -->\n"
    assert generate.render_tables(page, runs, []) == expected
    assert generate.render_tables(expected, runs, []) == expected


@pytest.mark.parametrize(
    ("authors", "venue", "expected"),
    [
        (
            "Faghri, Fleet",
            "BMVC",
            ["@inproceedings{faghri2018on,", "author = {Faghri and Fleet}", "booktitle = {BMVC}"],
        ),
        (
            "A. Author and B. Other",
            "arXiv",
            ["@misc{author2018on,", "{A. Author and B. Other}", "howpublished = {arXiv}"],
        ),
    ],
)
def test_citation(generate: ModuleType, authors: str, venue: str, expected: list[str]) -> None:
    entry = generate.cite(Paper("On CNN features", authors, 2018, venue))
    for text in (*expected, "title = {{On CNN features}}", "year = {2018}"):
        assert text in entry
    assert "url" not in entry
    assert entry.count("{") == entry.count("}")


@pytest.mark.slow
def test_check_names_what_is_not_current_and_writes_nothing(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, results = tmp_path / "model_cards", tmp_path / "results.md"
    folder.mkdir()
    results.write_text("no tables\n", encoding="utf-8")
    (folder / "gone.md").write_text("a recipe that is gone\n", encoding="utf-8")
    monkeypatch.setattr(generate, "FOLDER", folder)
    monkeypatch.setattr(generate, "PAGES", [results])

    def run(*flags: str) -> tuple[int, set[str]]:
        monkeypatch.setattr(sys, "argv", ["generate.py", *flags])
        with pytest.raises(SystemExit) as ending:
            generate.main()
        return int(ending.value.code or 0), {line.partition(" ")[0] for line in capsys.readouterr().out.splitlines()}

    names = {f"model_cards/{path.name}" for path in CARDS}
    assert run("--check") == (1, names | {"model_cards/gone.md"})
    assert [path.name for path in folder.iterdir()] == ["gone.md"]
    assert run() == (0, set())
    assert {f"model_cards/{path.name}" for path in folder.iterdir()} == names
    assert run("--check") == (0, set())
