"""`vsezoo list-plugins`, and a second distribution that is built and installed for real."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
THIRDPARTY = Path(__file__).parent.parent / "thirdparty"


def test_nothing_is_imported_without_check(run_vsezoo: Run, make_distribution: Callable[..., Path]) -> None:
    points = {"losses": {"bad": "made_bad:Loss"}, "models": {"m2": "made_bad:x", "m10": "made_bad:y"}}
    path = (make_distribution("demo", points, {"made_bad": "print('imported')\n1 / 0"}, version="3.1"),)
    done = run_vsezoo("list-plugins", "--json", path=path)
    assert done.returncode == 0
    assert "imported" not in done.stderr
    (demo,) = [plugin for plugin in json.loads(done.stdout) if plugin["distribution"] == "demo"]
    assert demo == {
        "distribution": "demo",
        "version": "3.1",
        "allowed": True,
        "location": str(path[0].resolve()),
        "registers": {"models": ["m2", "m10"], "losses": ["bad"]},
        "conflicts": [],
        "checked": False,
        "failed": {},
    }


def test_check_imports_all_that_is_allowed(run_vsezoo: Run, make_distribution: Callable[..., Path]) -> None:
    path = (make_distribution("demo", {"losses": {"bad": "made_bad:Loss"}}, {"made_bad": "1 / 0"}),)
    done = run_vsezoo("list-plugins", "--check", path=path)
    assert done.returncode == 1
    assert "losses: bad: ZeroDivisionError: division by zero" in done.stdout
    barred = run_vsezoo("--no-plugins", "list-plugins", "--check", path=path)
    assert barred.returncode == 0
    assert "demo 1.0 (not allowed by VSEZOO_PLUGINS)" in barred.stdout


def test_everything_that_vsezoo_registers_can_be_loaded(run_vsezoo: Run) -> None:
    done = run_vsezoo("--no-plugins", "list-plugins", "--check", "--json")
    (own,) = [plugin for plugin in json.loads(done.stdout) if plugin["distribution"] == "vsezoo"]
    assert own["failed"] == {}
    assert own["checked"]
    assert done.returncode == 0


def test_conflicts_and_damaged_metadata(run_vsezoo: Run, make_distribution: Callable[..., Path]) -> None:
    path = (
        make_distribution("left", {"losses": {"twin": "made_a:A"}}),
        make_distribution("right", {"losses": {"twin": "made_b:B"}}),
        make_distribution("damaged", "[vsezoo.models]\nno equals sign\n"),
    )
    plugins = {p["distribution"]: p for p in json.loads(run_vsezoo("list-plugins", "--json", path=path).stdout)}
    assert plugins["left"]["conflicts"] == plugins["right"]["conflicts"] == ["losses: twin"]
    assert list(plugins["damaged"]["failed"]) == ["entry points"]
    assert "CONFLICT" in run_vsezoo("list-plugins", path=path).stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build tests/thirdparty with pip, without the network, and install it into a folder."""
    if not all(map(importlib.util.find_spec, ("setuptools", "pip"))):
        pytest.skip("setuptools and pip are wanted to build a distribution")
    work = tmp_path_factory.mktemp("thirdparty")
    source = shutil.copytree(THIRDPARTY, work / "source")  # building writes beside the sources
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(work / "site"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""})
    assert done.returncode == 0, done.stderr
    return work / "site"


def test_a_second_distribution_is_at_home(run_vsezoo: Run, installed: Path) -> None:
    models = json.loads(run_vsezoo("list-models", "example-*", "--json", path=(installed,)).stdout)
    assert [(m["name"], m["distribution"], m["version"], m["paper"]) for m in models] == [
        ("example-euclid", "vsezoo-example", "1.2.0", "Author 2024")
    ]
    assert run_vsezoo("example-hello", "--your_name", "Ada", path=(installed,)).stdout == "Hello, Ada.\n"
    assert "Greet from a plugin." in run_vsezoo("--help", path=(installed,)).stdout
    shown = json.loads(run_vsezoo("show", "example-euclid", "--json", path=(installed,)).stdout)
    assert shown["parts"]["similarity"] == {
        "name": "euclid",
        "distribution": "vsezoo-example",
        "version": "1.2.0",
        "options": {"squared": {"value": True, "default": False}},
    }
    checked = run_vsezoo("list-plugins", "--check", "--json", path=(installed,))
    (plugin,) = [p for p in json.loads(checked.stdout) if p["distribution"] == "vsezoo-example"]
    assert plugin["failed"] == {}
    assert plugin["registers"] == {
        "models": ["example-euclid"],
        "similarities": ["euclid"],
        "commands": ["example-hello"],
    }


def test_the_second_distribution_computes(installed: Path) -> None:
    program = (
        "import torch\nfrom vsezoo import registry\n"
        "scores = registry.load('similarities', 'euclid')(squared=True)\n"
        "print(scores(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]])).tolist())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout == "[[-25.0, -1.0]]\n", done.stderr


def test_the_second_distribution_can_be_left_out(run_vsezoo: Run, installed: Path) -> None:
    done = run_vsezoo("--no-plugins", "show", "example-euclid", path=(installed,))
    assert done.returncode == 2
    assert "registered by vsezoo-example, which is not allowed here: VSEZOO_PLUGINS is 'none'" in done.stderr


def test_the_documentation_shows_this_distribution() -> None:
    text = (THIRDPARTY.parent.parent / "docs" / "plugins.md").read_text(encoding="utf-8")
    for name in ("pyproject.toml", *(f"src/vsezoo_example/{m}.py" for m in ("recipes", "similarity", "command"))):
        language = "toml" if name.endswith("toml") else "python"
        source = (THIRDPARTY / name).read_text(encoding="utf-8")
        assert f"`{name}`:\n\n```{language}\n{source}```\n" in text, name
