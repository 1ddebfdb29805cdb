"""Intervals of `vsezoo compare`: how often they contain the true value, and what they cost.

    python benchmarks/intervals.py [--repeats 4000]

Coverage: a population of images is known, samples of it are "test sets", and the share of the 95 % intervals that
contain the population's figure is counted. Images differ in difficulty and captions of one image are alike, as in real
data; the last line says what an interval covers that takes captions for independent queries.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from figures import Figure, Report, make_parser

from vsezoo.comparison.hits import COLUMNS, measure
from vsezoo.comparison.resampling import bootstrap, compare_pairs, find_interval
from vsezoo.evaluation.predictions import Predictions, Query, write_predictions

CAPTIONS = 5
POPULATION = 200_000


def draw_population(random: np.random.Generator) -> np.ndarray:
    """Return `(POPULATION, 6)`: of each image, what its queries find; recalls are those of a model of Flickr8K."""
    hardness = random.normal(size=POPULATION)
    own = np.exp(1.1 + 1.6 * (0.7 * hardness + 0.7 * random.normal(size=POPULATION)))
    captions = np.exp(1.6 + 1.6 * (0.7 * hardness + 0.7 * random.normal(size=(CAPTIONS, POPULATION))))
    return np.stack([np.mean(np.atleast_2d(own if way == "i2t" else captions) < k, 0) for way, k in COLUMNS], 1)


def measure_coverage(report: Report, images: int, repeats: int, resamples: int) -> None:
    """Print the coverage of the seven figures with test sets of some images."""
    random = np.random.default_rng(0)
    population = draw_population(random)
    weights = np.full((images, len(COLUMNS)), 1 / images)
    truth = measure(population.mean(0), np.ones(len(COLUMNS)))
    covered, naive = np.zeros(len(truth)), 0.0
    for repeat in range(repeats):
        hits = population[random.integers(0, POPULATION, images)] / images
        low, high = find_interval(bootstrap([hits], weights, resamples, repeat)[0]).T
        covered += (low <= truth) & (truth <= high)
        rate = hits[:, 3].sum()
        naive += abs(rate - truth[3] / 100) <= 1.96 * np.sqrt(rate * (1 - rate) / (CAPTIONS * images))
    error = np.sqrt(0.95 * 0.05 / repeats)
    report.show(f"{images} images, {repeats} test sets, {resamples} resamples; standard error {100 * error:.2f} %")
    report.show("  true figures   " + " ".join(f"{value:6.1f}" for value in truth))
    shares, alone = 100 * covered / repeats, 100 * naive / repeats
    names = [f"{images} images, coverage of {way} R@{k}" for way, k in COLUMNS] + [f"{images} images, coverage of rsum"]
    figures = [Figure(name, float(share), "%") for name, share in zip(names, shares, strict=True)]
    report.show("  coverage, %    " + " ".join(f"{share:6.1f}" for share in shares), *figures)
    report.show(
        f"  t2i R@1 with captions as independent queries: {alone:.1f} %",
        Figure(f"{images} images, t2i R@1 with captions as independent queries", alone, "%"),
    )


def measure_time(report: Report) -> None:
    """Print what 10,000 resamples of 5,000 images and their test cost, and `vsezoo compare` of nine files."""
    random = np.random.default_rng(1)
    hits = [(random.random((5000, 6)) < 0.5) / 5000 for _ in range(3)]
    for name, function in (
        ("intervals of 3 models, 10,000 x 5,000", lambda: bootstrap(hits, np.full((5000, 6), 1 / 5000))),
        ("paired test, 10,000 x 5,000", lambda: compare_pairs(hits[0], hits[1])),
    ):
        start, spent = time.perf_counter(), time.process_time()
        function()
        show_time(report, name, time.perf_counter() - start, time.process_time() - spent)
    with tempfile.TemporaryDirectory() as folder:
        names = [write_example(Path(folder), model, seed) for model in range(3) for seed in range(3)]
        for title, program in (
            ("import numpy", "import numpy"),
            (
                "vsezoo compare, 3 models x 3 seeds, 1,000 images",
                f"from vsezoo.cli import main; main(['compare', *{names}])",
            ),
        ):
            start = time.perf_counter()
            spend = "; import resource; u = resource.getrusage(resource.RUSAGE_SELF); print(u.ru_utime + u.ru_stime)"
            program = program.replace("])", "], standalone_mode=False)")
            done = subprocess.run([sys.executable, "-c", program + spend], capture_output=True, text=True, check=True)
            spent = float(done.stdout.splitlines()[-1])
            show_time(report, title, time.perf_counter() - start, spent)


def show_time(report: Report, name: str, wall: float, processor: float) -> None:
    """Print seconds by the clock and of a processor."""
    figures = Figure(f"{name}, wall", wall, "s"), Figure(f"{name}, processor", processor, "s")
    report.show(f"{name}: {wall:.2f} s, {processor:.2f} s of a processor", *figures)


def write_example(folder: Path, model: int, seed: int, images: int = 1000) -> str:
    """Write made-up predictions and return `NAME=FILE`."""
    random = np.random.default_rng([model, seed])
    queries = []
    for image in range(images):
        captions = tuple(f"image-{image}.jpg#{number}" for number in range(CAPTIONS))
        ranks = tuple(np.sort(random.geometric(0.1, CAPTIONS)).tolist())
        top = tuple(f"image-{item}.jpg#0" for item in random.integers(0, images, 10))
        queries.append(Query("i2t", f"image-{image}.jpg", ranks, captions, False, top, (0.123456,) * 10))
    for image in range(images):
        for number in range(CAPTIONS):
            top, text = tuple(f"image-{item}.jpg" for item in random.integers(0, images, 10)), "a dog runs on a beach ."
            rank = (int(random.geometric(0.1)),)
            name, own = f"image-{image}.jpg#{number}", (f"image-{image}.jpg",)
            queries.append(Query("t2i", name, rank, own, False, top, (0.123456,) * 10, text))
    evaluation = {
        "data": "f8k",
        "split": "test",
        "protocol": "full",
        "ensemble": False,
        "ties": {"rule": "lower_index"},
    }
    evaluation |= {"images": images, "captions": len(queries) - images, "checkpoints": [{"sha256": f"{model} {seed}"}]}
    about = {"evaluation": evaluation, "ground_truth": "", "images": {}, "recipes": [{"name": str(model)}], "top": 10}
    file = folder / f"{model}-{seed}.jsonl"
    write_predictions(file, Predictions(about, queries))
    return f"model{model}={file}"


if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=4000)
    parser.add_argument("--resamples", type=int, default=1000)
    arguments = parser.parse_args()
    with Report(arguments) as report:
        measure_time(report)
        for images in (500, 1000):
            measure_coverage(report, images, arguments.repeats, arguments.resamples)
