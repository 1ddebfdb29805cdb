"""The version of the plugin API that a distribution was written for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import vsezoo
from vsezoo import registry
from vsezoo.errors import PluginError
from vsezoo.registry.audit import api
from vsezoo.registry.audit.api import Life, PluginWarning
from vsezoo.registry.audit.inventory import plugins

Install = Callable[..., Path]

LIVES = {1: Life("0.1", deprecated="0.4", removed="0.6"), 2: Life("0.4", deprecated="0.8"), 3: Life("0.8")}


@pytest.fixture
def install_for(install: Install, recipe_source: Callable[..., str]) -> Callable[..., None]:
    """Install `demo`, which declares these versions of the plugin API and registers the model `demo`."""

    def add(*versions: str, needs: str = "", release: str = "1.5") -> None:
        groups = {"models": {"demo": "made_demo:recipe"}, "api": dict.fromkeys(versions, "made_demo")}
        folder = install("demo", groups, {"made_demo": recipe_source("demo")}, version=release)
        with next(folder.glob("*.dist-info/METADATA")).open("a", encoding="utf-8") as stream:
            stream.write(f"Requires-Dist: {needs}\n" if needs else "")

    return add


def get_state() -> tuple[int, str, str]:
    (demo,) = plugins("demo")
    return demo.api_version, demo.state, demo.reason


@pytest.fixture
def _later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vsezoo of years to come: version 1 is gone, 2 will go."""
    monkeypatch.setattr(api, "API_VERSIONS", LIVES)


@pytest.mark.slow
def test_the_first_version_needs_no_declaration(install_for: Callable[..., None]) -> None:
    install_for()
    assert registry.load("models", "demo").name == "demo"
    assert get_state() == (1, "unchecked", "")


def test_the_present_version(install_for: Callable[..., None]) -> None:
    install_for(str(registry.API_VERSION))
    assert registry.load("models", "demo").name == "demo"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("needs", "wanted"),
    [
        ("", "vsezoo"),
        ("vsezoo", "vsezoo"),
        ("torch>=2", "vsezoo"),
        ("vsezoo-extras>=3", "vsezoo"),
        ("vsezoo>=0.8", "vsezoo>=0.8"),
        ("vsezoo[plot] (>=0.8,<2) ; python_version > '3'", "vsezoo>=0.8,<2"),
    ],
)
def test_too_new(install_for: Callable[..., None], needs: str, wanted: str) -> None:
    install_for("2", needs=needs)
    with pytest.raises(PluginError) as caught:
        registry.load("models", "demo")
    assert str(caught.value) == (
        f"demo 1.5 is written for version 2 of the plugin API; this vsezoo {vsezoo.__version__} knows version 1.\n"
        f"pip install --upgrade '{wanted}', or install an older demo."
    )
    assert "demo" in registry.list_names("models")
    assert get_state()[:2] == (2, "too new")


@pytest.mark.slow
@pytest.mark.usefixtures("_later")
def test_too_old(install_for: Callable[..., None]) -> None:
    install_for()
    with pytest.raises(PluginError) as caught:
        registry.load("models", "demo")
    assert str(caught.value) == (
        "demo 1.5 is written for version 1 of the plugin API; "
        f"this vsezoo {vsezoo.__version__} knows version 2 and 3.\n"
        "pip install --upgrade demo, or use an older vsezoo: pip install 'vsezoo<0.6'"
    )
    assert get_state()[:2] == (1, "too old")


@pytest.mark.slow
@pytest.mark.usefixtures("_later")
def test_a_deprecated_version_is_told_once(install_for: Callable[..., None]) -> None:
    install_for("2", release="1.5.1")  # of a release, it is told once in a process
    with pytest.warns(PluginWarning) as caught:
        registry.load("models", "demo")
    assert [str(warning.message) for warning in caught] == [
        "demo 1.5.1 is written for version 2 of the plugin API, which is deprecated since vsezoo 0.8. "
        "Upgrade demo: a later vsezoo will not load it."
    ]
    with warnings.catch_warnings(record=True) as again:
        warnings.simplefilter("always")
        registry.load("models", "demo")
    assert again == []
    assert get_state()[1] == "deprecated"


@pytest.mark.usefixtures("_later")
def test_a_deprecated_version_where_warnings_are_errors(install_for: Callable[..., None]) -> None:
    install_for("2", release="1.5.2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PluginError, match=r"since vsezoo 0\.8\.\nUpgrade demo"):
            registry.load("models", "demo")


@pytest.mark.slow
@pytest.mark.usefixtures("_later")
def test_the_newest_known_of_several_counts(install_for: Callable[..., None]) -> None:
    install_for("1", "3", "4")
    assert registry.load("models", "demo").name == "demo"
    assert get_state() == (3, "unchecked", "")


@pytest.mark.slow
@pytest.mark.parametrize("version", ["0", "1.0", "two", "-1"])
def test_a_version_is_a_whole_number(install_for: Callable[..., None], version: str) -> None:
    install_for(version)
    (fault,) = [plugin for plugin in plugins("demo") if plugin.state == "failed"]
    assert (fault.kind, fault.name, fault.reason) == (
        "api",
        version,
        "a version of the plugin API must be a whole number",
    )
    assert registry.load("models", "demo").name == "demo"


LATER = """
from vsezoo.cli import main
from vsezoo.registry.audit import api

api.API_VERSIONS = {1: api.Life("0.1", deprecated="0.4"), 2: api.Life("0.4")}
main(["list-models", "demo*"])
"""


@pytest.mark.process
def test_the_command_line_warns_in_one_line(
    make_distribution: Callable[..., Path], recipe_source: Callable[..., str]
) -> None:
    points = {"models": {"demo": "made_demo:recipe", "demo2": "made_demo:other"}}
    folder = make_distribution("demo", points, {"made_demo": f"{recipe_source('demo')}\nother = recipe"}, version="1.5")
    environment = os.environ | {"PYTHONPATH": str(folder), "VSEZOO_PLUGINS": "demo"}
    done = subprocess.run([sys.executable, "-c", LATER], env=environment, capture_output=True, text=True)
    assert done.returncode == 0
    assert "demo2" in done.stdout
    assert done.stderr == (
        "Warning: demo 1.5 is written for version 1 of the plugin API, which is deprecated since vsezoo 0.4. "
        "Upgrade demo: a later vsezoo will not load it.\n"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("_later", "install")
def test_vsezoo_itself_is_of_the_present_version() -> None:
    assert {plugin.api_version for plugin in plugins("vsezoo")} == {3}


def test_the_documentation_has_all_versions() -> None:
    page = (Path(__file__).parents[3] / "docs" / "plugins.md").read_text(encoding="utf-8")
    rows = [f"| {number} | {' | '.join(life)} |" for number, life in api.API_VERSIONS.items()]
    table = "| version | since vsezoo | deprecated since | gone since |\n|---|---|---|---|\n" + "\n".join(rows) + "\n\n"
    assert re.sub(" +", " ", table) in page
    assert f"It is now {registry.API_VERSION}:" in page
