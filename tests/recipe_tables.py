"""What every recipe is compared with: the numbers of the originals, and of their tables; no tests in here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vsezoo import registry
from vsezoo.parts import resolve_recipe


def assert_settings(name: str, expected: Mapping[str, Any]) -> None:
    found = resolve_recipe(registry.load("models", name)).flatten()
    assert {setting: found[setting] for setting in expected} == expected


def assert_overrides(name: str) -> None:
    """They are settings that exist, change something, and have a reason."""
    recipe = registry.load("models", name)
    assert "shapes" in recipe.overrides
    for data, override in recipe.overrides.items():
        resolved = resolve_recipe(recipe.for_data(data))
        assert resolved.flatten().keys() == resolve_recipe(recipe).flatten().keys()
        assert resolved.flatten() != resolve_recipe(recipe).flatten()
        assert override.reason


def collect_published(names: Iterable[str]) -> dict[tuple[str, str], set[Any]]:
    """Return R@1, R@5, R@10 and MedR of each direction, by recipe and data set."""
    found: dict[tuple[str, str], set[Any]] = {}
    for name in names:
        for result in registry.load("models", name).published:
            figures = ((*result.i2t, result.i2t_medr), (*result.t2i, result.t2i_medr))
            found.setdefault((name, result.data), set()).add(figures)
            assert result.source
            assert result.features
    return found
