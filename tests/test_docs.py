"""The documentation: commands that parse, examples that run, outputs that are current, links that lead somewhere."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import click
import processes
import pytest

import vsezoo
from vsezoo import registry
from vsezoo.cli import main
from vsezoo.cli.setting_flags import read_settings
from vsezoo.data.lookup import find_source
from vsezoo.data.shapes import scenes
from vsezoo.data.shapes.dataset import open_split, write_split
from vsezoo.parts import resolve_recipe
from vsezoo.training.plan import plan_recipe

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN_PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
RUN_PAGES += [ROOT / "docs" / f"{name}.md" for name in ("checkpoint", "convert", "python", "sets")]
"""Pages whose Python examples run, in their order, in a folder with the run `runs/vsepp-shapes`."""
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def name_page(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def generate(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("docs/generate.py")


def run_program(program: str, given: str, environment: dict[str, str]) -> None:
    """Run a program that reads this."""
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin = io.StringIO(given)
    exec(program, {"__name__": "__main__"})


@pytest.mark.process
def test_outputs_of_commands_are_current(generate: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run_forked(given: str) -> str:
        done = processes.run(tmp_path, run_program, generate.PROGRAM, given, generate.make_environment())
        assert done.code == 0, done.stderr
        return done.stdout

    monkeypatch.setattr(generate, "run_program", run_forked)
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    # Without white space: another version of click or rich may break lines elsewhere.
    assert "".join(generate.render(page).split()) == "".join(page.split()), "run: python docs/generate.py"


@pytest.mark.slow
def test_every_command_has_its_help_in_the_reference() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"<!-- output: vsezoo (\S+) --help -->", page))
    assert documented == {entry.name for entry in registry.list_entries("commands") if entry.distribution == "vsezoo"}


def find_commands(page: Path) -> Iterator[tuple[str, bool]]:
    """Yield the calls of vsezoo, and whether they stand in running text, where arguments may be left out."""
    text = re.sub(r"<!-- output: .*?<!-- end -->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    blocks += re.findall(r"^ {4}(.*)$", text, flags=re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    quoted = re.findall(r"`([^`\n]+)`", text)
    for line, running in [*((line, False) for line in lines), *((line, True) for line in quoted)]:
        for part in re.split("&&| > ", line):
            called = re.fullmatch(r"(?:python -m |torchrun .*-m )?(vsezoo .+?) *&?", part.strip())
            if called:
                yield called[1], running


COMMANDS = sorted({(name_page(page), *found) for page in PAGES for found in find_commands(page)})


def test_commands_are_found() -> None:
    found = [command for _, command, _ in COMMANDS]
    assert "vsezoo train vsepp" in found  # a line of a block, after &&
    assert "vsezoo train vsepp --data f8k_precomp --resume" in found
    assert len(found) > 30


@pytest.mark.usefixtures("unchecked_names")
@pytest.mark.parametrize(("page", "command", "running"), COMMANDS)
def test_command_parses(page: str, command: str, running: bool) -> None:
    arguments = [word for word in shlex.split(command, comments=True)[1:] if word != "…"]
    flags = {flag for parameter in main.params for flag in parameter.opts} | {"-h", "--help"}
    while arguments and arguments[0].startswith("-"):
        assert arguments.pop(0) in flags
    if not arguments or arguments[0].isupper() or arguments[0].startswith("example-"):
        return  # a placeholder, or a command of the example of a plugin
    found = registry.load("commands", arguments[0])
    with click.Context(main, info_name="vsezoo", **main.context_settings) as parent:
        try:
            context = found.make_context(arguments[0], arguments[1:], parent=parent)
        except (click.exceptions.Exit, click.exceptions.NoArgsIsHelpError):  # of --help, and of a group
            return
        except click.MissingParameter:  # found after the options have been parsed
            assert running
            return
    given = context.params
    model = given.get("model")
    if (
        model is None
        or model.isupper()
        or model.startswith(("example-", "hub:"))
        or "/" in model
        or model.endswith(".json")
    ):
        return
    assert model in registry.list_names("models")
    data = given.get("data") or "shapes"
    if data.isupper() or "://" in data or arguments[0] != "train":
        return
    find_source(data)
    assignments = given.pop("assignments")
    settings = read_settings(given, assignments)
    resolve_recipe(plan_recipe(model, data, settings))


def test_flags_of_the_original_code_are_all_in_the_table() -> None:
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| ")]
    cells = [row[2] for row in rows if len(row) == 5]
    known = {flag for p in registry.load("commands", "train").params for flag in (*p.opts, *p.secondary_opts)}
    named = {flag for cell in cells for flag in re.findall(r"--[\w-]+", cell)}
    assert named <= known
    assert len(named) > 20


TRAINING = "import vsezoo\nvsezoo.train('vsepp', settings={'training.num_epochs': 1, 'embed_size': 16}, device='cpu')"
SMALL = {"train": 400, "dev": 40, "test": 200}
SIZES = {"docs/python.md": {}, "docs/sets.md": {"dev": 40, "test": 100}}
"""Images of `shapes` for a page that prints numbers of all of them, and for one that learns; `SMALL` for others."""
NEXT_PROGRAM = "-- next program --"


def run_programs(programs: list[tuple[str, str]]) -> None:
    """Run programs with names and registrations of their own, after a training, and print what separates them."""
    processes.set_cache()
    sizes = dict(scenes.SPLITS)
    for name, program in [("the training", TRAINING), *programs]:
        scenes.SPLITS.update(sizes | SIZES.get(name, SMALL))
        for cached in (open_split, write_split):
            cached.cache_clear()
        with registry.session():
            exec(compile(program, name, "exec"), {"__name__": "__main__"})
        print(NEXT_PROGRAM, flush=True)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Run the examples of all pages and the notebooks in a folder in which `vsezoo train vsepp` was run."""
    programs = [(name_page(page), list_examples(page)) for page in RUN_PAGES]
    programs += [(name_page(notebook), read_notebook(notebook)) for notebook in NOTEBOOKS]
    done = processes.run(tmp_path_factory.mktemp("docs"), run_programs, programs)
    assert done.code == 0, done.stderr
    parts = [part.splitlines() for part in done.stdout.split(f"{NEXT_PROGRAM}\n")]
    return dict(zip((name for name, _ in programs), parts[1:], strict=False))


