"""`vsezoo list-plugins`, and a second distribution that is built and installed for real."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import programs
import pytest
import torch
from commands import call_vsezoo, install

from vsezoo import registry
from vsezoo.cli.list_plugins import print_distribution
from vsezoo.registry import KINDS
from vsezoo.registry.audit import trial
from vsezoo.registry.audit.inventory import Plugin

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
def test_json_without_check(make_distribution: Callable[..., Path]) -> None:
    points = {"losses": {"bad": "made_bad:Loss"}, "models": {"m2": "made_bad:x", "m10": "made_bad:y"}}
    path = (make_distribution("demo", points, {"made_bad": "print('imported')\n1 / 0\nx = 1"}, version="3.1"),)
    done = call_vsezoo("list-plugins", "demo", "--json", path=path)
    assert done.returncode == 0
    assert "imported" not in done.stderr
    demo = json.loads(done.stdout)
    assert [(plugin["kind"], plugin["name"]) for plugin in demo] == [
        ("models", "m2"),
        ("models", "m10"),
        ("losses", "bad"),
    ]
    assert demo[0] == {
        "kind": "models",
        "name": "m2",
        "value": "made_bad:x",
        "distribution": "demo",
        "version": "3.1",
        "api_version": 1,
        "location": str(path[0].resolve()),
        "file": str(path[0] / "made_bad.py"),
        "line": 3,
        "state": "unchecked",
        "reason": "",
        "seconds": None,
    }


@pytest.mark.process
def test_check(
    make_distribution: Callable[..., Path], recipe_source: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "subprocess", programs.FORKED)
    source = "import os\nprint('printed')\nos.write(1, b'written')\n1 / 0"
    points = {"models": {"bad": "made_bad:x", "odd": "made_odd:recipe"}}
    odd = recipe_source("odd").replace('Part("cosine")', 'Part("cosin")')
    good = {"schedules": {"good": "made_good:rate"}}  # which needs no torch
    path = (
        make_distribution("demo", points, {"made_bad": source, "made_odd": odd}),
        make_distribution("fine", good, {"made_good": "def rate(step): return 1.0"}),
    )
    done = call_vsezoo("list-plugins", "--check", "demo", path=path)
    assert done.returncode == 1
    lines = " ".join(done.stdout.split())
    assert "models: bad: ZeroDivisionError: division by zero" in lines
    assert "models: odd: There is no similarity 'cosin'. Did you mean 'cosine'?" in lines
    assert "printed" not in done.stdout
    assert "written" not in done.stdout
    assert "vsezoo" not in done.stdout
    fine = call_vsezoo("list-plugins", "fine", "--check", path=path)
    assert fine.returncode == 0
    assert "checked     everything can be loaded" in fine.stdout
    assert fine.stderr == ""


def test_a_traceback_on_demand(run_vsezoo: Run, make_distribution: Callable[..., Path]) -> None:
    path = (make_distribution("demo", {"schedules": {"bad": "made_bad:x"}}, {"made_bad": "1 / 0"}),)
    done = run_vsezoo("list-plugins", "demo", "--check", "--json", path=path, env={"VSEZOO_RAISE_PLUGIN_ERRORS": "1"})
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "made_bad.py" in done.stderr
    (bad,) = json.loads(done.stdout)
    assert (bad["state"], bad["reason"]) == ("failed", "ZeroDivisionError: division by zero")


@pytest.mark.slow
def test_the_table(make_distribution: Callable[..., Path]) -> None:
    path = (
        make_distribution("left", {"losses": {"twin": "made_a:A", "gone": "made_g:G"}}, {"made_a": "1 / 0\nA = 1"}),
        make_distribution("right", {"losses": {"twin": "made_b:B"}, "models": {"m": "made_b:m"}}, {"made_b": ""}),
        make_distribution("damaged", "[vsezoo.models]\nno equals sign\n"),
    )
    done = call_vsezoo("list-plugins", path=path)
    assert done.returncode == 1
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    left = lines[lines.index("left 1.0") :][:6]
    assert left[1:] == [
        f"location {path[0].resolve()}",
        "plugin API 1",
        "losses gone, twin",
        "FAILED losses: gone: ModuleNotFoundError: No module named 'made_g'",
        f"CONFLICT losses: twin: right also registers the name; use left:twin ({path[0] / 'made_a.py'}:2)",
    ]
    assert any(line.startswith("FAILED") for line in lines[lines.index("damaged 1.0") :][:4])
    assert "--check" in done.stderr
    barred = call_vsezoo("list-plugins", path=path, env={"VSEZOO_PLUGINS": "left"}).stdout.splitlines()
    (right,) = [number for number, line in enumerate(barred) if line.startswith("right 1.0")]
    assert [" ".join(line.split()) for line in barred[right:]][3:6] == [
        "models m",
        "losses twin",
        "NOT ALLOWED excluded by VSEZOO_PLUGINS",
    ]
    assert not any("CONFLICT" in line for line in barred)  # left has the name for itself


def test_a_slow_import_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    fast = Plugin("losses", "fast", "m:f", "demo", "1.0", 1, "/site", "/site/m.py", 3, "ok", seconds=0.9)
    print_distribution([fast, replace(fast, name="slow", seconds=5.04)])
    written = capsys.readouterr().out
    assert "SLOW        losses: slow: 5.0 s to import" in written
    assert "fast: " not in written
    assert "everything can be loaded" in written


@pytest.fixture(scope="module")
def installed(thirdparty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a second distribution into a folder."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(thirdparty) as wheel:
        wheel.extractall(site)
    return site


def test_a_second_distribution_is_at_home(run_vsezoo: Run, installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "subprocess", programs.FORKED)
    models = json.loads(call_vsezoo("list-models", "example-e*", "--json", path=(installed,)).stdout)
    assert [(m["name"], m["distribution"], m["version"], m["paper"]) for m in models] == [
        ("example-euclid", "vsezoo-example", "1.2.0", "Author 2024")
    ]
    assert run_vsezoo("example-hello", "--your_name", "Ada", path=(installed,)).stdout == "Hello, Ada.\n"
    assert "Greet from a plugin." in call_vsezoo("--help", path=(installed,)).stdout
    shown = json.loads(call_vsezoo("show", "example-euclid", "--json", path=(installed,)).stdout)
    similarity = shown["parts"]["similarity"]
    assert [similarity[key] for key in ("name", "distribution", "version")] == ["euclid", "vsezoo-example", "1.2.0"]
    assert list(similarity["options"]) == ["squared"]
    assert similarity["options"]["squared"].items() >= {"value": True, "default": False}.items()
    checked = call_vsezoo("list-plugins", "--check", "--json", path=(installed,))
    found = [plugin for plugin in json.loads(checked.stdout) if plugin["distribution"] == "vsezoo-example"]
    assert {plugin["state"] for plugin in found} == {"ok"}
    assert len({plugin["kind"] for plugin in found} & set(KINDS)) == 8
    (euclid,) = [plugin for plugin in found if plugin["name"] == "euclid"]
    assert (euclid["file"], euclid["line"]) == (str(installed / "vsezoo_example" / "similarity.py"), 9)
    own = [plugin for plugin in json.loads(checked.stdout) if plugin["distribution"] == "vsezoo"]
    assert {plugin["state"] for plugin in own} == {"ok"}
    assert {plugin["kind"] for plugin in own} == set(KINDS)
    assert all(plugin["file"] and plugin["line"] for plugin in own)
    assert checked.returncode == 0


@pytest.mark.process
def test_the_second_distribution_computes(installed: Path) -> None:
    with install((installed,)):
        scores = registry.load("similarities", "euclid")(squared=True)
    assert scores(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]])).tolist() == [[-25.0, -1.0]]


@pytest.mark.process
def test_the_second_distribution_can_be_left_out(installed: Path) -> None:
    done = call_vsezoo("--no-plugins", "show", "example-euclid", path=(installed,))
    assert done.returncode == 2
    assert "registered by vsezoo-example, which is not allowed here: VSEZOO_PLUGINS is 'none'" in done.stderr
