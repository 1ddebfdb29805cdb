"""The exact state of a training: everything that decides what comes next, as tensors and JSON.

A run that is killed at any moment and resumed ends with the same bits as one that was not (on one kind of CPU or
GPU, with the same number of threads): parameters, the optimiser's moments, the random generators, the position in the
epoch and the best score are stored; the order of the data is a function of seed and epoch.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from vsezoo.errors import CheckpointError
from vsezoo.model import JointEmbedding
from vsezoo.pretrained.left_out import LeftOut
from vsezoo.storage.checkpoint_layout import read_json, write_json
from vsezoo.storage.folders import digest_files, find_folder, replace_folder, verify_files
from vsezoo.storage.tensors import list_tensors
from vsezoo.training.record import RunRecord

LAST = "last"
"""The folder of a run that holds its state."""
TENSORS, STATE = "state.safetensors", "state.json"
STATE_VERSION = 1
STORED = {"without_improvement": "without_gain"}
"""What `state.json` calls fields of the progress, since its first version."""
ANEW = "Train anew with another --output."


@dataclass
class Progress:
    """Progress of a training run."""

    epoch: int = 0  # epochs done
    batch: int = 0  # batches of the present epoch done
    step: int = 0  # optimiser steps done
    best_score: float | None = None
    best_epoch: int = 0  # counted from 1; 0: none yet
    best_step: int = 0
    without_improvement: int = 0  # validations in a row that gave no better checkpoint
    records_on_plateau: int = 0  # records in a row whose loss was that of equal embeddings
    complete: bool = False  # the final evaluation is done too

    def to_json(self) -> dict[str, Any]:
        """Return the values as `state.json` has them."""
        return {STORED.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Progress:
        """Return the progress that `to_json` gave.

        Raises:
            TypeError: for other names than these.
        """
        names = {stored: name for name, stored in STORED.items()}
        return cls(**{names.get(key, key): item for key, item in value.items()})


@dataclass(frozen=True)
class State:
    """What `read_state` gives: the progress, the tensors, and what the run was started with."""

    progress: Progress
    tensors: Mapping[str, Tensor]
    python_random: Any
    run: RunRecord
    told: Mapping[str, Any]  # what `JointEmbedding.describe_encoders` told


def save_state(
    output: Path,
    progress: Progress,
    modules: Mapping[str, torch.nn.Module],
    optimizer: torch.optim.Optimizer,
    run: RunRecord,
) -> None:
    """Write the state of a run, whole or not at all.

    Args:
        output: the run's folder.
        progress: of the run.
        modules: what is trained, by name.
        optimizer: what trains it.
        run: what the run was started with.

    Raises:
        StorageError: when a file cannot be written; the state saved before is then still there.
    """
    told = _describe(modules)
    tensors = collect_tensors(modules, optimizer, told["left_out"])
    with replace_folder(output / LAST) as temporary:
        save_file({**tensors, **_random_tensors()}, temporary / TENSORS)
        state = {
            "state_version": STATE_VERSION,
            "place": progress.to_json(),
            "python_random": random.getstate(),
            "run": run.to_json(),
            **told,
            "files": digest_files(temporary),
        }
        write_json(temporary / STATE, state)


def has_state(output: Path) -> bool:
    """Tell whether a run has left a state here."""
    return (find_folder(output / LAST) / STATE).is_file()


def read_step(output: Path) -> int | None:
    """Return how many steps the run had done when its state was saved; None without a state."""
    return read_json(find_folder(output / LAST) / STATE)["place"]["step"] if has_state(output) else None


def read_state(output: Path) -> State:
    """Read the state of a run.

    Raises:
        CheckpointError: for a state that is damaged or of another version.
    """
    folder = find_folder(output / LAST)
    value = read_json(folder / STATE)
    if value.get("state_version") != STATE_VERSION:
        raise CheckpointError(
            f"has the state version {value.get('state_version')}; this vsezoo resumes from {STATE_VERSION}.",
            file=folder / STATE,
            remedy=f"Resume with the vsezoo that wrote it. {ANEW}",
        )
    try:
        verify_files(folder, {TENSORS: value["files"][TENSORS]})
        told = {"encoders": value.get("encoders", {}), "left_out": value.get("left_out", [])}
        LeftOut.from_json(told["left_out"])
        tensors = load_file(folder / TENSORS)
        progress, run = Progress.from_json(value["place"]), RunRecord.from_json(value["run"])
        return State(progress, tensors, value["python_random"], run, told)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"is damaged: {error}.", file=folder / STATE, remedy=ANEW) from error


def collect_tensors(
    modules: Mapping[str, torch.nn.Module], optimizer: torch.optim.Optimizer, left_out: Any = ()
) -> dict[str, Tensor]:
    """Return the tensors of modules and of an optimiser under names of their own.

    Args:
        modules: by name.
        optimizer: of their parameters.
        left_out: the encoders of a model without whose external weights the tensors are.
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
    """Put back what `save_state` took, and the random generators; weights that it left out are read again.

    Raises:
        CheckpointError: for tensors that are not those of these modules, or weights that are not to be had.
    """
    slots: dict[int, dict[str, Tensor]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, tensor in state.tensors.items():
        if name.startswith("optimizer."):
            _, index, slot = name.split(".", 2)
            slots.setdefault(int(index), {})[slot] = _lay_out(tensor, parameters, int(index))
    left_out = state.told["left_out"]
    for module in modules.values():
        if isinstance(module, JointEmbedding):
            module.restore_external(left_out, state.told["encoders"])  # which may load more than what is missing
    try:
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
        for prefix, module in modules.items():
            start, external = f"{prefix}.", _list_external(module, left_out)
            held = {n.removeprefix(start): t for n, t in state.tensors.items() if n.startswith(start)}
            kept = {n: t for n, t in module.state_dict().items() if external and n.startswith(external)}
            module.load_state_dict(kept | held)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"the state is that of another model: {reason}", remedy=ANEW) from error
    _restore_random(state)


def _lay_out(tensor: Tensor, parameters: Sequence[Tensor], index: int) -> Tensor:
    """Return a moment laid out in memory as its parameter is: the fused optimisers take them for equal."""
    if index < len(parameters) and tensor.shape == parameters[index].shape:
        return torch.empty_like(parameters[index], dtype=tensor.dtype, device=tensor.device).copy_(tensor)
    return tensor


def _describe(modules: Mapping[str, torch.nn.Module]) -> dict[str, Any]:
    told: dict[str, Any] = {"encoders": {}, "left_out": []}
    for module in modules.values():
        if isinstance(module, JointEmbedding):
            told = module.describe_encoders()
    return told


def _list_external(module: torch.nn.Module, left_out: Any) -> tuple[str, ...]:
    return module.list_external(left_out) if isinstance(module, JointEmbedding) else ()


def seed_all(seed: int) -> None:
    """Seed every generator that a part may draw from."""
    torch.manual_seed(seed)
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
