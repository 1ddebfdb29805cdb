"""Micro-batches: the gradient of the whole batch, the same random numbers twice, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sets
import tiny
import torch
from torch import nn

import vsezoo
from vsezoo import registry
from vsezoo.construction import build_loss, build_model
from vsezoo.data.lookup import open_data
from vsezoo.encoders.precomputed import PrecomputedImageEncoder
from vsezoo.encoders.recurrent import GRUTextEncoder
from vsezoo.errors import RecipeError, VsezooError
from vsezoo.parts import load_text_encoder, resolve_recipe
from vsezoo.training.batches import PairBatches, TokenTable
from vsezoo.training.callbacks import Callback
from vsezoo.training.encoding import MicroBatches
from vsezoo.training.loop import Loop
from vsezoo.training.plan import plan_recipe
from vsezoo.training.preparation import Prepared
from vsezoo.training.record import RunRecord
from vsezoo.training.runtime import Runtime
from vsezoo.training.splits import Split
from vsezoo.training.state import Progress, read_state, seed_all

MICRO = "training.micro_batch"
HEAD = {"loss.hidden_size": 6, "loss.word_dim": 4, "loss.dropout": 0.0}
KINDS: dict[str, dict[str, Any]] = {
    "sum": {},
    "max": {"loss.max_violation": True},
    "infonce": {"loss": "infonce", "loss.learn_temperature": True},
    "sigmoid": {"loss": "sigmoid"},
    "order": {"similarity": "order", "image_encoder.use_abs": True, "text_encoder.use_abs": True},
    "bf16": {"training.precision": "bf16"},
    "caption": {"image_encoder": "regions", "loss": "caption", **HEAD},
    "sets": {"image_encoder": "regions", "similarity": "best-regions", "text_encoder.bidirectional": True},
    "extras": {"image_encoder": "pcmepp-regions", "text_encoder": "pcmepp-gru", "similarity": "csd", "loss": "pcmepp"},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("micro")
    return tiny.write_data(folder / "vectors"), tiny.write_regions(folder / "regions")


@pytest.fixture
def make_loop(folders: tuple[Path, Path], tmp_path: Path) -> Callable[..., Loop]:
    sets.register_sets()

    def make(kind: str = "sum", **changes: Any) -> Loop:
        settings = {**KINDS[kind], **tiny.SETTINGS, "training.grad_clip": 0.0, **tiny.dotted(changes)}
        if kind in ("sigmoid", "infonce", "extras"):
            settings.pop("loss.mask_same_image")
        of_regions = kind in ("caption", "sets", "extras")
        data = open_data(str(folders[of_regions]), "train", ("regions" if of_regions else "vector",))
        recipe = resolve_recipe(plan_recipe("vsepp", str(folders[of_regions]), settings), data)
        tokenizer = load_text_encoder(recipe).make_tokenizer(recipe.text_encoder.options)
        tokenizer.fit(tokenizer.split(data.captions))
        seed_all(0)
        split = Split(data, TokenTable(tokenizer.encode(data.captions)))
        model, loss = build_model(recipe, tokenizer), build_loss(recipe, tokenizer)
        prepared = Prepared(model, loss, split, split, RunRecord(recipe))
        return Loop(prepared, Runtime("cpu", recipe.training.precision), tmp_path, Progress(), None)

    return make


def take_step(loop: Loop, train: bool = False) -> dict[str, torch.Tensor]:
    """Take the first step; return the loss and the gradients before clipping."""
    loop.model.train(train)
    transform = loop.model.image_encoder.transform(training=True)
    (batch,) = PairBatches(loop.train.data, loop.train.tokens, transform, loop.order(0)[:1]).load(0)
    output, norm, _ = loop.step(batch)
    gradients = {name: parameter.grad for name, parameter in loop.parameters.items() if parameter.grad is not None}
    return {"loss": output.total.detach(), "norm": norm, **gradients}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_that_of_the_whole_batch(make_loop: Callable[..., Loop], kind: str) -> None:
    whole = take_step(make_loop(kind))
    assert len(whole) > 6
    for size in (5, 32):  # of 32 captions
        found = take_step(make_loop(kind, training__micro_batch=size))
        assert found.keys() == whole.keys()
        for name, tensor in whole.items():
            # bf16 rounds the gradients of each micro-batch before they are added.
            tolerance = (2e-2 if kind == "bf16" else 1e-6) * max(1, tensor.abs().max())
            torch.testing.assert_close(found[name], tensor, rtol=0, atol=float(tolerance), msg=f"{kind} {size} {name}")


class NoisyGRU(GRUTextEncoder):
    """Draws a mask, and a number from NumPy's generator, and remembers what it returned."""

    made: list[torch.Tensor]

    def forward(self, tokens: Any) -> torch.Tensor:
        import numpy as np

        output = nn.functional.dropout(super().forward(tokens), 0.5) * (1 + np.random.rand())
        self.made = [*getattr(self, "made", []), output.detach()]
        return output


