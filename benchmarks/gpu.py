"""Training on a GPU: a run of Flickr30K's size, and regions read from a file next to regions kept on the GPU.

    python benchmarks/gpu.py                        on made-up data
    python benchmarks/gpu.py --quick                a few epochs and steps

The run is `vsezoo train vsepp` on 29,000 images of 2,048 numbers with 145,000 captions, 30 epochs of 1,132 steps, each
validated and saved, in bfloat16 and float32; its time is that of the whole call, tokenisation and last evaluation
included. The regions are a sparse file of COCO's size, 113,287 images of 36 regions in float16 (16.7 GB), of which
VSE++ takes the mean; both ways see the same batches.

Targets: the run in bfloat16 in under 60 s; `streamed over resident` at least 0.9.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import Report, make_parser
from made import write_captions, write_data, write_sparse

import vsezoo
from vsezoo.evaluation.report import Evaluation
from vsezoo.training.callbacks import Callback
from vsezoo.training.resident import ResidentPairs
from vsezoo.training.state import Progress

FLICKR30K = {"train": 29_000, "dev": 1000, "test": 1000}
COCO = 113_287
WARM_UP = 100  # steps that are not counted


class Enough(Exception):  # noqa: N818
    """The steps are done."""


class Clock(Callback):
    """Times a run from its first step to its end, or some of its steps."""

    def __init__(self, steps: int = 0) -> None:
        self.steps, self.loop, self.best = steps, 0.0, 0
        self.start = self.begun = time.perf_counter()

    def begin(self, *_: Any) -> None:
        """Note the time of the first step."""
        self.begun = time.perf_counter()

    def step(self, progress: Progress) -> None:
        """Count the steps that are timed."""
        if self.steps and progress.step in (WARM_UP, WARM_UP + self.steps):
            torch.cuda.synchronize()
            self.loop = time.perf_counter() - self.loop  # first the time of the mark, then what has passed since
            if progress.step > WARM_UP:
                raise Enough

    def validation(self, progress: Progress, evaluation: Evaluation, score: float, best: bool) -> None:
        """Count the best checkpoints, which are written."""
        self.best += best

    def end(self, *_: Any) -> None:
        """Note the time of the whole run."""
        self.loop = time.perf_counter() - self.begun


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--precision", nargs="*", default=["bf16", "fp32"], help="of the run; none: only the regions")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("This benchmark needs a GPU.")
    with Report(options) as report, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_data(folder / "flickr30k", FLICKR30K, width=2048)
        for precision in options.precision:
            settings = {"training.precision": precision, "training.val_step": 0}
            settings |= {"training.num_epochs": 2} if options.quick else {}
            clock = Clock()
            vsezoo.train("vsepp", data, output=folder / precision, settings=settings, callbacks=[clock])
            report.add(f"{precision}: run", time.perf_counter() - clock.start, "s")
            report.add(f"{precision}: preparation", clock.begun - clock.start, "s")
            report.add(f"{precision}: epochs with validations and saves", clock.loop, "s")
            report.add(f"{precision}: best checkpoints", clock.best)
        regions = folder / "coco"
        regions.mkdir()
        for split, images in (("train", COCO), ("dev", 100), ("test", 100)):
            write_sparse(regions / f"{split}_ims.npy", (images, 36, 2048), "<f2")
            write_captions(regions / f"{split}_caps.txt", np.full(5 * images, 10), np.random.default_rng(0))
        rates = {}
        for way, fits in (("resident", ResidentPairs.fits), ("streamed", lambda *_: False)):
            ResidentPairs.fits = staticmethod(fits)  # type: ignore[method-assign, assignment]
            rates[way] = measure(regions, folder / way, 150 if options.quick else 1000)
            report.add(f"regions {way}", rates[way], "captions/s")
        report.add("streamed over resident", rates["streamed"] / rates["resident"])


def measure(data: Path, output: Path, steps: int) -> float:
    """Return the captions per second of a training on regions."""
    clock = Clock(steps)
    settings = {"image_encoder.pool": "mean", "training.val_step": 0, "training.precision": "bf16"}
    with suppress(Enough):
        vsezoo.train("vsepp", data, output=output, settings=settings, callbacks=[clock], save_step=0)
    return 128 * steps / clock.loop


if __name__ == "__main__":
    main()
