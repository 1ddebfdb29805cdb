"""The time of SGRAF's scores and of a training step: this code, and the original's loop over captions.

    python benchmarks/sgraf.py [--images 32] [--captions 128] [--width 1024] [--sim-dim 256] [--step]

One thread. The loop is re-implemented from its description (Paranioar/SGRAF): one caption at a time against all images,
every node at every step of the graph, and in training a graph of all that. Both see the same random sets and weights,
and the scores are compared. A step is the scores, the hinge of the hardest negatives and the gradients; `--captions` is
then the batch.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import torch
from figures import Figure, Report, make_parser
from torch import Tensor
from torch.nn import functional

from vsezoo.batch import Embeddings
from vsezoo.interfaces import Batch, Tokens
from vsezoo.losses import HingeLoss
from vsezoo_sgraf.similarity import AlignmentSimilarity, SAFSimilarity, SGRSimilarity

REGIONS, SHORTEST, LONGEST = 36, 8, 19


def main() -> None:
    """Print microseconds a pair, or seconds a step."""
    parser = make_parser(__doc__)
    for name, default in (("images", 32), ("captions", 128), ("width", 1024), ("sim-dim", 256)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--step", action="store_true")
    sizes = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    count = sizes.captions if sizes.step else sizes.images
    regions = functional.normalize(torch.randn(count, REGIONS, sizes.width), dim=-1)
    words = functional.normalize(torch.randn(sizes.captions, LONGEST, sizes.width), dim=-1)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (sizes.captions,))
    regions.requires_grad_(sizes.step)
    images = Embeddings(functional.normalize(regions.detach().mean(1), dim=-1), regions)
    texts = Embeddings(functional.normalize(words.mean(1), dim=-1), words, lengths)
    unit = "s a step" if sizes.step else "us a pair"
    kinds: tuple[type[AlignmentSimilarity], ...] = (SGRSimilarity, SAFSimilarity)
    with Report(sizes) as report:
        for kind in kinds:
            similarity = kind(embed_size=sizes.width, sim_dim=sizes.sim_dim).train(sizes.step)
            scores, times = {}, {}
            for name, score in (("loop over captions", score_by_caption), ("vsezoo", type(similarity).__call__)):
                compute = functools.partial(step if sizes.step else evaluate, score, similarity, images, texts)
                times[name], scores[name] = measure(compute)
            difference = torch.sub(*scores.values()).abs().max().item()
            for name, seconds in times.items():
                value = seconds if sizes.step else seconds / (count * sizes.captions / 1e6)
                shown = f"{kind.__name__:14} {name:20} {value:7.2f} {unit}"
                report.show(shown, Figure(f"{kind.__name__}, {name}", value, unit))
            shown = f"{kind.__name__:14} largest difference of a score {difference:.1e}"
            report.show(shown, Figure(f"{kind.__name__}, largest difference of a score", difference))


def measure(compute: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Return the CPU seconds of the second call, and its result."""
    compute()
    start = time.process_time()
    result = compute()
    return time.process_time() - start, result


Score = Callable[[AlignmentSimilarity, Embeddings, Embeddings], Tensor]


@torch.inference_mode()
def evaluate(score: Score, similarity: AlignmentSimilarity, images: Embeddings, texts: Embeddings) -> Tensor:
    """Return the scores."""
    return score(similarity, images, texts)


def step(score: Score, similarity: AlignmentSimilarity, images: Embeddings, texts: Embeddings) -> Tensor:
    """Return the scores after their gradients were computed."""
    scores = score(similarity, images, texts)
    index = torch.arange(len(texts))
    batch = Batch(images.embeddings, Tokens(index[:, None], torch.ones(len(texts))), index, index)
    HingeLoss(max_violation=True)(scores, None, None, batch).total.backward()
    return scores.detach()


def score_by_caption(similarity: AlignmentSimilarity, images: Embeddings, texts: Embeddings) -> Tensor:
    """Return the scores `(N, M)`, caption by caption."""
    regions, columns = images.regions, []
    for index, length in enumerate(texts.counts.tolist()):
        words = texts.regions[index, :length].expand(len(regions), -1, -1)
        products = functional.leaky_relu(regions @ words.transpose(1, 2), 0.1)
        attention = (similarity.softmax_scale * scale(products).transpose(1, 2)).softmax(dim=-1)
        attended = scale(attention @ regions)
        items = scale(similarity.align_items((attended - words) ** 2))
        whole = scale(similarity.align_nodes((images.embeddings - texts.embeddings[index]) ** 2))
        nodes = torch.cat([whole[:, None], items], dim=1)
        if isinstance(similarity, SGRSimilarity):
            for part in similarity.steps:
                edges = (part.query(nodes) @ part.key(nodes).transpose(1, 2)).softmax(dim=-1)  # type: ignore[operator]
                nodes = part.update(edges @ nodes).relu()  # type: ignore[operator]
            vectors = nodes[:, 0]
        else:
            assert isinstance(similarity, SAFSimilarity)
            gates = similarity.norm(similarity.attend(nodes).transpose(1, 2)).sigmoid()
            vectors = scale((gates / (gates.sum(dim=-1, keepdim=True) + 1e-8) @ nodes)[:, 0])
        columns.append(similarity.rate(vectors).sigmoid())
    return torch.cat(columns, dim=1)


def scale(vectors: Tensor) -> Tensor:
    """Return vectors of unit L2 norm."""
    return vectors / (vectors.norm(dim=-1, keepdim=True) + 1e-8)


if __name__ == "__main__":
    main()
