"""Vectors with the sets behind them: rows, padding, masks, and the name that they had before texts had sets."""

from __future__ import annotations

import dataclasses
import random
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from vsezoo import interfaces
from vsezoo.batch import Embeddings, ImageOutput, cut_by_length, cut_evenly, score_tiles

FIRST = Embeddings(torch.tensor([[1.0], [2]]), torch.tensor([[[1.0], [2]], [[3], [0]]]), torch.tensor([2, 1]))
SECOND = Embeddings(torch.tensor([[3.0]]), torch.tensor([[[4.0], [5], [6]]]))


def test_a_tensor_is_vectors_alone() -> None:
    vectors = torch.ones(2, 3)
    assert Embeddings.of(vectors).embeddings is vectors
    assert Embeddings.of(vectors).items is None
    assert Embeddings.of(FIRST) is FIRST


def test_batches_are_joined_and_padded() -> None:
    joined = Embeddings.cat([FIRST, SECOND])
    assert len(joined) == 3
    assert joined.embeddings.tolist() == [[1], [2], [3]]
    assert joined.regions[:, :, 0].tolist() == [[1, 2, 0], [3, 0, 0], [4, 5, 6]]
    assert joined.counts.tolist() == [2, 1, 3]
    assert joined.mask.tolist() == [[True, True, False], [True, False, False], [True, True, True]]
    assert Embeddings.cat([SECOND, SECOND]).lengths is None
    assert Embeddings.cat([FIRST, Embeddings.of(torch.ones(1, 1))]).items is None


def test_rows() -> None:
    joined = Embeddings.cat([FIRST, SECOND])
    for rows in (slice(1, 3), torch.tensor([1, 2]), torch.tensor([False, True, True])):
        chosen = joined[rows]
        assert chosen.embeddings.tolist() == [[2], [3]]
        assert chosen.counts.tolist() == [1, 3]
    assert SECOND[torch.tensor([0, 0])].lengths is None


def test_sets_without_lengths_are_whole() -> None:
    assert SECOND.counts.tolist() == [3]
    assert SECOND.mask.all()
    assert SECOND.pad(3) is SECOND
    assert SECOND.pad(5).mask.tolist() == [[True] * 3 + [False] * 2]


def test_numbers_change_and_lengths_do_not() -> None:
    changed = FIRST.map(lambda rows: 2 * rows)
    assert changed.regions[:, :, 0].tolist() == [[2, 4], [6, 0]]
    assert changed.embeddings.tolist() == [[2], [4]]
    assert changed.lengths is FIRST.lengths


def test_the_name_of_images_with_regions_goes_on() -> None:
    """As plugins use it that were written before texts had sets."""
    vectors, regions = torch.ones(2, 3), torch.ones(2, 4, 3)
    assert interfaces.ImageOutput is ImageOutput
    for output in (ImageOutput(vectors, regions), ImageOutput(embeddings=vectors, regions=regions)):
        assert isinstance(output, Embeddings)
        assert output.embeddings is vectors
        assert output.regions is regions
        other = dataclasses.replace(output, regions=2 * regions)
        assert torch.equal(other.regions, 2 * regions)
        assert other.embeddings is vectors


@pytest.mark.parametrize("tile", [1, 3, 4, 7, 30])
def test_tiles_have_each_pair_once_and_not_more_than_their_size(tile: int) -> None:
    for rows, columns in product((1, 2, 5, 9), (1, 3, 8)):
        seen: list[int] = []

        def multiply(images: Tensor, texts: Tensor, seen: list[int] = seen) -> Tensor:
            seen.append(len(images) * len(texts))
            return images[:, None] * texts[None, :]

        images, texts = torch.arange(1, 1 + rows), torch.arange(1, 1 + columns)
        assert torch.equal(score_tiles(multiply, images, texts, tile), images[:, None] * texts)
        assert max(seen) <= tile
        assert sum(seen) == rows * columns


@pytest.mark.parametrize(("count", "size", "lengths"), [(5, 5, [5]), (6, 5, [3, 3]), (7, 3, [2, 2, 3]), (1, 4, [1])])
def test_parts_of_nearly_equal_length(count: int, size: int, lengths: list[int]) -> None:
    parts = cut_evenly(count, size)
    assert [part.stop - part.start for part in parts] == lengths
    assert (parts[0].start, parts[-1].stop) == (0, count)
    assert cut_evenly(0, size) == []


def test_captions_are_cut_where_they_become_longer() -> None:
    lengths = [5] * 20 + [6] * 20 + [30] * 3
    random.Random(1).shuffle(lengths)
    parts = list(cut_by_length(lengths, 18))
    assert [[lengths[index] for index in part] for part in parts] == [
        [5] * 18,
        [5] * 2 + [6] * 14,  # sixteen, although some are longer
        [6] * 6 + [30] * 3,
    ]
    assert sorted(np.concatenate(parts)) == list(range(43))
    assert [len(part) for part in cut_by_length([10] * 10 + [11] * 10 + [12] * 10, 128)] == [20, 10]
    assert list(cut_by_length([], 128)) == []
