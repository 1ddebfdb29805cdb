"""Size augmentation: how much is left out and changed, and what is never touched."""

from __future__ import annotations

import pytest
import torch

from vsezoo.encoders.augmentation import change_tokens, drop_items
from vsezoo.interfaces import Tokens


def test_items_are_left_out_in_order() -> None:
    torch.manual_seed(0)
    items = torch.arange(1.0, 37).repeat(500, 1)[:, :, None]
    kept, lengths = drop_items(items, 0.2)
    assert kept.shape[1] == lengths.max()
    assert lengths.float().mean().item() == pytest.approx(0.8 * 36, abs=0.5)
    for row, size in zip(kept[:, :, 0], lengths.tolist(), strict=True):
        assert row[:size].tolist() == sorted(set(row[:size].tolist()))
        assert not row[size:].any()


def test_a_rate_for_each_set() -> None:
    """A fifth of the sets is whole, u being 0.2 or less; the others lose 0.2 u, between 4 and 20 %."""
    torch.manual_seed(0)
    _, lengths = drop_items(torch.ones(2000, 200, 1), 0.2, vary=True)
    assert (lengths == 200).float().mean().item() == pytest.approx(0.2, abs=0.04)
    lost = 1 - lengths[lengths < 200] / 200
    assert lost.mean().item() == pytest.approx(0.12, abs=0.01)


def test_a_set_is_never_emptied() -> None:
    torch.manual_seed(0)
    kept, lengths = drop_items(torch.ones(200, 1, 2), 0.9)
    assert lengths.tolist() == [1] * 200
    assert bool(kept.all())


def draw(rate: float = 0.2, **more: object) -> Tokens:
    torch.manual_seed(0)
    ids = torch.arange(10, 30).repeat(1000, 1)
    return change_tokens(Tokens(ids, torch.full((1000,), 20)), rate, mask=5, count=7, **more)  # type: ignore[arg-type]


def test_words_are_masked_replaced_and_left_out() -> None:
    tokens = draw()
    present = torch.arange(tokens.ids.shape[1]) < tokens.lengths[:, None]
    left = tokens.ids[present]
    assert len(left) / 20_000 == pytest.approx(1 - 0.2 * 0.4, abs=0.01)
    assert (left == 5).float().mean().item() * len(left) / 20_000 == pytest.approx(0.2 * (0.5 + 0.1 / 7), abs=0.01)
    assert (left < 7).sum().item() / 20_000 == pytest.approx(0.2 * 0.6, abs=0.01)
    assert not tokens.ids[~present].any()


def test_marks_stay_and_pieces_of_a_word_share_its_fate() -> None:
    fixed = torch.zeros(1000, 20, dtype=torch.bool)
    fixed[:, [0, -1]] = True
    continues = torch.zeros(1000, 20, dtype=torch.bool)
    continues[:, 2::2] = True  # the pieces of a word are 1 and 2, 3 and 4, …
    tokens = draw(fixed=fixed, continues=continues)
    for row, size in zip(tokens.ids.tolist(), tokens.lengths.tolist(), strict=True):
        assert row[0] == 10
        assert row[size - 1] == 29
        kept = [token for token in row[:size] if token >= 10]
        for piece in range(11, 29, 2):
            assert (piece in kept) is (piece + 1 in kept) or piece + 1 == 29


def test_a_caption_is_never_emptied() -> None:
    torch.manual_seed(0)
    ids = torch.full((300, 1), 9)
    tokens = change_tokens(Tokens(ids, torch.ones(300, dtype=torch.int64)), 1.0, mask=5, count=7)
    assert tokens.lengths.tolist() == [1] * 300
    assert (tokens.ids == 9).float().mean().item() == pytest.approx(0.4, abs=0.1)
