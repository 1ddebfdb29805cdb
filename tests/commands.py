"""The command line in this process, which is afterwards as it was before; no tests in here."""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import processes
from click.testing import CliRunner

from vsezoo import registry
from vsezoo.cli import main
from vsezoo.registry.audit.api import PluginWarning


def run_command(folder: Path, *arguments: str | Path, before: Callable[[], None] | None = None) -> processes.Done:
    """Run `vsezoo` in a folder, after a function that changes the process, as `processes.run_command` does.

    Folder, environment, registry, and the limit of files are restored. What a command does to all of its process
    (ignore a signal, end it, start workers) is for `processes`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(folder), registry.session(), _keep_environment(), _keep_limit(), _print_warnings():
        os.environ.pop("COLUMNS", None)
        if before:
            before()
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="vsezoo")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return processes.Done(result.exit_code, result.stdout, result.stderr)


def call_vsezoo(
    *arguments: str, path: tuple[Path, ...] = (), env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `vsezoo` with folders put on Python's path, as the fixture `run_vsezoo` does."""

    def prepare() -> None:
        for name in [name for name in os.environ if name.startswith("VSEZOO_") and name != "VSEZOO_CACHE"]:
            del os.environ[name]
        os.environ.update(env or {})

    with install(path):
        done = run_command(cwd or Path.cwd(), *arguments, before=prepare)
    return subprocess.CompletedProcess(arguments, done.code, done.stdout, done.stderr)


@contextlib.contextmanager
def install(path: tuple[Path, ...]) -> Iterator[None]:
    """Have folders on Python's path, and forget the modules that were imported from them."""
    places = [str(folder) for folder in path]
    sys.path[:0] = places
    importlib.invalidate_caches()
    registry.list_distributions.cache_clear()
    try:
        yield
    finally:
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(tuple(f"{place}{os.sep}" for place in places)):
                del sys.modules[name]
        for place in places:
            sys.path.remove(place)
        registry.list_distributions.cache_clear()


@contextlib.contextmanager
def _keep_environment() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _keep_limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def _print_warnings() -> Iterator[None]:
    """Print those that are for users; all others are errors, as everywhere in the tests."""

    def show(*arguments: Any) -> None:
        sys.stderr.write(warnings.formatwarning(*arguments[:4]))

    with warnings.catch_warnings():
        warnings.simplefilter("default", PluginWarning)
        warnings.showwarning = show
        yield
