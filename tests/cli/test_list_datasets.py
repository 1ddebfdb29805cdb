"""`vsezoo list-datasets`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from commands import call_vsezoo

Run = Callable[..., subprocess.CompletedProcess[str]]

SOURCE = """
from vsezoo.data.source import DataSource

class Source(DataSource):
    name, summary, origin, splits, kinds = "mine", "Data of the tests.", "", ("train", "odd"), ("picture",)

    def open(self, split, kinds, options=None):
        raise NotImplementedError

mine = Source()
"""


def test_json_of_present_absent_and_failed(make_distribution: Callable[..., Path], tmp_path: Path) -> None:
    points = {"datasets": {"mine": "made_a:mine", "bad": "made_a:Source"}}
    path = (make_distribution("demo", points, {"made_a": SOURCE}),)
    (tmp_path / "data" / "mine").mkdir(parents=True)
    (tmp_path / "elsewhere" / "f8k").mkdir(parents=True)

    def datasets(**env: str) -> dict[str, dict[str, object]]:
        done = call_vsezoo("list-datasets", "--json", path=path, cwd=tmp_path, env=env)
        assert done.returncode == 0
        return {dataset["name"]: dataset for dataset in json.loads(done.stdout)}

    here = datasets()
    assert here["mine"] == {
        "name": "mine",
        "summary": "Data of the tests.",
        "splits": ["train", "odd"],
        "kinds": ["picture"],
        "folder": str(Path("data", "mine")),
        "distribution": "demo",
        "version": "1.0",
        "conflict": False,
        "failed": None,
    }
    assert "the class Source; a data set must be an instance of" in str(here["bad"]["failed"])
    assert here["f8k"]["folder"] is None
    there = datasets(VSEZOO_DATA=str(tmp_path / "elsewhere"))
    assert there["f8k"]["folder"] == str(tmp_path / "elsewhere" / "f8k")
    assert there["mine"]["folder"] is None


def test_table(tmp_path: Path) -> None:
    (tmp_path / "data" / "f30k_precomp").mkdir(parents=True)
    for columns in (80, 200):
        done = call_vsezoo("list-datasets", cwd=tmp_path, env={"COLUMNS": str(columns)})
        assert done.returncode == 0
        assert max(map(len, done.stdout.splitlines())) <= columns
        names = [line.split()[0] for line in done.stdout.splitlines()[1:] if not line.startswith(" ")]
        assert names[0] == "10crop_precomp"
        assert {"f30k_precomp", "coco_precomp", "shapes"} <= set(names)
        assert f"folder {Path('data', 'f30k_precomp')}" in " ".join(done.stdout.split())
