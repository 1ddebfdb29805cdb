"""A program that runs scripts and modules in an environment, each in a process forked from this one; no tests in here.

This one has imported what takes seconds to import. It reads a line of JSON for each, and answers with the exit code.
In these processes the data set `shapes` is small, and `list-plugins --check` imports what others than vsezoo register,
and that in its own process: tests/registry has the rest of it.
"""

from __future__ import annotations

import gc
import importlib
import json
import multiprocessing
import os
import runpy
import site
import sys
import sysconfig
from pathlib import Path
from typing import Any

IMPORTED = (
    "pip._internal.commands.install",
    "pip._internal.commands.wheel",
    "pytest",
    "torch._dynamo",
    "vsezoo.cards.card",
    "vsezoo.cli.eval",
    "vsezoo.cli.list_plugins",
    "vsezoo.cli.train",
    "vsezoo.encoders.recurrent",
    "vsezoo.encoders.regions",
    "vsezoo.losses",
    "vsezoo.similarities",
    "vsezoo.training.train",
)
SIZES = {"train": 200, "dev": 40, "test": 100}
"""Images of `shapes`: enough to see that a model learns. The tutorial uses 100 of the test split."""


def run(asked: dict[str, Any]) -> None:
    """Run what is asked for, as Python does."""
    os.chdir(asked["work"])
    site.addsitedir(sysconfig.get_path("purelib"))  # reads the .pth files that are new
    for number, path in ((1, asked["stdout"]), (2, asked["stderr"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = asked["arguments"]
    if asked["module"]:
        sys.path.insert(0, asked["work"])
        runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(sys.argv[0]).parent))
        runpy.run_path(sys.argv[0], run_name="__main__")


def main() -> None:
    """Run what is asked for, until there is no more."""
    for name in IMPORTED:
        importlib.import_module(name)

    from vsezoo.data.shapes import scenes
    from vsezoo.registry.audit import inventory, trial

    scenes.SPLITS.update(SIZES)
    inventory.try_entries = lambda entries: [trial.Outcome("", 0.0) if e.own else trial._try(e) for e in entries]
    gc.collect()
    gc.freeze()  # what a collection does not look at is not copied for each process
    processes = multiprocessing.get_context("fork")
    for line in sys.stdin:
        process = processes.Process(target=run, args=(json.loads(line),))
        process.start()
        process.join()
        print(process.exitcode, flush=True)


if __name__ == "__main__":
    main()
