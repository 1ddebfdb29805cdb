"""The device, and several processes that share a batch."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import numpy as np
import processes
import pytest
import sets
import tiny
import torch

import vsezoo
from vsezoo.batch import Embeddings
from vsezoo.construction import build_loss, build_model
from vsezoo.data.lookup import open_data
from vsezoo.devices import choose_device, choose_precision
from vsezoo.errors import UsageError
from vsezoo.parts import load_text_encoder, resolve_recipe
from vsezoo.training.batches import PairBatches, TokenTable
from vsezoo.training.loop import Loop
from vsezoo.training.plan import plan_recipe
from vsezoo.training.preparation import Prepared
from vsezoo.training.record import RunRecord
from vsezoo.training.runtime import Runtime
from vsezoo.training.splits import Split
from vsezoo.training.state import Progress, seed_all

BATCHES = 2
LOSSES = ("sum", "max", "order", "sigmoid", "caption", "sets", "scan", "sgr", "saf")
MICRO = {"max": 5, "sigmoid": 16, "caption": 7}
"""Losses whose two processes encode so many captions at a time, while the single one encodes the batch at once."""
PARTS: dict[str, dict[str, object]] = {
    "scan": {"image_encoder": "scan-regions", "text_encoder": "scan-gru", "similarity": "cross-attention"},
    **{
        name: {
            "image_encoder": "sgraf-regions",
            "text_encoder": "sgraf-gru",
            "similarity": name,
            **dict.fromkeys(("image_encoder.dropout", "text_encoder.dropout", "text_encoder.word_dropout"), 0.0),
        }
        for name in ("sgr", "saf")  # with batch norm over the whole batch
    },
}
"""Parts of models over sets, without what each process draws for itself."""


@pytest.mark.parametrize("name", ["nonsense", "cuda:99", "cpu:x", ""])
def test_devices_that_there_are_not(name: str) -> None:
    with pytest.raises(UsageError, match=r"the device '.*' cannot be used: ") as raised:
        choose_device(name)
    assert str(raised.value).count("\n") == 1  # the reason in one line, and the remedy


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == (
        torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"
    )


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "fp32"),
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"neon": True, "bf16": True}, "fp32"),  # of Apple, where torch has no products in it
        ({"neon": True, "bf16": True, "sve_bf16": True}, "bf16"),
        ({}, "fp32"),
    ],
)
def test_bf16_where_the_cpu_has_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    cpu = torch.device("cpu")
    assert choose_precision("bf16", cpu) == precision
    assert choose_precision("bf16", torch.device("cuda")) == "bf16"
    assert choose_precision("fp32", cpu) == "fp32"


@pytest.mark.parametrize("amx", [True, False])
def test_older_torch_knows_of_bf16_instructions(monkeypatch: pytest.MonkeyPatch, amx: bool) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert choose_precision("bf16", torch.device("cpu")) == ("bf16" if amx else "fp32")


def test_one_process_changes_nothing() -> None:
    runtime, rows = Runtime("cpu"), torch.ones(2, 3)
    module = torch.nn.Linear(1, 1)
    assert runtime.is_main
    assert runtime.gather(rows) is rows
    assert runtime.distribute(module) is module
    assert (runtime.any(True), runtime.any(False)) == (True, False)


def take_steps(data: Path, output: Path, kind: str) -> list[dict[str, torch.Tensor]]:
    """Take steps on one shared order of batches; return each loss and the gradients before clipping."""
    settings = tiny.SETTINGS | {"loss.max_violation": kind != "sum", "training.grad_clip": 0.0}
    if "RANK" in os.environ:
        settings["training.micro_batch"] = MICRO.get(kind, 0)
    if kind == "sigmoid":
        settings = {name: value for name, value in settings.items() if not name.startswith("loss.")}
        settings = {"loss": "sigmoid", **settings}
    if kind == "order":
        settings |= {"similarity": "order", "image_encoder.use_abs": True, "text_encoder.use_abs": True}
    if kind == "caption":  # its head is no part of the model whose gradients torch averages
        head = {"loss.hidden_size": 6, "loss.word_dim": 4, "loss.dropout": 0.0, "loss.mask_same_image": True}
        settings |= {"image_encoder": "regions", "loss": "caption", **head}
    if kind == "sets":  # whose longest captions are not of one length in both processes
        sets.register_sets()
        del settings["loss.mask_same_image"]
        settings |= {"image_encoder": "regions", "similarity": "best-regions", "text_encoder.bidirectional": True}
        settings = {"loss": "draws-together", **settings}
    if kind in PARTS:
        settings = {**PARTS[kind], **settings, "text_encoder.bidirectional": True}
    of_regions = kind in ("caption", "sets", *PARTS)
    if of_regions:
        data = data.with_name("regions")
    train = open_data(str(data), "train", ("regions",) if of_regions else ("vector",))
    recipe = resolve_recipe(plan_recipe("vsepp", str(data), settings), train)
    tokenizer = load_text_encoder(recipe).make_tokenizer(recipe.text_encoder.options)
    tokenizer.fit(tokenizer.split(train.captions))
    seed_all(0)
    split = Split(train, TokenTable(tokenizer.encode(train.captions)))
    runtime = Runtime("cpu")
    model, loss = build_model(recipe, tokenizer), build_loss(recipe, tokenizer)
    loop = Loop(Prepared(model, loss, split, split, RunRecord(recipe)), runtime, output, Progress(), None)
    order = loop.order(0)[:BATCHES]
    taken = []
    for batch in PairBatches(train, split.tokens, model.image_encoder.transform(training=True), order).load(0):
        result, norm, _ = loop.step(batch)
        gradients = {name: parameter.grad.clone() for name, parameter in loop.parameters.items()}
        taken.append({"loss": result.total.detach(), "norm": norm.detach(), **gradients})
    return taken


def take_part(data: Path, output: Path, rank: int, port: int) -> None:
    """Be one of two processes, as torch's launcher starts them."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    runtime = Runtime("cpu")
    gathered = runtime.gather_output(make_sets(rank), sets=True)
    torch.save([gathered.embeddings, gathered.items, gathered.lengths], output / f"gathered-{rank}.pt")
    for kind in LOSSES:
        torch.save(take_steps(data, output, kind), output / f"{kind}-{rank}.pt")
    runtime.close()


