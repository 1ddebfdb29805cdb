"""The figures of each language are those of its captions alone."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch
from rich.console import Console
from tiny import TinyPairs

from vsezoo.cli.figures import render
from vsezoo.evaluation import protocols
from vsezoo.evaluation.encoded import EncodedSplit
from vsezoo.evaluation.evaluate import label
from vsezoo.evaluation.protocols import measure
from vsezoo.evaluation.report import Evaluation
from vsezoo.similarities import CosineSimilarity

IMAGE_OF = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 5, 5])
LANGUAGES = ["de", "en", "en", "de", "en", "", "de", "en", "en", "en", "de", "de", "en"]


def make_pairs(languages: list[str]) -> TinyPairs:
    data = TinyPairs()
    data.image_ids, data.image_of = list("abcdef"), IMAGE_OF
    data.captions, data.languages = [f"caption {row}" for row in range(13)], languages
    return data


@pytest.mark.parametrize("ties", ["lower_index", "expected"])
def test_figures_of_a_language_are_those_of_its_captions_alone(ties: str) -> None:
    torch.manual_seed(0)
    images, texts = torch.randn(6, 4), torch.randn(13, 4).round()
    evaluation = label([EncodedSplit(images, texts, CosineSimilarity())], make_pairs(LANGUAGES), [], ties=ties)
    assert list(evaluation.languages) == ["de", "en"]
    for language, found in evaluation.languages.items():
        rows = [row for row, its in enumerate(LANGUAGES) if its == language]
        kept, image_of = np.unique(IMAGE_OF[rows], return_inverse=True)
        alone = measure([EncodedSplit(images[kept], texts[rows], CosineSimilarity())], image_of, ties=ties)
        assert (found.metrics, found.images, found.captions) == (alone, len(kept), len(rows))
        assert evaluation.to_json()["languages"][language]["rsum"] == alone.rsum
    assert Evaluation.from_json(json.loads(json.dumps(evaluation.to_json()))) == evaluation
    console = Console(width=100)
    with console.capture() as shown:
        console.print(render(evaluation))
    assert "de, 5 images: i2t" in shown.get()
    assert "en, 5 images: t2i" in shown.get()


def test_figures_of_folds_are_the_mean_over_those_that_have_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "measure_folds", functools.partial(protocols.measure_folds, fold_images=2))
    torch.manual_seed(0)
    image_of = np.repeat(np.arange(10), 2)
    languages = ["en", "de"] * 8 + ["en"] * 4  # the last fold has no German
    images, texts = torch.randn(10, 4), torch.randn(20, 4)
    data = make_pairs(languages)
    data.image_ids, data.image_of, data.captions = [*map(str, range(10))], image_of, [""] * 20
    evaluation = label([EncodedSplit(images, texts, CosineSimilarity())], data, [], protocol="fold5")
    for language, folds in {"en": 5, "de": 4}.items():
        rows = [np.flatnonzero((image_of // 2 == fold) & (np.array(languages) == language)) for fold in range(folds)]
        alone = [
            measure([EncodedSplit(images[2 * fold : 2 * fold + 2], texts[own], CosineSimilarity())], image_of[own] % 2)
            for fold, own in enumerate(rows)
        ]
        found = evaluation.languages[language]
        assert (found.images, found.captions) == (2 * folds, sum(map(len, rows)))
        assert found.metrics.rsum == pytest.approx(np.mean([one.rsum for one in alone]))


def test_one_language_has_no_figures_of_its_own() -> None:
    split = EncodedSplit(torch.randn(6, 4), torch.randn(13, 4), CosineSimilarity())
    for languages in ([], ["en"] * 13, ["en", *[""] * 12]):
        evaluation = label([split], make_pairs(languages), [])
        assert not evaluation.languages
        assert "languages" not in evaluation.to_json()
