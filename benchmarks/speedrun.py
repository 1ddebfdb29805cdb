"""CPU time to a score: what VSE++'s own settings reach in the end, and how soon a recipe is there to stay.

    python benchmarks/speedrun.py --data-root DIR                              both, which takes hours
    python benchmarks/speedrun.py --data-root DIR --target 275.8               the recipe alone
    python benchmarks/speedrun.py --data-root DIR --before v0.1.0              the first with the code of a git ref

The first side is `vsepp --no-overrides` in float32, hardest negatives, 30 epochs: its score is the rsum on the dev
split after the last epoch, the mean over the seeds. The second is `--recipe`, by default `vsepp` with its overrides for
the data, with `--set` as in `vsezoo train`. The time is that from the start of Python, of all threads, at the first
validation from which on the score never falls below the target; validations are in it, on both sides.

Target: the recipe at most a quarter of the CPU time of `vsepp`. Run one thing at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from figures import Figure, Report, make_parser

from vsezoo.cli.assignments import read_assignments

REPOSITORY = Path(__file__).parents[1]
PAPER = {"loss.max_violation": True, "training.precision": "fp32"}

# Runs in a process of its own, maybe with the code of another commit: `observers` is what all of them take.
TRAIN = """
import json, sys, time
import vsezoo

class Clock:
    def validation(self, progress, evaluation, score, best):
        print(json.dumps({"cpu": time.process_time(), "score": score}), flush=True)

    def __getattr__(self, name):
        return lambda *values: None

model, data, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
vsezoo.train(model, data, observers=[Clock()], device="cpu", **options)
"""


def train(
    code: Path, model: str, arguments: argparse.Namespace, seed: int, settings: dict[str, Any], **options: Any
) -> list[dict[str, float]]:
    """Train with the code of a folder; return the CPU seconds and the score of each validation."""
    paths = os.pathsep.join(map(str, (code, code / "plugins")))
    with tempfile.TemporaryDirectory() as folder:
        output = (
            Path(folder if arguments.output is None else arguments.output) / f"{'paper' if options else model}-{seed}"
        )
        settings = {**settings, "training.seed": seed}
        given = {"data_root": str(arguments.data_root), "output": str(output), "settings": settings, **options}
        command = [sys.executable, "-c", TRAIN, model, arguments.data, json.dumps(given)]
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_WAIT_POLICY": "passive"}
        done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"cpu"')]


def find_arrival(validations: Sequence[dict[str, float]], target: float) -> float | None:
    """Return the CPU seconds from which on the score is the target or more; None: it is not at the end."""
    arrival = None
    for validation in reversed(validations):
        if validation["score"] < target:
            break
        arrival = validation["cpu"]
    return arrival


def check_out(ref: str, folder: Path) -> Path:
    """Write the code of a git ref into a folder, with the entry points by which it finds its parts."""
    archive = subprocess.run(
        ["git", "-C", REPOSITORY, "archive", ref, "vsezoo", "plugins", "pyproject.toml"],
        stdout=subprocess.PIPE,
        check=True,
    )
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    groups = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    lines = [
        line
        for name, entries in groups.items()
        for line in [f"[{name}]", *(f"{key} = {value}" for key, value in entries.items())]
    ]
    described = folder / "vsezoo-0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: vsezoo\nVersion: 0\n", encoding="utf-8")
    (described / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder


def show_arrivals(report: Report, name: str, runs: Sequence[list[dict[str, float]]], target: float) -> float | None:
    """Print the arrival of each seed; return their mean, None unless all arrive."""
    arrivals = [find_arrival(run, target) for run in runs]
    for number, (run, arrival) in enumerate(zip(runs, arrivals, strict=True), 1):
        words = "does not hold it" if arrival is None else f"holds it from {arrival:.0f} CPU seconds on"
        report.show(
            f"{name}: ends at {run[-1]['score']:.1f} after {run[-1]['cpu']:.0f} CPU seconds, {words}",
            Figure(f"{name}, run {number}: rsum", run[-1]["score"]),
            Figure(f"{name}, run {number}: processor", run[-1]["cpu"], "s"),
            Figure(f"{name}, run {number}: arrival", "none" if arrival is None else arrival, "s"),
        )
    return None if None in arrivals else mean(arrival for arrival in arrivals if arrival is not None)


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--data", default="f8k_precomp")
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--recipe", default="vsepp", help="default: vsepp, with its overrides")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of the recipe; JSON or text")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=30, help="of vsepp")
    parser.add_argument("--before", metavar="REF", help="git ref whose code trains vsepp; default: this code")
    parser.add_argument("--output", type=Path, help="folder in which the runs are kept")
    parser.add_argument("--target", type=float, help="rsum on the dev split; without it vsepp is trained")
    arguments = parser.parse_args()
    arguments.data_root = arguments.data_root.absolute()
    arguments.output = arguments.output and arguments.output.absolute()
    with Report(arguments) as report:
        compare(report, arguments)


def compare(report: Report, arguments: argparse.Namespace) -> None:
    """Train both sides and print their times."""
    target, before = arguments.target, None
    if target is None:
        with tempfile.TemporaryDirectory() as folder:
            code = check_out(arguments.before, Path(folder)) if arguments.before else REPOSITORY
            settings = {**PAPER, "training.num_epochs": arguments.epochs}
            runs = [train(code, "vsepp", arguments, seed, settings, overrides=False) for seed in arguments.seeds]
        target = mean(run[-1]["score"] for run in runs)
        # A seed below the mean never holds it: its whole time counts.
        before = mean(find_arrival(run, target) or run[-1]["cpu"] for run in runs)
        report.show(f"target: {target:.1f}", Figure("target", target))
        show_arrivals(report, "vsepp --no-overrides", runs, target)

    settings = read_assignments("--set", arguments.set, "embed_size=256")
    runs = [train(REPOSITORY, arguments.recipe, arguments, seed, settings) for seed in arguments.seeds]
    arrival = show_arrivals(report, arguments.recipe, runs, target)
    if before is not None and arrival is not None:
        report.show(f"speedrun.ratio {arrival / before:.3f}", Figure("ratio", arrival / before))


if __name__ == "__main__":
    main()
