"""Exact ranks: against values worked out by hand, and against plain sorting."""

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vsezoo.errors import DataError, UsageError, VsezooError
from vsezoo.evaluation.metrics import TIE_RULES
from vsezoo.evaluation.ranks import rank_pairs


def scorer_of(scores):
    table = torch.as_tensor(scores, dtype=torch.float32)
    return lambda images, captions: table[images, captions]


# Three images in rows; captions 0 and 1 belong to image 0, 2 to image 1, 3 and 4 to image 2.
#
#   i2t  image 0: best own 9 (caption 1); caption 3 is equal, of a higher index, and no other is better
#        image 1: best own 3; 4, 4 and 8 are better
#        image 2: best own 6 (captions 3 and 4, so the lower: 3); captions 0 and 1 are equal, of a lower index
#   t2i  caption 0: own 5, image 2 is better            caption 1: own 9, the best
#        caption 2: own 3, image 0 is better, image 2 equal, of a higher index
#        caption 3: own 6, both others are better       caption 4: own 6, image 0 equal, of a lower index
SCORES = [
    [5, 9, 7, 9, 6],
    [4, 4, 3, 8, 2],
    [6, 6, 3, 6, 6],
]
IMAGE_OF = np.array([0, 0, 1, 2, 2])


@pytest.mark.parametrize(
    ("ties", "i2t", "t2i"),
    [
        ("lower_index", [0, 3, 2], [1, 0, 1, 2, 1]),
        ("pessimistic", [1, 3, 2], [1, 0, 2, 2, 1]),
        # Image 2: two matches among four equals stand first at 0, 0, 0, 1, 1 or 2: 4/6 on average.
        ("expected", [1 / 2, 3, 2 / 3], [1, 0, 3 / 2, 2, 1 / 2]),
    ],
)
def test_three_images_by_hand(ties, i2t, t2i):
    ranks = rank_pairs(scorer_of(SCORES), IMAGE_OF, 3, ties=ties)
    np.testing.assert_allclose(ranks.i2t, i2t, rtol=1e-15)
    np.testing.assert_allclose(ranks.t2i, t2i, rtol=1e-15)
    assert ranks.i2t_tied.tolist() == [True, False, True]
    assert ranks.t2i_tied.tolist() == [False, False, True, False, True]


def sorted_rank(scores, matches, ties):
    """The rank of the best match by sorting all candidates, and whether it is tied."""
    best = max(scores[match] for match in matches)
    better = sum(score > best for score in scores)
    equal = [index for index, score in enumerate(scores) if score == best]
    others = [index for index in equal if index not in matches]
    if ties == "expected":
        places = [min(chosen) for chosen in combinations(range(len(equal)), len(equal) - len(others))]
        return better + sum(places) / len(places), bool(others)
    last = (lambda index: index in matches) if ties == "pessimistic" else (lambda index: False)
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], last(index), index))
    return min(order.index(match) for match in matches), bool(others)


@st.composite
def collections(draw):
    """Scores with many ties, and images with one to three captions each, in any order of the images."""
    counts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=5))
    order = draw(st.permutations(range(len(counts))))
    image_of = [image for image in order for _ in range(counts[image])]
    row = st.lists(st.integers(-1, 2), min_size=len(image_of), max_size=len(image_of))
    return draw(st.lists(row, min_size=len(counts), max_size=len(counts))), np.array(image_of)


@settings(deadline=None)
@given(collections(), st.sampled_from(list(TIE_RULES)))
@pytest.mark.slow
def test_equals_sorting(collection, ties):
    scores, image_of = collection
    ranks = rank_pairs(scorer_of(scores), image_of, len(scores), ties=ties)
    for image, row in enumerate(scores):
        rank, tied = sorted_rank(row, np.flatnonzero(image_of == image).tolist(), ties)
        assert ranks.i2t[image] == pytest.approx(rank, abs=1e-12)
        assert ranks.i2t_tied[image] == tied
    for caption, image in enumerate(image_of):
        rank, tied = sorted_rank([row[caption] for row in scores], [image], ties)
        assert ranks.t2i[caption] == pytest.approx(rank, abs=1e-12)
        assert ranks.t2i_tied[caption] == tied


IN_ORDER = np.repeat(np.arange(50), np.random.default_rng(0).integers(1, 4, 50))
LOPSIDED = np.repeat(np.arange(50), [1] * 20 + [60] + [1] * 29)
SHUFFLED = np.repeat(np.random.default_rng(1).permutation(50), 2)


@pytest.mark.parametrize("ties", list(TIE_RULES))
@pytest.mark.parametrize("block_size", [1, 2_000, 4_749])
@pytest.mark.parametrize("image_of", [IN_ORDER, LOPSIDED, SHUFFLED], ids=["in order", "lopsided", "shuffled"])
def test_blocks_do_not_matter(ties, block_size, image_of):
    scores = np.random.default_rng(0).integers(0, 30, (50, len(image_of)))
    whole = rank_pairs(scorer_of(scores), image_of, 50, ties=ties)
    cut = rank_pairs(scorer_of(scores), image_of, 50, ties=ties, block_size=block_size)
    for name in ("i2t", "t2i", "i2t_tied", "t2i_tied"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name))


def list_blocks(image_of, num_images, block_size):
    """The blocks that are asked for, as the shape of each and the number of times for each score."""
    shapes, asked = [], np.zeros((num_images, len(image_of)), int)

    def score(images, captions):
        shapes.append((images.stop - images.start, captions.stop - captions.start))
        asked[images, captions] += 1
        return torch.zeros(shapes[-1])

    rank_pairs(score, image_of, num_images, block_size=block_size)
    assert asked.min() >= 1
    return shapes, asked


