"""Loads and evaluations of a checkpoint that another process replaces as fast as it can: how many mix two versions.

    python benchmarks/replaced_checkpoint.py --loads 500 --evaluations 50

Each version has weights that are all equal to a number, which its recipe names. A load is *mixed* if weights and recipe
are of two versions; one that is *refused* is a false alarm.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from click.testing import CliRunner
from figures import Figure, Report, make_parser

from vsezoo import VsezooError, load
from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.cli import main as run_vsezoo
from vsezoo.construction import create_model
from vsezoo.data.lookup import open_data


def write(folder: Path, value: int) -> None:
    """Write a version of a checkpoint."""
    data = open_data("shapes", "train", ("vector",))
    torch.manual_seed(0)
    model = create_model(
        "vsepp", data, settings={"embed_size": 8, "text_encoder.word_dim": 4, "loss.margin": float(value)}
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value / 1000)
    save_checkpoint(folder, model, data, {"epoch": value})


def replace(folder: Path, count: multiprocessing.sharedctypes.Synchronized[int]) -> None:
    """Replace a checkpoint for ever."""
    torch.set_num_threads(1)
    data = open_data("shapes", "train", ("vector",))
    torch.manual_seed(0)
    models = []
    for value in (1, 2, 3):
        settings = {"embed_size": 8, "text_encoder.word_dim": 4, "loss.margin": float(value)}
        models.append(create_model("vsepp", data, settings=settings))
        with torch.no_grad():
            for parameter in models[-1].parameters():
                parameter.fill_(value / 1000)
    for value in itertools.cycle((1, 2, 3)):
        save_checkpoint(folder, models[value - 1], data, {"epoch": value})
        count.value += 1


def load_once(folder: Path) -> str:
    """Load the checkpoint, and say what came of it."""
    try:
        model = load(folder)
    except VsezooError as error:
        return f"refused: {error}"
    wanted = np.float32(model.recipe.loss.options["margin"] / 1000)
    same = all(bool((tensor == wanted.item()).all()) for tensor in model.parameters())
    return "sound" if same else "mixed"


def evaluate_once(folder: Path) -> str:
    """Evaluate the checkpoint by the command, and say what came of it."""
    result = CliRunner().invoke(
        run_vsezoo, ["eval", str(folder), "--data", "shapes", "--split", "dev", "--json", "--device", "cpu"]
    )
    if result.exit_code:
        return f"refused: {result.stderr}" if result.stderr else f"traceback: {result.exception!r}"
    return "sound" if json.loads(result.stdout)["rsum"] >= 0 else "mixed"


def main() -> None:
    """Measure, and print the counts."""
    parser = make_parser(__doc__)
    parser.add_argument("--loads", type=int, default=500)
    parser.add_argument("--evaluations", type=int, default=50)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with Report(given) as report, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "run", "best")
        write(folder, 1)
        context = multiprocessing.get_context("spawn")
        count = context.Value("i", 0)
        writer = context.Process(target=replace, args=(folder, count), daemon=True)
        writer.start()
        while count.value < 3:
            time.sleep(0.05)
        for name, function, times in (
            ("loads", load_once, given.loads),
            ("evaluations", evaluate_once, given.evaluations),
        ):
            begun, before = time.perf_counter(), count.value
            found = Counter(function(folder) for _ in range(times))
            seconds = time.perf_counter() - begun
            replaced = count.value - before
            report.show(
                f"{name}: {dict(found)} in {seconds:.0f} s, while it was replaced {replaced:,} times",
                *(Figure(f"{name}, {outcome}", number) for outcome, number in found.items()),
                Figure(f"{name}, replaced meanwhile", replaced),
                Figure(f"{name}, time", seconds, "s"),
            )
        writer.kill()
        writer.join()


if __name__ == "__main__":
    main()
