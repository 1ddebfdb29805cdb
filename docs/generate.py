"""Write what the documentation takes from the code: `python docs/generate.py`. Tests compare the pages with it.

`cli.md` has the output of commands between its markers. They run at 80 columns in an empty folder, without plugins, so
that the output is the same everywhere.

    <!-- output: vsezoo list-models -->
    …
    <!-- end -->

`reference.md` has the docstrings of the interfaces, `benchmarks.md` the runs of `benchmarks/measured.jsonl`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from abc import ABC
from collections.abc import Iterator
from dataclasses import is_dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from vsezoo.recipe.signatures import ChecksOptions

PAGE = Path(__file__).with_name("cli.md")
REFERENCE = Path(__file__).with_name("reference.md")
BENCHMARKS = Path(__file__).with_name("benchmarks.md")
MEASURED = Path(__file__).parents[1] / "benchmarks" / "measured.jsonl"
INTERFACES = (
    "batch",
    "inputs",
    "interfaces",
    "explanation.protocols",
    "pretrained.external",
    "recipe",
    "recipe.recipe",
    "recipe.settings",
    "recipe.options",
    "recipe.published",
    "data.source",
    "conversion.importer",
    "errors",
)
"""The modules whose public classes and functions are in the reference."""
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises):$")
WIDTH = 120
"""Columns of a signature."""
RUNS = re.compile(r"(<!-- measured -->\n)[\s\S]*?(?=<!-- end -->)")
MACHINE = ("cores", "accelerator", "threads", "load", "python", "torch", "numpy")
"""What the page says about the machine of a run, besides the processor."""
PROGRAM = """
import json, sys
from click.testing import CliRunner
from vsezoo.cli import main

outputs = []
for arguments in json.load(sys.stdin):
    done = CliRunner().invoke(main, arguments, prog_name="vsezoo", terminal_width=78, catch_exceptions=False)
    if done.exit_code:
        sys.exit(done.output)
    outputs.append(done.stdout)
print(json.dumps(outputs))
"""
"""Reads lists of arguments, and writes what `vsezoo` prints for each; of 80 columns click fills 78."""
BLOCK = re.compile(r"(<!-- output: (?P<command>[^\n]+) -->\n)[\s\S]*?(?=<!-- end -->)")


def main() -> None:
    """Write the pages."""
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    REFERENCE.write_text(render_reference(), encoding="utf-8")
    measured = [json.loads(line) for line in MEASURED.read_text(encoding="utf-8").splitlines()]
    BENCHMARKS.write_text(render_runs(BENCHMARKS.read_text(encoding="utf-8"), measured), encoding="utf-8")


def render(text: str) -> str:
    """Return a page with the present outputs between its markers."""
    outputs = run([match["command"] for match in BLOCK.finditer(text)])
    return BLOCK.sub(lambda match: f"{match[1]}\n```text\n{outputs[match['command']]}\n```\n\n", text)


def run(commands: list[str]) -> dict[str, str]:
    """Return what commands print, without spaces at the ends of lines. One process runs all of them in turn."""
    outputs = json.loads(run_program(json.dumps([shlex.split(command)[1:] for command in commands])))
    return {
        command: "\n".join(line.rstrip() for line in output.strip().splitlines())
        for command, output in zip(commands, outputs, strict=True)
    }


def run_program(given: str) -> str:
    """Return what `PROGRAM` writes when it reads this, in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            input=given,
            cwd=folder,
            env=make_environment(),
            stdout=subprocess.PIPE,
            encoding="utf-8",
            check=True,
        )
    return done.stdout


