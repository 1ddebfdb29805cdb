"""Recipes as plain data: settings by dotted names, and JSON in and out."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import LETTERS

from vsezoo import registry
from vsezoo.errors import RecipeError
from vsezoo.parts import resolve_recipe
from vsezoo.recipe import Override, Part, Recipe, Training, TrainingSettings

RECIPE = Recipe(
    "m",
    "A model.",
    Part("precomp", {"img_dim": 7}),
    Part("gru"),
    Part("cosine"),
    Part("hinge", {"margin": 0.3, "max_violation": True}),
    overrides={"tiny": Override({"loss.margin": 0.1, "training.num_epochs": 2, "embed_size": 9}, "it is tiny")},
)


def test_replace_sets_options_parts_and_fields() -> None:
    changed = RECIPE.replace(
        {"loss.margin": 0.5, "training.batch_size": 4, "embed_size": 3, "text_encoder.word_dim": 2}
    )
    assert changed.loss == Part("hinge", {"margin": 0.5, "max_violation": True})
    assert (changed.training.batch_size, changed.embed_size) == (4, 3)
    assert changed.text_encoder == Part("gru", {"word_dim": 2})
    assert changed.image_encoder == RECIPE.image_encoder
    assert RECIPE.loss.options == {"margin": 0.3, "max_violation": True}  # a recipe never changes


def test_another_part_drops_the_options_of_the_one_before() -> None:
    assert RECIPE.replace({"loss": "triplet"}).loss == Part("triplet")
    assert RECIPE.replace({"loss": "hinge"}).loss == RECIPE.loss


def test_settings_apply_in_any_order() -> None:
    settings = {"loss.margin": 1.0, "optimizer.beta": 2, "embed_size": 3, "loss": "other", "training.optimizer": "sgd"}
    expected = RECIPE.replace(dict(reversed(settings.items())))
    assert (expected.loss, expected.training.optimizer.options) == (Part("other", {"margin": 1.0}), {"beta": 2})
    for order in itertools.permutations(settings.items()):
        assert RECIPE.replace(dict(order)) == expected
    assert RECIPE.replace({"loss": "other"}).loss == Part("other")


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("training.num_epoch", "Did you mean 'training.num_epochs'"),
        ("training.", ""),
        ("training", ""),
        ("embed_sise", "Did you mean 'embed_size'"),
        ("embed_size.x", ""),
        ("embed_size.", ""),
        ("los.margin", ""),
        ("traning.seed", "Did you mean 'training.seed'"),
        ("name", ""),
        ("published", ""),
        ("", ""),
        (".", ""),
    ],
)
def test_an_unknown_setting_is_met_with_the_known_ones(name: str, suggestion: str) -> None:
    with pytest.raises(RecipeError, match="is not a setting of a recipe") as caught:
        RECIPE.replace({name: 1})
    assert suggestion in caught.value.remedy
    assert "vsezoo show" in caught.value.remedy
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("training.num_epochs", "3", "int"),
        ("training.num_epochs", 3.0, "int"),
        ("training.num_epochs", True, "int"),
        ("training.num_epochs", None, "int"),
        ("training.learning_rate", "fast", "float"),
        ("training.learning_rate", True, "float"),
        ("training.learning_rate", 10**400, "float"),
        ("training.criterion", 5, "str"),
        ("training.select_mid_epoch", 1, "bool"),
        ("embed_size", 2.5, "int or null"),
        ("embed_size", True, "int or null"),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, value: Any, kind: str) -> None:
    with pytest.raises(RecipeError, match=rf"^{name} is .*; it must be of type {kind}, such as .*\.$"):
        RECIPE.replace({name: value})


@pytest.mark.parametrize("value", [5, None, ["hinge"], {"name": "hinge"}])
def test_a_part_is_named_by_a_string(value: Any) -> None:
    with pytest.raises(RecipeError, match="must be the name of a registered part"):
        RECIPE.replace({"loss": value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_epochs", 0),
        ("batch_size", 0),
        ("grad_clip", -1.0),
        ("grad_clip", math.nan),
        ("grad_clip", math.inf),
        ("val_step", -1),
        ("seed", -1),
        ("seed", 2**64),
        ("learning_rate", -1e-3),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("precision", "fp8"),
    ],
)
def test_an_impossible_value_is_refused(name: str, value: Any) -> None:
    with pytest.raises(RecipeError, match=rf"^training\.{name} is .*; it must"):
        RECIPE.replace({f"training.{name}": value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("training.lr_update", 0, "schedule.every is 0; it must be at least 1"),
        ("training.lr_decay", 0.0, "schedule.factor is 0.0; it must be above 0 and at most 1"),
        ("training.lr_decay", 2, "schedule.factor is 2; it must be above 0 and at most 1"),
        ("training.lr_decay", math.nan, "schedule.factor is nan; it must be a finite number, above 0 and at most 1"),
        ("schedule.every", "4", "schedule.every is '4'; it must be of type int, such as 15"),
        ("schedule.evry", 4, "schedule 'step' has no option 'evry'.\nDid you mean 'every'"),
        ("optimizer.betas", [0.9], "optimizer.betas is .*; it must be 2 values, each at least 0 and below 1"),
        ("optimizer.betas", [0.9, 1], "optimizer.betas is .*; it must be 2 values, each at least 0 and below 1"),
    ],
)
def test_an_impossible_option_of_optimizer_and_schedule_is_refused(name: str, value: Any, message: str) -> None:
    recipe = registry.load("models", "vsepp")
    with pytest.raises(RecipeError, match=f"^{message}"):
        resolve_recipe(recipe.replace({name: value}))


def test_weight_decay_has_one_place() -> None:
    recipe = registry.load("models", "vsepp").replace({"training.weight_decay": 0.1, "optimizer": "adamw"})
    with pytest.raises(RecipeError, match=r"'adamw' has its own.\nSet optimizer.weight_decay"):
        resolve_recipe(recipe)


def test_optimizer_and_schedule_are_set_like_parts() -> None:
    changed = RECIPE.replace({"optimizer": "adamw", "optimizer.betas": [0.9, 0.98], "schedule.every": 3})
    assert changed.optimizer == changed.training.optimizer == Part("adamw", {"betas": [0.9, 0.98]})
    assert changed.schedule == Part("step", {"every": 3, "factor": 0.1})
    assert changed.replace({"schedule": "cosine", "schedule.warmup": 9}).schedule == Part("cosine", {"warmup": 9})
    assert changed.training.batch_size == RECIPE.training.batch_size


def test_the_settings_of_the_first_api_version_mean_the_same() -> None:
    earlier = {"training.lr_update": 4, "training.lr_decay": 0.5, "training.optimizer": "theano_adam"}
    today = {"schedule.every": 4, "schedule.factor": 0.5, "optimizer": "theano_adam"}
    assert RECIPE.replace(earlier) == RECIPE.replace(today)
    settings = Training(lr_update=4, lr_decay=0.5, optimizer="theano_adam")  # type: ignore[arg-type]
    assert settings == RECIPE.replace(today).training
    assert dataclasses.replace(settings, lr_update=7).schedule == Part("step", {"every": 7, "factor": 0.5})
    assert dataclasses.replace(settings, batch_size=7).schedule == settings.schedule
    assert Training(lr_update=4).schedule == Part("step", {"every": 4, "factor": 0.1})
    cosine = TrainingSettings(schedule=Part("cosine"))
    assert dataclasses.replace(cosine, seed=1).schedule == Part("cosine")


def test_the_json_of_the_first_version_is_read() -> None:
    stored = json.loads(json.dumps(RECIPE.to_json()))
    del stored["optimizer"], stored["schedule"]
    stored["training"] |= {"lr_update": 6, "lr_decay": 0.2, "optimizer": "theano_adam"}
    read = Recipe.from_json(stored)
    assert (read.optimizer, read.schedule) == (Part("theano_adam"), Part("step", {"every": 6, "factor": 0.2}))
    assert Recipe.from_json(json.loads(json.dumps(read.to_json()))) == read


def test_embed_size_is_at_least_one() -> None:
    assert RECIPE.replace({"embed_size": 1}).embed_size == 1
    with pytest.raises(RecipeError, match="embed_size is 0; it must be at least 1"):
        RECIPE.replace({"embed_size": 0})


def test_a_whole_number_becomes_a_float() -> None:
    rate = RECIPE.replace({"training.learning_rate": 1}).training.learning_rate
    assert (rate, type(rate)) == (1.0, float)


def test_overrides_are_those_of_the_data_set() -> None:
    tiny = RECIPE.for_data("tiny")
    assert (tiny.loss.options["margin"], tiny.training.num_epochs, tiny.embed_size) == (0.1, 2, 9)
    assert tiny.loss.options["max_violation"] is True
    assert RECIPE.for_data("coco") == RECIPE


def test_json_round_trip() -> None:
    read = Recipe.from_json(json.loads(json.dumps(RECIPE.to_json())))
    assert read.to_json() == RECIPE.to_json()
    assert read.training == RECIPE.training
    assert read.loss == RECIPE.loss
    assert read.overrides == {}


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.builds(
        Training,
        learning_rate=st.floats(0, 1e6),
        num_epochs=st.integers(1),
        grad_clip=st.floats(0, 1e300),
        seed=st.integers(0, 2**64 - 1),
        precision=st.sampled_from(["fp32", "bf16"]),
    ),
    st.dictionaries(
        st.text(LETTERS), st.none() | st.booleans() | st.integers() | st.text(LETTERS) | st.lists(st.text(LETTERS))
    ),
)
def test_json_keeps_every_value(training: Training, options: dict[str, Any]) -> None:
    recipe = Recipe("m", "s", Part("a", options), Part("b"), Part("c"), Part("d"), 3, training)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def _change(*path: str, value: Any = None, drop: bool = False) -> dict[str, Any]:
    recipe = json.loads(json.dumps(RECIPE.to_json()))
    inner = recipe
    for key in path[:-1]:
        inner = inner[key]
    if drop:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return dict(recipe)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (_change("colour"), r"^recipe has the unknown field 'colour'"),
        (_change("embed_sizes"), r"unknown field 'embed_sizes'.\nDid you mean 'embed_size'"),
        (_change("training", "epochs"), r"^recipe.training has the unknown field 'epochs'"),
        (_change("schedule", value="step"), r"^recipe.schedule is not an object"),
        (_change("loss", "module"), r"^recipe.loss has the unknown field 'module'"),
        (_change("embed_size", drop=True), r"^recipe lacks the field 'embed_size'"),
        (_change("loss", "options", drop=True), r"^recipe.loss lacks the field 'options'"),
        (_change("loss", value="hinge"), r"^recipe.loss is not an object"),
        (_change("loss", "name", value=3), r"^recipe.loss must have a name"),
        (_change("loss", "options", value=[1]), r"^recipe.loss must have a name and an object of options"),
        (_change("training", value=None), r"^recipe.training is not an object"),
        (_change("training", "seed", value="0"), r"^training.seed is '0'; it must be of type int"),
        (_change("name", value=None), r"^name is None; it must be of type str"),
        ([], r"^recipe is not an object"),
    ],
)
def test_damaged_json_is_one_clear_error(value: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.from_json(value)


def test_a_training_field_of_a_later_version_has_its_default() -> None:
    """So that checkpoints stay readable when a field is added, whose default changes nothing."""
    assert Recipe.from_json(_change("training", "patience", drop=True)).training.patience == 0