def test_both_passes_draw_the_same_numbers(make_loop: Callable[..., Loop], monkeypatch: pytest.MonkeyPatch) -> None:
    registry.register("text_encoders", "noisy-gru")(NoisyGRU)
    settings = {**tiny.dotted({"text_encoder": "noisy-gru"}), "training__micro_batch": 10}
    loop = make_loop(**settings)
    take_step(loop, train=True)
    made = loop.model.text_encoder.made
    first, second = made[:4], made[4:]  # 10, 10, 10 and 2 captions, twice
    assert [len(output) for output in first] == [10, 10, 10, 2]
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])
    numbers = torch.rand(3)
    again = make_loop(**settings)
    monkeypatch.setattr(MicroBatches, "finish", lambda self: self._pieces.clear())
    output = [parameter.requires_grad_(True) for parameter in again.model.parameters()]
    assert output
    again.model.train()
    transform = again.model.image_encoder.transform(training=True)
    (batch,) = PairBatches(again.train.data, again.train.tokens, transform, again.order(0)[:1]).load(0)
    again.step(batch)
    assert torch.equal(torch.rand(3), numbers)  # the second pass leaves the generators as the first left them


def test_an_encoder_that_is_frozen_runs_once(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop(training__micro_batch=8)
    loop.model.image_encoder.requires_grad_(False)
    calls = dict.fromkeys(loop.model.encoders, 0)
    for name, encoder in loop.model.encoders.items():
        encoder.register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    take_step(loop)
    assert calls == {"image_encoder": 4, "text_encoder": 8}


class NormalisedImages(PrecomputedImageEncoder):
    """Batch normalisation behind the linear layer."""

    def __init__(self, *, embed_size: int, **more: Any) -> None:
        super().__init__(embed_size=embed_size, **more)
        self.norm = nn.BatchNorm1d(embed_size)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.norm(super().forward(images))


def test_batch_normalisation_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    registry.register("image_encoders", "normalised")(NormalisedImages)
    settings = {"image_encoder": "normalised", **tiny.SETTINGS, MICRO: 8}
    with pytest.raises(RecipeError, match=r"micro_batch is 8, but the image encoder .* batch normalisation .*\(norm\)"):
        vsezoo.train("vsepp", folders[0], output=tmp_path / "run", settings=settings)
    assert not (tmp_path / "run").exists()


class Stop(Callback):
    """Stops in the middle of an epoch."""

    def step(self, progress: Progress) -> None:
        if progress.step == 7:
            raise VsezooError("stopped")


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_bits(folders: tuple[Path, Path], tmp_path: Path) -> None:
    registry.register("text_encoders", "noisy-gru")(NoisyGRU)
    settings = {"text_encoder": "noisy-gru", **tiny.SETTINGS, MICRO: 7}
    vsezoo.train("vsepp", folders[0], output=tmp_path / "whole", settings=settings)
    with pytest.raises(VsezooError, match="stopped"):
        vsezoo.train("vsepp", folders[0], output=tmp_path / "two", settings=settings, callbacks=[Stop()], save_step=3)
    vsezoo.train("vsepp", output=tmp_path / "two", resume=True)
    whole, two = (read_state(tmp_path / name).tensors for name in ("whole", "two"))
    assert all(torch.equal(tensor, two[name]) for name, tensor in whole.items())
