"""What `vsezoo show` remembers about a model, and what it looks up each time."""

from __future__ import annotations

import json

import pytest

from vsezoo import registry
from vsezoo.cli import show_parts
from vsezoo.cli.show_parts import describe_parts, needs_code_alone
from vsezoo.parts import make_tokenizer, resolve_recipe
from vsezoo.recipe import Recipe
from vsezoo.storage.cache import find_cache
from vsezoo.text import WordTokenizer


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """The recipes whose parts were imported."""
    found: list[Recipe] = []
    monkeypatch.setattr(show_parts, "_examine", lambda recipe: found.append(recipe) or {"number": len(found)})
    return found


def load(name: str) -> Recipe:
    recipe: Recipe = registry.load("models", name)
    return recipe


def test_remembered_for_each_recipe(examined: list[Recipe]) -> None:
    recipe = load("vsepp")
    wide = recipe.replace({"embed_size": 2048})
    assert [describe_parts(each, own=True)["number"] for each in (recipe, wide, recipe, wide)] == [1, 2, 1, 2]
    assert examined == [recipe, wide]


def test_other_code_is_examined(examined: list[Recipe], monkeypatch: pytest.MonkeyPatch) -> None:
    codes = iter(["before", "after", "after"])
    monkeypatch.setattr(show_parts, "identify_code", lambda packages: next(codes))
    assert [describe_parts(load("vsepp"), own=True)["number"] for _ in range(3)] == [1, 2, 2]


def test_recipes_of_others_and_their_parts_are_examined_each_time(examined: list[Recipe]) -> None:
    registry.register("schedules", "steep")(lambda step, **_: 1.0)
    recipe = load("vsepp")
    assert [describe_parts(recipe, own=False)["number"] for _ in range(2)] == [1, 2]
    steep = recipe.replace({"schedule": "steep"})
    assert [describe_parts(steep, own=True)["number"] for _ in range(2)] == [3, 4]
    assert not list(find_cache().rglob("*"))


def test_code_without_identity_is_examined_each_time(examined: list[Recipe], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(packages: list[str]) -> None:
        raise NotADirectoryError

    monkeypatch.setattr(show_parts, "identify_code", refuse)
    assert [describe_parts(load("vsepp"), own=True)["number"] for _ in range(2)] == [1, 2]


def test_what_needs_a_tokenizers_files_is_examined_each_time(examined: list[Recipe]) -> None:
    recipe = load("vse-infty-bert")
    assert not needs_code_alone(recipe)
    assert [describe_parts(recipe, own=True)["number"] for _ in range(2)] == [1, 2]


def test_what_is_remembered_of_our_models_is_json_and_needs_no_files() -> None:
    remembered = [recipe for recipe in map(load, registry.list_names("models")) if needs_code_alone(recipe)]
    assert len(remembered) > 25
    for recipe in remembered:
        for changed in (recipe, *map(recipe.for_data, recipe.overrides)):
            assert needs_code_alone(changed)
            parts = [show_parts._describe_part(changed, kind) for kind in show_parts.KINDS]
            assert json.loads(json.dumps(parts)) == parts  # tuples, which are shown in another way, would be lists
            if not changed.pretrained:
                assert isinstance(make_tokenizer(resolve_recipe(changed)), WordTokenizer)
                assert not changed.text_encoder.options.get("subwords")


def test_packages() -> None:
    packages = show_parts._list_packages()
    assert {"vsezoo", "vsezoo_vsepp", "vsezoo_scan"} <= set(packages)
    assert {package.partition("_")[0] for package in packages} == {"vsezoo"}
