"""The time of CHAN's scores: this code, and the bare products.

    python benchmarks/chan.py [--images 128] [--captions 500] [--width 1024]

One thread; random sets of 36 regions and of 8 to 19 words.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from figures import Report, make_parser
from torch import Tensor
from torch.nn import functional

from vsezoo.batch import Embeddings
from vsezoo_chan.similarity import HardAlignmentSimilarity

REGIONS, SHORTEST, LONGEST = 36, 8, 19


def main() -> None:
    """Print microseconds a pair."""
    parser = make_parser(__doc__)
    for name, default in (("images", 128), ("captions", 500), ("width", 1024)):
        parser.add_argument(f"--{name}", type=int, default=default)
    sizes = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    regions = functional.normalize(torch.randn(sizes.images, REGIONS, sizes.width), dim=-1)
    words = functional.normalize(torch.randn(sizes.captions, LONGEST, sizes.width), dim=-1)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (sizes.captions,))
    images, texts = Embeddings(regions.mean(1), regions), Embeddings(words.mean(1), words, lengths)
    similarity = HardAlignmentSimilarity().eval()
    packed = torch.cat([caption[:length] for caption, length in zip(words, lengths.tolist(), strict=True)])
    pairs = sizes.images * sizes.captions / 1e6
    with Report(sizes) as report, torch.inference_mode():
        report.add("vsezoo", measure(lambda: similarity.compare(images, texts)) / pairs, "us a pair")
        report.add("bare products", measure(lambda: packed @ regions.flatten(0, 1).T) / pairs, "us a pair")


def measure(compute: Callable[[], Tensor]) -> float:
    """Return the CPU seconds of the second call."""
    compute()
    start = time.process_time()
    compute()
    return time.process_time() - start


if __name__ == "__main__":
    main()
