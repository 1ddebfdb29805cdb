"""Python environments into which wheels are installed, without the network; no tests in here.

An environment has what is installed next to these tests, torch above all, but for vsezoo itself, which it has from a
wheel.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
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
        variables: of the environment of commands, next to those that every command has; to be set before the first.
    """

    folder: Path
    work: Path
    variables: dict[str, str] = field(default_factory=dict)

    @functools.cached_property
    def warm(self) -> subprocess.Popen[str]:
        """The process that runs warm.py. It ends when this object is forgotten, since its standard input does."""
        return subprocess.Popen(
            [self.folder / "bin" / "python", "-P", Path(__file__).with_name("warm.py")],
            env=self.get_variables(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def close(self) -> None:
        """End the process that was kept."""
        if "warm" in vars(self):
            self.warm.communicate(timeout=PATIENCE)

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
        own = {"PATH": path, "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        return {**kept, **OFFLINE, **own, **self.variables}

    def vsezoo(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line: the script that was installed."""
        return self.run_warm(self.folder / "bin" / "vsezoo", *arguments, check=check)

    def python(self, program: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program."""
        script = self.folder / "program.py"
        script.write_text(program, encoding="utf-8")
        return self.run_warm(script, check=check)

    def run_warm(
        self, script: str | Path, *arguments: str | Path, module: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a script or a module in a process that need not import torch; it must succeed unless `check` is False."""
        command = [str(word) for word in (script, *arguments)]
        outputs = {name: str(self.folder / name) for name in ("stdout", "stderr")}
        assert self.warm.stdin is not None
        assert self.warm.stdout is not None
        asked = {"work": str(self.work), "module": module, "arguments": command, **outputs}
        print(json.dumps(asked), file=self.warm.stdin, flush=True)
        code = int(self.warm.stdout.readline())
        stdout, stderr = (Path(path).read_text(encoding="utf-8") for path in outputs.values())
        assert not check or code == 0, f"{command} failed\n{stdout}\n{stderr}"
        return subprocess.CompletedProcess(command, code, stdout, stderr)

    @property
    def site(self) -> Path:
        """The folder in which packages are."""
        (site,) = (self.folder / "lib").glob("python*/site-packages")
        return site

    def install(self, wheel: Path) -> None:
        """Unpack a wheel and write its scripts, as pip does, which takes seconds to start."""
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.site)
        for distribution in metadata.distributions(path=[str(self.site)]):
            for point in distribution.entry_points.select(group="console_scripts"):
                script = self.folder / "bin" / point.name
                program = f"from {point.module} import {point.attr}\n{point.attr}()\n"
                script.write_text(f"#!{self.folder}/bin/python\n{program}", encoding="utf-8")
                script.chmod(0o755)


def make_environment(folder: Path, wheel: Path) -> Environment:
    """Make an environment with this wheel, and an empty folder to work in."""
    if os.name == "nt":
        pytest.skip("the layout of environments is another on Windows")
    venv.create(folder / "venv", symlinks=True)
    work = folder / "work"
    work.mkdir()
    environment = Environment(folder / "venv", work)
    parents = [path for path in sys.path if Path(path).name == "site-packages"]
    (environment.site / "parents.pth").write_text("\n".join([*parents, ""]), encoding="utf-8")
    environment.install(wheel)
    return environment


def build_wheel(source: Path, folder: Path) -> Path:
    """Build a wheel from a copy of a project's sources, without the network; `folder` must be empty.

    Where pip or setuptools are missing, the test that asks is skipped.
    """
    if importlib.util.find_spec("pip") is None or importlib.util.find_spec("setuptools") is None:
        pytest.skip("pip and setuptools are wanted to build and install a wheel")
    if int(metadata.version("setuptools").split(".")[0]) < SETUPTOOLS:
        pytest.skip(f"setuptools {SETUPTOOLS} or later is wanted to build a wheel")
    copy = folder / "source"  # building writes next to the sources
    copy.mkdir(parents=True)
    for name in ("vsezoo", "plugins", "src", "pyproject.toml", "README.md", "LICENSE"):
        if (source / name).is_dir():
            shutil.copytree(source / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        elif (source / name).exists():
            shutil.copy(source / name, copy)
    # What pip calls in a process of its own, next to others that ask for requirements and metadata.
    program = f"from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})"
    done = subprocess.run([sys.executable, "-c", program], cwd=copy, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built
