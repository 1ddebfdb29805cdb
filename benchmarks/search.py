"""The second search among 8,000 pictures, next to the start of Python and torch alone.

    python benchmarks/search.py [--images 8000] [--runs 9]

Makes pictures, and an untrained model of the usual sizes with a vocabulary of 10,000 words, in a temporary folder.
Searches once, which embeds them, and then runs `vsezoo search` and `python -c "import torch"` in turn. Prints the
medians, in wall time and in processor time, and their differences.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from figures import Figure, Report, make_parser
from PIL import Image
from processes import Seconds, find_script, measure

SIDE = 64
SETTINGS = {
    "image_encoder": "torchvision:resnet18",
    "image_encoder.weights": "none",
    "image_encoder.image_size": 32,
    "text_encoder.vocab_threshold": 1,
}


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=int, default=8000, help="pictures (default 8,000)")
    parser.add_argument("--runs", type=int, default=9, help="runs of each (default 9)")
    options = parser.parse_args()
    script = find_script()
    with Report(options) as report, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pictures(folder / "photos", options.images)
        write_model(folder / "run")
        environment = {**os.environ, "VSEZOO_CACHE": str(folder / "cache")}
        arguments = ["search", str(folder / "run"), "wa wb wc", "--images", str(folder / "photos"), "--device", "cpu"]
        search, bare = [script, *arguments], [sys.executable, "-c", "import torch"]
        first = measure(search, environment)
        rate = options.images / first.wall
        report.show(
            f"{'first search':<24}{first.wall:8.2f} s, {rate:,.0f} pictures/s",
            Figure("first search", first.wall, "s"),
            Figure("first search, rate", rate, "pictures/s"),
        )
        for command in (search, bare):
            measure(command, environment)
        pairs = [(measure(search, environment), measure(bare, environment)) for _ in range(options.runs)]
        beyond = [Seconds(a.wall - b.wall, a.processor - b.processor) for a, b in pairs]
        sides = {"second search": [a for a, _ in pairs], "import torch": [b for _, b in pairs], "beyond": beyond}
        for label, runs in sides.items():
            wall, processor = (statistics.median(values) for values in zip(*runs, strict=True))
            report.show(
                f"{label:<24}{wall:8.3f} s wall, {processor:.3f} s of the processor (median of {options.runs})",
                Figure(f"{label}, wall", wall, "s"),
                Figure(f"{label}, processor", processor, "s"),
            )


def write_pictures(folder: Path, count: int) -> None:
    """Write small JPEG files of noise."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(folder / f"{index:05d}.jpg")


def write_model(folder: Path) -> None:
    """Write the checkpoint of an untrained model."""
    from vsezoo.checkpoints.checkpoint import save_checkpoint
    from vsezoo.construction import create_model

    letters = str.maketrans("0123456789", "abcdefghij")
    words = " ".join(f"w{index}".translate(letters) for index in range(10_000))
    model = create_model("vsepp", captions=[words], settings=SETTINGS)
    data = {"name": "made", "kind": "picture", "image_shape": [], "images": 0, "captions": 0}
    save_checkpoint(folder, model, data, {"epoch": 0, "step": 0, "criterion": "rsum", "score": 0.0})


if __name__ == "__main__":
    main()
