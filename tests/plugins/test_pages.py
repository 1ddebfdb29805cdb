"""The tutorial, and the README's model in six commands: done line by line in an environment that has vsezoo alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import loopback
from environments import ROOT, Environment
from pages import follow


def test_a_model_of_your_own_in_six_commands(environment: Environment, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(r"^A package to begin with, [^:]*:\n.*?(?=^## )", readme, flags=re.DOTALL | re.MULTILINE)
    assert section is not None
    assert len(section[0].strip().splitlines()) <= 20
    environment.work = tmp_path
    commands = follow(section[0], environment)
    assert len(commands) <= 6
    config = json.loads((environment.work / "runs/example-zoo-shapes/best/config.json").read_text(encoding="utf-8"))
    assert config["plugins"]["image_encoder"] == {
        "name": "example-zoo",
        "distribution": "example-zoo",
        "version": "0.1.0",
        "api_version": 1,
    }
    metrics = json.loads((environment.work / "runs/example-zoo-shapes/best/metrics.json").read_text(encoding="utf-8"))
    assert metrics["rsum"] > 150  # it is learned: without, it is about 32


def test_the_tutorial(environment: Environment, hub: loopback.LoopbackHub, tmp_path: Path) -> None:
    environment.work = tmp_path
    follow((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8"), environment)
    card = hub.repositories["someone/example-gpo"].read("README.md").decode()
    assert "pip install 'example-gpo>=0.1.0'" in card
    assert "Learning the Best Pooling Strategy" in card
    metrics = json.loads(hub.repositories["someone/example-gpo"].read("metrics.json"))
    assert metrics["rsum"] > 150
    assert list((environment.work / "dist").glob("example_gpo-0.1.0-*.whl"))
