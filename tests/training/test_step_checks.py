"""Parts that return something wrong in a training step: the message names them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from vsezoo import registry
from vsezoo.batch import Embeddings
from vsezoo.construction import build_loss
from vsezoo.encoders.precomputed import PrecomputedImageEncoder
from vsezoo.errors import PluginError, RecipeError, TrainingError, VsezooError
from vsezoo.interfaces import Loss, LossOutput, Similarity
from vsezoo.losses import HingeLoss
from vsezoo.recipe import Recipe
from vsezoo.testing.steps import prepare_loop, take_steps
from vsezoo.training.optimizer_step import build_optimizer, build_schedule


def take_step(**parts: str) -> None:
    recipe: Recipe = registry.load("models", "vsepp")
    recipe = recipe.replace({"embed_size": 5, "text_encoder.word_dim": 4, "text_encoder.vocab_threshold": 1})
    for kind, name in parts.items():
        recipe = recipe.replace({kind: name})
    take_steps(prepare_loop(recipe, tiny.TinyPairs(), 4), 1)


def refuse(kind: str, expected: type[VsezooError], members: dict[str, Any], base: type) -> str:
    """Return the message about a part with these members in a training step."""
    group = {"similarity": "similarities", "loss": "losses", "image_encoder": "image_encoders"}[kind]
    registry.register(group, "bad", replace=True)(type("Bad", (base,), members))
    with pytest.raises(expected) as raised:
        take_step(**{kind: "bad"})
    return str(raised.value)


@pytest.mark.parametrize(
    ("score", "given"),
    [
        (
            lambda images, texts: (images @ texts.T).flatten(),
            r"scores of shape (16,); expected a tensor of shape (4, 4)",
        ),
        (lambda images, texts: (images @ texts.T, 1), "a tuple; expected a tensor of shape (4, 4)"),
        (lambda images, texts: texts @ images.T, "scores of shape (1, 2); expected a tensor of shape (2, 1)"),
        (lambda images, texts: (images @ texts.T).detach(), "a result without a gradient"),
    ],
)
def test_scores(score: Any, given: str) -> None:
    message = refuse("similarity", PluginError, {"forward": lambda self, *sides: score(*sides)}, Similarity)
    assert message.startswith(f"The similarity 'bad' of this session returned {given}")
    assert "vsezoo.testing.check('similarities', 'bad')" in message


@pytest.mark.parametrize(
    ("compute", "given"),
    [
        (lambda scores: scores.sum(), "a Tensor instead of a LossOutput"),
        (lambda scores: None, "a NoneType instead of a LossOutput"),
        (lambda scores: LossOutput(scores), "one with another total instead of a LossOutput"),
        (lambda scores: LossOutput(scores.detach().sum()), "a result without a gradient"),
    ],
)
def test_losses(compute: Any, given: str) -> None:
    message = refuse("loss", PluginError, {"forward": lambda self, scores, *more: compute(scores)}, Loss)
    assert message.startswith(f"The loss 'bad' of this session returned {given}")


class Learns(HingeLoss):
    """Has a parameter of its own, so that its total has a gradient although the scores have none."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, scores: Tensor, *more: Any) -> LossOutput:
        return LossOutput(super().forward(scores, *more).total * self.scale)


class DetachesItsScores(Learns):
    def forward(self, scores: Tensor, *more: Any) -> LossOutput:
        return super().forward(scores.detach(), *more)


class Detached(Similarity):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        return images.detach() @ texts.detach().T * self.scale


@pytest.mark.parametrize(
    ("parts", "culprit"),
    [
        ({"similarity": Detached, "loss": Learns}, "similarity 'bad'"),
        ({"loss": DetachesItsScores}, "loss 'bad'"),
    ],
)
def test_parts_that_learn_while_the_encoders_do_not(parts: dict[str, type], culprit: str) -> None:
    for kind, part in parts.items():
        registry.register({"similarity": "similarities", "loss": "losses"}[kind], "bad", replace=True)(part)
    with pytest.raises(PluginError) as raised:
        take_step(**dict.fromkeys(parts, "bad"))
    assert str(raised.value).startswith(f"The {culprit} of this session passes no gradient to the encoders.")


