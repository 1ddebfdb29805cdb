"""The similarities of SGRAF next to a slow reference for one pair, and what they promise in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vsezoo.batch import Embeddings, Tokens
from vsezoo.errors import DataError, RecipeError, TrainingError
from vsezoo.similarities import pairwise
from vsezoo.text import WordTokenizer
from vsezoo_sgraf.encoders import SgrafImageEncoder, SgrafTextEncoder
from vsezoo_sgraf.nodes import GlobalNode
from vsezoo_sgraf.similarity import AlignmentSimilarity, SAFSimilarity, SGRSimilarity

KINDS: list[type[AlignmentSimilarity]] = [SGRSimilarity, SAFSimilarity]


def l2n(values: Tensor) -> Tensor:
    return values / (values.norm(dim=-1, keepdim=True) + 1e-8)


def align_slowly(
    similarity: AlignmentSimilarity, regions: Tensor, words: Tensor, nodes: tuple[Tensor, Tensor]
) -> Tensor:
    """Return the alignments `(1 + L, S)` of one pair, regions `(R, D)` and words `(L, D)`, as the paper writes them."""
    products = regions @ words.T
    products = l2n(torch.where(products > 0, products, 0.1 * products))
    attended = [(weights[:, None] * regions).sum(0) for weights in (similarity.softmax_scale * products).softmax(0).T]
    whole = l2n(similarity.align_nodes((nodes[0] - nodes[1]) ** 2))
    items = [l2n(similarity.align_items((l2n(c) - t) ** 2)) for c, t in zip(attended, words, strict=True)]
    return torch.stack([whole, *items])


def score_slowly(similarity: AlignmentSimilarity, alignments: Tensor, norm: Any = None) -> Tensor:
    """Return the score of one pair, with keys and queries of their own, and every node at every step."""
    if isinstance(similarity, SGRSimilarity):
        for step in similarity.steps:
            edges = (step.query(alignments) @ step.key(alignments).T).softmax(-1)  # type: ignore[operator]
            alignments = step.update(edges @ alignments).relu()  # type: ignore[operator]
        return similarity.rate(alignments[0]).sigmoid()[0]
    assert isinstance(similarity, SAFSimilarity)
    logits = similarity.attend(alignments)
    gates = (norm or similarity.norm)(logits).sigmoid()
    return similarity.rate(l2n((gates / (gates.sum() + 1e-8) * alignments).sum(0))).sigmoid()[0]


def make_sides() -> tuple[Embeddings, Embeddings]:
    drawn = torch.randn(10, 7, 8, generator=torch.Generator().manual_seed(1))
    images = Embeddings(drawn[:4, 0], drawn[:4, 1:6], torch.tensor([5, 2, 5, 1]))
    return images, Embeddings(drawn[4:, 0], drawn[4:, 1:], torch.tensor([6, 1, 3, 6, 2, 3]))


def make(kind: type[AlignmentSimilarity], **options: Any) -> AlignmentSimilarity:
    torch.manual_seed(0)
    similarity = kind(embed_size=8, sim_dim=6, **options).eval()
    for parameter in similarity.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return similarity


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [1, 2**20])
def test_scores_are_those_of_the_paper_pair_by_pair(
    kind: type[AlignmentSimilarity], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AlignmentSimilarity, "block", block)
    similarity, (images, texts) = make(kind), make_sides()
    scores = similarity(images, texts)
    for row in range(4):
        for column in range(6):
            regions = images.regions[row, : images.counts[row]]
            words = texts.regions[column, : texts.counts[column]]
            nodes = images.embeddings[row], texts.embeddings[column]
            expected = score_slowly(similarity, align_slowly(similarity, regions, words, nodes))
            torch.testing.assert_close(scores[row, column], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("share", ["few", "all"])
@pytest.mark.parametrize(("block", "graph"), [(1, 0), (500, 0), (500, 2**28), (2**20, 2**28)])
def test_gradients_are_those_of_a_graph_of_everything(
    kind: type[AlignmentSimilarity], training: bool, share: str, block: int, graph: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where few pairs have one, and where batch norm gives one to pairs whose own score has none."""
    monkeypatch.setattr(AlignmentSimilarity, "block", block)
    monkeypatch.setattr(pairwise, "GRAPH", graph)
    similarity, (images, texts) = make(kind).train(training), make_sides()
    sides = [images.embeddings, images.regions, texts.embeddings, texts.regions]
    tensors = {**dict(enumerate(side.requires_grad_() for side in sides)), **dict(similarity.named_parameters())}
    gradient = torch.randn(4, 6, generator=torch.Generator().manual_seed(2))
    if share == "few":
        gradient = gradient * (gradient > 0.8)
    scores = similarity(images, texts)
    found = torch.autograd.grad(scores, list(tensors.values()), gradient, allow_unused=True)
    expected_scores = score_all_slowly(similarity, images, texts)
    torch.testing.assert_close(scores, expected_scores, atol=1e-6, rtol=1e-5)
    expected = torch.autograd.grad(expected_scores, list(tensors.values()), gradient, allow_unused=True)
    for name, ours, theirs in zip(tensors, found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


def score_all_slowly(similarity: AlignmentSimilarity, images: Embeddings, texts: Embeddings) -> Tensor:
    """Return the scores of all pairs; in training, batch norm of `saf` sees the logits of all images for a caption."""
    columns = []
    for column in range(len(texts)):
        words, node = texts.regions[column, : texts.counts[column]], texts.embeddings[column]
        aligned = [
            align_slowly(similarity, images.regions[row, : images.counts[row]], words, (images.embeddings[row], node))
            for row in range(len(images))
        ]
        norm = None
        if similarity.training and isinstance(similarity, SAFSimilarity):
            norm = _fit_norm(similarity.norm, torch.cat([similarity.attend(alignments) for alignments in aligned]))
        columns.append(torch.stack([score_slowly(similarity, alignments, norm) for alignments in aligned]))
    return torch.stack(columns, dim=1)


def _fit_norm(norm: Any, logits: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what batch norm computes in a batch of these logits."""
    variance, mean = torch.var_mean(logits, correction=0)
    return lambda z: (z - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias


def test_running_statistics_follow_the_captions_one_by_one() -> None:
    """The longest first, each with a momentum of 0.1, as `torch.nn.BatchNorm1d` called once for each would do."""
    similarity, (images, texts) = make(SAFSimilarity).train(), make_sides()
    assert isinstance(similarity, SAFSimilarity)
    reference = torch.nn.BatchNorm1d(1).train()
    similarity(images, texts)
    for column in (0, 3, 2, 5, 4, 1):
        logits = []
        for row in range(4):
            regions, words = images.regions[row, : images.counts[row]], texts.regions[column, : texts.counts[column]]
            nodes = images.embeddings[row], texts.embeddings[column]
            logits.append(similarity.attend(align_slowly(similarity, regions, words, nodes)))
        reference(torch.cat(logits).detach())
    for name, value in reference.named_buffers():
        torch.testing.assert_close(similarity.norm.get_buffer(name), value, atol=1e-6, rtol=1e-5)


def test_frozen_statistics_make_training_pairwise() -> None:
    similarity, (images, texts) = make(SAFSimilarity, batch_statistics=False), make_sides()
    expected = similarity(images, texts)
    assert torch.equal(similarity.train()(images, texts), expected)
    assert similarity.get_buffer("norm.num_batches_tracked").item() == 0
    torch.testing.assert_close(similarity(images[1:2], texts[2:3])[0, 0], expected[1, 2])


@pytest.mark.parametrize("kind", KINDS)
def test_regions_of_zeros_have_a_score_and_finite_gradients(kind: type[AlignmentSimilarity]) -> None:
    similarity, (_, texts) = make(kind), make_sides()
    nothing = Embeddings(torch.zeros(2, 8), torch.zeros(2, 3, 8).requires_grad_())
    scores = similarity(nothing, texts)
    scores.sum().backward()
    assert scores.isfinite().all()
    gradient = nothing.regions.grad
    assert gradient is not None
    assert gradient.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_that_has_no_items_is_refused(kind: type[AlignmentSimilarity]) -> None:
    images, texts = make_sides()
    hidden = Embeddings(texts.embeddings, texts.items, torch.tensor([6, 1, 0, 6, 2, 3]))
    with pytest.raises(DataError, match="index 2 has no items"):
        make(kind)(images, hidden)
    with pytest.raises(DataError, match="index 0 has no items"):
        make(kind)(Embeddings(images.embeddings, images.items, torch.tensor([0, 2, 5, 1])), texts)


def test_the_global_node_by_hand() -> None:
    """Items (1, 0) and (0, 1), W = 1, U = 1, w = (1, 0): weights e^x : 1 with x = tanh(1) tanh(1/2)."""
    node = GlobalNode(2, 0.0).eval()
    for layer in (node.local, node.whole):
        layer.weight.data = torch.eye(2)
    node.weight.weight.data = torch.tensor([[1.0, 0.0]])
    items = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]])
    found = node(items, torch.tensor([[True, True, False]]))
    ratio = torch.tensor(0.76159416 * 0.46211716).exp()
    torch.testing.assert_close(found[0], torch.stack([ratio, torch.ones(())]) / (1 + ratio**2).sqrt())


def test_encoders_give_nodes_and_scaled_items() -> None:
    torch.manual_seed(0)
    encoder = SgrafImageEncoder(embed_size=4, img_dim=6, num_regions=3).eval()
    output = encoder(torch.randn(2, 3, 6))
    torch.testing.assert_close(output.regions.norm(dim=-1), torch.ones(2, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(output.embeddings.norm(dim=-1), torch.ones(2), atol=1e-6, rtol=0)
    tokenizer = WordTokenizer(1)
    tokenizer.fit(tokenizer.split(["a red ball", "snow"]))
    text = SgrafTextEncoder(embed_size=4, tokenizer=tokenizer, word_dim=5, bidirectional=True).eval()
    captions = Tokens.pad(tokenizer.encode(["a red ball", "snow"]))
    words = text(captions)
    assert words.counts.tolist() == [5, 3]
    assert not words.regions[1, 3:].any()
    alone = text(Tokens.pad(tokenizer.encode(["snow"])))
    torch.testing.assert_close(words.embeddings[1], alone.embeddings[0])


def test_another_number_of_regions_is_refused() -> None:
    encoder = SgrafImageEncoder(embed_size=4, img_dim=6, num_regions=3)
    with pytest.raises(DataError, match="have 5 regions, but this model takes 3"):
        encoder(torch.zeros(2, 5, 6))
    with pytest.raises(DataError, match=r"takes features of \(images, regions, 6\)"):
        encoder(torch.zeros(2, 6))
    with pytest.raises(TrainingError, match="batch of one pair"):
        encoder.train()(torch.zeros(1, 3, 6))
    free = SgrafImageEncoder(embed_size=4, img_dim=6, node_norm=False)
    assert free(torch.zeros(2, 5, 6)).size == 5
    with pytest.raises(RecipeError, match="sim_dim"):
        SGRSimilarity(embed_size=4, sim_dim=0)
