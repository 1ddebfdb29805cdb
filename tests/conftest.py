"""What every test has: one thread, a cache and a registry of its own, markers that are true; and common fixtures."""

from __future__ import annotations

import functools
import gc
import importlib.util
import os

# Before torch is imported, and for all processes: with what is as small as in these tests, threads wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

import itertools
import math
import multiprocessing.process
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import commands
import environments
import hub_environment
import loopback
import processes
import pytest
from hypothesis import HealthCheck, settings

import vsezoo
from vsezoo import registry
from vsezoo.cli.arguments import CHECKPOINT, DATASET, IMAGES, TEXTS
from vsezoo.training import saved

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control makes what it starts in the background ignore Ctrl-C, and all that this starts, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The width of the terminal that the tests are started in (or what pytest-xdist says of it) breaks no line of ours.
os.environ.pop("COLUMNS", None)

# A busy machine may take a second for the first example.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    # Or each process that a test starts, and each worker of pytest-xdist, would compile all modules again.
    sys.dont_write_bytecode = False

# These tests are not about power cuts, and waiting for the disk is a tenth of their time. Their own processes do wait.
os.fsync = lambda descriptor: None

# Nor about what saving costs: on a busy machine, states that tests look for would not be saved.
saved.CHEAP = math.inf


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return one process for each core, and one more for the tests that wait for processes of their own."""
    return (os.cpu_count() or 1) + ("not process" not in config.option.markexpr)


# Test modules import millions of objects that stay. Looking for garbage among them is a thirtieth of all time.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


Vse = Callable[..., processes.Done]
Install = Callable[..., Path]

RECIPE = """
from vsezoo.recipe import Part, Recipe

recipe = Recipe("{name}", "{summary}", Part("precomp"), Part("gru"), Part("cosine"), Part("hinge"))
"""


# Markers


PROCESS_FIXTURES = {"run_vsezoo", "start_vse", "thirdparty", "wheel"}
"""Fixtures that start processes, or exist for it: who has one of them is marked `process`."""

_started: list[str] = []
"""The processes that were started since the present test began."""

_fixtures_with_processes: set[tuple[str, str]] = set()
"""Where each fixture that has started a process stands, and its name."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if PROCESS_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.process)


ASK_FOR_THE_PROCESSOR = (("lscpu",), (["uname", "-p"],), (["/sbin/ldconfig", "-p"],))
"""What torch 2.6, h5py through `platform`, and torch with CUDA through cuda.pathfinder start once in a process."""


def _watch(owner: type, method: str) -> None:
    """Note each process that is started from now on."""
    start = getattr(owner, method)

    @functools.wraps(start)
    def noted(self: Any, *arguments: Any, **options: Any) -> Any:
        if arguments[:1] not in ASK_FOR_THE_PROCESSOR:
            _started.append(f"{owner.__name__}: {str(arguments[:1] or getattr(self, 'name', ''))[:100]}")
        return start(self, *arguments, **options)

    setattr(owner, method, noted)


_watch(subprocess.Popen, "__init__")
_watch(multiprocessing.process.BaseProcess, "start")


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
    before = len(_started)
    result = yield
    if len(_started) > before:
        _fixtures_with_processes.add((fixturedef.baseid, fixturedef.argname))
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Hold `-m "not process"` to what it promises: a test that starts a process is marked."""
    result = yield
    if item.get_closest_marker("process") is None:
        named = getattr(item, "fixturenames", ())
        shared = [name for place, name in _fixtures_with_processes if name in named and item.nodeid.startswith(place)]
        if _started or shared:
            pytest.fail(f"mark this test `process`: it starts {_started or shared}", pytrace=False)
    return result


# For every test


@pytest.fixture(autouse=True)
def _processes_are_counted() -> None:
    _started.clear()


@pytest.fixture(autouse=True)
def _own_registry() -> Iterator[None]:
    """What a test registers is forgotten when it ends."""
    with registry.session():
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What vsezoo keeps between calls is nobody's but the test's."""
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path_factory.getbasetemp() / f"cache-{next(_numbers)}"))


_numbers = itertools.count()


# Scripts, distributions and commands


