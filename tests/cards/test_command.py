"""The command that a card states trains the model that it describes."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

import pytest
from tiny import TinyPairs

from vsezoo import registry
from vsezoo.cards.command import find_changes, write_command
from vsezoo.cli.setting_flags import read_settings
from vsezoo.parts import resolve_recipe
from vsezoo.recipe import Recipe
from vsezoo.training.plan import plan_recipe

DATA = {"name": "f8k_precomp", "kind": "vector", "image_shape": [12]}


def read_command(command: str) -> Recipe:
    """Return the recipe that a command line trains on data of this form."""
    words = shlex.split(command)
    assert words[:2] == ["vsezoo", "train"]
    context = registry.load("commands", "train").make_context("train", words[2:])
    given = dict(context.params)
    assignments = given.pop("assignments")
    chosen = read_settings(given, assignments)
    data = TinyPairs()
    data.name = "f8k_precomp"
    return resolve_recipe(plan_recipe(given["model"], given["data"], chosen, overrides=given["overrides"]), data)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training.num_epochs": 3, "loss.margin": 0.3},
        {"similarity": "order", "loss.mask_same_image": False},
        {"training.criterion": "mR", "training.seed": 2**40, "image_encoder.center": False},
    ],
)
def test_the_command_gives_the_same_recipe(changes: dict[str, Any]) -> None:
    data = TinyPairs()
    data.name = "f8k_precomp"
    registered = registry.load("models", "vsepp")
    recipe = resolve_recipe(plan_recipe("vsepp", "f8k_precomp", changes), data)
    found = find_changes(recipe, registered, DATA)
    assert {name: value for name, (value, _) in found.items()} == changes
    assert read_command(write_command(recipe, "f8k_precomp", found)).flatten() == recipe.flatten()


def test_what_the_data_decide_is_no_change() -> None:
    recipe = resolve_recipe(plan_recipe("vsepp", "f8k_precomp", {}), TinyPairs())
    assert recipe.image_encoder.options["img_dim"] == 12  # 4,096 in the recipe
    assert find_changes(recipe, registry.load("models", "vsepp"), DATA) == {}
    assert (
        write_command(recipe, "f8k_precomp", {}, flags=["--full-dev"])
        == "vsezoo train vsepp --data f8k_precomp --full-dev"
    )


def test_a_recipe_that_is_not_known_here_gives_all_settings() -> None:
    recipe = resolve_recipe(plan_recipe("vsepp", "shapes", {}), TinyPairs())
    command = write_command(recipe, "my photos", None)
    assert command.startswith("vsezoo train vsepp --data './my photos' --set embed_size=256 ")
    assert command.count("--set") == len(recipe.flatten())


def test_a_recipe_that_is_not_registered_is_that_of_the_checkpoint() -> None:
    recipe = dataclasses.replace(resolve_recipe(plan_recipe("vsepp", "shapes", {}), TinyPairs()), name="mine")
    assert write_command(recipe, "shapes", None) == "vsezoo train config.json --data shapes"


def test_a_change_names_the_value_of_the_recipe() -> None:
    recipe = resolve_recipe(plan_recipe("vsepp", "f8k_precomp", {"loss.warmup_epochs": 0}), TinyPairs())
    assert find_changes(recipe, registry.load("models", "vsepp"), DATA) == {"loss.warmup_epochs": (0, 2)}