def make_environment() -> dict[str, str]:
    """Return the environment of the program: nothing of the caller's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    return {**kept, "COLUMNS": "80", "PYTHONUTF8": "1", "VSEZOO_PLUGINS": "none"}


def render_runs(text: str, measured: list[dict[str, Any]]) -> str:
    """Return a page with the tables of these runs between its markers: one for each command, a column for each run."""
    commands: dict[str, list[dict[str, Any]]] = {}
    for run in measured:
        commands.setdefault(shlex.join(["python", f"benchmarks/{run['script']}", *run["arguments"]]), []).append(run)
    lines = []
    for command, runs in commands.items():
        found = [{(figure["name"], figure["unit"]): figure["value"] for figure in run["figures"]} for run in runs]
        names = dict.fromkeys(name for figures in found for name in figures)
        columns = [f"`{run['commit']}`, {run['date']}" for run in runs]
        rows = [[name, unit, *(_show(figures.get((name, unit))) for figures in found)] for name, unit in names]
        lines += ["", f"## {runs[0]['script'].removesuffix('.py')}", "", f"`{command}`", ""]
        lines += [f"| {' | '.join(['figure', 'unit', *columns])} |", "|---" * (2 + len(runs)) + "|"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines += ["", *(f"- `{run['commit']}`: {_describe_machine(run)}" for run in runs)]
    return RUNS.sub(lambda match: match[1] + "\n".join([*lines, "", ""]), text)


def _describe_machine(run: dict[str, Any]) -> str:
    return ", ".join([run["processor"], *(f"{name} {run[name]}" for name in MACHINE if run.get(name) is not None)])


def _show(value: float | str | None) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def render_reference() -> str:
    """Return the page of the interfaces."""
    lines = [
        "# Interfaces",
        "",
        "What the parts of a model are, from their docstrings: `python docs/generate.py` writes this page. How they",
        "are registered is in [plugins](plugins.md), how they are checked in [testing](testing.md).",
    ]
    for name in INTERFACES:
        module = importlib.import_module(f"vsezoo.{name}")
        lines += ["", f"## {module.__name__}", "", *render_docstring(module), *_render_attributes(module)]
        for thing in _list_public(module):
            lines += ["", f"### {thing.__name__}", "", *_render_object(thing), *_render_attributes(thing)]
            members = vars(thing).items() if isinstance(thing, type) else ()
            for method, member in members:
                function = getattr(member, "__func__", member)
                wanted = not method.startswith("_") or method in getattr(thing, "__abstractmethods__", ())
                if inspect.isfunction(function) and wanted and function.__doc__:
                    lines += ["", f"#### {thing.__name__}.{method}", "", *_render_object(function)]
    return "\n".join(lines) + "\n"


def _list_public(module: ModuleType) -> Iterator[Any]:
    """Yield the classes and functions that a module defines, in the order of its source."""
    for name, thing in vars(module).items():
        home = getattr(thing, "__module__", None) == module.__name__
        if home and not name.startswith("_") and callable(thing) and getattr(thing, "__name__", None) == name:
            yield thing


def _render_object(thing: Any) -> list[str]:
    """Return the lines about a class or function: how it is called, and its docstring."""
    bases = [base.__name__ for base in getattr(thing, "__bases__", ()) if base not in (object, ABC, ChecksOptions)]
    if isinstance(thing, type):
        call = f"class {thing.__name__}" + (f"({', '.join(bases)})" if bases else "")
        if is_dataclass(thing):
            call += "".join(
                f"\n{line}" for line in re.findall(r"^    \w+: \S.*", inspect.getsource(thing), re.MULTILINE)
            )
    else:
        call = f"def {thing.__name__}{inspect.signature(thing)}"
        if len(call) > WIDTH:
            parameters = inspect.signature(thing).parameters.values()
            returned = call.rpartition(" -> ")[2]
            call = f"def {thing.__name__}(" + "".join(f"\n    {p}," for p in parameters) + f"\n) -> {returned}"
        call = "@abstractmethod\n" * getattr(thing, "__isabstractmethod__", False) + call.replace("'", "")
    return ["```text", *call.splitlines(), "```", "", *render_docstring(thing)]


def _render_attributes(thing: Any) -> list[str]:
    """Return a list of what a module or class has below a name: the string that stands under an assignment."""
    tree = ast.parse(inspect.getsource(thing))
    body = tree.body if inspect.ismodule(thing) else tree.body[0].body  # type: ignore[attr-defined]
    lines = []
    for statement, below in pairwise(body):
        if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(below, ast.Expr):
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            text = getattr(below.value, "value", None)
            if isinstance(text, str) and not ast.unparse(target).startswith("_"):
                shown = statement if len(ast.unparse(statement)) <= 2 * WIDTH else target  # no long tables
                lines.append(f"- `{ast.unparse(shown)}`: {' '.join(text.split())}")
    return ["", *lines] if lines else []


def render_docstring(thing: Any) -> list[str]:
    """Return a docstring as Markdown: what stands in a section, such as Args, becomes a list."""
    lines: list[str] = []
    inside = False
    for line in (inspect.getdoc(thing) or "").splitlines():
        if SECTION.match(line):
            inside = True
            lines += [f"{line.removesuffix(':')}:", ""]
        elif inside and re.match(r"    \S", line):
            name, colon, text = line.strip().partition(": ")
            lines.append(f"- `{name}`: {text}" if colon and " " not in name.strip("`*") else f"- {line.strip()}")
        elif inside and line.startswith("        "):
            lines.append(f"  {line.strip()}")
        else:
            inside = inside and not line.strip()
            lines.append(line)
    return lines


if __name__ == "__main__":
    main()