@pytest.mark.parametrize(("block_size", "most"), [(4_000, 4_000), (1, 1_024)])
def test_blocks_are_bounded_of_one_shape_and_never_of_few_queries(block_size, most):
    shapes, asked = list_blocks(np.repeat(np.arange(101), 2), 101, block_size)
    ((images, captions),) = set(shapes)
    assert images * captions <= most
    assert min(images, captions) >= 16
    assert asked.mean() < 1.1  # the last blocks overlap those before


def test_scores_are_asked_for_once():
    _, asked = list_blocks(np.repeat(np.arange(100), 5), 100, 50_000 // 16)
    assert asked.max() == 1


def test_scores_of_pairs_in_any_order_are_asked_for_at_most_twice():
    _, asked = list_blocks(np.repeat(np.random.default_rng(0).permutation(100), 5), 100, 50_000 // 16)
    assert asked.max() == 2


@pytest.mark.parametrize("dimensions", [7, 300, 1024])
def test_equal_vectors_have_equal_scores_in_every_block(dimensions):
    generator = torch.Generator().manual_seed(0)
    images, texts = (torch.randn(1, dimensions, generator=generator).expand(rows, -1) for rows in (211, 633))
    images, texts = images.contiguous(), texts.contiguous()
    image_of = np.repeat(np.arange(211), 3)
    ranks = rank_pairs(
        lambda rows, columns: images[rows] @ texts[columns].T, image_of, 211, ties="pessimistic", block_size=2**13
    )
    assert set(ranks.i2t) == {630}
    assert set(ranks.t2i) == {210}


# All scores equal: image i has captions 2i and 2i + 1 of 6, so that its first own place is 2i; 4 others are equal.
@pytest.mark.parametrize(
    ("ties", "i2t", "t2i"),
    [
        ("lower_index", [0, 2, 4], [0, 0, 1, 1, 2, 2]),
        ("pessimistic", [4, 4, 4], [2] * 6),
        ("expected", [4 / 3] * 3, [1] * 6),
    ],
)
def test_a_collapsed_model(ties, i2t, t2i):
    ranks = rank_pairs(scorer_of(np.zeros((3, 6))), np.repeat(np.arange(3), 2), 3, ties=ties)
    np.testing.assert_allclose(ranks.i2t, i2t, rtol=1e-15)
    np.testing.assert_allclose(ranks.t2i, t2i, rtol=1e-15)
    assert ranks.i2t_tied.all()
    assert ranks.t2i_tied.all()


def test_one_image():
    ranks = rank_pairs(scorer_of([[3, 3]]), np.array([0, 0]), 1)
    assert ranks.i2t.tolist() == [0]
    assert ranks.t2i.tolist() == [0, 0]
    assert not ranks.i2t_tied.any()  # two own captions that are equal are no tie
    assert not ranks.t2i_tied.any()


def test_infinite_scores_are_ranked():
    ranks = rank_pairs(scorer_of([[-np.inf, np.inf], [0, -np.inf]]), np.array([0, 1]), 2)
    assert ranks.i2t.tolist() == [1, 1]
    assert ranks.t2i.tolist() == [1, 1]


@pytest.mark.parametrize("ties", list(TIE_RULES))
def test_the_largest_number_is_below_infinity(ties):
    most = np.finfo(np.float32).max
    ranks = rank_pairs(scorer_of([[most, np.inf], [0, np.inf]]), np.array([0, 1]), 2, ties=ties)
    assert ranks.i2t.tolist() == [1, 0]
    assert ranks.i2t_tied.tolist() == [False, False]


def test_infinite_scores_of_images_with_fewer_captions():
    ranks = rank_pairs(scorer_of(np.full((2, 3), -np.inf)), np.array([0, 0, 1]), 2, ties="expected")
    assert ranks.i2t.tolist() == [1 / 3, 2 / 2]  # two matches and one other; one match and two others


@pytest.mark.parametrize("place", [(0, 0), (2, 4), (1, 3)])
@pytest.mark.parametrize("others", [0.0, np.inf])
def test_not_a_number_is_an_error(place, others):
    scores = np.array(SCORES, np.float32)
    scores[0, 1] = others
    scores[place] = np.nan
    with pytest.raises(VsezooError, match="not a number"):
        rank_pairs(scorer_of(scores), IMAGE_OF, 3)


def test_scores_of_the_wrong_shape():
    with pytest.raises(VsezooError, match=r"shape \(5, 3\) instead of \(3, 5\)"):
        rank_pairs(lambda images, captions: torch.zeros(5, 3), IMAGE_OF, 3)


@pytest.mark.parametrize(
    ("image_of", "num_images", "problem"),
    [
        ([], 0, "no images"),
        ([0, 1, 0], 2, "not consecutive"),
        ([0, 2], 3, "1 of 3 images have no caption; the first is number 1"),
        ([0, 1], 1, "not among the 1"),
        ([-1, 0], 1, "not among the 1"),
    ],
)
def test_captions_that_do_not_fit(image_of, num_images, problem):
    with pytest.raises(DataError, match=problem):
        rank_pairs(scorer_of(np.zeros((num_images, len(image_of)))), np.array(image_of, int), num_images)


def test_unknown_tie_rule():
    with pytest.raises(UsageError, match="Did you mean 'pessimistic'"):
        rank_pairs(scorer_of(SCORES), IMAGE_OF, 3, ties="pesimistic")


def test_memory_does_not_grow_with_the_captions_of_one_image():
    image_of = np.repeat(np.arange(400), [1] * 200 + [20_000] + [1] * 199)
    tracemalloc.start()
    rank_pairs(lambda *block: torch.zeros([part.stop - part.start for part in block]), image_of, 400, block_size=2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6  # of NumPy alone: indices of the captions, not of 20,000 for each of the images
