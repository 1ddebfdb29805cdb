"""The losses of the first three steps of every recipe, from a fixed beginning, are those that they were.

`python tests/plugins/test_first_steps.py` writes `first_steps.json` anew; look at the difference before committing it.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bert import list_narrow_settings, list_small_settings

from vsezoo import list_models, registry
from vsezoo.construction import build_loss, build_model
from vsezoo.data.lookup import open_data
from vsezoo.parts import accepted_kinds, load_text_encoder, resolve_recipe
from vsezoo.recipe import Recipe
from vsezoo.training.batches import PairBatches, TokenTable
from vsezoo.training.loop import Loop
from vsezoo.training.preparation import Prepared
from vsezoo.training.record import RunRecord
from vsezoo.training.runtime import Runtime
from vsezoo.training.splits import Split
from vsezoo.training.state import Progress, seed_all

EXPECTED = Path(__file__).with_name("first_steps.json")
STEPS = 3
IMAGES = 64  # of `shapes`, from whose captions the vocabulary is made
SIZES = {"embed_size": 32, "training.batch_size": 32, "training.seed": 5, "training.cache_frozen": False}
PRETRAINED = {"blip-2", "clip", "vse-on-clip"}  # all of its weights come from the Hub


def list_recipes() -> list[str]:
    """Return the names of the recipes of this distribution, aliases and those of the Hub's weights left out."""
    names = [name for name in list_models() if registry.find("models", name).distribution == "vsezoo"]
    return sorted({registry.load("models", name).name for name in names} - PRETRAINED)


def shrink(recipe: Recipe) -> Recipe:
    """Return the recipe as its paper has it, but for its sizes."""
    return recipe.replace({**SIZES, **list_narrow_settings(recipe), **list_small_settings(recipe)})


def take_steps(name: str) -> list[float]:
    """Return the losses of the first steps on `shapes`, on one thread."""
    content = shrink(registry.load("models", name)).to_json()
    return _take_steps(json.dumps({**content, "name": "small", "summary": ""}))


@functools.cache  # some differ by nothing but their large network
def _take_steps(content: str) -> list[float]:
    recipe = Recipe.from_json(json.loads(content))
    data = open_data("shapes", "train", accepted_kinds(recipe))
    recipe = resolve_recipe(recipe, data)
    seed_all(recipe.training.seed)
    tokenizer = load_text_encoder(recipe).make_tokenizer(recipe.text_encoder.options)
    tokenizer.fit(tokenizer.split(data.captions[: 5 * IMAGES]))
    by_length = recipe.training.batches == "lengths"
    tokens = tokenizer.encode(data.captions) if by_length else [np.zeros(1, np.int32)] * len(data.captions)
    split = Split(data, TokenTable(tokens))
    model, loss = build_model(recipe, tokenizer), build_loss(recipe, tokenizer)
    prepared = Prepared(model, loss, split, split, RunRecord(recipe))
    loop = Loop(prepared, Runtime("cpu"), Path(), Progress(), None)
    model.train()
    loss.train()
    loss.start_epoch(0)
    order = loop.order(0)[:STEPS]
    for index in np.concatenate(order):  # the ids of the captions that are read are enough for all else
        (tokens[index],) = tokenizer.encode([data.captions[index]])
    batches = PairBatches(data, TokenTable(tokens), model.image_encoder.transform(training=True), order)
    losses = []
    for batch in batches.load(0):
        losses.append(loop.step(batch)[0].total.item())
        loop.progress.step += 1  # or all of what only the first step checks would be done again
    return losses


def draws_as_recorded() -> bool:
    """Tell whether this torch makes of a seed the dropout mask that later ones make; torch 2.6 does not."""
    with torch.random.fork_rng([]):
        torch.manual_seed(5)
        return float(torch.nn.functional.dropout(torch.ones(64, 33), 0.5).sum()) == 2110.0


@pytest.mark.slow
@pytest.mark.skipif(not draws_as_recorded(), reason="this torch draws other dropout masks")
@pytest.mark.parametrize("name", list_recipes())
def test_the_first_losses(name: str) -> None:
    expected = json.loads(EXPECTED.read_text())
    assert set(expected) == set(list_recipes())
    # Sums of floats differ a little between processors, and each step starts from the differences of the one before.
    assert take_steps(name) == pytest.approx(expected[name], rel=1e-3)


if __name__ == "__main__":
    losses = {name: [float(f"{loss:.6g}") for loss in take_steps(name)] for name in list_recipes()}
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in losses.items())
    EXPECTED.write_text(f"{{\n{rows}\n}}\n")
