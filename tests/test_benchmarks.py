"""The scripts of `benchmarks/`: each reports through `figures`, and what they import exists."""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import vsezoo

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
MODULES = {"figures", "made", "original_modules", "processes"}
SCRIPTS = sorted(path for path in BENCHMARKS.glob("*.py") if path.stem not in MODULES)


@pytest.fixture(scope="module")
def figures(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("benchmarks/figures.py")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_has_json_and_prints_nothing_else(script: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    names = [call.func.id for call in calls if isinstance(call.func, ast.Name)]
    assert names.count("make_parser") == 1
    assert names.count("Report") == 1
    assert "print" not in names


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_script_imports_of_vsezoo_exists(script: Path) -> None:
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vsezoo"):
            module = importlib.import_module(str(node.module))
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == [], node.module


@pytest.mark.process
def test_a_report_is_lines_or_one_object(figures: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (False, True):
        with figures.Report(argparse.Namespace(json=as_json)) as report:
            report.add("rows", 12_000)
            report.show("a search: 1.50 ms", figures.Figure("a search", 1.5012345678, "ms"))
    lines, _, printed = capsys.readouterr().out.rpartition("ms\n")
    assert lines == f"{'rows':<28}{'12,000':>10}\na search: 1.50 "
    found = json.loads(printed)
    assert found["figures"] == [
        {"name": "rows", "value": 12_000, "unit": ""},
        {"name": "a search", "value": 1.50123, "unit": "ms"},
    ]
    assert found["vsezoo"] == vsezoo.__version__
    assert found["processor"]
    assert found["cores"] >= 1


def test_a_failed_run_reports_nothing(figures: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), figures.Report(argparse.Namespace(json=True)) as report:
        report.add("share", 1 / 0)
    assert capsys.readouterr().out == ""


def test_the_page_of_the_measured_runs_is_current(load_script: Callable[[str], ModuleType]) -> None:
    generate = load_script("docs/generate.py")
    page = generate.BENCHMARKS.read_text(encoding="utf-8")
    measured = [json.loads(line) for line in generate.MEASURED.read_text(encoding="utf-8").splitlines()]
    assert generate.render_runs(page, measured) == page, "run: python docs/generate.py"
    assert {run["script"] for run in measured} <= {script.name for script in SCRIPTS}
    assert not [run["arguments"] for run in measured if "/" in "".join(run["arguments"])]  # no folder of a machine


def test_a_command_has_a_table_with_a_column_for_each_run(load_script: Callable[[str], ModuleType]) -> None:
    first: dict[str, Any] = {
        "script": "scan.py",
        "arguments": ["--step"],
        "commit": "aa",
        "date": "2026-01-02",
        "processor": "P",
    }
    runs = [
        {**first, "figures": [{"name": "vsezoo", "value": 1.23456, "unit": "s"}]},
        {**first, "commit": "bb", "cores": 2, "threads": None, "figures": [{"name": "ratio", "value": 2, "unit": ""}]},
    ]
    page = load_script("docs/generate.py").render_runs("<!-- measured -->\nold\n<!-- end -->\n", runs)
    lines = [line for line in page.splitlines() if line]
    assert lines[:4] == ["<!-- measured -->", "## scan", "`python benchmarks/scan.py --step`", lines[3]]
    assert lines[3] == "| figure | unit | `aa`, 2026-01-02 | `bb`, 2026-01-02 |"
    assert lines[5:7] == ["| vsezoo | s | 1.235 | – |", "| ratio |  | – | 2 |"]
    assert lines[7:9] == ["- `aa`: P", "- `bb`: P, cores 2"]


@pytest.mark.slow
@pytest.mark.process
def test_a_run_with_json(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    for split, images in (("train", "abc"), ("dev", "defg"), ("test", "hij")):
        write_split(tmp_path / "made", split, images)
    command = [sys.executable, str(BENCHMARKS / "f8k_90.py"), "made", "halves", "--json"]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, encoding="utf-8", check=True, timeout=120)
    found = json.loads(done.stdout)
    assert (found["script"], found["arguments"]) == ("f8k_90.py", ["made", "halves"])
    figures = {figure["name"]: figure["value"] for figure in found["figures"]}
    assert figures == {"train images": 9, "train captions": 45, "dev images": 1, "dev captions": 5}


@pytest.mark.parametrize("model", ["vsepp", "vsrn"])
def test_the_original_has_the_losses_of_our_training_loop(
    model: str, load_script: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    import numpy as np

    script, made = load_script("benchmarks/original_step.py"), tmp_path / "made"
    load_script("benchmarks/made.py").write_data(made, {"train": 40}, width=8)
    changes = {"embed_size": 12, "training.batch_size": 32}
    if model == "vsrn":
        np.save(made / "train_ims.npy", np.random.default_rng(0).random((40, 3, 8), dtype=np.float32))
        changes["loss.hidden_size"] = 8
    turns, loop = script.compare(model, str(made), None, changes, 3, tmp_path / "run")
    assert len(set(turns.original.losses)) == len(turns.seconds) == len(turns.original.seconds) == 3
    assert turns.original.losses == pytest.approx(loop.losses, rel=1e-5)


def write_split(folder: Path, split: str, images: str) -> None:
    import numpy as np

    np.save(folder / f"{split}_ims.npy", np.ones((len(images), 2), np.float32))
    (folder / f"{split}_ids.txt").write_text("\n".join(images), encoding="utf-8")
    (folder / f"{split}_caps.txt").write_text("\n".join(["a dog"] * 5 * len(images)), encoding="utf-8")
