"""Pooling by name: values worked out by hand, sets of different sizes, and the encoders that offer it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vsezoo.encoders.pooling import (
    POOLINGS,
    GeneralizedPooling,
    Pooling,
    _pool_by_size,
    _pool_together,
    encode_positions,
)
from vsezoo.encoders.recurrent import GRUTextEncoder
from vsezoo.encoders.regions import RegionImageEncoder
from vsezoo.errors import DataError
from vsezoo.interfaces import Tokens
from vsezoo.text import Vocabulary, WordTokenizer

ITEMS = torch.tensor([[[1.0, 5.0], [3.0, 4.0], [2.0, 9.0]]])


def make_gpo(scores: list[float]) -> GeneralizedPooling:
    """Return a pooling whose scores for the first positions are these."""

    class Fixed(GeneralizedPooling):
        def weigh(self, sizes: Tensor) -> Tensor:
            rows = [torch.tensor(scores[:size]).softmax(0).tolist() for size in sizes.tolist()]
            return torch.tensor([row + [0.0] * (int(sizes.max()) - len(row)) for row in rows])

    return Fixed()


def test_mean_and_max_by_hand() -> None:
    assert POOLINGS["mean"]()(ITEMS).tolist() == [[2.0, 6.0]]
    assert POOLINGS["max"]()(ITEMS).tolist() == [[3.0, 9.0]]
    two = torch.tensor([2])
    assert POOLINGS["mean"]()(ITEMS, two).tolist() == [[2.0, 4.5]]
    assert POOLINGS["max"]()(-ITEMS, two).tolist() == [[-1.0, -4.0]]


def test_gpo_weighs_the_ranks_of_each_dimension() -> None:
    pooling = make_gpo([math.log(6), math.log(3), math.log(1)])
    torch.testing.assert_close(pooling(ITEMS), torch.tensor([[(18 + 6 + 1) / 10, (54 + 15 + 4) / 10]]))
    # Of the first two items alone: weights 2/3 and 1/3.
    torch.testing.assert_close(pooling(ITEMS, torch.tensor([2])), torch.tensor([[7 / 3, 14 / 3]]))


def test_position_codes() -> None:
    codes = encode_positions(3, 32)
    assert codes[0].tolist() == [0.0, 1.0] * 16
    assert codes[2, 0].item() == pytest.approx(math.sin(2))
    assert codes[2, 3].item() == pytest.approx(math.cos(2 * 10_000 ** (-2 / 32)))


def weigh_slowly(pooling: GeneralizedPooling, size: int) -> Tensor:
    """Return the weights of one size by torch's own GRU."""
    gru = nn.GRU(32, 32, batch_first=True, bidirectional=True)
    gru.load_state_dict(pooling.gru.state_dict())
    states = gru(encode_positions(size, 32)[None])[0][0]
    return (pooling.linear((states[:, :32] + states[:, 32:]) / 2)[:, 0] / 0.1).softmax(0)


def test_the_weights_depend_on_the_size_alone() -> None:
    torch.manual_seed(0)
    pooling = GeneralizedPooling()
    weights = pooling.weigh(torch.tensor([4, 1, 7]))
    for row, size in zip(weights, (4, 1, 7), strict=True):
        torch.testing.assert_close(row[:size], weigh_slowly(pooling, size), atol=1e-6, rtol=1e-5)
        assert not row[size:].any()


@pytest.mark.parametrize("name", POOLINGS)
def test_padding_order_and_sets_alone(name: str) -> None:
    torch.manual_seed(0)
    pooling: Pooling = POOLINGS[name]()
    items, lengths = torch.randn(4, 5, 3), torch.tensor([5, 1, 3, 4])
    together = pooling(items, lengths)
    for row, size in enumerate(lengths.tolist()):
        alone = items[row : row + 1, :size]
        torch.testing.assert_close(pooling(alone), together[row : row + 1])
        torch.testing.assert_close(pooling(alone.flip(1)), together[row : row + 1])
    noise = torch.full((4, 2, 3), 1e6)
    torch.testing.assert_close(pooling(torch.cat([items, noise], dim=1), lengths), together)
    torch.testing.assert_close(pooling(items, torch.full((4,), 5)), pooling(items))


