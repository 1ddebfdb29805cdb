"""The cross attention of SCAN: values worked out by hand, and a slow reference for one pair."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from sets import require_pairwise
from torch import Tensor

from vsezoo.batch import Embeddings
from vsezoo.similarities.attention import NORMS
from vsezoo_scan.attention import AGGREGATIONS
from vsezoo_scan.encoders import ScanImageEncoder
from vsezoo_scan.similarity import CrossAttentionSimilarity


def score_slowly(regions: Tensor, words: Tensor, direction: str, norm: str, aggregation: str) -> Tensor:
    """Score one pair, `(R, D)` and `(L, D)`, with every vector built as the paper writes it; λ are 9 and 6."""
    queries, context = (words, regions) if direction == "t2i" else (regions, words)
    products = context @ queries.T  # (S, Q)
    if norm.startswith("clipped"):
        products = torch.where(products > 0, products, 0.1 * products)
    if norm.endswith("l2norm"):
        products = products / (products.norm(dim=1, keepdim=True) + 1e-8)
    if norm == "softmax":
        products = products.softmax(dim=1)
    relevances = []
    for query, weights in zip(queries, (9 * products).softmax(dim=0).T, strict=True):
        attended = (weights[:, None] * context).sum(0)
        relevances.append(query @ attended / (query.norm() * attended.norm()).clamp(min=1e-8))
    relevance = torch.stack(relevances)
    return {
        "LogSumExp": (6 * relevance).exp().sum().log() / 6,
        "Mean": relevance.mean(),
        "Sum": relevance.sum(),
        "Max": relevance.max(),
    }[aggregation]


def make_sides() -> tuple[Embeddings, Embeddings]:
    torch.manual_seed(0)
    images = Embeddings(torch.randn(3, 8), torch.randn(3, 5, 8), torch.tensor([5, 2, 4]))
    return images, Embeddings(torch.randn(4, 8), torch.randn(4, 6, 8), torch.tensor([6, 1, 3, 6]))


@pytest.mark.parametrize("direction", ["t2i", "i2t"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_scores_and_gradients_are_those_of_the_paper_pair_by_pair(direction: str, norm: str, aggregation: str) -> None:
    similarity = CrossAttentionSimilarity(direction=direction, norm=norm, aggregation=aggregation)
    reference = functools.partial(score_slowly, direction=direction, norm=norm, aggregation=aggregation)
    require_pairwise(similarity, reference, *make_sides())


@pytest.mark.parametrize("direction", ["t2i", "i2t"])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_blocks_of_one_pair(direction: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CrossAttentionSimilarity, "block", 1)
    reference = functools.partial(score_slowly, direction=direction, norm="clipped_l2norm", aggregation="LogSumExp")
    require_pairwise(CrossAttentionSimilarity(direction=direction), reference, *make_sides(), share)


def test_one_word_and_one_region_that_are_equal() -> None:
    """Attention over one region is 1, so that the word is compared with that region: cosine 1."""
    one = Embeddings(torch.tensor([[3.0, 4.0]]), torch.tensor([[[3.0, 4.0]]]))
    assert CrossAttentionSimilarity(aggregation="Mean")(one, one).item() == pytest.approx(1)
    two_words = Embeddings(one.embeddings, one.regions.expand(1, 2, 2))
    # LogSumExp grows with the number of words: ln(2 e^6) / 6
    scored = CrossAttentionSimilarity()(one, two_words).item()
    assert scored == pytest.approx(1 + math.log(2) / 6, abs=1e-6)


@pytest.mark.parametrize("direction", ["t2i", "i2t"])
def test_regions_of_zeros_have_no_relevance_and_finite_gradients(direction: str) -> None:
    regions = torch.zeros(2, 3, 4, requires_grad=True)
    words = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    similarity = CrossAttentionSimilarity(direction=direction, aggregation="Mean")
    scores = similarity(Embeddings(regions.mean(1), regions), Embeddings(words.mean(1), words))
    assert scores.abs().max().item() == 0
    scores.sum().backward()
    assert regions.grad is not None
    assert bool(regions.grad.isfinite().all())


def test_each_region_is_scaled_and_weight_norm_changes_no_output_at_first() -> None:
    torch.manual_seed(0)
    plain = ScanImageEncoder(embed_size=4, img_dim=6)
    features = torch.randn(2, 3, 6)
    regions = plain(features).regions
    torch.testing.assert_close(regions.norm(dim=-1), torch.ones(2, 3), atol=1e-6, rtol=0)
    unscaled = ScanImageEncoder(embed_size=4, img_dim=6, normalize_items=False, weight_norm=True)
    unscaled.fc.weight = plain.fc.weight.detach()
    torch.testing.assert_close(unscaled(features).regions, plain.fc(features))
    assert {name for name, _ in unscaled.fc.named_parameters()} == {
        "bias",
        "parametrizations.weight.original0",
        "parametrizations.weight.original1",
    }
    assert unscaled.fc.parametrizations.weight.original0.numel() == 1  # type: ignore[union-attr, index]
