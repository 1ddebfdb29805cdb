"""Loads and evaluations of a checkpoint that another process replaces as fast as it can: how many mix two versions.

    python benchmarks/replaced_checkpoint.py --loads 500 --evaluations 50

Each version has other weights and another margin in its recipe. A load is *mixed* if weights and recipe are of two
versions, an evaluation if its metrics are not those of the version whose digest it reports; one that is *refused* is a
false alarm.
"""

from __future__ import annotations

import functools
import itertools
import json
import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import torch
from click.testing import CliRunner
from figures import Figure, Report, make_parser

from vsezoo import VsezooError, load
from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.cli import main as run_vsezoo
from vsezoo.construction import create_model
from vsezoo.data.lookup import open_data
from vsezoo.model import JointEmbedding

VERSIONS = (1, 2, 3)
FIGURES = ("i2t", "t2i", "rsum")


def make_models() -> dict[int, JointEmbedding]:
    """Return the models of all versions."""
    data, models = open_data("shapes", "train", ("vector",)), {}
    for value in VERSIONS:
        torch.manual_seed(value)
        settings = {"embed_size": 8, "text_encoder.word_dim": 4, "loss.margin": float(value)}
        models[value] = create_model("vsepp", data, settings=settings)
    return models


def save(folder: Path, model: JointEmbedding, value: int) -> None:
    """Write a version of a checkpoint."""
    save_checkpoint(folder, model, open_data("shapes", "train", ("vector",)), {"epoch": value})


def replace(folder: Path, count: Synchronized[int]) -> None:
    """Replace a checkpoint for ever."""
    torch.set_num_threads(1)
    models = make_models()
    for value in itertools.cycle(VERSIONS):
        save(folder, models[value], value)
        count.value += 1


def load_once(folder: Path, models: Mapping[int, JointEmbedding]) -> str:
    """Load the checkpoint, and say what came of it."""
    try:
        model = load(folder)
    except VsezooError as error:
        return f"refused: {error}"
    expected = models[int(model.recipe.loss.options["margin"])].state_dict()
    same = all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
    return "sound" if same else "mixed"


def evaluate(folder: Path) -> dict[str, Any] | str:
    """Evaluate a checkpoint by the command; return its output, or why there is none."""
    result = CliRunner().invoke(
        run_vsezoo, ["eval", str(folder), "--data", "shapes", "--split", "dev", "--json", "--device", "cpu"]
    )
    if result.exit_code:
        return f"refused: {result.stderr}" if result.stderr else f"traceback: {result.exception!r}"
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def evaluate_once(folder: Path, expected: Mapping[str, Mapping[str, Any]]) -> str:
    """Evaluate the checkpoint, and say what came of it.

    Args:
        folder: the checkpoint.
        expected: the output for each version by the SHA-256 of its weights.
    """
    found = evaluate(folder)
    if isinstance(found, str):
        return found
    whose = expected.get(found["checkpoints"][0]["sha256"], {})
    return "sound" if all(found[name] == whose.get(name) for name in FIGURES) else "mixed"


def main() -> None:
    """Measure, and print the counts."""
    parser = make_parser(__doc__)
    parser.add_argument("--loads", type=int, default=500)
    parser.add_argument("--evaluations", type=int, default=50)
    given = parser.parse_args()
    torch.set_num_threads(1)
    models = make_models()
    with Report(given) as report, tempfile.TemporaryDirectory() as temporary:
        expected = {}
        for value, model in models.items():
            save(Path(temporary, str(value)), model, value)
            found = evaluate(Path(temporary, str(value)))
            assert isinstance(found, dict), found
            expected[found["checkpoints"][0]["sha256"]] = found
        assert len({json.dumps(found["i2t"]) for found in expected.values()}) == len(VERSIONS), "metrics must differ"
        folder = Path(temporary, "run", "best")
        save(folder, models[1], 1)
        context = multiprocessing.get_context("spawn")
        count = context.Value("i", 0)
        writer = context.Process(target=replace, args=(folder, count), daemon=True)
        writer.start()
        while count.value < 3:
            time.sleep(0.05)
        for name, attempt, times in (
            ("loads", functools.partial(load_once, folder, models), given.loads),
            ("evaluations", functools.partial(evaluate_once, folder, expected), given.evaluations),
        ):
            begun, before = time.perf_counter(), count.value
            found = Counter(attempt() for _ in range(times))
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
