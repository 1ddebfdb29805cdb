"""The time of SCAN's t2i scores: this code, the original's loop over captions, and the bare products.

    python benchmarks/scan.py [--images 128] [--captions 500] [--width 1024] [--threads 1] [--step]

The loop is re-implemented from its description (kuanghuei/SCAN, `xattn_score_t2i`): one caption at a time against all
images, the attended vectors built. All three see the same random sets, and the scores are compared. A step is the
scores of as many images as captions, the hinge of the hardest negatives and the gradients of regions and words.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from figures import Figure, Report, make_parser
from torch import Tensor
from torch.nn import functional

from vsezoo.batch import Batch, Embeddings, Tokens
from vsezoo.losses import HingeLoss
from vsezoo_scan.similarity import CrossAttentionSimilarity

REGIONS, SHORTEST, LONGEST = 36, 8, 19


def main() -> None:
    """Print microseconds a pair."""
    parser = make_parser(__doc__)
    for name, default in (("images", 128), ("captions", 500), ("width", 1024), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--step", action="store_true")
    sizes = parser.parse_args()
    torch.set_num_threads(sizes.threads)
    torch.manual_seed(0)
    count = sizes.captions if sizes.step else sizes.images
    regions = functional.normalize(torch.randn(count, REGIONS, sizes.width), dim=-1).requires_grad_(sizes.step)
    words = functional.normalize(torch.randn(sizes.captions, LONGEST, sizes.width), dim=-1).requires_grad_(sizes.step)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (sizes.captions,))
    images, texts = Embeddings(regions.mean(1), regions), Embeddings(words.mean(1), words, lengths)
    similarity = CrossAttentionSimilarity().train(sizes.step)
    packed = torch.cat([caption[:length] for caption, length in zip(words, lengths.tolist(), strict=True)])
    finish = take_step if sizes.step else torch.Tensor.detach
    pairs = count * sizes.captions / 1e6
    short = pairs < 1  # else a call takes minutes, and what is done once does not count
    with torch.set_grad_enabled(sizes.step):
        loop, expected = measure(lambda: finish(score_by_caption(regions, words, lengths)), short)
        ours, found = measure(lambda: finish(similarity.compare(images, texts)), short)
    with torch.inference_mode():
        bare, _ = measure(lambda: multiply(packed, regions.flatten(0, 1)), short)
    difference = (expected - found).abs().max().item()
    with Report(sizes) as report:
        shown = f"largest difference of a score: {difference:.1e}"
        report.show(shown, Figure("largest difference of a score", difference))
        for name, seconds in (("loop over captions", loop), ("vsezoo", ours), ("bare products", bare)):
            shown = f"{name:20} {seconds:7.2f} s {seconds / pairs:7.1f} us a pair"
            report.show(shown, Figure(name, seconds / pairs, "us a pair"))
        gain, cost = loop / ours, ours / bare
        report.show(
            f"vsezoo is {gain:.1f} times as fast as the loop, and takes {cost:.1f} times the bare products",
            Figure("loop over vsezoo", gain),
            Figure("vsezoo over bare products", cost),
        )


def take_step(scores: Tensor) -> Tensor:
    """Return the scores, after the gradients of the loss were computed."""
    index = torch.arange(len(scores))
    batch = Batch(scores, Tokens(index[:, None], torch.ones(len(scores))), index, index)
    HingeLoss(max_violation=True)(scores, None, None, batch).total.backward(retain_graph=True)
    return scores.detach()


def multiply(words: Tensor, regions: Tensor) -> Tensor:
    """Return the last of the products of all words and regions, in blocks: all may take ten gigabytes."""
    for block in words.split(4096):
        products = block @ regions.T
    return products


def measure(compute: Callable[[], Tensor], warm_up: bool) -> tuple[float, Tensor]:
    """Return the CPU seconds of a call, after another one if it is to warm up, and its result."""
    if warm_up:
        compute()
    start = time.process_time()
    result = compute()
    return time.process_time() - start, result


def score_by_caption(regions: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
    """Return the scores `(N, M)`, caption by caption."""
    columns = []
    for caption, length in zip(words, lengths.tolist(), strict=True):
        queries = caption[:length].expand(len(regions), -1, -1)
        products = functional.leaky_relu(regions @ queries.transpose(1, 2), 0.1)
        products = products / (products.norm(dim=2, keepdim=True) + 1e-8)
        attention = (9 * products.transpose(1, 2)).softmax(dim=-1)
        attended = attention @ regions
        norms = (queries.norm(dim=-1) * attended.norm(dim=-1)).clamp(min=1e-8)
        relevance = (queries * attended).sum(-1) / norms
        columns.append((6 * relevance).exp().sum(1).log() / 6)
    return torch.stack(columns, dim=1)


if __name__ == "__main__":
    main()
