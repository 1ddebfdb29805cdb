"""Opening and reading a Parquet set of two million pictures, 100 GB: time and peak memory.

    python benchmarks/big_parquet.py

Writes one file of 10,000 rows (pictures of about 50 kB, a caption each, row groups of 100 rows as `datasets` writes
them) and links it 200 times as `train-00000-of-00200.parquet` and so on, so that 0.5 GB of disk hold a set of 100 GB.
A new process opens it and reads batches of 32 pictures in a random order. Needs the extra `parquet`; takes a minute.

Targets: opened in under 5 s, with under 500 MB more than Python and its libraries take before that.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from figures import Figure, Report, make_parser

ROWS, GROUP, SIDE, DISTINCT, BATCH, BATCHES = 10_000, 100, 233, 100, 32, 5


def write_set(folder: Path, files: int) -> int:
    """Write the set; return its size in bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(DISTINCT):
        stream = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(stream, "JPEG", quality=90)
        pictures.append(stream.getvalue())
    words = rng.choice([f"word{number}" for number in range(3000)], (ROWS, 9))
    table = pa.table(
        {
            "image": [{"bytes": pictures[row % DISTINCT], "path": None} for row in range(ROWS)],
            "caption": [" ".join(row) for row in words.tolist()],
        }
    )
    first = folder / f"train-00000-of-{files:05}.parquet"
    pq.write_table(table, first, row_group_size=GROUP, use_dictionary=False, compression="none")
    for number in range(1, files):
        os.link(first, folder / f"train-{number:05}-of-{files:05}.parquet")
    return first.stat().st_size * files


def measure_peak() -> int:
    """Return the peak memory of this process in bytes; `ru_maxrss` would contain that of the process before `exec`."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024


def measure(folder: str) -> None:
    """Open the set and read batches; print the figures for the first process."""
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401

    import vsezoo
    import vsezoo.data.pictures.pairs
    import vsezoo.data.pictures.row_columns  # imported before the clock starts

    before = measure_peak()
    start, cpu = time.perf_counter(), time.process_time()
    train = vsezoo.open_data(folder, "train")
    images, captions = len(train.image_ids), len(train.captions)
    opened, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = measure_peak()
    order = np.random.default_rng(0).permutation(images)
    seconds = []
    for number in range(BATCHES):
        start = time.perf_counter()
        assert len(train.images(order[BATCH * number : BATCH * (number + 1)])) == BATCH
        seconds.append(time.perf_counter() - start)
    after = measure_peak()
    found = [
        Figure("images", images),
        Figure("captions", captions),
        Figure("opening", opened, "s"),
        Figure("opening, processor", cpu, "s"),
        Figure("libraries", before / 1e6, "MB"),
        Figure("opened, beyond them", (peak - before) / 1e6, "MB"),
        Figure(f"batch of {BATCH}", statistics.median(seconds), "s"),
        Figure("after batches, beyond them", (after - before) / 1e6, "MB"),
    ]
    sys.stdout.write(json.dumps(found))


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--files", type=int, default=200, help="of 10,000 pictures each")
    parser.add_argument("--measure", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    with Report(options) as report, tempfile.TemporaryDirectory() as folder:
        size = write_set(Path(folder), options.files)
        command = [sys.executable, __file__, "--measure", folder]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        report.add("set", size / 1e9, "GB")
        for figure in json.loads(done.stdout):
            report.add(*figure)


if __name__ == "__main__":
    main()