class Sum(Loss):
    factor = 1.0

    def forward(self, scores: Tensor, images: Any, texts: Any, batch: Any) -> LossOutput:
        return LossOutput(scores.sum() * self.factor)


class Dot(Similarity):
    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        return images @ texts.T * math.nan


class Images(PrecomputedImageEncoder):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) / 0


@pytest.mark.parametrize(
    ("kind", "base", "place"),
    [
        ("image_encoder", Images, "image vectors of the image encoder"),
        ("similarity", Dot, "scores of the similarity"),
        ("loss", type("Infinite", (Sum,), {"factor": math.inf}), "loss of the loss"),
    ],
)
def test_the_part_that_gave_nan_first(kind: str, base: type, place: str) -> None:
    message = refuse(kind, TrainingError, {}, base)
    assert message.startswith(f"NaN or infinite values at step 1, first in the {place} 'bad' of this session.\n")
    assert "No learning rate changes this" in message


def test_the_check_of_the_rows_leaves_no_trace() -> None:
    """A similarity that draws random numbers in training goes on as if it had not been asked."""
    calls = []

    class Draws(Similarity):
        def forward(self, images: Tensor, texts: Tensor) -> Tensor:
            calls.append((self.training, torch.is_grad_enabled(), len(images), len(texts)))
            return images @ texts.T + (torch.rand(()) if self.training else 0)

    registry.register("similarities", "draws", replace=True)(Draws)
    take_step(similarity="draws")
    assert calls == [(True, True, 4, 4), (False, False, 2, 1)]


def test_an_optimizer_and_a_schedule_that_return_nothing() -> None:
    registry.register("optimizers", "bad", replace=True)(lambda groups: None)
    registry.register("schedules", "bad", replace=True)(lambda: None)
    recipe: Recipe = registry.load("models", "vsepp").replace({"optimizer": "bad", "schedule": "bad"})
    with pytest.raises(
        PluginError, match=r"^The optimizer 'bad' of this session returned None instead of an optimiser"
    ):
        build_optimizer(recipe, [])
    with pytest.raises(PluginError, match=r"^The schedule 'bad' of this session returned None instead of a number"):
        build_schedule(recipe, 3)(0, 0)


# Messages about parts before the first step


def needs_a_default(self: Any, width: int) -> None:
    HingeLoss.__init__(self)


def raises(self: Any) -> None:
    raise ValueError("boom")


@pytest.mark.parametrize(
    ("constructor", "message"),
    [
        (needs_a_default, r"^loss 'bad' of this session cannot be built: .*\n.*its author must give one to 'width'\.$"),
        (
            raises,
            r"^loss 'bad' of this session cannot be built: boom\.\n.*its author must correct the constructor\.$",
        ),
    ],
)
def test_a_part_that_cannot_be_built(constructor: Any, message: str) -> None:
    registry.register("losses", "bad", replace=True)(type("Bad", (HingeLoss,), {"__init__": constructor}))
    model = tiny.make_model()
    with pytest.raises(RecipeError, match=message):
        build_loss(model.recipe.replace({"loss": "bad"}), model.tokenizer)


def test_sets_that_are_declared_and_not_returned() -> None:
    class SaysSets(PrecomputedImageEncoder):
        gives = "sets"

    registry.register("image_encoders", "says-sets", replace=True)(SaysSets)
    model = tiny.make_model(image_encoder="says-sets")
    message = (
        r"^The image encoder 'says-sets' of this session declares gives = 'sets', but returned vectors.*\nReturn Emb"
    )
    with pytest.raises(RecipeError, match=message):
        model.embed_images(torch.ones(2, tiny.WIDTH), sets=True)


def test_vectors_for_a_similarity_over_sets() -> None:
    similarity = type("Sets", (Dot,), {"inputs": "sets"})()
    with pytest.raises(VsezooError, match=r"compares sets .*\nUse what embed_images and embed_texts return"):
        similarity.compare(torch.ones(2, 3), Embeddings(torch.ones(4, 3)))
