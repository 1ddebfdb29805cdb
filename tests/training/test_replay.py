"""Steps recorded as CUDA graphs, and batches made on a device. What needs a GPU is skipped without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import nn

import vsezoo
from vsezoo.batch import Batch, LossOutput, Tokens
from vsezoo.encoders.recurrent import GRUTextEncoder, LSTMTextEncoder
from vsezoo.losses import HingeLoss
from vsezoo.training import replay
from vsezoo.training.batches import PairBatches, TokenTable
from vsezoo.training.callbacks import Callback
from vsezoo.training.replay import can_replay, fix_shape
from vsezoo.training.resident import ResidentPairs
from vsezoo.training.runtime import Runtime
from vsezoo.training.state import Progress, read_state

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Pairs:
    """Three images, the second of which has two captions."""

    image_ids = ("a", "b", "c")
    image_of = np.array([0, 1, 1, 2])
    kind = "vector"

    def images(self, indices: Any) -> np.ndarray:
        """Return features that tell the image."""
        return np.array([[10 * index, 10 * index + 1] for index in indices], dtype=np.float16)


TOKENS = TokenTable([np.array(ids, dtype=np.int32) for ids in ([5], [1, 2, 3], [4, 6], [7, 8, 9])])


def test_batches_made_on_a_device_are_those_of_the_loader() -> None:
    order = [np.array([3, 0]), np.array([1, 2, 0]), np.array([0])]
    made = list(ResidentPairs(Pairs(), TOKENS, torch.device("cpu")).load(order))  # type: ignore[arg-type]
    read = list(PairBatches(Pairs(), TOKENS, torch.from_numpy, order).load(workers=0))  # type: ignore[arg-type]
    assert len(made) == len(read) == 3
    for ours, theirs in zip(made, read, strict=True):
        for name in ("images", "image_index", "caption_index"):
            torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=0, atol=0)
        torch.testing.assert_close((ours.tokens.ids, ours.tokens.lengths), (theirs.tokens.ids, theirs.tokens.lengths))
    assert made[1].images.tolist() == [[10, 11], [10, 11], [0, 1]]
    assert made[1].tokens.ids.tolist() == [[1, 2, 3], [4, 6, 0], [5, 0, 0]]
    assert not list(ResidentPairs(Pairs(), TOKENS, torch.device("cpu")).load([]))  # type: ignore[arg-type]


def test_captions_get_one_of_few_lengths() -> None:
    batch = Batch(
        torch.ones(2, 3, dtype=torch.float16),
        Tokens(torch.tensor([[1, 2, 3, 4, 5], [6, 0, 0, 0, 0]]), torch.tensor([5, 1])),
        torch.arange(2),
        torch.arange(2),
    )
    fixed = fix_shape(batch)
    assert fixed.tokens.ids.tolist() == [[1, 2, 3, 4, 5, 0, 0, 0], [6, 0, 0, 0, 0, 0, 0, 0]]
    assert fixed.images.dtype == torch.float32
    assert fix_shape(fixed).tokens.ids.shape == (2, 8)


@pytest.mark.parametrize("network", [GRUTextEncoder, LSTMTextEncoder])
def test_padding_of_captions_read_as_they_are_makes_no_difference(network: type[GRUTextEncoder]) -> None:
    encoder = network(embed_size=6, tokenizer=tiny.make_model().tokenizer, word_dim=4)
    tokens = Tokens.pad([np.array([1, 2, 3, 1]), np.array([2]), np.array([3, 1])])
    expected = encoder(tokens)
    wider = Tokens(nn.functional.pad(tokens.ids, (0, 3)), tokens.lengths)
    torch.testing.assert_close(encoder._read_padded(wider), expected)


class Derived(HingeLoss):
    """A loss with other code than the one that it is derived from."""


def test_only_parts_that_promise_it_are_recorded() -> None:
    model, loss = tiny.make_model(), HingeLoss()
    gpu = Runtime()
    gpu.device = torch.device("cuda", 0)
    assert can_replay(model, loss, gpu)
    assert not can_replay(model, loss, Runtime("cpu"))
    assert not can_replay(model, Derived(), gpu)
    for change in ({"cuda_graphs": False}, {"micro_batch": 2}, {"cache_frozen": True}):
        settings = replace(model.recipe.training, **change)  # type: ignore[arg-type]
        other = tiny.make_model()
        other.recipe = replace(model.recipe, training=settings)
        assert not can_replay(other, loss, gpu)
    model.text_encoder.keep_items = True
    assert not can_replay(model, loss, gpu)


def test_what_a_graph_would_freeze_is_compared() -> None:
    loss = HingeLoss(max_violation=True, warmup_epochs=1)
    before = replay._describe(loss)
    assert replay._describe(loss) == before
    loss.start_epoch(1)
    assert replay._describe(loss) != before
    layer = nn.Linear(2, 2)
    before = replay._describe(layer)
    layer.weight.requires_grad_(requires_grad=False)
    assert replay._describe(layer) != before


class Stop(Callback):
    """Raises after a step, whose state is saved."""

    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, progress: Progress) -> None:
        if progress.step == self.at:
            raise KeyboardInterrupt


def train(data: Path, output: Path, **options: Any) -> dict[str, torch.Tensor]:
    """Train VSE++ on a GPU and return its last weights and moments."""
    settings = {**tiny.SETTINGS, "loss.warmup_epochs": 1, "loss.max_violation": True, **options.pop("settings", {})}
    vsezoo.train("vsepp", data, output=output, settings=settings, device="cuda", save_step=3, **options)
    return dict(read_state(output).tensors)


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@on_gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_recorded_steps_are_equal_from_run_to_run_and_after_a_resumption(
    tmp_path: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed = []
    replay_graph = torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda graph: (replayed.append(1), replay_graph(graph)))
    data, settings = tiny.write_data(tmp_path / "data"), {"training.precision": precision}
    whole = train(data, tmp_path / "whole", settings=settings)
    assert len(replayed) >= 8  # of 20 steps, in two epochs with different losses, of a few shapes
    assert_equal(train(data, tmp_path / "again", settings=settings), whole)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "stopped", settings=settings, callbacks=[Stop(14)])
    assert_equal(train(data, tmp_path / "stopped", settings=settings, resume=True), whole)


@on_gpu
def test_a_graph_computes_what_steps_without_one_compute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny.write_data(tmp_path / "data")
    recorded = train(data, tmp_path / "recorded")
    monkeypatch.setattr(replay.ReplayedStep, "_record", lambda *_: None)
    assert_equal(train(data, tmp_path / "the same shapes"), recorded)
    monkeypatch.undo()
    usual = train(data, tmp_path / "usual", settings={"training.cuda_graphs": False})
    for name, tensor in usual.items():
        if name.startswith("model."):
            torch.testing.assert_close(recorded[name], tensor, rtol=1e-2, atol=1e-3)


@on_gpu
@pytest.mark.process
def test_features_read_ahead_are_those_kept_on_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny.write_data(tmp_path / "data")
    kept = train(data, tmp_path / "kept")
    monkeypatch.setattr(ResidentPairs, "fits", lambda *_: False)
    assert_equal(train(data, tmp_path / "read ahead"), kept)
    usual = {"training.cuda_graphs": False}
    assert_equal(
        train(data, tmp_path / "usual", settings=usual),
        train(data, tmp_path / "by workers", settings=usual, workers=1),
    )


@on_gpu
def test_a_step_that_cannot_be_recorded_runs_as_usual_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(loss: HingeLoss, scores: torch.Tensor, *others: Any) -> LossOutput:
        float(scores.detach().sum())  # reads a value, so that it is not replayable
        return usual(loss, scores, *others)

    class Warnings(Callback):
        texts: list[str] = []  # noqa: RUF012

        def warning(self, text: str) -> None:
            self.texts.append(text)

    usual = HingeLoss.forward
    monkeypatch.setattr(HingeLoss, "forward", forward)
    data = tiny.write_data(tmp_path / "data")
    train(data, tmp_path / "run", callbacks=[Warnings()])
    assert any("cannot be recorded as a CUDA graph" in text for text in Warnings.texts)