@pytest.mark.parametrize("name", POOLINGS)
def test_a_set_of_no_items_becomes_zeros(name: str) -> None:
    """That is what a mask which hides everything leaves; the others of the batch, and the gradient, are not touched."""
    torch.manual_seed(0)
    pooling = POOLINGS[name]()
    items = torch.randn(3, 4, 2, requires_grad=True)
    pooled = pooling(items, torch.tensor([0, 4, 0]))
    assert not pooled[0].any()
    assert not pooled[2].any()
    torch.testing.assert_close(pooled[1], pooling(items[1:2])[0])
    pooled.sum().backward()
    assert items.grad is not None
    assert bool(items.grad.isfinite().all())
    assert not items.grad[0].any()
    assert not pooling(torch.randn(2, 0, 3)).any()


def test_what_is_in_an_empty_set_does_not_reach_the_weights() -> None:
    torch.manual_seed(0)
    pooling, items = GeneralizedPooling(), torch.randn(3, 4, 2)
    items[0], items[1, 2:] = torch.nan, torch.inf
    pooling(items, torch.tensor([0, 2, 4])).square().sum().backward()
    for parameter in pooling.parameters():
        assert parameter.grad is not None
        assert bool(parameter.grad.isfinite().all())
    assert not pooling(items[:1], torch.tensor([0])).any()


def test_sets_of_one_size_at_a_time_are_pooled_as_all_together() -> None:
    """On the CPU, sets are pooled by size; on other devices all at once, padded."""
    torch.manual_seed(0)
    items, lengths = torch.randn(9, 6, 5, requires_grad=True), torch.tensor([3, 6, 1, 3, 4, 6, 3, 1, 2])
    sizes, place = torch.unique(lengths, return_inverse=True)
    weights = torch.rand(len(sizes), 6)
    by_size = _pool_by_size(items, sizes, place, weights)
    together = _pool_together(items, (torch.arange(6) < lengths[:, None])[:, :, None], weights[place])
    torch.testing.assert_close(by_size, together)
    slopes = [torch.autograd.grad(pooled.square().sum(), items)[0] for pooled in (by_size, together)]
    torch.testing.assert_close(*slopes)
    for row, (image, size) in enumerate(zip(items, lengths.tolist(), strict=True)):
        ranked = image[:size].sort(dim=0, descending=True).values
        expected = (ranked * weights[place[row], :size, None]).sum(0)
        torch.testing.assert_close(by_size[row], expected)


def test_gpo_adds_up_in_float32_whatever_the_precision() -> None:
    torch.manual_seed(0)
    pooling, items, lengths = GeneralizedPooling(), torch.randn(3, 5, 4), torch.tensor([5, 2, 4])
    expected = pooling(items, lengths), pooling(items)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close((pooling(items, lengths), pooling(items)), expected, rtol=0, atol=0)


@pytest.mark.slow
def test_the_gradient_of_gpo_is_the_slope() -> None:
    torch.manual_seed(0)
    pooling = GeneralizedPooling().double()
    items = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda rows: pooling(rows, torch.tensor([4, 2])), (items,))


def test_regions_are_pooled_by_name() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 5, 6)
    for name in POOLINGS:
        encoder = RegionImageEncoder(embed_size=4, img_dim=6, pool=name, normalize=False)
        output = encoder(features)
        torch.testing.assert_close(output.embeddings, encoder.pooling(output.regions))
        assert any(key.startswith("pooling.") for key in encoder.state_dict()) is (name == "gpo")
    with pytest.raises(DataError, match="no regions"):
        encoder(torch.randn(2, 0, 6))


def test_words_are_pooled_by_name() -> None:
    tokenizer = WordTokenizer(vocabulary=Vocabulary(["<pad>", "<start>", "<end>", "<unk>", "a", "dog"]))
    tokens = Tokens(torch.tensor([[1, 4, 5, 2], [1, 2, 0, 0]]), torch.tensor([4, 2]))
    encoders = {}
    for name in ("last", *POOLINGS):
        torch.manual_seed(0)
        encoder = GRUTextEncoder(embed_size=3, tokenizer=tokenizer, word_dim=4, bidirectional=True, pool=name)
        encoders[name] = encoder
        plain = encoder(tokens)
        encoder.keep_items = True
        kept = encoder(tokens)
        assert torch.equal(plain, kept.embeddings)
    words = encoders["mean"](tokens).items
    expected = torch.stack([words[0].mean(0), words[1, :2].mean(0)])
    torch.testing.assert_close(encoders["mean"](tokens).embeddings, nn.functional.normalize(expected, dim=-1))
    assert encoders["last"].state_dict().keys() == encoders["mean"].state_dict().keys()
    assert "pooling.linear.weight" in encoders["gpo"].state_dict()
