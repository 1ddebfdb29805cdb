"""The recipe of VSRN: every number as the original code and the sources of published results have it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from vsezoo import registry
from vsezoo.cli import main
from vsezoo.parts import resolve_recipe
from vsezoo.recipe import Recipe
from vsezoo.training.plan import plan_recipe

# What `--data_name coco_precomp --max_violation` gives with the original code.
EXPECTED: dict[str, Any] = {
    "image_encoder": "vsrn",
    "image_encoder.img_dim": 2048,
    "image_encoder.num_blocks": 4,
    "image_encoder.norm_axis": "region",
    "image_encoder.first_norm": True,
    "image_encoder.final_batch_norm": False,
    "image_encoder.normalize": True,
    "image_encoder.use_abs": False,
    "image_encoder.center": False,
    "text_encoder": "gru",
    "text_encoder.word_dim": 300,
    "text_encoder.num_layers": 1,
    "text_encoder.bidirectional": False,
    "text_encoder.use_abs": False,
    "text_encoder.words": "nltk",
    "text_encoder.init": "uniform",
    "text_encoder.vocab_threshold": 4,
    "similarity": "cosine",
    "loss": "caption",
    "loss.margin": 0.2,
    "loss.max_violation": True,
    "loss.warmup_epochs": 0,
    "loss.mask_same_image": False,
    "loss.ncon": 0,
    "loss.caption_weight": 1.0,
    "loss.region_dim": 0,  # as wide as the joint embedding: 2,048
    "loss.hidden_size": 512,
    "loss.word_dim": 300,
    "loss.dropout": 0.2,
    "loss.max_len": 60,
    "embed_size": 2048,
    "optimizer": "adam",
    "training.learning_rate": 2e-4,
    "schedule.every": 15,
    "schedule.factor": 0.1,
    "training.num_epochs": 30,
    "training.batch_size": 128,
    "training.batches": "captions",
    "training.last_batch": "keep",
    "training.grad_clip": 2.0,
    "training.weight_decay": 0.0,
    "training.val_step": 500,
    "training.criterion": "r1+r5",
    "training.select_mid_epoch": True,
    "training.patience": 0,
    "training.max_words": 0,
    "training.precision": "fp32",
}

F30K = {"schedule.every": 10, "image_encoder.first_norm": False, "image_encoder.final_batch_norm": True}


def pick(found: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that are expected; others are checked where their parts are."""
    return {name: found.get(name) for name in expected}


@pytest.fixture
def recipe() -> Recipe:
    found: Recipe = registry.load("models", "vsrn")
    return found


def test_every_setting_is_the_original_one(recipe: Recipe) -> None:
    assert pick(resolve_recipe(recipe).flatten(), EXPECTED) == EXPECTED


@pytest.mark.parametrize(
    ("data", "flags", "differences"),
    [
        ("coco_precomp", {"loss.max_violation": True}, {}),
        ("f30k_precomp", {"loss.max_violation": True, "schedule.every": 10, "loss.max_len": 60}, F30K),
        ("f30k_precomp", {}, F30K),
    ],
)
def test_the_commands_of_the_original_readme(data: str, flags: dict[str, Any], differences: dict[str, Any]) -> None:
    expected = EXPECTED | differences
    assert pick(resolve_recipe(plan_recipe("vsrn", data, flags, overrides=True)).flatten(), expected) == expected


def test_the_flags_are_those_of_the_original(recipe: Recipe) -> None:
    """They are parsed before the data are looked for, and it is only these that are absent here."""
    arguments = ["train", "vsrn", "--data", "f30k_precomp", "--data-root", "nowhere"]
    done = CliRunner().invoke(main, [*arguments, "--max_violation", "--lr_update", "10", "--max_len", "60"])
    assert done.exit_code == 1
    assert "nowhere" in done.stderr


def test_overrides_are_settings_that_exist_and_have_reasons(recipe: Recipe) -> None:
    assert set(recipe.overrides) == {"f30k_precomp", "f8k_regions", "shapes"}
    for data, override in recipe.overrides.items():
        assert override.reason
        assert resolve_recipe(recipe.for_data(data)).flatten().keys() == resolve_recipe(recipe).flatten().keys()


def test_the_recipe_says_what_it_is(recipe: Recipe) -> None:
    assert recipe.paper is not None
    assert (recipe.paper.year, recipe.paper.venue) == (2019, "ICCV")
    done = CliRunner().invoke(main, ["show", "vsrn", "--data", "f30k_precomp", "--json"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["parts"]["image_encoder"]["options"]["final_batch_norm"]["value"] is True


# R@1, R@5, R@10 of each direction, from tables that were read, not remembered; and whether of two models.
PUBLISHED = {
    ("f30k", "full", False): {
        ((70.4, 89.2, 93.7), (53.0, 77.9, 85.7)),
        ((67.7, 88.2, 93.8), (49.1, 75.8, 84.1)),
        ((65.3, 87.8, 92.5), (49.1, 75.8, 83.4)),
    },
    ("f30k", "full", True): {((71.3, 90.6, 96.0), (54.7, 81.8, 88.2))},
    ("coco", "fold5", False): {
        ((74.0, 94.3, 97.8), (60.8, 88.4, 94.1)),
        ((71.1, 94.1, 97.6), (58.5, 87.2, 93.5)),
    },
    ("coco", "fold5", True): {((76.2, 94.8, 98.2), (62.8, 89.7, 95.1))},
    ("coco", "full", False): {((48.0, 77.6, 87.3), (35.9, 66.4, 77.7))},
    ("coco", "full", True): {((53.0, 81.1, 89.4), (40.5, 70.6, 81.1))},
}


def test_published_results_are_those_of_the_sources(recipe: Recipe) -> None:
    found: dict[tuple[str, str, bool], set[Any]] = {}
    for result in recipe.published:
        key = result.data, result.protocol, "two models" in result.features
        found.setdefault(key, set()).add((result.i2t, result.t2i))
        assert result.source
        assert "36 regions" in result.features
    assert found == PUBLISHED
