"""The exact state of a run: everything that determines its continuation, as tensors and JSON.

A run that is killed at any moment and resumed ends with the same bits as an uninterrupted one (on one kind of CPU or
GPU, with the same number of threads): parameters, optimiser state, random generators, the position in the epoch and the
best score are stored; the order of the data is a function of seed and epoch.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsezoo.errors import CheckpointError, RecipeError
from vsezoo.model import JointEmbedding
from vsezoo.pretrained.left_out import LeftOut
from vsezoo.storage.atomic_folder import find_folder, replace_folder
from vsezoo.storage.checkpoint_layout import write_json
from vsezoo.storage.digests import digest_files, require_digest
from vsezoo.storage.json_file import seal
from vsezoo.storage.plain_file import explain_unread, map_content, open_plain
from vsezoo.storage.tensor_file import TensorFile
from vsezoo.storage.tensors import list_tensors, write_tensors
from vsezoo.training.layout import LAST as LAST
from vsezoo.training.layout import STATE as STATE
from vsezoo.training.record import RunRecord
from vsezoo.training.state_file import START_AGAIN, STATE_VERSION, TENSORS, TWISTER_WORDS, read_state_file
from vsezoo.training.state_file import has_state as has_state
from vsezoo.training.state_file import read_step as read_step

STORED = {"without_improvement": "without_gain"}
"""Names of progress fields in `state.json`, unchanged since its first version."""
RANDOM = {
    "random.torch": (torch.uint8, tuple(torch.get_rng_state().shape)),
    "random.numpy.keys": (torch.int64, (TWISTER_WORDS,)),
    "random.numpy.rest": (torch.float64, (3,)),
}
"""Types and shapes of the states of random generators."""


@dataclass
class Progress:
    """Progress of a training run."""

    epoch: int = 0  # epochs done
    batch: int = 0  # batches of the current epoch done
    step: int = 0  # optimiser steps done
    best_score: float | None = None
    best_epoch: int = 0  # counted from 1; 0: none yet
    best_step: int = 0
    without_improvement: int = 0  # consecutive validations without a better checkpoint
    records_on_plateau: int = 0  # consecutive records with the loss of equal embeddings
    complete: bool = False  # including the final evaluation

    def to_json(self) -> dict[str, Any]:
        """Return the values for `state.json`."""
        return {STORED.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Progress:
        """Return the progress from `to_json`.

        Raises:
            TypeError: for unknown names.
        """
        names = {stored: name for name, stored in STORED.items()}
        return cls(**{names.get(key, key): item for key, item in value.items()})


@dataclass(frozen=True)
class State:
    """The result of `read_state`: progress, tensors, and how the run was started."""

    progress: Progress
    tensors: Mapping[str, Tensor]
    python_random: Any
    run: RunRecord
    described: Mapping[str, Any]  # output of `JointEmbedding.describe_encoders`


def save_state(
    output: Path,
    progress: Progress,
    modules: Mapping[str, torch.nn.Module],
    optimizer: torch.optim.Optimizer,
    run: RunRecord,
) -> None:
    """Write the state of a run atomically.

    Args:
        output: folder of the run.
        progress: progress of the run.
        modules: trained modules by name.
        optimizer: optimiser of the modules.
        run: record of how the run was started.

    Raises:
        StorageError: when a file cannot be written; the state saved before is then unchanged.
    """
    described = _describe(modules)
    tensors = collect_tensors(modules, optimizer, described["left_out"])
    with replace_folder(output / LAST) as temporary:
        write_tensors({**tensors, **_random_tensors()}, temporary / TENSORS)
        state = {
            "state_version": STATE_VERSION,
            "place": progress.to_json(),
            "python_random": random.getstate(),
            "run": run.to_json(),
            **described,
            "files": digest_files(temporary),
        }
        write_json(temporary / STATE, seal(state))


def read_state(output: Path) -> State:
    """Read the state of a run.

    Raises:
        CheckpointError: for a state that is damaged or has another version.
    """
    folder = find_folder(output / LAST)
    value = read_state_file(folder / STATE)
    try:
        described = {"encoders": value.get("encoders", {}), "left_out": value.get("left_out", [])}
        LeftOut.from_json(described["left_out"])
        progress, run = Progress.from_json(value["place"]), RunRecord.from_json(value["run"])
    except (KeyError, TypeError, ValueError, RecipeError) as error:
        raise CheckpointError(f"is damaged: {error}.", file=folder / STATE, remedy=START_AGAIN) from error
    tensors = _read_tensors(folder / TENSORS, value["files"][TENSORS])
    return State(progress, tensors, value["python_random"], run, described)


def _read_tensors(file: Path, expected: Mapping[str, Any]) -> TensorFile:
    """Return the tensors of a state from the bytes that were hashed; those of generators have the right form."""
    with explain_unread(file, CheckpointError), open_plain(file) as stream:
        content = map_content(stream)
    require_digest(content, expected, file, START_AGAIN)
    tensors = TensorFile(content, file, START_AGAIN)
    for name, (dtype, shape) in RANDOM.items():
        if name not in tensors or (tensors[name].dtype, tuple(tensors[name].shape)) != (dtype, shape):
            raise CheckpointError(f"has no valid tensor {name}.", file=file, remedy=START_AGAIN)
    return tensors


def collect_tensors(
    modules: Mapping[str, torch.nn.Module], optimizer: torch.optim.Optimizer, left_out: Any = ()
) -> dict[str, Tensor]:
    """Return the tensors of modules and of an optimiser under unique names.

    Args:
        modules: modules by name.
        optimizer: optimiser of their parameters.
        left_out: encoders of a model whose external weights are not included.
    """
    tensors = {
        f"{prefix}.{name}": tensor
        for prefix, module in modules.items()
        for name, tensor in list_tensors(module, _list_external(module, left_out)).items()
    }
    for index, slots in optimizer.state_dict()["state"].items():
        for name, tensor in slots.items():
            tensors[f"optimizer.{index}.{name}"] = tensor.contiguous()
    return tensors


def restore_tensors(state: State, modules: Mapping[str, torch.nn.Module], optimizer: torch.optim.Optimizer) -> None:
    """Restore the state from `save_state`, including random generators; external weights are loaded again.

    Raises:
        CheckpointError: for tensors that do not match the modules, or external weights that cannot be found.
    """
    slots: dict[int, dict[str, Tensor]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, tensor in state.tensors.items():
        if found := re.fullmatch(r"optimizer\.(\d{1,9})\.(.+)", name):
            index, slot = int(found[1]), found[2]
            slots.setdefault(index, {})[slot] = _lay_out(tensor, parameters, index)
    left_out = state.described["left_out"]
    for module in modules.values():
        if isinstance(module, JointEmbedding):
            module.restore_external(left_out, state.described["encoders"])  # may load more than the missing weights
    try:
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
        for prefix, module in modules.items():
            start, external = f"{prefix}.", _list_external(module, left_out)
            held = {n.removeprefix(start): t for n, t in state.tensors.items() if n.startswith(start)}
            kept = {n: t for n, t in module.state_dict().items() if external and n.startswith(external)}
            module.load_state_dict(kept | held)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[-1].strip()
        raise CheckpointError(f"the state belongs to another model: {reason}", remedy=START_AGAIN) from error
    _restore_random(state)


def _lay_out(tensor: Tensor, parameters: Sequence[Tensor], index: int) -> Tensor:
    """Return optimiser state in the memory layout of its parameter, as fused optimisers require."""
    if index < len(parameters) and tensor.shape == parameters[index].shape:
        return torch.empty_like(parameters[index], dtype=tensor.dtype, device=tensor.device).copy_(tensor)
    return tensor


def _describe(modules: Mapping[str, torch.nn.Module]) -> dict[str, Any]:
    described: dict[str, Any] = {"encoders": {}, "left_out": []}
    for module in modules.values():
        if isinstance(module, JointEmbedding):
            described = module.describe_encoders()
    return described


def _list_external(module: torch.nn.Module, left_out: Any) -> tuple[str, ...]:
    return module.list_external(left_out) if isinstance(module, JointEmbedding) else ()


def seed_all(seed: int) -> None:
    """Seed every generator that a part may use."""
    # Without a GPU, `torch.manual_seed` keeps a traceback for each kind of GPU at each call, which takes a millisecond.
    seed_torch = torch.manual_seed if torch.accelerator.is_available() else torch.default_generator.manual_seed
    seed_torch(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def _random_tensors() -> dict[str, Tensor]:
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    tensors = {
        "random.torch": torch.get_rng_state(),
        "random.numpy.keys": torch.from_numpy(np.asarray(keys).astype(np.int64)),
        "random.numpy.rest": torch.tensor([position, has_gauss, gauss], dtype=torch.float64),
    }
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        tensors[f"random.cuda.{index}"] = torch.cuda.get_rng_state(index)
    return tensors


def _restore_random(state: State) -> None:
    torch.set_rng_state(state.tensors["random.torch"])
    position, has_gauss, gauss = state.tensors["random.numpy.rest"].tolist()
    keys = state.tensors["random.numpy.keys"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, int(position), int(has_gauss), gauss))
    kind, numbers, gauss_next = state.python_random
    random.setstate((kind, tuple(numbers), gauss_next))
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"random.cuda.{index}" in state.tensors:
            torch.cuda.set_rng_state(state.tensors[f"random.cuda.{index}"], index)
