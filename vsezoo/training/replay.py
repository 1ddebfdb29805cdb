"""Training steps that are recorded once and replayed on a GPU: CUDA graphs.

A step of VSE++ is hundreds of small kernels, and a GPU computes them faster than Python starts them. A CUDA graph
starts all of them at once. It repeats exactly what was recorded, on the same memory: captions are padded to a multiple
of `WORDS` words, so that few shapes occur, each shape has a graph, and only parts that promise it are recorded, see
`vsezoo.interfaces.ModelPart.replayable`. What a graph would freeze, such as a loss that changes from epoch to epoch, is
compared at the start of each epoch.

A step that is not recorded computes on the same shapes and gives equal bits, so that a run may be interrupted anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.batch import Batch, Embeddings, LossOutput, Tokens
from vsezoo.errors import first_line
from vsezoo.interfaces import Loss, ModelPart
from vsezoo.model import JointEmbedding
from vsezoo.training.runtime import Runtime
from vsezoo.training.step import Step, StepResult

WORDS = 4
"""Captions are padded to a multiple of this."""


def can_replay(model: JointEmbedding, loss: Loss, runtime: Runtime) -> bool:
    """Return whether the steps of a run can be recorded: on one GPU, if the setting and all parts allow it."""
    settings = model.recipe.training
    alone = runtime.device.type == "cuda" and runtime.world_size == 1
    plain = settings.cuda_graphs and not settings.micro_batch and not settings.cache_frozen
    return alone and plain and all(map(is_replayable, (*model.parts.values(), loss)))


def is_replayable(part: ModelPart) -> bool:
    """Return whether a part is replayable. A subclass must say so again: it may have other code."""
    return "replayable" in vars(type(part)) and bool(part.replayable)


def fix_shape(batch: Batch) -> Batch:
    """Return a batch on a device whose captions have one of few lengths, all on that device; images become float32."""
    ids, device = batch.tokens.ids, batch.tokens.ids.device
    tokens = Tokens(functional.pad(ids, (0, -ids.shape[1] % WORDS)), batch.tokens.lengths.to(device, non_blocking=True))
    assert isinstance(batch.images, Tensor)
    return replace(batch, images=batch.images.float(), tokens=tokens)


@dataclass(frozen=True)
class Recording:
    """A graph, and the memory that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    result: StepResult


class ReplayedStep:
    """Computes gradients by replaying graphs, where a shape has occurred before.

    Gradients keep their memory from step to step, since graphs write to it.

    Args:
        step: computes the gradients.
        modules: the modules whose state a graph would freeze.
        warn: called with a warning, when recording failed; all further steps are computed as usual.
    """

    def __init__(self, step: Step, modules: Iterable[nn.Module], warn: Callable[[str], None]) -> None:
        self._step, self._modules, self._warn = step, list(modules), warn
        self._stream = torch.cuda.Stream(step.runtime.device)  # type: ignore[no-untyped-call]
        self._recordings: dict[Any, Recording] = {}
        self._seen: set[Any] = set()
        self._state: Any = None
        self._pool: Any = None
        self._works = True

    def start_epoch(self) -> None:
        """Forget all graphs and gradients if the state of a module has changed."""
        state = [_describe(module) for one in self._modules for module in one.modules()]
        if state != self._state:
            self._state, self._pool = state, None
            self._recordings.clear()
            self._seen.clear()
            for parameter in self._step.parameters.values():
                parameter.grad = None

    def compute(self, batch: Batch, weight: float, *, first: bool = False) -> StepResult:
        """Return the result for a batch; see `Step.compute`. The next step may overwrite it."""
        batch = fix_shape(batch)
        assert isinstance(batch.images, Tensor)
        key = weight, batch.images.shape, batch.tokens.ids.shape
        if key in self._seen and key not in self._recordings and self._works and not first:
            self._record(key, batch, weight)
        if (recording := self._recordings.get(key)) is not None:
            for target, source in zip(recording.batch.tensors, batch.tensors, strict=True):
                target.copy_(source, non_blocking=True)
            recording.graph.replay()
            return recording.result
        self._seen.add(key)
        return self._compute(batch, weight, first)

    def _compute(self, batch: Batch, weight: float, first: bool = False) -> StepResult:
        """Compute as usual, but on the stream of the recordings, to which autograd binds the gradients."""
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result = self._run(batch, weight, first)
        current.wait_stream(self._stream)
        return result

    def _run(self, batch: Batch, weight: float, first: bool = False) -> StepResult:
        given = [parameter.grad for parameter in self._step.parameters.values() if parameter.grad is not None]
        if given:
            torch._foreach_zero_(given)
        return _detach(self._step.compute(batch, weight, first=first))

    def _record(self, key: Any, batch: Batch, weight: float) -> None:
        """Record the step for batches like this one."""
        batch = _rebuild([tensor.clone() for tensor in batch.tensors])
        self._compute(batch, weight)  # torch's libraries prepare themselves for the stream
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads copy batches to the GPU meanwhile, which the default mode forbids.
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                result = self._run(batch, weight)
        except RuntimeError as error:
            self._works = False
            self._warn(
                f"The training step cannot be recorded as a CUDA graph ({first_line(error)}); it runs as usual, more "
                "slowly. --set training.cuda_graphs=false avoids the attempt."
            )
            return
        self._pool = graph.pool()
        self._recordings[key] = Recording(graph, batch, result)


def _rebuild(tensors: Sequence[Tensor]) -> Batch:
    images, ids, lengths, image_index, caption_index = tensors
    return Batch(images, Tokens(ids, lengths), image_index, caption_index)


def _detach(result: StepResult) -> StepResult:
    """Return a result without the graph of autograd, which holds memory."""
    first, second = (
        side.map(Tensor.detach) if isinstance(side, Embeddings) else side.detach() for side in result.sides
    )
    parts = {name: part.detach() for name, part in result.output.parts.items()}
    output = LossOutput(result.output.total.detach(), parts)
    return replace(result, scores=result.scores.detach(), sides=(first, second), output=output)


def _describe(module: nn.Module) -> Any:
    """Return what a graph would freeze: the plain attributes of a module, and which parameters are trained."""
    plain = {name: value for name, value in vars(module).items() if isinstance(value, bool | int | float | str | tuple)}
    return plain, [parameter.requires_grad for parameter in module.parameters(recurse=False)]
