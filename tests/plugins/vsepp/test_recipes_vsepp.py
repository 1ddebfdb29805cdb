"""The recipes of VSE++: every number as the paper, the original code and the sources of published results have it."""

from __future__ import annotations

from typing import Any

import pytest

from vsezoo import list_models, registry
from vsezoo.parts import resolve_recipe
from vsezoo.recipe import Training

NAMES = ("vse0", "vsepp", "order0", "orderpp")

# What the original code's options give, where they differ from the defaults below.
DIFFERENCES: dict[str, dict[str, Any]] = {
    "vse0": {"image_encoder.normalize": False},
    "vsepp": {"loss.max_violation": True},
    "order0": {
        "image_encoder.use_abs": True,
        "text_encoder.use_abs": True,
        "similarity": "order",
        "loss.margin": 0.05,
        "training.learning_rate": 1e-3,
    },
    "orderpp": {"similarity": "order", "loss.max_violation": True},
}

DEFAULTS: dict[str, Any] = {
    "image_encoder": "precomp",
    "image_encoder.img_dim": 4096,
    "image_encoder.normalize": True,
    "image_encoder.normalize_in_training": True,
    "image_encoder.use_abs": False,
    "image_encoder.center": False,
    "image_encoder.pool": "none",
    "image_encoder.init": "xavier_uniform",
    "text_encoder": "gru",
    "text_encoder.word_dim": 300,
    "text_encoder.num_layers": 1,
    "text_encoder.bidirectional": False,
    "text_encoder.backward_reads": "caption",
    "text_encoder.normalize": True,
    "text_encoder.use_abs": False,
    "text_encoder.words": "nltk",
    "text_encoder.off_by_two": False,
    "text_encoder.subwords": "",
    "text_encoder.init": "uniform",
    "text_encoder.pool": "last",
    "text_encoder.vocab_threshold": 4,
    "similarity": "cosine",
    "loss": "hinge",
    "loss.margin": 0.2,
    "loss.max_violation": False,
    "loss.warmup_epochs": 0,
    "loss.mask_same_image": False,
    "loss.ncon": 0,
    "loss.selective_epsilon": 0.0,
    "embed_size": 1024,
    "training.learning_rate": 2e-4,
    "schedule": "step",
    "schedule.every": 15,
    "schedule.factor": 0.1,
    "training.num_epochs": 30,
    "training.batch_size": 128,
    "training.grad_clip": 2.0,
    "training.val_step": 500,
    "training.val_epoch": True,
    "training.criterion": "rsum",
    "training.select_mid_epoch": False,
    "training.precision": "fp32",
    "training.seed": 0,
    "optimizer": "adam",
    "optimizer.betas": [0.9, 0.999],
    "optimizer.eps": 1e-8,
    "training.weight_decay": 0.0,
    "training.decay_biases": True,
    "training.clip_per_tensor": False,
    "training.average": 0.0,
    "training.batches": "captions",
    "training.cache_frozen": False,
    "training.cuda_graphs": True,
    "training.micro_batch": 0,
    "training.last_batch": "keep",
    "training.max_words": 0,
    "training.patience": 0,
    "training.log_step": 10,
    "training.ramp_epoch": -1,
}


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_the_original_one(name: str) -> None:
    expected = DEFAULTS | DIFFERENCES[name]
    if expected["similarity"] == "order":
        expected["similarity.squared"] = False  # VSE++ takes the root
    assert resolve_recipe(registry.load("models", name)).flatten() == expected


@pytest.mark.parametrize("finetuned", [False, True])
@pytest.mark.parametrize("cnn", ["vgg19", "resnet152"])
def test_on_pictures_only_the_cnn_and_the_fine_tuning_differ(cnn: str, finetuned: bool) -> None:
    name = f"vsepp-{cnn}{'-finetuned' if finetuned else ''}"
    settings = resolve_recipe(registry.load("models", name)).flatten()
    alone = {
        "image_encoder": "torchvision",
        "image_encoder.model": cnn,
        "image_encoder.cnn_mode": "legacy",
        "image_encoder.normalize_features": True,
        "image_encoder.finetune": finetuned,
        "image_encoder.head": "precomp",
    }
    expected = DEFAULTS | DIFFERENCES["vsepp"] | alone
    del expected["image_encoder.img_dim"]
    if finetuned:
        expected |= {"training.learning_rate": 2e-5, "training.num_epochs": 15}
    assert settings.items() >= expected.items()
    published = registry.load("models", name).published
    wanted = f"{'VGG-19' if cnn == 'vgg19' else 'ResNet-152'}, {'' if finetuned else 'not '}fine-tuned"
    assert all(result.features == wanted for result in published)
    assert bool(published) == (finetuned or cnn == "resnet152")


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_is(name: str) -> None:
    recipe = registry.load("models", name)
    assert recipe.name == name
    assert recipe.summary.endswith(".")
    assert (recipe.paper.year, recipe.paper.venue) == (2018, "BMVC")
    assert all(override.reason for override in recipe.overrides.values())


def test_the_name_of_the_paper_is_an_alias() -> None:
    assert registry.load("models", "vse++") is registry.load("models", "vsepp")
    assert {"vse++", *NAMES} <= set(list_models())


@pytest.mark.parametrize("name", NAMES)
def test_overrides_are_settings_that_exist(name: str) -> None:
    recipe = registry.load("models", name)
    for data in recipe.overrides:
        resolved = resolve_recipe(recipe.for_data(data))
        assert resolved.flatten().keys() == resolve_recipe(recipe).flatten().keys()
        assert resolved.training != Training()


# R@1, R@5, R@10 and MedR of each direction, from tables that were read, not remembered.
PUBLISHED = {
    ("vsepp", "f30k", "full"): {
        ((41.3, 69.1, 77.9, None), (31.4, 60.0, 71.2, None)),
        ((43.7, 71.9, 82.1, None), (32.3, 60.9, 72.1, None)),
        ((43.8, 72.4, 81.8, 2), (31.6, 59.6, 69.7, 3)),
        ((52.9, 80.5, 87.2, 1), (39.6, 70.1, 79.5, 2)),
    },
    ("vsepp", "coco", "fold5"): {
        ((57.2, 86.0, 93.3, 1), (45.9, 79.4, 89.1, 2)),
        ((64.6, 90.0, 95.7, 1), (52.0, 84.3, 92.0, 1)),
    },
    ("vsepp", "coco", "full"): {
        ((41.3, 71.1, 81.2, None), (30.3, 59.4, 72.4, None)),
        ((32.9, 61.7, 74.7, None), (24.1, 52.8, 66.2, None)),
    },
    ("vse0", "f30k", "full"): {((42.1, 73.2, 84.0, 2), (31.8, 62.6, 74.1, 3))},
    ("vse0", "coco", "fold5"): {((56.0, 85.8, 93.5, 1), (43.7, 79.4, 89.7, 2))},
}


def test_published_results_are_those_of_the_sources() -> None:
    found: dict[tuple[str, str, str], set[Any]] = {}
    for name in NAMES:
        for result in registry.load("models", name).published:
            figures = ((*result.i2t, result.i2t_medr), (*result.t2i, result.t2i_medr))
            found.setdefault((name, result.data, result.protocol), set()).add(figures)
            assert result.source
            assert result.features
    assert found == PUBLISHED


def test_results_that_their_source_names_otherwise_say_so() -> None:
    """The row of VSE-infinity is named UVS; that it is VSE0 follows from its figures."""
    assert all("UVS" in result.source for result in registry.load("models", "vse0").published)
