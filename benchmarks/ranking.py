"""Time and peak memory of exact ranks in both directions, beside two bare products of the same random unit vectors.

    python benchmarks/ranking.py                        1,000 images x 5,000 captions x 1,024 dimensions
    python benchmarks/ranking.py --images 5000          COCO 5K: 5,000 x 25,000
    python benchmarks/ranking.py --collapsed            all embeddings equal: every query is tied

There are five captions an image. Memory is the peak of the ranks above the embeddings themselves, of the process (or of
the accelerator's tensors).
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from figures import Report, make_parser

from vsezoo.evaluation.encoded import EncodedSplit
from vsezoo.evaluation.protocols import measure
from vsezoo.evaluation.ranks import BLOCK_SIZE
from vsezoo.similarities import CosineSimilarity


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--embed-size", type=int, default=1024)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--collapsed", action="store_true")
    options = parser.parse_args()
    device = torch.device(options.device)

    def embed(rows: int) -> torch.Tensor:
        vectors = torch.ones(rows, options.embed_size, device=device)
        if not options.collapsed:
            vectors.normal_()
        return vectors.div_(vectors.norm(dim=1, keepdim=True))

    run(embed(20), embed(100))  # loads the kernels, which are no part of the figures
    images, texts = embed(options.images), embed(5 * options.images)
    before = peak_memory(device)
    seconds, bare = [time_call(device, lambda: run(images, texts))], []
    peak = peak_memory(device) - before
    for _ in range(5):
        seconds.append(time_call(device, lambda: run(images, texts)))
        bare.append(time_call(device, lambda: multiply(images, texts)))
    with Report(options) as report:
        report.add("images", len(images))
        report.add("captions", len(texts))
        report.add("ranks of both directions", min(seconds), "s")
        report.add("two bare products in the same blocks", min(bare), "s")
        report.add("ratio of the medians", median(seconds) / median(bare))
        report.add("peak above the embeddings", peak / 1e6, "MB")


def run(images: torch.Tensor, texts: torch.Tensor) -> None:
    """Rank both directions once."""
    measure([EncodedSplit(images, texts, CosineSimilarity())], np.repeat(np.arange(len(images)), 5))


def multiply(images: torch.Tensor, texts: torch.Tensor) -> None:
    """Compute all scores twice, once for each direction, and keep none."""
    for queries, candidates in ((images, texts), (texts, images)):
        for block in queries.split(max(1, BLOCK_SIZE // len(candidates))):
            block @ candidates.T


def time_call(device: torch.device, call: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_memory(device: torch.device) -> int:
    """Return the most bytes held so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
