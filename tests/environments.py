"""Python environments into which wheels are installed, without the network; no tests in here.

An environment has what is installed next to these tests, torch above all, but for vsezoo itself, which it has from a
wheel.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SETUPTOOLS = 77
"""The first setuptools that knows `license = "Apache-2.0"`."""

PATIENCE = 900
"""Seconds for what takes a few; a busy machine may need them."""

OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_DEPS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
"""What keeps pip from the network; of the second, 0 is how pip reads "yes"."""


@dataclass
class Environment:
    """A Python environment, and the folder in which commands run.

    Attributes:
        folder: of the environment.
        work: where commands run.
        variables: of the environment of commands, next to those that every command has.
    """

    folder: Path
    work: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(
        self, *command: str | Path, check: bool = True, work: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, which must succeed unless `check` is False."""
        done = subprocess.run(
            [str(word) for word in command],
            cwd=work or self.work,
            env=self.get_variables(),
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
        )
        assert not check or done.returncode == 0, f"{command} failed\n{done.stdout}\n{done.stderr}"
        return done

    def get_variables(self) -> dict[str, str]:
        """Return the environment of commands: its programs first, nothing of the caller's settings of vsezoo."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VSEZOO_", "PYTHON", "HF_"))}
        path = os.pathsep.join([str(self.folder / "bin"), os.environ.get("PATH", "")])
        kept.pop("COLUMNS", None)
        # One thread: on a machine with other work to do, threads wait for each other.
        own = {"PATH": path, "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"}
        return {**kept, **OFFLINE, **own, **self.variables}

    def vsezoo(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        return self.run(self.folder / "bin" / "vsezoo", *arguments, check=check)

    def install(self, *arguments: str | Path) -> None:
        """Install what pip is told."""
        self.run(self.folder / "bin" / "python", "-m", "pip", "install", "--quiet", *arguments)


def make_environment(folder: Path, *wheels: Path) -> Environment:
    """Make an environment with these wheels, and an empty folder to work in."""
    if os.name == "nt":
        pytest.skip("the layout of environments is another on Windows")
    venv.create(folder / "venv", symlinks=True)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "parent.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    work = folder / "work"
    work.mkdir()
    environment = Environment(folder / "venv", work)
    # vsezoo may be among what is installed next to these tests, and would be enough for pip.
    environment.install("--ignore-installed", *wheels)
    return environment


def build_wheel(source: Path, folder: Path) -> Path:
    """Build a wheel from a copy of a project's sources, without the network; `folder` must be empty.

    Where pip or setuptools are missing, the test that asks is skipped.
    """
    if importlib.util.find_spec("pip") is None or importlib.util.find_spec("setuptools") is None:
        pytest.skip("pip and setuptools are wanted to build a wheel")
    if int(metadata.version("setuptools").split(".")[0]) < SETUPTOOLS:
        pytest.skip(f"setuptools {SETUPTOOLS} or later is wanted to build a wheel")
    copy = folder / "source"  # building writes next to the sources
    copy.mkdir(parents=True)
    for name in ("vsezoo", "plugins", "src", "pyproject.toml", "README.md", "LICENSE"):
        if (source / name).is_dir():
            shutil.copytree(source / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        elif (source / name).exists():
            shutil.copy(source / name, copy)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built
