"""The documentation site builds without a network, and its links and anchors lead somewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).parent.parent


@pytest.mark.process
@pytest.mark.slow
def test_the_site_builds(load_script: Callable[[str], ModuleType], capfd: pytest.CaptureFixture[str]) -> None:
    for package in ("zensical", "mkdocstrings_handlers"):
        pytest.importorskip(package)
    status = load_script("docs/site.py").main()
    assert status == 0, capfd.readouterr().out


def test_every_page_of_the_documentation_is_in_the_navigation(load_script: Callable[[str], ModuleType]) -> None:
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    listed = {Path(page) for page in list_pages(navigation) if page.startswith("docs/")}
    pages = {*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "notebooks").glob("*.ipynb")}
    written = {page.relative_to(ROOT).with_suffix(".md") for page in pages}
    assert listed == {*written, Path("docs/api.md")}


def test_a_notebook_becomes_a_page(load_script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    cells = [("markdown", ["# A title\n", "Words."]), ("code", ["import vsezoo\n", "vsezoo.load"])]
    notebook = tmp_path / "one.ipynb"
    notebook.write_text(json.dumps({"cells": [{"cell_type": kind, "source": source} for kind, source in cells]}))
    page = load_script("docs/site.py").render_notebook(notebook)
    code = "```python\nimport vsezoo\nvsezoo.load\n```"
    assert page == f"# A title\nWords.\n\n{code}\n\n[The notebook, for Jupyter](one.ipynb)\n"


@pytest.mark.parametrize("script", ["docs/draw.py", "docs/plot.py"])
def test_the_figures_are_current(script: str, load_script: Callable[[str], ModuleType]) -> None:
    assert load_script(script).find_outdated() == {}


def list_pages(entry: object) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    children = entry.values() if isinstance(entry, dict) else entry
    assert children is not None
    return [page for child in children for page in list_pages(child)]  # type: ignore[attr-defined]
