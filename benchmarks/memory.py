"""Peak memory and speed of a training on a large feature file: COCO's region features, 33.4 GB.

    python benchmarks/memory.py
    python benchmarks/memory.py --images 29000        of Flickr30K's size, 8.55 GB
    python benchmarks/memory.py --steps 1500          the first steps of each training: of COCO's epoch, a third

Makes a sparse file of 113,287 images of 36 regions of 2,048 numbers, with short captions, and trains VSE0 on it for one
epoch, in which every image is read five times. Then it trains as many steps on few images, whose rows stay in memory.
Prints the peak resident memory of the first training, and the captions per second of both.

Target: under 1.5 GB, at least 0.9 of the speed from memory. `--images 4000` is a quick look.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from figures import Report, make_parser
from made import write_captions, write_sparse

REGIONS, WIDTH = 36, 2048
BATCH = 128
TRAIN = """
import json, sys, time
import vsezoo

class Clock:
    def record(self, record):
        print(json.dumps([record.step, time.perf_counter()]), flush=True)
        if record.step == steps:
            sys.exit()

    def __getattr__(self, name):
        return lambda *values: None

data, output, settings, workers, steps = json.loads(sys.argv[1])
vsezoo.train("vse0", data, settings=settings, output=output, workers=workers, device="cpu", callbacks=[Clock()])
"""


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=int, default=113_287)
    parser.add_argument("--few", type=int, default=2000, help="images of the training from memory (default 2,000)")
    parser.add_argument("--embed-size", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--steps", type=int, help="of each training (default: those of an epoch)")
    options = parser.parse_args()
    with Report(options) as report, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = write(folder / "large", options.images)
        write(folder / "few", options.few)
        report.add("feature file", size / 1e9, "GB")
        steps = options.steps or 5 * options.images // BATCH
        report.add("steps", steps)
        large = train(folder, "large", 1, options.embed_size, options.workers, steps)
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
        epochs = -(-options.images // options.few)
        few = train(folder, "few", epochs, options.embed_size, options.workers, steps)
        report.add("peak memory", peak / 1e9, "GB")
        report.add("from the file", large, "captions/s")
        report.add("from memory", few, "captions/s")
        report.add("ratio", large / few)


def write(data: Path, images: int) -> int:
    """Write the features and captions of a data set; return the bytes of its features for training."""
    data.mkdir()
    for split, count in (("train", images), ("dev", 100), ("test", 100)):
        write_sparse(data / f"{split}_ims.npy", (count, REGIONS, WIDTH))
        write_captions(data / f"{split}_caps.txt", np.full(5 * count, 3), np.random.default_rng(0))
    return (data / "train_ims.npy").stat().st_size


def train(folder: Path, name: str, epochs: int, embed_size: int, workers: int, steps: int) -> float:
    """Train, and return the captions per second: the median over the intervals between two records of the loss."""
    settings = {
        "embed_size": embed_size,
        "image_encoder.pool": "mean",
        "training.num_epochs": epochs,
        "training.batch_size": BATCH,
        "training.val_step": 0,
        "training.val_epoch": False,
        "training.last_batch": "drop",
        "training.log_step": 1,
    }
    given = json.dumps([str(folder / name), str(folder / f"run-{name}"), settings, workers, steps])
    done = subprocess.run([sys.executable, "-c", TRAIN, given], check=True, stdout=subprocess.PIPE, text=True)
    records = np.array([json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")])
    steps, seconds = np.diff(records, axis=0).T
    return BATCH / statistics.median(seconds / steps)


if __name__ == "__main__":
    main()
