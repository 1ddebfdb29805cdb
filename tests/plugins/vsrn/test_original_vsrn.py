"""Our model with the weights of the original VSRN code has the architecture of the recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
from originals import TORCH, needs_fixtures

from vsezoo import registry
from vsezoo.parts import resolve_recipe


@pytest.mark.slow
@needs_fixtures
@pytest.mark.parametrize(("name", "data"), [("VSRN_coco", "coco_precomp"), ("VSRN_f30k", "f30k_precomp")])
def test_the_architecture_is_that_of_the_recipe(name: str, data: str, tmp_path: Path) -> None:
    recipe = resolve_recipe(registry.load("models", "vsrn").for_data(data))
    found = TORCH[name].read(tmp_path).recipe.image_encoder
    assert found.name == recipe.image_encoder.name
    assert {**found.options, "img_dim": 2048} == recipe.image_encoder.options
