"""A museum of broken plugins, all installed at once: each command goes on, and `list-plugins` tells all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import programs
import pytest
from commands import call_vsezoo

from vsezoo.registry.audit import inventory, trial
from vsezoo.registry.audit.trial import Outcome, try_entries
from vsezoo.registry.entry import Entry

MARK = "import os, pathlib\nwith pathlib.Path(os.environ['MARKS'], __name__).open('a'): pass\n"
"""Leaves a file that has the name of the module that is imported."""


@dataclass(frozen=True)
class Exhibit:
    """A distribution `bad-KEY` with one module `bad_KEY` and one entry point."""

    kind: str
    source: str | None
    state: str
    reason: str
    name: str = "bad"
    value: str = "thing"
    more: dict[str, str] = field(default_factory=dict)


RECIPE = (
    "from vsezoo.recipe import Part, Recipe\n"
    "thing = Recipe('r', 'Fine.', Part('precomp'), Part('gru'), Part('cosine'), Part('hinge'))\n"
)
COMMAND = "import click\n@click.command()\ndef thing(): click.echo('the plugin')\n"

EXHIBITS = {
    "import": Exhibit("models", "from vsezoo.recipe import Nothing", "failed", "ImportError: cannot import name 'Noth"),
    "syntax": Exhibit("commands", "def (:", "failed", "SyntaxError: invalid syntax (bad_syntax.py, line 3)"),
    "needs": Exhibit("datasets", "import bad_absent", "failed", "ModuleNotFoundError: No module named 'bad_absent'"),
    "raises": Exhibit("models", "1 / 0", "failed", "ZeroDivisionError: division by zero"),
    "exits": Exhibit("commands", "import sys; sys.exit(0)", "failed", "SystemExit: 0"),
    "panics": Exhibit("datasets", "class Panic(BaseException): ...\nraise Panic", "failed", "bad_panics.Panic"),
    "vanishes": Exhibit("losses", "os._exit(7)", "failed", "importing it ended the process with exit code 7"),
    "crashes": Exhibit("losses", "os.kill(os.getpid(), 9)", "failed", "importing it ended the process with signal 9"),
    "lacks": Exhibit("models", "", "failed", "AttributeError: module 'bad_lacks' has no attribute 'thing'"),
    "kind": Exhibit(
        "commands", "thing = print", "failed", "TypeError: the object is of type builtin_function_or_method"
    ),
    "part": Exhibit(
        "similarities", "from torch.nn import Linear as thing", "failed", "TypeError: the object is the cl"
    ),
    "stale": Exhibit("importers", None, "failed", "ModuleNotFoundError: No module named 'bad_stale'"),
    "deep": Exhibit("models", "def __getattr__(name): return __getattr__(name)", "failed", "RecursionError: maximum"),
    "circle": Exhibit(
        "models",
        "from vsezoo import registry\nthing = registry.load('models', 'bad-circle:bad')",
        "failed",
        "The model 'bad' of bad-circle 0.9 cannot be loaded from bad_circle:thing: RecursionError: it refers to itself",
    ),
    "colon": Exhibit("models", RECIPE, "failed", "a name must not be empty or contain a colon", name="vsezoo:vsepp"),
    "model": Exhibit(
        "models", RECIPE, "conflict", "the name means the one of vsezoo; use bad-model:vsepp", name="vsepp"
    ),
    "command": Exhibit("commands", COMMAND, "conflict", "the name means the one of vsezoo; use ", name="list-datasets"),
    "twin": Exhibit("models", RECIPE, "conflict", "bad-twin2 also registers the name; use bad-twin:both", name="both"),
    "twin2": Exhibit("models", RECIPE, "conflict", "bad-twin also registers the name; use bad-twin2:both", name="both"),
    "new": Exhibit(
        "models", RECIPE, "too new", "written for version 99 of the plugin API; this", more={"99": "bad_new"}
    ),
    "noisy": Exhibit(
        "models", "print('noise')\nimport sys; sys.stdout.write('noise')\n" + RECIPE, "ok", "", name="fine"
    ),
    "warns": Exhibit("models", "import warnings; warnings.warn('old')\n" + RECIPE, "ok", "", name="warned"),
    "slow": Exhibit(
        "similarities",
        "import time; time.sleep(1.5)\nfrom vsezoo.similarities import CosineSimilarity as thing",
        "ok",
        "",
        name="slow",
    ),
}


@pytest.fixture
def museum(make_distribution: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, ...]:
    """All exhibits, to be put on Python's path."""
    (tmp_path / "marks").mkdir()
    monkeypatch.setenv("MARKS", str(tmp_path / "marks"))
    return tuple(
        make_distribution(
            f"bad-{key}",
            {exhibit.kind: {exhibit.name: f"bad_{key}:{exhibit.value}"}, "api": exhibit.more},
            {} if exhibit.source is None else {f"bad_{key}": MARK + exhibit.source},
            version="0.9",
        )
        for key, exhibit in EXHIBITS.items()
    )


