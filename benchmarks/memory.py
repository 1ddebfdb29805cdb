"""Peak memory of a training on a large feature file: Flickr30K's region features, 8.55 GB.

    python benchmarks/memory.py

Makes a sparse file of 29,000 images of 36 regions of 2,048 numbers, with short captions, and trains VSE0 on it for one
epoch, in which every image is read five times. Prints the peak resident memory of the training process.

Target: under 2.5 GB. `--images 4000` is a quick look.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from figures import Report, make_parser
from made import write_captions, write_sparse

REGIONS, WIDTH = 36, 2048


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=int, default=29_000)
    parser.add_argument("--embed-size", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    with Report(options) as report, tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "made"
        data.mkdir()
        for split, images in (("train", options.images), ("dev", 100), ("test", 100)):
            write_sparse(data / f"{split}_ims.npy", (images, REGIONS, WIDTH))
            write_captions(data / f"{split}_caps.txt", np.full(5 * images, 3), np.random.default_rng(0))
        command = [sys.executable, "-m", "vsezoo", "train", "vse0", "--data", str(data), "--output", f"{folder}/run"]
        command += ["--num-epochs", "1", "--val-step", "0", "--set", "image_encoder.pool=mean", "--device", "cpu"]
        command += ["--embed-size", str(options.embed_size), "--workers", str(options.workers)]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        unit = 1 if sys.platform == "darwin" else 1024
        report.add("feature file", (data / "train_ims.npy").stat().st_size / 1e9, "GB")
        report.add("steps", -(-5 * options.images // 128))
        report.add("training", time.perf_counter() - start, "s")
        # Of the largest process; the pages of the file that it has mapped are counted.
        report.add("peak memory", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e9, "GB")


if __name__ == "__main__":
    main()