@pytest.fixture(scope="session")
def load_script() -> Callable[[str], ModuleType]:
    """Import a script of the repository by its path, such as `docs/generate.py`."""

    @functools.cache
    def load(path: str) -> ModuleType:
        name = re.sub(r"\W", "_", path.removesuffix(".py"))
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # where dataclasses look for the types of their fields
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(Path(__file__).parents[1] / Path(path).parent)  # as Python does for a script
            spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def make_distribution(tmp_path: Path) -> Callable[..., Path]:
    """Write what an installer would write, and return the folder to put on Python's path."""

    def make(
        name: str,
        entry_points: Mapping[str, Mapping[str, str]] | str,
        modules: Mapping[str, str] | None = None,
        version: str = "1.0",
        folder: str = "",
    ) -> Path:
        root = tmp_path / (folder or name)
        info = root / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
        if not isinstance(entry_points, str):
            lines = []
            for kind, points in entry_points.items():
                lines += [f"[vsezoo.{kind}]", *(f"{point} = {value}" for point, value in points.items())]
            entry_points = "\n".join(lines)
        (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
        for module, source in (modules or {}).items():
            (root / f"{module}.py").write_text(source, encoding="utf-8")
        return root

    return make


@pytest.fixture
def install(make_distribution: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Make a distribution and put it on this process's path, for the time of the test."""
    before = set(sys.modules)
    for name in ("VSEZOO_PLUGINS", "VSEZOO_RAISE_PLUGIN_ERRORS"):
        monkeypatch.delenv(name, raising=False)
    registry.list_distributions.cache_clear()

    def add(*arguments: object, **options: object) -> Path:
        folder = make_distribution(*arguments, **options)
        monkeypatch.syspath_prepend(folder)
        registry.list_distributions.cache_clear()
        return folder

    yield add
    registry.list_distributions.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("made_"):
            del sys.modules[name]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build vsezoo's wheel from a copy of the sources, without the network."""
    return environments.build_wheel(environments.ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def thirdparty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of a second distribution, with plugins of every kind."""
    return environments.build_wheel(Path(__file__).parent / "thirdparty", tmp_path_factory.mktemp("thirdparty"))


@pytest.fixture
def recipe_source() -> Callable[..., str]:
    """Return the text of a module whose attribute `recipe` is a recipe of this name."""
    return lambda name, summary="A model of the tests.": RECIPE.format(name=name, summary=summary)


@pytest.fixture
def run_vsezoo() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the console script in a process of its own, with folders put on Python's path."""
    script = shutil.which("vsezoo", path=str(Path(sys.executable).parent))
    if script is None:
        pytest.skip("the console script is not installed next to this Python")

    def run(*arguments: str, path: tuple[Path, ...] = (), **options: Any) -> subprocess.CompletedProcess[str]:
        clean = {
            k: v for k, v in os.environ.items() if not k.startswith("VSEZOO_") and k not in ("COLUMNS", "PYTHONPATH")
        }
        environment = clean | {"PYTHONPATH": os.pathsep.join(map(str, path))} | options.pop("env", {})
        settings: dict[str, Any] = {
            "capture_output": True,
            "text": True,
            "encoding": "utf-8",
            "timeout": processes.PATIENCE,
        }
        return subprocess.run([script, *arguments], env=environment, **{**settings, **options})

    return run


@pytest.fixture
def hub() -> Iterator[loopback.LoopbackHub]:
    hub = loopback.LoopbackHub()
    yield hub
    hub.close()


@pytest.fixture
def environment(hub: loopback.LoopbackHub, tmp_path: Path) -> dict[str, str]:
    """What a process needs so that this Hub is its Hub: an empty cache, the owner's token."""
    return {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": loopback.OWNER,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture
def vse(environment: dict[str, str], tmp_path: Path) -> Vse:
    """Run a command in the folder of the test, against this Hub; keywords change the environment, None removes."""

    def run(*arguments: str | Path, **changes: str | None) -> processes.Done:
        with hub_environment.client_of({**environment, **changes}):
            return commands.run_command(tmp_path, *arguments)

    return run


@pytest.fixture
def start_vse(environment: dict[str, str], tmp_path: Path) -> Vse:
    """Run a command as `vse` does, in a process of its own."""

    def run(*arguments: str | Path, **changes: str | None) -> processes.Done:
        change = functools.partial(hub_environment.change_environment, {**environment, **changes})
        return processes.run_command(tmp_path, *arguments, before=change)

    return run


@pytest.fixture(scope="session")
def _drawn() -> dict[bytes, bytes | None]:
    """The curves of each log."""
    return {}


@pytest.fixture
def draw_once(_drawn: dict[bytes, bytes | None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the curves of a log drawn once in all tests: they are the same bytes, and most of the time of a card."""
    from vsezoo.publishing import publication  # imports torch

    def draw(run: Path, draw_curves: Callable[[Path], bytes | None] = publication.draw_curves) -> bytes | None:
        log = (run / "log.jsonl").read_bytes()
        if log not in _drawn:
            _drawn[log] = draw_curves(run)
        return _drawn[log]

    monkeypatch.setattr(publication, "draw_curves", draw)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on tiny data in the name of a registered data set; the data lie next to it, in data/."""
    import tiny  # imports torch, which the process that only starts others does without

    folder = tmp_path_factory.mktemp("trained")
    tiny.write_data(folder / "data" / "f8k_precomp")
    settings: dict[str, Any] = tiny.SETTINGS
    vsezoo.train(
        "vsepp", "f8k_precomp", data_root=folder / "data", output=folder / "run", settings=settings, device="cpu"
    )
    return folder


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP with random weights, as transformers writes it."""
    import dual_families  # imports transformers

    folder = tmp_path_factory.mktemp("weights") / "tiny-clip"
    dual_families.write(folder, "clip")
    return folder


@pytest.fixture
def work(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run and of the data, in the folder of the test, where commands find them."""
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.copytree(trained / "data", tmp_path / "data")
    return tmp_path


@pytest.fixture
def unchecked_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line accept checkpoints, data sets and files that are not there, as in examples."""
    for kind in (CHECKPOINT, DATASET, IMAGES, TEXTS):
        monkeypatch.setattr(kind, "check", lambda value: None)