def make_sets(rank: int) -> Embeddings:
    """Return two sets of two items, or two of three, whose sizes are not told."""
    return Embeddings(torch.full((2, 4), float(rank)), torch.full((2, 2 + rank, 4), 1.0 + rank))


@pytest.mark.process
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    """Every caption meets the negatives of the whole batch: the same loss, the same gradients."""
    torch.set_num_threads(1)
    data = tiny.write_data(tmp_path / "data")
    regions = tiny.write_data(tmp_path / "regions")
    for file in regions.glob("*_ims.npy"):
        np.save(file, np.load(file).reshape(-1, 3, tiny.WIDTH // 3))
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    pair = [processes.start(take_part, data, tmp_path, rank, port) for rank in range(2)]
    assert [processes.finish(process) for process in pair] == [0, 0]
    joined = Embeddings.cat([make_sets(0), make_sets(1)])
    for rank in range(2):
        gathered = torch.load(tmp_path / f"gathered-{rank}.pt")
        for found, expected in zip(
            gathered, (joined.embeddings, joined.items, torch.tensor([2, 2, 3, 3])), strict=True
        ):
            assert torch.equal(found, expected)
    for kind in LOSSES:
        whole = take_steps(data, tmp_path, kind)
        assert len(whole) == BATCHES
        for rank in range(2):
            shared = torch.load(tmp_path / f"{kind}-{rank}.pt")
            for step, (expected, found) in enumerate(zip(whole, shared, strict=True)):
                assert expected["loss"] > 1
                # Adam makes steps of one size of the least gradients, so that the last bits grow from step to step.
                tolerance = 1e-6 if step == 0 else 1e-3 if kind in PARTS else 1e-4
                for name, tensor in expected.items():
                    difference = (found[name] - tensor).abs().max()
                    assert difference <= tolerance * max(1, tensor.abs().max()), (kind, step, name)


def launch(command: list[str]) -> None:
    """Be `torchrun`, which forks the two processes: they need not import torch again."""
    from torch.distributed import run  # sets up the logging of torch's launcher

    options = ["--standalone", "--nproc-per-node", "2", "--start-method", "fork", "--run-path"]
    run.main([*options, str(Path(vsezoo.__file__).with_name("__main__.py")), *command])


@pytest.mark.process
def test_training_under_torchs_launcher(tmp_path: Path) -> None:
    """Ends like any other: one report, no warnings of torch, a checkpoint that evaluates."""
    data = tiny.write_data(tmp_path / "data")
    command = ["train", "vsepp", "--data", str(data), "--output", "run", "--device", "cpu", "--json"]
    done = processes.run(tmp_path, launch, [*command, *tiny.make_flags()])
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["captions"] == 100  # one report, not two
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [
        "Training vsepp",
        "epoch 1/2, step 10",
        "epoch 2/2, step 20",
        "Checkpoint",
    ]
    evaluated = vsezoo.evaluate(tmp_path / "run", str(data))
    assert evaluated.metrics.to_json()["rsum"] == json.loads(done.stdout)["rsum"]
    alone = vsezoo.train("vsepp", str(data), output=tmp_path / "alone", settings=tiny.SETTINGS, device="cpu")
    assert alone.evaluation.metrics.rsum == pytest.approx(evaluated.metrics.rsum, abs=30)
