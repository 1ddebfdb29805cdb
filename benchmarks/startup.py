"""Start-up of the command line, next to what its two libraries cost alone.

    python benchmarks/startup.py [--runs 15]

Runs `vsezoo list-models` and `python -c "import click, rich.console"` in turn and prints the medians and their ratio.
Then it prints what other commands spend on imports, by `python -X importtime`: in all, and for the packages that take
most. Each is a second call: the first may look up what is remembered, as `show` of a model does. The search is among
1,000 made features, by an untrained model.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from figures import Figure, Report, make_parser
from processes import find_script, keep_bytecode, measure

COMMANDS = (
    ["list-models"],
    ["eval", "--help"],
    ["show", "vsepp"],
    ["show", "run"],
    ["data", "check", "made"],
    ["search", "run", "w1 w2", "--images", "made/test_ims.npy", "--device", "cpu"],
)
LISTED = 5
"""Packages of a line."""
LIBRARIES = [sys.executable, "-c", "import click, rich.console"]


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--runs", type=int, default=15, help="runs of each (default 15)")
    options = parser.parse_args()
    runs = options.runs
    script = find_script()
    commands = {"vsezoo list-models": [script, "list-models"], "import click, rich.console": LIBRARIES}
    for command in commands.values():
        measure(command)  # the first run reads the disk and writes bytecode
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            seconds[name].append(measure(command).wall)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ours, libraries = medians.values()
    with Report(options) as report:
        for name, median in medians.items():
            shown = f"{name:<28}{1000 * median:7.1f} ms (median of {runs})"
            report.show(shown, Figure(name, 1000 * median, "ms"))
        report.show(f"{'ratio':<28}{ours / libraries:7.2f}", Figure("ratio", ours / libraries))
        with tempfile.TemporaryDirectory() as name:
            show_imports(report, Path(name), script)


def show_imports(report: Report, folder: Path, script: str) -> None:
    """Print what the imports of commands take, with a model and data in a folder."""
    from made import write_data

    import vsezoo
    from vsezoo.checkpoints.checkpoint import save_checkpoint
    from vsezoo.data.lookup import open_data

    data = write_data(folder / "made", {"train": 1000, "dev": 100, "test": 1000}, width=512)
    train = open_data(str(data), "train", ("vector",))
    save_checkpoint(folder / "run", vsezoo.create_model("vsepp", train), train, {})
    environment = {**keep_bytecode(os.environ), "VSEZOO_CACHE": str(folder / "cache")}
    for words in COMMANDS:
        command = [sys.executable, "-X", "importtime", script, *words]
        for _ in range(2):
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        times = read_times(done.stderr)
        most = ", ".join(f"{package} {own:.0f}" for package, own in times.most_common(LISTED))
        name = f"imports of vsezoo {' '.join(words[:2])}"
        report.show(f"{name:<34}{times.total():7.0f} ms: {most}", Figure(name, times.total(), "ms"))


def read_times(log: str) -> Counter[str]:
    """Return the milliseconds that each package took by itself, from the log of `-X importtime`."""
    times: Counter[str] = Counter()
    for own, module in re.findall(r"^import time: +(\d+) \| +\d+ \| +(\S+)$", log, re.MULTILINE):
        package = module.partition(".")[0]
        times["Python" if package in sys.stdlib_module_names else package] += int(own) / 1000
    return times


if __name__ == "__main__":
    main()
