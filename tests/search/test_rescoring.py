"""Search with a similarity over sets, in two stages: the nearest vectors, then the best of them by sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sets import register_sets, score_slowly
from tiny import TinyPairs

from vsezoo.data.pictures.picture_file import AccessError
from vsezoo.model import JointEmbedding
from vsezoo.search import rescoring
from vsezoo.search.collection import Block
from vsezoo.search.hit import Hit
from vsezoo.search.index import Index, open_index

SHAPE = (3, 4)
SENTENCES = ["a dog runs .", "snow", "two red balls and a hat"]


@pytest.fixture(autouse=True)
def _registered() -> None:
    register_sets()


@pytest.fixture
def model(tmp_path: Path) -> JointEmbedding:
    data = TinyPairs(shape=SHAPE)
    made = tiny.make_model(data=data, image_encoder="regions", similarity="best-regions")
    return tiny.save_model(tmp_path / "run", made, data).eval()


def make_index(folder: Path, features: np.ndarray[Any, Any]) -> Index:
    np.save(folder / "a.npy", features)
    return open_index(folder / "run", images=folder / "a.npy")


def draw_features(count: int) -> np.ndarray[Any, Any]:
    features = np.random.default_rng(0).normal(size=(count, *SHAPE)).astype(np.float32)
    features[count // 2 :: 3] = features[1]  # some are equal
    return features


def require_best(hits: Sequence[Hit], scores: torch.Tensor, items: Sequence[int]) -> None:
    """Require the best of these items, each once; equal sets may have scores that differ in the last bit."""
    best = sorted(scores[list(items)].tolist(), reverse=True)[: len(hits)]
    assert [hit.score for hit in hits] == pytest.approx(best, abs=1e-5)
    assert [hit.score for hit in hits] == pytest.approx(scores[[hit.item for hit in hits]].tolist(), abs=1e-5)
    assert {hit.item for hit in hits} <= set(items)
    assert len({hit.item for hit in hits}) == len(hits)
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))


@pytest.mark.parametrize("k", [1, 3, 45, 100])
@pytest.mark.slow
def test_the_best_are_those_of_all_scores_sorted(k: int, model: JointEmbedding, tmp_path: Path) -> None:
    features = draw_features(45)
    index = make_index(tmp_path, features)
    scores = score_slowly(model.embed_images(features), model.embed_texts(SENTENCES)).T
    for found in (index.search_many(SENTENCES, k), [index.search(sentence, k) for sentence in SENTENCES]):
        for sentence, hits in enumerate(found):
            assert len(hits) == min(k, 45)
            nearest = np.argsort(-cosines(model, features, sentence), kind="stable")[: 20 * k]
            require_best(hits, scores[sentence], nearest.tolist())


def cosines(model: JointEmbedding, features: np.ndarray[Any, Any], sentence: int) -> np.ndarray[Any, Any]:
    images, texts = model.encode_images(features), model.encode_texts(SENTENCES)
    return torch.nn.functional.cosine_similarity(images, texts[sentence : sentence + 1]).numpy().round(6)


def test_only_the_nearest_vectors_are_scored(
    model: JointEmbedding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsezoo.search.index.CANDIDATES", 3)
    features = draw_features(30)
    index = make_index(tmp_path, features)
    scores = score_slowly(model.embed_images(features), model.embed_texts(SENTENCES)).T
    left_out = 0
    for sentence, hits in enumerate(index.search_many(SENTENCES, 2)):
        nearest = np.argsort(-cosines(model, features, sentence), kind="stable")[:6]
        require_best(hits, scores[sentence], nearest.tolist())
        left_out += int(scores[sentence].argmax()) not in nearest
    assert left_out  # a better image is not looked at, as documented


@pytest.mark.slow
def test_sentences_for_an_image(model: JointEmbedding, tmp_path: Path) -> None:
    data = TinyPairs(shape=SHAPE)
    index = open_index(tmp_path / "run", texts=data)
    scores = score_slowly(model.embed_images(data.features), model.embed_texts(data.captions))
    for image, hits in enumerate(index.search_many(data.features, 2)):
        require_best(hits, scores[image], range(len(data.captions)))
        assert hits[0].text == data.captions[hits[0].item]


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(st.lists(st.sets(st.integers(0, 11), min_size=1), min_size=1, max_size=3))
def test_each_item_is_read_once_and_scored_with_its_queries(chosen: list[set[int]]) -> None:
    features = draw_features(12)
    register_sets()
    model = tiny.make_model(data=TinyPairs(shape=SHAPE), image_encoder="regions", similarity="best-regions")
    read: list[int] = []

    class Noted:
        kind, is_text, name = "regions", False, "noted"

        def read(self, items: Sequence[int]) -> Block:
            read.extend(items)
            return Block(features[list(items)])

    queries = model.embed_texts(SENTENCES[: len(chosen)])
    candidates = [sorted(items) for items in chosen]
    noted: Any = Noted()
    found = rescoring.score_candidates(model, noted, queries, candidates)
    assert read == sorted(set().union(*chosen))
    expected = score_slowly(model.embed_images(features), queries)
    for query, (items, scores) in enumerate(zip(candidates, found, strict=True)):
        assert scores == pytest.approx(expected[items, query].tolist(), abs=1e-5)


def test_what_cannot_be_read_any_more_is_not_found(
    model: JointEmbedding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = make_index(tmp_path, draw_features(4))
    best = index.search("snow", 4)[0].item
    read = index.collection.read

    def lose(items: Sequence[int]) -> Block:
        kept = [item for item in items if item != best]
        return Block(read(kept).content, {best: AccessError("is gone")})

    monkeypatch.setattr(index.collection, "read", lose)
    hits = index.search("snow", 4)
    assert sorted([hit.item for hit in hits] + [best]) == [0, 1, 2, 3]


def test_the_rows_that_are_kept_are_vectors(model: JointEmbedding, tmp_path: Path) -> None:
    from vsezoo.search.export import embed

    data = TinyPairs(shape=SHAPE)
    embed(tmp_path / "run", output=tmp_path / "out.npy", images=data)
    rows = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(rows, model.encode_images(data.features).numpy(), atol=1e-6)
