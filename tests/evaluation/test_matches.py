"""The positions of all matches and the first candidates, against sorting."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vsezoo.evaluation.matches import place_matches, select_top
from vsezoo.evaluation.metrics import TIE_RULES
from vsezoo.evaluation.ranks import rank_pairs

# One query: matches 1, 3 and 6 score 4, 4 and 2; candidate 0 is better, 2 and 4 equal the first two, 5 and 7 the last.
SCORES = [9, 4, 4, 4, 4, 2, 2, 2]
MATCHES = [1, 3, 6]


@pytest.mark.parametrize(
    ("ties", "positions"),
    [
        ("lower_index", [1, 3, 6]),
        ("pessimistic", [3, 4, 7]),
        # Two equal candidates among two matches: 2/3 of one before the first, 4/3 before the second.
        ("expected", [1 + 2 / 3, 2 + 4 / 3, 5 + 1]),
    ],
)
def test_one_query_by_hand(ties, positions):
    places = place_matches(torch.tensor([SCORES]).float(), torch.tensor([MATCHES]), ties)
    np.testing.assert_allclose(places.positions[0], positions, rtol=1e-12)
    assert places.matches.tolist() == [MATCHES]
    assert places.tied.tolist() == [True]


@st.composite
def splits(draw):
    """Scores of few values, so that many are equal, and the image of each caption."""
    counts = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    image_of = np.repeat(np.arange(len(counts)), counts)
    values = st.lists(st.integers(-3, 3), min_size=len(image_of), max_size=len(image_of))
    rows = draw(st.lists(values, min_size=len(counts), max_size=len(counts)))
    return torch.tensor(rows).float(), image_of


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(splits(), st.sampled_from(sorted(TIE_RULES)))
def test_the_first_position_is_the_rank(split, ties):
    scores, image_of = split
    ranks = rank_pairs(lambda images, captions: scores[images, captions], image_of, len(scores), ties=ties)
    width = np.bincount(image_of).max()
    own = [np.flatnonzero(image_of == image).tolist() for image in range(len(scores))]
    padded = torch.tensor([row + [-1] * (width - len(row)) for row in own])
    places = place_matches(scores, padded, ties)
    np.testing.assert_allclose(places.positions[:, 0], ranks.i2t, rtol=1e-12)
    assert places.tied.tolist() == ranks.i2t_tied.tolist()
    # With the lower index first, the positions are those in a sorted list.
    if ties == "lower_index":
        for row, matches, found in zip(scores.tolist(), own, places.positions.tolist(), strict=True):
            order = sorted(range(len(row)), key=lambda index: (-row[index], index))
            assert found[: len(matches)] == sorted(order.index(match) for match in matches)
            assert found[len(matches) :] == [float("inf")] * (width - len(matches))


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(splits(), st.integers(0, 6))
def test_the_first_candidates(split, count):
    scores, _ = split
    indices, values = select_top(scores, count)
    for row, chosen, found in zip(scores.tolist(), indices.tolist(), values.tolist(), strict=True):
        assert chosen == sorted(range(len(row)), key=lambda index: (-row[index], index))[:count]
        assert found == [row[index] for index in chosen]