def get_marks(museum: tuple[Path, ...]) -> set[str]:
    """Return which exhibits were imported."""
    return {path.name.removeprefix("bad_") for path in (museum[0].parent / "marks").iterdir()}


def try_exhibits(entries: Sequence[Entry]) -> list[Outcome]:
    """Import the exhibits on trial; what vsezoo registers itself is imported in test_list_plugins.py."""
    exhibits = [entry for entry in entries if not entry.own]
    outcomes = dict(zip(exhibits, try_entries(exhibits), strict=True))
    return [outcomes.get(entry, Outcome("", 0.0)) for entry in entries]


@pytest.mark.process
def test_list_plugins_tells_all(museum: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that end the process of the check are in test_trial.py: here, each would have torch imported again."""
    path = tuple(folder for folder in museum if folder.name not in ("bad-vanishes", "bad-crashes"))
    monkeypatch.setattr(inventory, "try_entries", try_exhibits)
    monkeypatch.setattr(trial, "subprocess", programs.FORKED)
    done = call_vsezoo("list-plugins", "--check", "--json", path=path)
    assert done.returncode == 1
    found = {plugin["distribution"]: plugin for plugin in json.loads(done.stdout)}
    for key in EXHIBITS.keys() - {"vanishes", "crashes"}:
        exhibit, plugin = EXHIBITS[key], found[f"bad-{key}"]
        assert (plugin["kind"], plugin["name"], plugin["version"]) == (exhibit.kind, exhibit.name, "0.9")
        assert (plugin["state"], plugin["reason"][: len(exhibit.reason)]) == (exhibit.state, exhibit.reason), key
    assert found["bad-slow"]["seconds"] >= 1.5


@pytest.mark.slow
def test_list_plugins_imports_nothing_by_itself(museum: tuple[Path, ...]) -> None:
    done = call_vsezoo("list-plugins", "--json", path=museum)
    assert done.returncode == 1
    states = {plugin["distribution"]: plugin["state"] for plugin in json.loads(done.stdout)}
    assert {key for key in EXHIBITS if states[f"bad-{key}"] == "failed"} == {"syntax", "stale", "colon"}
    assert get_marks(museum) == set()


@pytest.mark.slow
def test_every_other_command_goes_on(museum: tuple[Path, ...]) -> None:
    version = call_vsezoo("--version", path=museum)
    assert version.stdout.startswith("vsezoo ")
    assert get_marks(museum) == set()

    helped = call_vsezoo("--help", path=museum)
    assert helped.returncode == 0
    for line in ("bad-exits:bad", "bad-kind:bad", "bad-syntax:bad", "bad-command:list-datasets", "  train "):
        assert line in helped.stdout
    assert "FAILED: SystemExit: 0" in helped.stdout
    assert get_marks(museum) == {"exits", "kind", "command"}  # what is no Python runs nothing

    datasets = call_vsezoo("list-datasets", "--json", path=museum)  # vsezoo's own command of that name
    found = {dataset["name"]: dataset for dataset in json.loads(datasets.stdout)}
    assert found["shapes"]["failed"] is None
    assert found["bad-panics:bad"]["failed"] == "bad_panics.Panic"
    assert get_marks(museum) == {"exits", "kind", "command", "needs", "panics"}

    models = call_vsezoo("list-models", "--json", path=museum)
    assert models.returncode == 0
    listed = {model["name"]: model for model in json.loads(models.stdout)}
    assert listed["vsepp"]["distribution"] == "vsezoo"
    assert listed["bad-model:vsepp"]["conflict"]
    assert listed["fine"]["failed"] is None
    assert listed["bad-new:bad"]["failed"].startswith("bad-new 0.9 is written for version 99 of the plugin API")
    assert models.stderr.count("noise") == 2
    assert not {"vanishes", "crashes", "part", "slow", "new"} & get_marks(museum)


@pytest.mark.slow
def test_who_uses_a_broken_name_is_told(museum: tuple[Path, ...]) -> None:
    used = call_vsezoo("show", "bad-raises:bad", path=museum)
    assert (used.returncode, used.stdout) == (1, "")
    assert used.stderr == (
        "Error: The model 'bad' of bad-raises 0.9 cannot be loaded from bad_raises:thing: "
        "ZeroDivisionError: division by zero\n"
        "Upgrade or uninstall bad-raises, or ignore all plugins with `vsezoo --no-plugins`.\n"
    )
    command = call_vsezoo("bad-exits:bad", path=museum)
    assert (command.returncode, command.stdout) == (1, "")
    assert command.stderr.startswith("Error: The command 'bad' of bad-exits 0.9 cannot be loaded")
    shown = call_vsezoo("show", "vsepp", "--json", path=museum)
    assert json.loads(shown.stdout)["distribution"] == "vsezoo"
    assert get_marks(museum) == {"raises", "exits"}  # vsepp uses none of them
    barred = call_vsezoo("--no-plugins", "show", "bad-raises:bad", path=museum)
    assert "is registered by bad-raises, which is not allowed here" in barred.stderr
