"""A few steps of training, in one process and in two that share the batch."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.multiprocessing import get_all_start_methods
from torch.multiprocessing.spawn import start_processes

from vsezoo import registry
from vsezoo.construction import build_loss, build_model
from vsezoo.inputs import PairDataset
from vsezoo.parts import load_text_encoder, resolve_recipe
from vsezoo.recipe import Recipe
from vsezoo.registry.entry import SESSION
from vsezoo.testing.samples import FirstPairs
from vsezoo.training.batches import PairBatches, TokenTable
from vsezoo.training.loop import Loop
from vsezoo.training.preparation import Prepared
from vsezoo.training.record import RunRecord
from vsezoo.training.runtime import Runtime
from vsezoo.training.sampling import share_batches
from vsezoo.training.splits import Split
from vsezoo.training.state import Progress, seed_all

PROCESSES = 2


def prepare_loop(recipe: Recipe, data: PairDataset, images: int) -> Loop:
    """Return the training loop of a recipe on the first images of a split, each with one caption; all in float32.

    Pretrained weights are not loaded, and what frozen parts give is computed in each step.
    """
    recipe = resolve_recipe(recipe.replace({"training.cache_frozen": False}), data)
    seed_all(recipe.training.seed)
    tokenizer = load_text_encoder(recipe).make_tokenizer(recipe.text_encoder.options)
    tokenizer.fit(tokenizer.split(data.captions))
    pairs = FirstPairs(data, images)
    split = Split(pairs, TokenTable(tokenizer.encode(pairs.captions)))
    model, loss = build_model(recipe, tokenizer), build_loss(recipe, tokenizer)
    model.image_encoder.fit(data)
    prepared = Prepared(model, loss, split, split, RunRecord(recipe))
    loop = Loop(prepared, Runtime("cpu"), Path(), Progress(), None)
    for group in loop.optimizer.param_groups:
        group["lr"] = recipe.training.learning_rate * group["scale"]
    return loop


def take_steps(loop: Loop, steps: int) -> list[dict[str, Tensor]]:
    """Take steps on one batch; return the loss of each, and the gradients as the optimiser receives them."""
    split, runtime = loop.train, loop.runtime
    order = share_batches([np.arange(len(split.tokens))], runtime.rank, runtime.world_size)
    transform = loop.model.image_encoder.transform(training=False)
    (batch,) = PairBatches(split.data, split.tokens, transform, order).load(workers=0)
    taken = []
    for _ in range(steps):
        output, _, _ = loop.step(batch)
        loop.progress.step += 1
        gradients = {name: value.grad.clone() for name, value in loop.parameters.items() if value.grad is not None}
        taken.append({"loss": output.total.detach(), **gradients})
    return taken


def share_steps(recipe: Recipe, data: PairDataset, images: int, steps: int) -> list[list[dict[str, Tensor]]]:
    """Take the steps in processes that share the batch; return the result of `take_steps` of each process."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    entries = [entry for kind in registry.KINDS for entry in registry.list_entries(kind)]
    session = [(entry.kind, entry.name, entry.load()) for entry in entries if entry.distribution == SESSION]
    with tempfile.TemporaryDirectory() as folder:
        arguments = (port, folder, session, recipe.to_json(), data, images, steps)
        # A fork server imports torch once; without one, each process does.
        method = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
        start_processes(_take_part, arguments, PROCESSES, start_method=method)  # type: ignore[no-untyped-call]
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]


def _take_part(
    rank: int,
    port: int,
    folder: str,
    session: Sequence[tuple[str, str, Any]],
    recipe: dict[str, Any],
    data: PairDataset,
    images: int,
    steps: int,
) -> None:
    """Run one of the processes; torch's launcher calls this."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(PROCESSES)}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    for kind, name, thing in session:
        registry.register(kind, name, replace=True)(thing)
    loop = prepare_loop(Recipe.from_json(recipe), data, images)
    loop.model.eval()
    loop.loss.eval()
    torch.save(take_steps(loop, steps), Path(folder) / f"{rank}.pt")
    loop.runtime.close()
