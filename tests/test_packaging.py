"""What is in the wheel, and that it works without the checkout."""

from __future__ import annotations

import ast
import configparser
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from vsezoo.errors import EXTRAS

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = {"PIL": "pillow"}
"""Modules whose names are not those of their packages."""


SERVED = "vsezoo/serving/"
"""Modules that only `vsezoo serve` imports, and so those of its extra."""


def list_packages(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[]", line)[0].replace("-", "_") for line in requirements}


@pytest.mark.slow
def test_what_is_imported_is_a_dependency_and_the_other_way_round() -> None:
    imported, served = set[str](), set[str]()
    for path in [*(ROOT / "vsezoo").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]:
        found = served if path.relative_to(ROOT).as_posix().startswith(SERVED) else imported
        for node in walk_executed(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(str(node.module).partition(".")[0])
    extra = list_packages(PROJECT["optional-dependencies"]["serve"])
    assert list_foreign(imported) == list_packages(PROJECT["dependencies"])
    assert list_foreign(served) - list_foreign(imported) == extra - {"python_multipart"}  # FastAPI imports that one


def walk_executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk a module, except what only type checkers read: no program needs what is imported there."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        is_typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        children = node.orelse if is_typing else ast.iter_child_nodes(node)
        waiting += [child for child in children if not isinstance(child, ast.expr)]  # no import stands in one


def list_foreign(modules: set[str]) -> set[str]:
    """Return the packages of modules that are neither Python's nor ours."""
    foreign = {name for name in modules - sys.stdlib_module_names if not name.startswith("vsezoo")}
    return {MODULES.get(name, name) for name in foreign}


def test_each_extra_is_in_all() -> None:
    extras = PROJECT["optional-dependencies"]
    (every,) = extras["all"]
    listed = set(every.removeprefix("vsezoo[").removesuffix("]").split(","))
    assert listed == set(extras) - {"all", "docs", "engine", "test", "dev"}
    assert set(EXTRAS.values()) <= set(extras)
    assert list_packages(extras["plot"]) == {"matplotlib"}
    assert extras["network"][0].startswith("fsspec[http]>=")


def test_every_source_file_is_in_the_wheel(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        path.relative_to(folder).as_posix()
        for folder, package in ((ROOT, "vsezoo"), (ROOT / "plugins", "*"))
        for top in folder.glob(package)
        for path in top.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {"vsezoo/py.typed", "vsezoo/cards/card_template.md", "vsezoo_vsepp/recipes.py"} <= wanted
    assert wanted - packed == set()
    assert {name for name in packed if ".dist-info/" not in name} - wanted == set()


def test_metadata(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = f"vsezoo-{PROJECT['version']}.dist-info"
    points = configparser.ConfigParser(delimiters="=")
    points.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    points.read_string(archive.read(f"{info}/entry_points.txt").decode())
    assert dict(points["console_scripts"]) == PROJECT["scripts"]
    groups = {group: dict(points[group]) for group in points.sections() if group != "console_scripts"}
    assert groups == PROJECT["entry-points"]
    license_text = archive.read(f"{info}/licenses/LICENSE").decode()
    assert license_text == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "END OF TERMS AND CONDITIONS" in license_text


def test_the_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    program = (
        "import sys, vsezoo, vsezoo_vsepp, vsezoo.cards.card as card; from vsezoo.cli import main; "
        "print(vsezoo.__file__, vsezoo_vsepp.__file__, card.TEMPLATE.is_file(), file=sys.stderr); main(['list-models'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "VSEZOO_PLUGINS": "none"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    assert done.stderr.split() == [
        str(site / "vsezoo" / "__init__.py"),
        str(site / "vsezoo_vsepp" / "__init__.py"),
        "True",
    ]
    assert "vsepp (vse++)" in done.stdout
