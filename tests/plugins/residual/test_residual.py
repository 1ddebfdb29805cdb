"""The encoders with a perceptron next to their linear layer: their equations, padding, dropout, and standardisation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from vsezoo.data.view import PairView
from vsezoo.errors import DataError
from vsezoo.interfaces import Tokens
from vsezoo.model import JointEmbedding

WIDE = {"embed_size": 8, "image_encoder.hidden_size": 6, "text_encoder.hidden_size": 6, "text_encoder.word_dim": 5}


def make_model(**changes: Any) -> JointEmbedding:
    settings = {**WIDE, **tiny.dotted(changes)}
    return tiny.make_model("vse-bow", **{name.replace(".", "__"): value for name, value in settings.items()})


def apply_residual(weights: dict[str, np.ndarray], side: str, inputs: np.ndarray) -> np.ndarray:
    """Return the embeddings by the equation, in float64."""
    linear = inputs @ weights[f"{side}.fc.weight"].T + weights[f"{side}.fc.bias"]
    layers = f"{side}.residual.perceptron"
    hidden = inputs @ weights[f"{layers}.0.weight"].T + weights[f"{layers}.0.bias"]
    hidden = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
    total = linear + hidden @ weights[f"{layers}.3.weight"].T + weights[f"{layers}.3.bias"]
    return total / np.linalg.norm(total, axis=1, keepdims=True)


def read_weights(model: JointEmbedding) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy().astype(np.float64) for name, tensor in model.state_dict().items()}


def test_images_by_the_equation() -> None:
    model, features = make_model().eval(), np.random.default_rng(0).normal(size=(7, tiny.WIDTH)).astype(np.float32)
    model.image_encoder.mean.uniform_()
    model.image_encoder.deviation.fill_(0.25)
    weights = read_weights(model)
    expected = apply_residual(weights, "image_encoder", (features - weights["image_encoder.mean"]) / 0.25)
    assert model.encode_images(features).numpy() == pytest.approx(expected, abs=1e-6)


def test_captions_by_the_equation_whatever_the_padding() -> None:
    model = make_model().eval()
    weights, captions = read_weights(model), [np.array([1, 3, 2]), np.array([1, 2]), np.array([1, 4, 4, 3, 2])]
    words = weights["text_encoder.embed.weight"]
    sums = np.stack([words[ids].sum(axis=0) / math.sqrt(len(ids)) for ids in captions])
    expected = apply_residual(weights, "text_encoder", sums)
    tokens = Tokens.pad(captions)
    assert model.text_encoder(tokens).detach().numpy() == pytest.approx(expected, abs=1e-6)
    tokens.ids[1, 2:] = 4
    assert model.text_encoder(tokens).detach().numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("side", ["image_encoder", "text_encoder"])
def test_without_a_hidden_layer_there_is_the_linear_one_alone(side: str) -> None:
    encoder = make_model(**{f"{side}__hidden_size": 0}).encoders[side]
    names = {"image_encoder": {"fc.weight", "fc.bias"}, "text_encoder": {"fc.weight", "fc.bias", "embed.weight"}}
    assert {name for name, _ in encoder.named_parameters()} == names[side]


def test_dropout_is_for_training_alone() -> None:
    off = {f"{side}__{name}": 0.0 for side in WIDE_SIDES for name in ("dropout", "input_dropout")}
    model = make_model(**off, text_encoder__word_dropout=0.9)
    tokens, images = Tokens.pad([np.array([1, 3, 4, 2])] * 50), torch.rand(50, tiny.WIDTH)
    model.train()
    first, second = model(images, tokens)
    assert torch.equal(first, model.image_encoder(images))
    # Each caption keeps other words, and some none at all: what is left is the bias.
    assert len({tuple(row) for row in second.detach().round(decimals=5).tolist()}) > 3
    assert second.isfinite().all()
    model.eval()
    assert len({tuple(row) for row in model.text_encoder(tokens).detach().round(decimals=5).tolist()}) == 1


@pytest.mark.parametrize("name", ["dropout", "input_dropout"])
@pytest.mark.parametrize("side", ["image_encoder", "text_encoder"])
def test_each_dropout_changes_the_training(side: str, name: str) -> None:
    off = {f"{one}__{other}": 0.0 for one in WIDE_SIDES for other in ("dropout", "input_dropout")}
    model = make_model(**{**off, "text_encoder__word_dropout": 0.0, f"{side}__{name}": 0.5}).train()
    inputs: Any = Tokens.pad([np.array([1, 3, 4, 2])]) if side == "text_encoder" else torch.rand(1, tiny.WIDTH)
    assert not torch.equal(model.encoders[side](inputs), model.encoders[side](inputs))


WIDE_SIDES = ("image_encoder", "text_encoder")


class Features(PairView):
    """The images of the tiny data, replaced."""

    def __init__(self, rows: np.ndarray) -> None:
        super().__init__(tiny.TinyPairs())
        self.rows, self.image_ids = rows, [str(index) for index in range(len(rows))]

    def images(self, indices: Any) -> np.ndarray:
        return self.rows[indices]


def test_features_are_standardised_by_those_of_training() -> None:
    rows = (3 + 2 * np.random.default_rng(1).normal(size=(600, tiny.WIDTH))).astype(np.float32)  # several blocks
    rows[:, 0] *= 10
    encoder = make_model().image_encoder
    encoder.fit(Features(rows))
    assert encoder.mean.numpy() == pytest.approx(rows.mean(axis=0, dtype=np.float64), rel=1e-5)
    assert encoder.deviation.item() == pytest.approx(np.sqrt(rows.var(axis=0, dtype=np.float64).mean()), rel=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 1000.3])
def test_features_that_do_not_vary_are_not_blown_up(value: float) -> None:
    encoder = make_model().image_encoder
    encoder.fit(Features(np.full((40, tiny.WIDTH), value, np.float32)))
    assert encoder.deviation.item() == 1


@pytest.mark.parametrize("shape", [(3, tiny.WIDTH + 1), (3, 2, tiny.WIDTH)])
def test_other_features_are_refused(shape: tuple[int, ...]) -> None:
    images: Tensor = torch.rand(shape)
    with pytest.raises(DataError, match=f"takes features of \\(images, {tiny.WIDTH}\\)"):
        make_model().image_encoder(images)
