"""Scores of sets of COCO's size: their rate, the peak of the memory, and what an interruption costs.

    python benchmarks/set_scores.py --seconds 300                            5,000 images and 25,000 captions
    python benchmarks/set_scores.py --images 200 --width 256 --seconds 20    a quick look

Makes random regions (36 of 2,048 numbers) and captions, and an untrained `scan-t2i`. `vsezoo eval --scores FILE` is
interrupted with Ctrl-C after so many seconds of scoring and started again for as many; prints the pairs per second of
both, and the peak resident memory of the process, next to the size of the embeddings: regions, words and vectors.

Target: less than 2 GB above the embeddings.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from figures import Report, make_parser
from made import LENGTH, write_captions
from processes import find_script

import vsezoo
from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.data.lookup import open_data

REGIONS, FEATURES = 36, 2048
MARKS = 2
"""`<start>` and `<end>`, which are words of a caption for SCAN."""


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    for name, default in (("images", 5000), ("width", 1024), ("seconds", 300), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    with Report(options) as report, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = write_sets(folder / "made", options.images)
        train = open_data(str(folder / "made"), "train", ("regions",))
        model = vsezoo.create_model("scan-t2i", train, settings={"embed_size": options.width})
        save_checkpoint(folder / "checkpoint", model, train, {})
        scores = folder / "scores.npy"
        sides = ((options.images, REGIONS), (5 * options.images, words / (5 * options.images)))
        embeddings = sum(4 * options.width * count * (items + 1) for count, items in sides)
        report.add("embeddings", embeddings / 1e9, "GB")
        report.add("pairs", 5 * options.images**2 / 1e6, "millions")
        done = 0
        for part in ("begun", "continued"):
            before, start = score(folder, scores, options.seconds, options.threads)
            rows = count_rows(scores, options.images)
            report.add(f"{part}: scored", (rows - done) * 5 * options.images / 1e6, "millions")
            report.add(f"{part}: scored", (rows - done) * 5 * options.images / (time.perf_counter() - start), "pairs/s")
            report.add(f"{part}: before the first scores", start - before, "s")
            done = rows
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
        report.add("peak memory", peak / 1e9, "GB")
        report.add("peak memory above the embeddings", (peak - embeddings) / 1e9, "GB")


def write_sets(folder: Path, images: int) -> int:
    """Write regions in float16 and captions; return the number of words that the model sees."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for split, count in (("train", 10), ("test", images)):
        regions = np.lib.format.open_memmap(
            folder / f"{split}_ims.npy", "w+", np.dtype("<f2"), (count, REGIONS, FEATURES)
        )
        for image in regions:
            image[:] = rng.random((REGIONS, FEATURES), dtype=np.float32)
        lengths = np.clip(np.rint(rng.normal(*LENGTH, size=5 * count)), 3, 35).astype(int)
        write_captions(folder / f"{split}_caps.txt", lengths, rng)
    return int(lengths.sum()) + MARKS * len(lengths)


def score(folder: Path, scores: Path, seconds: float, threads: int) -> tuple[float, float]:
    """Evaluate, interrupted after so many seconds of scoring; return when it started, and when scoring did."""
    rows, before = scores.stat().st_size if scores.exists() else 0, time.perf_counter()
    command = [find_script(), "eval", str(folder / "checkpoint"), "--data", str(folder / "made")]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    with subprocess.Popen(
        [*command, "--scores", str(scores)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and (not scores.exists() or scores.stat().st_size <= rows):
            time.sleep(0.05)
        start = time.perf_counter()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
    return before, start


def count_rows(scores: Path, images: int) -> int:
    """Return the number of images whose scores are in the file."""
    return scores.stat().st_size // (4 * 5 * images)


if __name__ == "__main__":
    main()
