"""`docs/reference.md` is what `docs/generate.py` makes of the docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from vsezoo import interfaces

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def generate(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("docs/generate.py")


@pytest.mark.slow
def test_the_page_is_current(generate: ModuleType) -> None:
    page = (DOCS / "reference.md").read_text(encoding="utf-8")
    assert generate.render_reference() == page, "run: python docs/generate.py"


def test_it_has_every_interface_with_all_that_is_abstract() -> None:
    page = (DOCS / "reference.md").read_text(encoding="utf-8")
    classes = {name: thing for name, thing in vars(interfaces).items() if inspect.isabstract(thing)}
    assert {"ImageEncoder", "TextEncoder", "Similarity", "Loss", "PairDataset"} <= classes.keys()
    for name, thing in classes.items():
        if thing.__module__ == interfaces.__name__:
            assert f"### {name}\n" in page
            for method in thing.__abstractmethods__:
                homes = [base.__name__ for base in thing.__mro__ if method in vars(base)]
                assert any(f"#### {home}.{method}\n" in page for home in homes), f"{name}.{method}"


def test_sections_of_docstrings_become_lists(generate: ModuleType) -> None:
    def example() -> None:
        """Do it.

        Args:
            first: one thing,
                told in two lines.

        Raises:
            ValueError: never.

        The end: at last.
        """

    lines = ["Do it.", "", "Args:", "", "- `first`: one thing,", "  told in two lines.", "", "Raises:", ""]
    assert generate.render_docstring(example) == [*lines, "- `ValueError`: never.", "", "The end: at last."]