def read_notebook(notebook: Path) -> str:
    """Return the code of a notebook as a program: what Jupyter adds is not ours. They are stored without outputs."""
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells)
    return "\n".join("".join(cell["source"]) for cell in cells)


def list_examples(page: Path) -> str:
    lines, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = line == "```python"
            line = ""
        lines.append(line if inside else "")  # so that a traceback has the numbers of the page
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("page", RUN_PAGES, ids=name_page)
def test_python_examples_run(page: Path, printed: dict[str, list[str]]) -> None:
    program = list_examples(page)
    assert program.strip()
    remaining = iter(printed[name_page(page)])
    for line in re.findall(r"print\(.*\)  # (.+)$", program, flags=re.MULTILINE):
        assert line in remaining, f"{line!r} is not what the examples printed next:\n" + "\n".join(remaining)


def test_the_mistake_in_python_md_reads_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```text\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)[-1]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(vsezoo.VsezooError) as raised:
        vsezoo.load("runs/smal")
    assert f"{raised.value}\n" == shown


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), flags=re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target


def test_scripts_that_are_named_exist() -> None:
    for page in PAGES:
        for script in re.findall(r"python ((?:benchmarks|docs)/\w+\.py)", page.read_text(encoding="utf-8")):
            assert (ROOT / script).is_file(), f"{name_page(page)}: {script}"


def test_the_two_commands_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert "python -m pip install . && vsezoo train vsepp" in text
    assert "python -m pip install '.[test]' && pytest" in text


def test_the_readme_lists_every_model() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`[^|]+`) \|", text, flags=re.MULTILINE)
    listed = {name for cell in cells for name in re.findall(r"`([\w+-]+)`", cell)}
    own = {entry.load().name for entry in registry.list_entries("models") if entry.distribution == "vsezoo"}
    assert listed == own


def test_the_plugin_directory_lists_what_is_shipped() -> None:
    page = (ROOT / "docs" / "plugin-directory.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(vsezoo_\w+)` \|", page, flags=re.MULTILINE))
    assert listed == {folder.parent.name for folder in (ROOT / "plugins").glob("*/__init__.py")}


def test_every_benchmark_has_a_line() -> None:
    page = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(\w+\.py)`", page)) == {script.name for script in (ROOT / "benchmarks").glob("*.py")}


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(notebook: Path, printed: dict[str, list[str]]) -> None:
    assert any(printed[name_page(notebook)])
