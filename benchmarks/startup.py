"""Start-up of the command line, next to what its two libraries cost alone.

    python benchmarks/startup.py [--runs 15]

Runs `vsezoo list-models` and `python -c "import click, rich.console"` in turn and prints the medians and their ratio.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from figures import Figure, Report, make_parser

LIBRARIES = [sys.executable, "-c", "import click, rich.console"]


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--runs", type=int, default=15, help="runs of each (default 15)")
    options = parser.parse_args()
    runs = options.runs
    script = shutil.which("vsezoo", path=str(Path(sys.executable).parent))
    if script is None:
        sys.exit("vsezoo is not installed next to this Python.")
    commands = {"vsezoo list-models": [script, "list-models"], "import click, rich.console": LIBRARIES}
    for command in commands.values():
        measure_seconds(command)  # the first run reads the disk and writes bytecode
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            seconds[name].append(measure_seconds(command))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ours, libraries = medians.values()
    with Report(options) as report:
        for name, median in medians.items():
            shown = f"{name:<28}{1000 * median:7.1f} ms (median of {runs})"
            report.show(shown, Figure(name, 1000 * median, "ms"))
        report.show(f"{'ratio':<28}{ours / libraries:7.2f}", Figure("ratio", ours / libraries))


def measure_seconds(command: list[str]) -> float:
    """Return the wall time of a process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
