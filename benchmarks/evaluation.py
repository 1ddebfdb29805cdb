"""Time of an evaluation from a checkpoint: reading it, encoding, and ranking, each by itself.

    python benchmarks/evaluation.py                                   a made-up checkpoint and 1,000 made-up images
    python benchmarks/evaluation.py runs/vsepp-f8k_precomp --data f8k_precomp --data-root ~/features

Of 1,000 images and 5,000 captions. The original VSE++ code takes 10.6 s on two cores, 2.3 s of it for the ranks; the
target for the ranks is a tenth of that. `ranking.py` measures larger collections.
"""

from __future__ import annotations

import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

from figures import Report, make_parser
from made import write_data

import vsezoo
from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.data.lookup import open_data
from vsezoo.data.source import OpenOptions
from vsezoo.evaluation.evaluate import embed_pairs, label
from vsezoo.parts import accepted_kinds

REPEATS = 3


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("checkpoint", nargs="?", help="a checkpoint or the folder of a run")
    parser.add_argument("--data", help="a registered data set or a folder")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    if (options.checkpoint is None) != (options.data is None):
        parser.error("a checkpoint and --data go together")
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, data = options.checkpoint, options.data
        if data is None:
            data = str(write_data(Path(folder) / "made", {"train": 1000, "test": 1000}, width=1280))
            checkpoint = Path(folder) / "checkpoint"
            train = open_data(data, "train", ("vector",))
            save_checkpoint(checkpoint, vsezoo.create_model("vsepp", train), train, {})
        measure(str(checkpoint), data, options.data_root, options.split)  # loads the kernels
        times = [measure(str(checkpoint), data, options.data_root, options.split) for _ in range(REPEATS)]
    with Report(options) as report:
        for name, seconds in zip(("reading", "encoding", "ranking"), zip(*times, strict=True), strict=True):
            report.add(name, median(seconds), "s")


def measure(checkpoint: str, data: str, root: Path | None, split: str) -> tuple[float, float, float]:
    """Return the seconds of reading the checkpoint and opening the data, of encoding, and of ranking."""
    marks = [time.perf_counter()]
    model = vsezoo.load(checkpoint)
    pairs = open_data(data, split, accepted_kinds(model.recipe), OpenOptions(root))
    marks.append(time.perf_counter())
    members = [embed_pairs(model, pairs)]
    marks.append(time.perf_counter())
    label(members, pairs, [])
    marks.append(time.perf_counter())
    read, encode, rank = (second - first for first, second in pairwise(marks))
    return read, encode, rank


if __name__ == "__main__":
    main()
