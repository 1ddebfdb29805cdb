"""The recipes of order-embeddings: every number as the original has it."""

from __future__ import annotations

from typing import Any

import pytest
from recipe_tables import assert_overrides, assert_settings, collect_published

# What the originals' codes and READMEs say, by the names of their hyper-parameters.
ORDER: dict[str, Any] = {
    "embed_size": 1024,
    "text_encoder": "gru",
    "text_encoder.word_dim": 300,
    "text_encoder.words": "split",
    "text_encoder.vocab_threshold": 1,
    "text_encoder.off_by_two": False,
    "text_encoder.init": "orthogonal",
    "training.batches": "images",
    "training.last_batch": "drop",
    "training.learning_rate": 1e-3,
    "schedule.factor": 1.0,
    "optimizer": "theano_adam",
    "training.batch_size": 128,
    "training.num_epochs": 100,
    "training.grad_clip": 2.0,
    "training.clip_per_tensor": True,
    "training.val_step": 300,
    "training.val_epoch": False,
    "training.select_mid_epoch": True,
    "training.criterion": "search",
    "image_encoder.normalize": True,
    "image_encoder.normalize_in_training": True,
}
EXPECTED: dict[str, dict[str, Any]] = {
    "order": {
        **ORDER,
        "similarity": "order",
        "similarity.squared": True,
        "image_encoder.use_abs": True,
        "text_encoder.use_abs": True,
        "loss.margin": 0.05,
        "loss.max_violation": False,
    },
    "order-f8k": {
        "embed_size": 1024,
        "image_encoder.normalize": False,
        "image_encoder.use_abs": True,
        "text_encoder": "gru",
        "text_encoder.words": "letters",
        "text_encoder.word_dim": 300,
        "text_encoder.normalize": False,
        "text_encoder.use_abs": True,
        "similarity": "order",
        "similarity.squared": True,
        "loss.margin": 0.05,
        "training.batches": "images",
        "training.batch_size": 128,
        "training.learning_rate": 1e-3,
        "optimizer": "adam",
    },
    "order-symmetric": {
        **ORDER,
        "similarity": "cosine",
        "image_encoder.use_abs": False,
        "text_encoder.use_abs": False,
        "loss.margin": 0.2,
        "loss.max_violation": False,
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
    ("order", "coco"): {((46.7, None, 88.9, 2), (37.9, None, 85.9, 2))},
}


def test_published_results_are_those_of_the_sources() -> None:
    assert collect_published(EXPECTED) == PUBLISHED
