"""`vsezoo.plugins`: everything that is registered, and where each is from."""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import vsezoo
from vsezoo import registry
from vsezoo.errors import UnknownNameError
from vsezoo.registry.audit.inventory import Plugin

Install = Callable[..., Path]


def find(distribution: str, **options: bool) -> list[Plugin]:
    found = vsezoo.plugins(distribution, **options)
    assert {plugin.distribution for plugin in found} == {distribution}
    return found


@pytest.mark.slow
def test_all_that_vsezoo_registers_is_there() -> None:
    own = find("vsezoo")
    assert {(plugin.kind, plugin.name) for plugin in own} == {
        (kind, entry.name) for kind in registry.KINDS for entry in registry.list_entries(kind) if entry.own
    }
    assert {plugin.state for plugin in own} == {"unchecked"}
    (vsepp,) = [plugin for plugin in own if (plugin.kind, plugin.name) == ("models", "vsepp")]
    assert vsepp.file is not None
    assert vsepp.line is not None
    assert Path(vsepp.file).read_text(encoding="utf-8").splitlines()[vsepp.line - 1].startswith("vsepp = ")
    assert vsepp.version == vsezoo.__version__


@pytest.mark.slow
def test_the_order_is_that_of_kinds_and_names(install: Install) -> None:
    install("demo-10", {"losses": {"b10": "made_a:x", "b9": "made_a:x"}, "models": {"z": "made_a:x"}})
    install("demo-9", {"losses": {"a": "made_a:x"}})
    listed = [(p.distribution, p.name) for p in vsezoo.plugins() if p.distribution.startswith("demo")]
    assert listed == [("demo-9", "a"), ("demo-10", "z"), ("demo-10", "b9"), ("demo-10", "b10")]


def test_one_distribution_alone(install: Install) -> None:
    install("Demo.One", {"losses": {"a": "made_a:x"}})
    assert [plugin.name for plugin in vsezoo.plugins("demo_one")] == ["a"]
    with pytest.raises(UnknownNameError) as caught:
        vsezoo.plugins("demo-two")
    assert str(caught.value) == (
        "No installed distribution 'demo-two' registers anything.\n"
        "Did you mean 'Demo.One'? `vsezoo list-plugins` lists those that do."
    )


@pytest.mark.process
def test_a_check_imports_nothing_in_this_process(install: Install) -> None:
    modules = {"made_good": "import click\nprint('loud')\ncommand = click.Command('x')", "made_bad": "1 / 0"}
    points = {"commands": {"good": "made_good:command", "bad": "made_bad:command", "stale": "made_gone:command"}}
    install("demo", points, modules)
    assert [(p.name, p.state, p.reason) for p in find("demo")] == [
        ("bad", "unchecked", ""),
        ("good", "unchecked", ""),
        ("stale", "failed", "ModuleNotFoundError: No module named 'made_gone'"),
    ]
    bad, good, stale = find("demo", check=True)
    assert (good.state, good.line) == ("ok", 3)
    assert good.seconds is not None
    assert (bad.state, bad.reason) == ("failed", "ZeroDivisionError: division by zero")
    assert (stale.state, stale.reason) == ("failed", "ModuleNotFoundError: No module named 'made_gone'")
    assert not {"made_good", "made_bad"} & set(sys.modules)


@pytest.mark.slow
def test_a_name_of_this_session_comes_first(install: Install) -> None:
    registry.register("models", "vsepp", replace=True)(registry.load("models", "vse0"))
    (vsepp,) = [p for p in find("vsezoo") if (p.kind, p.name) == ("models", "vsepp")]
    assert (vsepp.state, vsepp.reason) == ("conflict", "the name means the one of session; use vsezoo:vsepp")


def test_an_editable_installation_is_where_its_project_is(install: Install, tmp_path: Path) -> None:
    folder = install("demo", {"models": {"a": "made_a:x"}}, {"made_a": "x = 1"})
    project = tmp_path / "my project"
    record = {"url": project.as_uri(), "dir_info": {"editable": True}}
    (info,) = folder.glob("*.dist-info")
    (info / "direct_url.json").write_text(json.dumps(record), encoding="utf-8")
    assert [plugin.location for plugin in find("demo")] == [str(project)]
    (info / "direct_url.json").write_text("no JSON", encoding="utf-8")
    assert [plugin.location for plugin in find("demo")] == [str(folder)]


@pytest.mark.slow
def test_thousands_of_names_are_looked_through_once(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {f"n{number}": f"made_many:n{number}" for number in range(2000)}
    install("demo", {"losses": names}, {"made_many": "".join(f"{name} = 1\n" for name in names)})
    counts = Counter[str]()

    def count(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **options: object) -> object:
            counts[name] += 1
            return function(*arguments, **options)

        return counted

    monkeypatch.setattr(registry, "list_entries", count("entries", registry.list_entries))
    monkeypatch.setattr(ast, "parse", count("parse", ast.parse))
    found = vsezoo.plugins("demo")
    assert [plugin.line for plugin in found if plugin.name == "n1999"] == [2000]
    assert counts["entries"] == len(registry.KINDS)
    assert counts["parse"] == 1
