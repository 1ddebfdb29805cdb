"""Protocols over embeddings: full, fold5, ensembles, and results of the original codes."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from vsezoo import registry
from vsezoo.encoders.precomputed import PrecomputedImageEncoder
from vsezoo.errors import UsageError, VsezooError
from vsezoo.evaluation.encoded import EncodedSplit
from vsezoo.evaluation.evaluate import embed_pairs
from vsezoo.evaluation.metrics import LABELS, Ties
from vsezoo.evaluation.protocols import measure, measure_folds, measure_full
from vsezoo.evaluation.ranks import rank_pairs
from vsezoo.interfaces import Similarity


class InnerProduct(Similarity):
    def forward(self, images, texts):
        return images @ texts.T


def embed(scores):
    """Embeddings whose inner products are exactly these scores."""
    images = torch.tensor(scores, dtype=torch.float32)
    return EncodedSplit(images, torch.eye(images.shape[1]), InnerProduct())


FIRST = [[4, 1, 3], [2, 3, 9], [1, 2, 5]]
SECOND = [[4, 6, 3], [2, 3, 0], [1, 2, 8]]


def test_one_model():
    # i2t: 4 is best; 9 is better than 3; 5 is best. t2i: 4 best; 3 best; 9 is better than 5.
    measured = measure([embed(FIRST)], np.arange(3))
    assert measured.i2t.meanr == pytest.approx(4 / 3)
    assert measured.t2i.meanr == pytest.approx(4 / 3)
    assert measured.i2t.r1 == pytest.approx(200 / 3)


def test_an_ensemble_ranks_by_the_mean():
    # Means: 4 3.5 3 / 2 3 4.5 / 1 2 6.5: only image 1 has a better caption (4.5) than its own (3).
    measured = measure([embed(FIRST), embed(SECOND)], np.arange(3))
    assert measured.i2t.meanr == pytest.approx(4 / 3)
    assert measured.t2i.r1 == pytest.approx(200 / 3)  # caption 1: 3.5 is better than 3
    assert measured.t2i.meanr == pytest.approx(4 / 3)
    assert measured == measure([embed((np.array(FIRST) + SECOND) / 2)], np.arange(3))


def test_folds_rank_blocks_and_average():
    # Five folds of two images with one caption each: folds 0 to 2 perfect, 3 and 4 the wrong way round. Outside the
    # folds every score is 9, which the protocol must not see.
    scores = np.full((10, 10), 9.0)
    for fold in range(5):
        block = slice(2 * fold, 2 * fold + 2)
        scores[block, block] = np.eye(2) if fold < 3 else 1 - np.eye(2)
    measured = measure_folds([embed(scores)], np.arange(10), fold_images=2)
    assert measured.i2t == measured.t2i
    assert measured.i2t.recalls == (60.0, 100.0, 100.0)
    assert measured.i2t.medr == pytest.approx(1.4)
    assert measured.i2t.meanr == pytest.approx(1.4)
    assert measured.rsum == 520
    assert measured.ties == Ties("lower_index", 0, 0)


def test_folds_of_images_in_any_order_sum_their_ties():
    # The captions stand in reverse order of the images; every score is equal.
    image_of = np.repeat(np.arange(9, -1, -1), 2)
    measured = measure_folds([embed(np.zeros((10, 20)))], image_of, fold_images=2, ties="pessimistic")
    assert measured.i2t.meanr == 1 + 2  # both captions of the other image of the fold
    assert measured.t2i.meanr == 1 + 1
    assert measured.ties == Ties("pessimistic", 10, 20)


@pytest.mark.slow
def test_fold5_of_5000_images():
    images = torch.nn.functional.one_hot(torch.arange(5000) % 1000, 1000).float()
    member = EncodedSplit(images, images, InnerProduct())
    measured = measure([member], np.arange(5000), protocol="fold5")
    assert measured.rsum == 600
    assert measured.ties.total == 0  # each vector occurs once in every fold


def test_fold5_of_another_split():
    with pytest.raises(UsageError, match=r"has 3 images; fold5 needs 5,000(?s:.)*mean over 5 blocks of 1,000 images"):
        measure([embed(FIRST)], np.arange(3), protocol="fold5")


@pytest.mark.parametrize(
    ("options", "suggestion"), [({"protocol": "fold_5"}, "'fold5'"), ({"ties": "lowest_index"}, "'lower_index'")]
)
def test_unknown_names(options, suggestion):
    with pytest.raises(UsageError, match=f"Did you mean {suggestion}"):
        measure([embed(FIRST)], np.arange(3), **options)


def test_members_that_disagree():
    with pytest.raises(UsageError, match="member 2 of the ensemble are of 2 images and 3 captions instead of 3 and 3"):
        measure([embed(FIRST), embed(FIRST[:2])], np.arange(3))


def test_more_captions_than_the_split_has():
    with pytest.raises(UsageError, match="are of 3 images and 3 captions instead of 3 and 4"):
        measure([embed(FIRST)], np.array([0, 1, 2, 2]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_embeddings_that_are_not_finite(value):
    bad = embed(SECOND)
    bad.texts.vectors[1, 0] = bad.texts.vectors[1, 2] = bad.texts.vectors[2, 1] = value
    with pytest.raises(VsezooError, match=r"caption embeddings of member 2 of the ensemble .* in 2 of 3 rows"):
        measure([embed(FIRST), bad], np.arange(3))


class BadInEval(PrecomputedImageEncoder):
    """Gives NaN outside training only, as statistics of batch norm that are not finite do."""

    def forward(self, images):
        return super().forward(images) * (1 if self.training else math.nan)


class NaNSimilarity(Similarity):
    def forward(self, images, texts):
        return images @ texts.T * math.nan


@pytest.mark.parametrize(
    ("kind", "part", "message"),
    [
        ("image_encoder", BadInEval, r"which the image encoder 'bad' of this session returned, are not finite"),
        ("similarity", NaNSimilarity, r"^The similarity 'bad' of this session returned scores that are not a number"),
    ],
)
def test_a_part_that_gives_nan_in_eval_mode_is_named(kind, part, message):
    registry.register({"similarity": "similarities"}.get(kind, "image_encoders"), "bad")(part)
    data = tiny.TinyPairs()
    model = tiny.make_model("vsepp", data, **{kind: "bad"})
    with pytest.raises(VsezooError, match=message):
        measure([embed_pairs(model, data)], data.image_of)


def read_fixture(name):
    shared = os.environ.get("VSEZOO_SHARED")
    file = Path(shared or ".") / "fixtures" / name / "expected.npz"
    if shared is None or not file.is_file():
        pytest.skip("no fixtures of the original codes: set VSEZOO_SHARED")
    with np.load(file) as arrays:
        return dict(arrays)


ORIGINALS = ("vsepp", "vsepp_order", "VSRN_coco", "VSRN_f30k", "kiros", "linxd5", "order_embedding_order")


@pytest.mark.parametrize("name", ORIGINALS)
def test_original_figures(name):
    expected = read_fixture(name)
    scores = torch.from_numpy(expected["sims"] if "sims" in expected else -expected["errors"].T)
    member = EncodedSplit(scores, torch.eye(scores.shape[1], dtype=scores.dtype), InnerProduct())
    image_of = np.repeat(np.arange(40), 5)
    measured = measure_full([member], image_of)
    for direction in ("i2t", "t2i"):
        figures = expected[f"{direction}_metrics"]  # the older codes have no MeanR
        ours = getattr(measured, direction).to_json()
        np.testing.assert_allclose([ours[label] for label in LABELS][: len(figures)], figures, rtol=1e-12)
    ranks = rank_pairs(lambda images, captions: scores[images, captions], image_of, 40)
    for direction in ("i2t", "t2i"):
        if f"{direction}_ranks" in expected:
            np.testing.assert_array_equal(getattr(ranks, direction), expected[f"{direction}_ranks"])
