"""What is in the wheel, and that it works without the checkout."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from environments import build_wheel

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources, without the network."""
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


def test_every_source_file_is_in_the_wheel(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        path.relative_to(folder).as_posix()
        for folder, package in ((ROOT, "vsezoo"), (ROOT / "plugins", "*"))
        for top in folder.glob(package)
        for path in top.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {"vsezoo/py.typed", "vsezoo/cards/card_template.md", "vsezoo_vsepp/recipes.py"} <= wanted
    assert wanted - packed == set()
    assert {name for name in packed if ".dist-info/" not in name} - wanted == set()


def test_metadata(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = f"vsezoo-{project['version']}.dist-info"
    points = configparser.ConfigParser(delimiters="=")
    points.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    points.read_string(archive.read(f"{info}/entry_points.txt").decode())
    assert dict(points["console_scripts"]) == project["scripts"]
    groups = {group: dict(points[group]) for group in points.sections() if group != "console_scripts"}
    assert groups == project["entry-points"]
    license_text = archive.read(f"{info}/licenses/LICENSE").decode()
    assert license_text == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "END OF TERMS AND CONDITIONS" in license_text


def test_the_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    program = (
        "import sys, vsezoo, vsezoo_vsepp, vsezoo.cards.card as card; from vsezoo.cli import main; "
        "print(vsezoo.__file__, vsezoo_vsepp.__file__, card.TEMPLATE.is_file(), file=sys.stderr); main(['list-models'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "VSEZOO_PLUGINS": "none"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    assert done.stderr.split() == [
        str(site / "vsezoo" / "__init__.py"),
        str(site / "vsezoo_vsepp" / "__init__.py"),
        "True",
    ]
    assert "vsepp (vse++)" in done.stdout
