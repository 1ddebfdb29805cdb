"""The recipes of Kiros 2014: every number as the originals have it."""

from __future__ import annotations

from typing import Any

import pytest
from recipe_tables import assert_overrides, assert_settings, collect_published

# What the originals' codes and READMEs say, by the names of their hyper-parameters.
KIROS: dict[str, Any] = {
    "embed_size": 1024,
    "text_encoder.words": "split",
    "text_encoder.vocab_threshold": 1,
    "text_encoder.off_by_two": True,
    "text_encoder.use_abs": False,
    "image_encoder.use_abs": False,
    "similarity": "cosine",
    "loss.margin": 0.2,
    "loss.max_violation": False,
    "loss.ncon": 0,
    "training.batches": "lengths",
    "training.learning_rate": 2e-4,
    "schedule.factor": 1.0,
    "optimizer": "theano_adam",
    "training.batch_size": 128,
    "training.num_epochs": 15,
    "training.grad_clip": 2.0,
    "training.clip_per_tensor": False,
    "training.weight_decay": 0.0,
    "training.max_words": 100,
    "training.val_step": 100,
    "training.select_mid_epoch": True,
    "training.criterion": "rsum",
    "training.patience": 0,
}
EXPECTED: dict[str, dict[str, Any]] = {
    "kiros-gru": {
        **KIROS,
        "text_encoder": "gru",
        "text_encoder.word_dim": 300,
        "text_encoder.init": "orthogonal",
        "image_encoder.normalize": True,
        "image_encoder.normalize_in_training": False,
    },
    "kiros-bow": {**KIROS, "text_encoder": "bow", "image_encoder.normalize_in_training": False},
    "kiros-lstm": {
        **KIROS,
        "embed_size": 1000,
        "text_encoder": "lstm",
        "text_encoder.word_dim": 1000,
        "text_encoder.init": "torch",
        "image_encoder.init": "xavier_normal",
        "image_encoder.normalize_in_training": True,
        "training.learning_rate": 1e-3,
        "optimizer": "adam",
        "training.num_epochs": 30,
        "training.max_words": 0,
        "training.patience": 10,
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_settings_are_the_original_ones(name: str) -> None:
    assert_settings(name, EXPECTED[name])


@pytest.mark.parametrize("name", EXPECTED)
def test_overrides_are_settings_that_exist(name: str) -> None:
    assert_overrides(name)


# R@1, R@5, R@10 and MedR of each direction, from the tables of the READMEs.
PUBLISHED = {
    ("kiros-lstm", "f8k"): {
        ((18.0, 40.9, 55.0, 8), (12.5, 37.0, 51.5, 10)),
        ((23.9, 49.1, 61.3, 6), (16.9, 41.8, 54.4, 9)),
    },
    ("kiros-lstm", "f30k"): {
        ((23.0, 50.7, 62.9, 5), (16.8, 42.0, 56.5, 8)),
        ((29.0, 57.7, 67.3, 4), (21.5, 48.0, 59.0, 6)),
    },
    ("kiros-lstm", "coco"): {((38.1, 72.7, 84.7, 2), (31.7, 67.9, 81.2, 3))},
    ("kiros-gru", "f8k"): {((22.3, 48.7, 59.8, 6), (14.9, 38.3, 51.6, 10))},
    ("kiros-gru", "f30k"): {((29.8, 58.4, 70.5, 4), (22.0, 47.9, 59.3, 6))},
    ("kiros-gru", "coco"): {((43.4, 75.7, 85.8, 2), (31.0, 66.7, 79.9, 3))},
}


def test_published_results_are_those_of_the_sources() -> None:
    assert collect_published(EXPECTED) == PUBLISHED
