"""Where something is defined, with nothing executed."""

from __future__ import annotations

import importlib
import inspect
import json
import json.decoder
import sys
from pathlib import Path

import pytest

from vsezoo import registry
from vsezoo.registry.audit.definitions import Definition, find_definition, find_module

SOURCE = """raise RuntimeError("executed")

class Part:
    value = 0
    class Inner:
        pass

@decorator
def function(): ...

first, (second, third) = 1, (2, 3)
typed: int = 4
if True:
    branch = 5
else:
    other = 6
try:
    tried = 7
except ValueError:
    caught = 8
first = 9
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("attribute", "line"),
    [
        ("Part", 3),
        ("Part.value", 4),
        ("Part.Inner", 5),
        ("function", 9),
        ("second", 11),
        ("typed", 12),
        ("branch", 14),
        ("other", 16),
        ("tried", 18),
        ("caught", 20),
        ("first", 21),
        ("absent", None),
        ("Part.absent", None),
        ("function.absent", None),
    ],
)
def test_the_line_of_a_definition(folder: Path, attribute: str, line: int | None) -> None:
    file = folder / "made_lines.py"
    file.write_text(SOURCE, encoding="utf-8")
    assert find_definition(f"made_lines:{attribute}") == Definition(str(file), line)
    assert "made_lines" not in sys.modules


def test_imported_names_are_followed(folder: Path) -> None:
    package = folder / "made_pack"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("from .deep.part import Real as Name\nfrom made_pack import deep\n")
    (package / "deep" / "__init__.py").write_text("from . import part\nfrom ..other import Far\n")
    (package / "deep" / "part.py").write_text("\n\nclass Real: ...\n")
    (package / "other.py").write_text("from json.decoder import JSONDecoder as Far\nfrom sys import path\n")
    real = Definition(str(package / "deep" / "part.py"), 3)
    assert find_definition("made_pack:Name") == real
    assert find_definition("made_pack:deep.part.Real") == real
    assert find_definition("made_pack.deep:part.Real") == real
    decoder = Definition(json.decoder.__file__, inspect.getsourcelines(json.JSONDecoder)[1])
    assert find_definition("made_pack.deep:Far") == decoder
    # Where the trace is lost, the last place that is known.
    assert find_definition("made_pack.other:path") == Definition(str(package / "other.py"), 2)
    assert not {name for name in sys.modules if name.startswith("made_pack")}


def test_names_that_import_each_other(folder: Path) -> None:
    (folder / "made_left.py").write_text("from made_right import thing")
    (folder / "made_right.py").write_text("from made_left import thing")
    assert find_definition("made_left:thing").line == 1


def test_what_cannot_be_imported_is_seen(folder: Path) -> None:
    assert find_definition("made_gone.part:x") == Definition(problem="ModuleNotFoundError: No module named 'made_gone'")
    (folder / "made_pack").mkdir()
    (folder / "made_pack" / "__init__.py").write_text("")
    assert find_definition("made_pack.part:x") == Definition()  # the package may make it when it is imported
    (folder / "made_bad.py").write_text("x = 1\ndef (:\n")
    bad = find_definition("made_bad:x")
    assert (bad.file, bad.line) == (str(folder / "made_bad.py"), 2)
    assert bad.problem.startswith("SyntaxError: invalid syntax")


def test_modules_without_source() -> None:
    assert find_definition("sys:path") == Definition()
    assert find_definition("") == Definition()
    compiled = find_definition("numpy._core._multiarray_umath:add")
    assert compiled.file is not None
    assert compiled.line is None


def test_a_faulty_import_hook_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hook:
        def find_spec(self, *arguments: object) -> None:
            raise RuntimeError("hook")

    monkeypatch.setattr(sys, "meta_path", [Hook()])
    assert find_definition("made_any:x") == Definition()


@pytest.mark.parametrize("kind", ["similarities", "losses", "text_encoders"])
def test_it_is_where_python_finds_it(kind: str) -> None:
    for entry in registry.list_entries(kind):
        if entry.own:
            thing = entry.load()
            found = find_definition(entry.value)
            assert found.file == inspect.getsourcefile(thing)
            lines, start = inspect.getsourcelines(thing)
            assert found.line in range(start, start + len(lines))
            assert f"class {thing.__name__}" in lines[int(found.line or 0) - start]


def test_a_module_is_found_as_python_finds_it() -> None:
    for name in ("json.decoder", "xml", "importlib.metadata._meta"):
        spec = find_module(name)
        assert spec is not None
        assert spec.origin == importlib.import_module(name).__spec__.origin
    assert find_module("json.absent") is None
    assert find_module("json.decoder.absent") is None
