"""The similarity of the README: written into a package as it stands there, and used by the command that it names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import commands
import pytest
import tiny

README = Path(__file__).parent.parent / "README.md"


def find_block(section: str, language: str) -> str:
    """Return the first code block of a language in a section of the README."""
    text = README.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = re.search(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    assert found, f"{section} has no block of {language}"
    return found[1]


@pytest.mark.slow
def test_the_part_in_twelve_lines_trains_a_model(make_distribution: Callable[..., Path], tmp_path: Path) -> None:
    code, entry_points = (find_block("A model of your own", language) for language in ("python", "toml"))
    assert len([line for line in code.splitlines() if line]) <= 12
    # The table of pyproject.toml, as an installer writes it into entry_points.txt.
    written = re.sub(r'^\[project\.entry-points\."(.+)"\]$', r"[\1]", entry_points, flags=re.MULTILINE).replace('"', "")
    module = re.search(r"= (\w+):", written)
    assert module
    folder = make_distribution("example-l1", written, {module[1]: code})
    tiny.write_data(tmp_path / "features")
    flags = ["--measure", "l1", "--num-epochs", "1", "--output", "run", *tiny.make_flags()]
    done = commands.call_vsezoo("train", "vsepp", "--data", "./features", *flags, path=(folder,), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "run" / "best" / "config.json").read_text(encoding="utf-8"))
    assert config["recipe"]["similarity"]["name"] == "l1"
    assert config["plugins"]["similarity"]["distribution"] == "example-l1"
    with commands.install((folder,)):
        import torch

        import vsezoo

        model = vsezoo.load(tmp_path / "run")
        scores = model.similarity(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.0], [2.0, -1.0]]))
    assert scores.tolist() == [[0.0, -4.0]]
