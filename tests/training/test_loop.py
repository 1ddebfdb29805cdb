"""The loop: steps, schedule, validations, the best checkpoint, and what stops it."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from loops_of_tiny import MakeLoop, first_batch
from torch import Tensor
from witness import Witness

from vsezoo.errors import DataError
from vsezoo.evaluation.metrics import DirectionMetrics, Metrics, Ties
from vsezoo.evaluation.report import Evaluation
from vsezoo.interfaces import Batch, LossOutput, Tokens
from vsezoo.losses import HingeLoss
from vsezoo.optimization.schedules import cosine
from vsezoo.training import loop as loops
from vsezoo.training.batches import PairBatches
from vsezoo.training.loop import Loop
from vsezoo.training.state import read_state

# The loss by a reference of its own


def reference_loss(loop: Loop, batch: Batch, margin: float, hardest: bool, masked: bool) -> float:
    """VSE++ in float64 NumPy, one caption and one pair at a time."""
    weights = {name: tensor.detach().numpy().astype(np.float64) for name, tensor in loop.model.state_dict().items()}
    images = batch.images.numpy() @ weights["image_encoder.fc.weight"].T + weights["image_encoder.fc.bias"]
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    texts = np.stack([encode_gru(weights, ids[:length]) for ids, length in zip(*unpack(batch.tokens), strict=True)])
    scores = images @ texts.T
    of_images: dict[int, list[float]] = {}
    of_texts: dict[int, list[float]] = {}
    for i in range(len(scores)):
        for j in range(len(scores)):
            same = batch.image_index[i] == batch.image_index[j]
            if i == j or (masked and same):
                continue
            of_images.setdefault(i, []).append(max(0.0, margin + scores[i, j] - scores[i, i]))
            of_texts.setdefault(j, []).append(max(0.0, margin + scores[i, j] - scores[j, j]))
    take = max if hardest else sum
    return float(sum(map(take, of_images.values())) + sum(map(take, of_texts.values())))


def unpack(tokens: Tokens) -> tuple[np.ndarray, np.ndarray]:
    return tokens.ids.numpy(), tokens.lengths.numpy()


def encode_gru(weights: dict[str, np.ndarray], ids: np.ndarray) -> np.ndarray:
    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    of_input, of_state = weights["text_encoder.rnn.weight_ih_l0"], weights["text_encoder.rnn.weight_hh_l0"]
    state = np.zeros(of_state.shape[1])
    for word in weights["text_encoder.embed.weight"][ids]:
        first = np.split(of_input @ word + weights["text_encoder.rnn.bias_ih_l0"], 3)
        second = np.split(of_state @ state + weights["text_encoder.rnn.bias_hh_l0"], 3)
        reset, update = sigmoid(first[0] + second[0]), sigmoid(first[1] + second[1])
        state = update * state + (1 - update) * np.tanh(first[2] + reset * second[2])
    return state / np.linalg.norm(state)


@pytest.mark.slow
@pytest.mark.parametrize("hardest", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_the_first_loss(make_loop: MakeLoop, hardest: bool, masked: bool) -> None:
    witness = Witness()
    settings = {"loss__max_violation": hardest, "loss__mask_same_image": masked}
    loop = make_loop(witness, training__num_epochs=1, training__log_step=1, **settings)
    batch = first_batch(loop)
    assert len(set(batch.image_index.tolist())) < len(batch.image_index)  # so that the mask has something to do
    expected = reference_loss(loop, batch, 0.2, hardest, masked)
    loop.start()
    assert witness.records[0].step == 1
    assert witness.records[0].loss == pytest.approx(expected, rel=1e-5)
    assert sum(witness.records[0].parts.values()) == pytest.approx(expected, rel=1e-5)
    logged = [json.loads(line) for line in (loop.output / "log.jsonl").read_bytes().splitlines()]
    assert logged[1]["loss"] == witness.records[0].loss
    assert [event["step"] for event in logged if event["event"] == "step"] == list(range(1, 11))


@pytest.mark.slow
def test_a_batch_larger_than_the_data(make_loop: MakeLoop) -> None:
    witness = Witness()
    make_loop(witness, training__batch_size=1000).start()
    assert [step for step, _, _ in witness.validations] == [1, 2]


@pytest.mark.slow
def test_bf16_is_for_the_encoders_alone(make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsezoo.devices.has_bf16_instructions", lambda: True)
    losses = {}
    for precision in ("fp32", "bf16"):
        loop = make_loop(training__precision=precision)
        seen: list[torch.dtype] = []
        loop.model.image_encoder.fc.register_forward_hook(
            lambda module, given, made, seen=seen: seen.append(made.dtype)
        )
        loop.model.similarity.register_forward_hook(lambda module, given, made, seen=seen: seen.append(made.dtype))
        output, _, _ = loop.step(first_batch(loop))
        assert seen[:2] == [torch.float32 if precision == "fp32" else torch.bfloat16, torch.float32]
        assert {parameter.dtype for parameter in loop.parameters.values()} == {torch.float32}
        losses[precision] = output.total.item()
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.02)


def test_bf16_is_fp32_and_said_so_on_a_cpu_without_its_instructions(
    make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsezoo.devices.has_bf16_instructions", lambda: False)
    witness, losses = Witness(), {}
    for precision in ("fp32", "bf16"):
        loop = make_loop(witness, training__precision=precision, training__num_epochs=1)
        loop.start()
        losses[precision] = loop.step(first_batch(loop))[0].total.item()
    assert losses["bf16"] == losses["fp32"]
    assert [text for text in witness.warnings if "bf16" in text] == [
        "this CPU has no bf16 instructions: the encoders compute in fp32, which is faster here."
    ]


# Schedule, clipping, validations


@pytest.mark.slow
def test_schedule(make_loop: MakeLoop) -> None:
    witness = Witness()
    make_loop(witness, training__num_epochs=5, schedule__every=2, schedule__factor=0.1).start()
    rates = {record.epoch: record.learning_rate for record in witness.records}
    assert [rates[epoch] for epoch in range(1, 6)] == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4])


@pytest.mark.slow
def test_the_rate_of_the_schedule_is_what_adam_uses(make_loop: MakeLoop) -> None:
    loop = make_loop(training__num_epochs=2, schedule__every=1)
    used = []
    loop.optimizer.register_step_pre_hook(lambda optimizer, *_: used.append(optimizer.param_groups[0]["lr"]))
    loop.start()
    assert used == pytest.approx([0.01] * tiny.STEPS + [0.001] * tiny.STEPS)


@pytest.mark.slow
def test_the_schedule_is_asked_at_each_step(make_loop: MakeLoop) -> None:
    loop = make_loop(
        training__num_epochs=2, schedule="cosine", schedule__warmup=4, schedule__final=0.1, optimizer="adamw"
    )
    used = []
    loop.optimizer.register_step_pre_hook(lambda optimizer, *_: used.append(optimizer.param_groups[0]["lr"]))
    loop.start()
    expected = [cosine(step, tiny.STEPS, 2, warmup=4, final=0.1) for step in range(2 * tiny.STEPS)]
    assert used == pytest.approx([0.01 * multiple for multiple in expected])
    assert max(used) == used[4] == 0.01


@pytest.mark.slow
def test_the_weight_of_the_loss_rises_in_one_epoch(make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten steps, the first has the weight 0 and the last 0.9; before and after it is 1. What is logged has none."""
    loop = make_loop(training__ramp_epoch=1, training__num_epochs=3, training__grad_clip=0.0)
    norms: list[tuple[float, float]] = []
    step = loop.step

    def watch(batch: Batch) -> tuple[LossOutput, Tensor, float]:
        rates = [group["lr"] for group in loop.optimizer.param_groups]
        for group in loop.optimizer.param_groups:
            group["lr"] = 0.0  # the model stays as it is
        output, norm, plateau = step(batch)
        for group, rate in zip(loop.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        norms.append((output.total.item(), norm.item()))
        return output, norm, plateau

    monkeypatch.setattr(loop, "step", watch)
    loop.start()
    batches = [loop.order(epoch) for epoch in range(3)]
    assert [len(order) for order in batches] == [tiny.STEPS] * 3
    assert norms[tiny.STEPS][1] == 0
    assert all(norm > 0 for _, norm in norms[: tiny.STEPS])
    plain = make_loop(training__num_epochs=3, training__grad_clip=0.0)
    images = PairBatches(plain.train.data, plain.train.tokens, plain.model.image_encoder.transform(True), batches[1])
    for index, batch in enumerate(images.load(0)):
        for group in plain.optimizer.param_groups:
            group["lr"] = 0.0
        output, norm, _ = plain.step(batch)
        logged, weighted = norms[tiny.STEPS + index]
        assert logged == pytest.approx(output.total.item(), rel=1e-6)
        assert weighted == pytest.approx(norm.item() * index / tiny.STEPS, rel=1e-4)


@pytest.mark.parametrize("limit", [0.0, 2.0, 1e6])
def test_clipping(make_loop: MakeLoop, limit: float) -> None:
    loop = make_loop(training__grad_clip=limit)
    applied = []

    def measure(*_: Any) -> None:
        applied.append(
            math.sqrt(sum(float(p.grad.square().sum()) for p in loop.parameters.values() if p.grad is not None))
        )

    loop.optimizer.register_step_pre_hook(measure)
    _, norm, _ = loop.step(first_batch(loop))
    assert norm.item() > 2.5  # or there is nothing to clip
    assert applied == [pytest.approx(2.0 if limit == 2.0 else norm.item(), rel=1e-4)]


@pytest.mark.slow
def test_validations(make_loop: MakeLoop) -> None:
    witness = Witness()
    make_loop(witness, training__val_step=4).start()
    # Each four steps, and at the end of each epoch; where both fall together, once.
    assert [step for step, _, _ in witness.validations] == [4, 8, 10, 12, 16, 20]
    assert not any(best for step, _, best in witness.validations if step not in (10, 20))


@pytest.mark.slow
def test_validations_inside_epochs_alone(make_loop: MakeLoop) -> None:
    witness = Witness()
    make_loop(witness, training__val_step=4, training__val_epoch=False, training__select_mid_epoch=True).start()
    assert [step for step, _, _ in witness.validations] == [4, 8, 12, 16, 20]  # and at the very end


@pytest.mark.slow
@pytest.mark.parametrize("mid_epoch", [False, True])
def test_who_may_be_the_best(make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch, mid_epoch: bool) -> None:
    scores = iter([10.0, 30.0, 20.0, 25.0, 25.0, 20.0])  # of the steps 4, 8, 10, 12, 16, 20
    monkeypatch.setattr(loops, "evaluate_split", lambda model, split: evaluation(next(scores)))
    witness = Witness()
    loop = make_loop(witness, training__val_step=4, training__select_mid_epoch=mid_epoch)
    loop.start()
    assert [step for step, _, best in witness.validations if best] == ([4, 8] if mid_epoch else [10])
    trained = json.loads((loop.output / "best" / "config.json").read_bytes())["trained"]
    step, score = (8, 30.0) if mid_epoch else (10, 20.0)  # of equal scores the earlier one stays
    assert trained == {"epoch": 1, "step": step, "criterion": "rsum", "score": score}


def evaluation(r1: float, r5: float = 0, r10: float = 0, search: tuple[float, float, float] = (0, 0, 0)) -> Evaluation:
    metrics = Metrics(DirectionMetrics(r1, r5, r10, 1, 1), DirectionMetrics(*search, 1, 1), Ties("lower_index", 0, 0))
    return Evaluation(metrics, "data", "dev", "full", [], 20, 100)


@pytest.mark.slow
@pytest.mark.parametrize("mid_epoch", [False, True])
def test_patience(make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch, mid_epoch: bool) -> None:
    """Two choosing validations in a row without gain end the training; those that cannot choose do not count."""
    scores = iter([10.0, 30.0, 20.0, 30.0, *[5.0] * 10])
    monkeypatch.setattr(loops, "evaluate_split", lambda model, split: evaluation(next(scores)))
    witness = Witness()
    settings = {"training__val_step": 4, "training__patience": 2, "training__num_epochs": 9}
    loop = make_loop(witness, training__select_mid_epoch=mid_epoch, **settings)
    loop.start()
    validated = [step for step, _, _ in witness.validations]
    assert validated == ([4, 8, 10, 12] if mid_epoch else [4, 8, 10, 12, 16, 20, 24, 28, 30])
    assert read_state(loop.output).progress.step == validated[-1]  # and its state is saved


@pytest.mark.slow
def test_captions_that_are_too_long_are_left_out(make_loop: MakeLoop) -> None:
    witness = Witness()
    loop = make_loop(witness, training__max_words=6)
    batches = loop.order(0)
    counts = [len(loop.train.data.captions[index].split()) for batch in batches for index in batch]
    words = [len(caption.split()) for caption in loop.train.data.captions]
    assert max(words) > 6
    assert sorted(counts) == sorted(count for count in words if count <= 6)
    loop.start()
    absent = sum(count > 6 for count in words)
    assert witness.warnings == [
        f"{absent} of {len(words)} training captions have more than 6 words and are skipped (training.max_words)."
    ]


def test_all_captions_are_too_long(make_loop: MakeLoop) -> None:
    with pytest.raises(DataError, match=r"no caption of the training split is as short as training\.max_words=1"):
        make_loop(training__max_words=1).start()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("criterion", "epoch", "score"), [("rsum", 1, 160.0), ("search", 2, 90.0), ("r1+r5", 3, 100.0)]
)
def test_the_best_by_each_criterion(
    make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch, criterion: str, epoch: int, score: float
) -> None:
    results = iter(
        [
            evaluation(20, 20, 100, (10, 5, 5)),  # rsum 160, search 20, r1+r5 55
            evaluation(5, 5, 5, (10, 20, 60)),  # rsum 105, search 90, r1+r5 40
            evaluation(30, 40, 40, (10, 20, 10)),  # rsum 150, search 40, r1+r5 100
        ]
    )
    monkeypatch.setattr(loops, "evaluate_split", lambda model, split: next(results))
    loop = make_loop(training__criterion=criterion, training__num_epochs=3)
    loop.start()
    trained = json.loads((loop.output / "best" / "config.json").read_bytes())["trained"]
    assert (trained["criterion"], trained["epoch"], trained["score"]) == (criterion, epoch, score)


@pytest.mark.slow
def test_dropout_is_off_in_validations_alone(make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    monkeypatch.setattr(loops, "evaluate_split", lambda model, split: modes.append(model.training) or evaluation(1))
    loop = make_loop(training__val_step=4)
    in_steps = set()
    loop.optimizer.register_step_pre_hook(lambda *_: in_steps.add((loop.model.training, loop.loss.training)))
    loop.start()
    assert modes == [False] * 6
    assert in_steps == {(True, True)}


@pytest.mark.slow
def test_the_loss_is_told_of_each_epoch(make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(HingeLoss, "start_epoch", lambda self, epoch: told.append(epoch))
    make_loop(training__num_epochs=3).start()
    assert told == [0, 1, 2]
