"""The figures of a benchmark: as lines for a reader, or with `--json` as one object with what they were measured on.

A script makes its parser with `make_parser` and reports through `Report`:

    options = make_parser(__doc__).parse_args()
    with Report(options) as report:
        report.add("a search", 0.23, "s")
        report.show("recall 0.98 at 1.5 ms", Figure("recall", 0.98), Figure("time", 1.5, "ms"))

The objects of `measured.jsonl` are the tables of `docs/benchmarks.md`, which `python docs/generate.py` writes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, Self

PACKAGES = ("vsezoo", "torch", "numpy")
DIGITS = 6
"""Significant digits of a figure in JSON."""


class Figure(NamedTuple):
    """A value that was measured.

    Attributes:
        name: the same in every run of the script with the same arguments.
        value: a number, or a word such as the name of a choice.
        unit: empty for shares, ratios and counts.
    """

    name: str
    value: float | str
    unit: str = ""


class Report:
    """What a script found: printed line by line, or with `--json` as one object when the block ends without an error.

    Args:
        options: of a parser of `make_parser`.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._as_json: bool = options.json
        self._figures: list[Figure] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._as_json and kind is None:
            print(json.dumps({**describe_run(), "figures": [describe(figure) for figure in self._figures]}))

    def show(self, text: str, *figures: Figure) -> None:
        """Print a line for a reader, and record the figures that it names."""
        self._figures += figures
        if not self._as_json:
            print(text, flush=True)

    def add(self, name: str, value: float | str, unit: str = "") -> None:
        """Record a figure, and print it on a line of its own."""
        shown = value if isinstance(value, str) else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
        self.show(f"{name:<28}{shown:>10} {unit}".rstrip(), Figure(name, value, unit))


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the text of a script and `--json`."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=formatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object, with the commit and the machine")
    return parser


def describe(figure: Figure) -> dict[str, float | str]:
    """Return a figure for JSON."""
    value = float(f"{figure.value:.{DIGITS}g}") if isinstance(figure.value, float) else figure.value
    return {"name": figure.name, "value": value, "unit": figure.unit}


def describe_run() -> dict[str, Any]:
    """Return which script ran with which arguments, on which code and machine.

    `load` is the average number of processes that wanted to run in the minute before: more than the cores and the
    script's own mean that the machine did other work. `threads` and `accelerator` are those of torch, if it is used.
    """
    torch = sys.modules.get("torch")
    return {
        "script": Path(sys.argv[0]).name,
        "arguments": [argument for argument in sys.argv[1:] if argument != "--json"],
        "commit": read_commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "processor": read_processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "threads": torch.get_num_threads() if torch else None,
        "accelerator": torch.cuda.get_device_name() if torch and torch.cuda.is_initialized() else None,
        "python": platform.python_version(),
        **{name: read_version(name) for name in PACKAGES},
    }


def read_commit() -> str | None:
    """Return the commit of the code, with `-dirty` if files differ from it; None without git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def read_processor() -> str:
    """Return the name of the processor."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def read_version(package: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
