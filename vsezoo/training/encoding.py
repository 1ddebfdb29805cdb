"""The encoders in a training step: the whole batch at once, or a few pairs at a time with cached gradients.

Losses compare every image with every caption of the batch, so their embeddings are needed together, but not the
encoders' intermediate results, which take most of the memory. Gradient caching (Gao et al. 2021, arXiv 2101.06983)
first encodes the batch in micro-batches without keeping those, computes the loss and its gradient with respect to the
embeddings, and then encodes each micro-batch again, with the same random numbers, to pass that gradient on.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vsezoo.batch import Embeddings
from vsezoo.errors import RecipeError
from vsezoo.interfaces import Batch, RegionSets, Tokens
from vsezoo.model import JointEmbedding
from vsezoo.registry.owners import guard
from vsezoo.training.runtime import Runtime

Outputs = tuple[Tensor | Embeddings, Tensor | Embeddings]
MICRO_BATCH = "training.micro_batch"


class Encoding(ABC):
    """How the encoders of a model get the batches of a run.

    Args:
        model: the model.
        runtime: precision and processes.
    """

    def __init__(self, model: JointEmbedding, runtime: Runtime) -> None:
        self.model, self.runtime = model, runtime

    def start_epoch(self) -> None:
        """Called when the model is in training mode at the start of an epoch. By default, nothing."""

    @abstractmethod
    def encode(self, batch: Batch) -> Outputs:
        """Return the outputs of the encoders for the pairs of this process, images first."""

    def finish(self) -> None:
        """Called after `backward` of the loss: make the gradients complete. By default, they are."""


class WholeBatch(Encoding):
    """Encodes the batch at once. Gradients are averaged over processes during `backward`."""

    def __init__(self, model: JointEmbedding, runtime: Runtime) -> None:
        super().__init__(model, runtime)
        self._module, self._learning = runtime.distribute(model), self._list_learning()

    def start_epoch(self) -> None:
        """Prepare the averaging for the parameters that are trained from now on."""
        learning = self._list_learning()
        if learning != self._learning:
            self._module, self._learning = self.runtime.distribute(self.model), learning

    def encode(self, batch: Batch) -> Outputs:
        """Return the outputs of the encoders for the pairs of this process, images first."""
        with guard(*self.model.parts.values()), self.runtime.autocast():
            outputs: Outputs = self._module(batch.images, batch.tokens)
        return outputs

    def _list_learning(self) -> list[str]:
        return [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]


class MicroBatches(Encoding):
    """Encodes a few pairs at a time; `finish` encodes them again. An encoder without trained parameters runs once.

    Args:
        model: the model.
        runtime: precision and processes.
        size: pairs that are encoded at a time.
    """

    def __init__(self, model: JointEmbedding, runtime: Runtime, size: int) -> None:
        super().__init__(model, runtime)
        self.size = size
        self._pieces: list[_Piece] = []
        runtime.share_parameters(model)

    def start_epoch(self) -> None:
        """Refuse an encoder whose output for a pair depends on the other pairs of its batch.

        Raises:
            RecipeError: for batch normalisation in training mode.
        """
        for name, encoder in self.model.encoders.items():
            for path, module in encoder.named_modules():
                if isinstance(module, _BatchNorm) and module.training:
                    raise RecipeError(
                        f"{MICRO_BATCH} is {self.size}, but the {self.model.describe(name)} has batch normalisation in "
                        f"training mode ({path}): its output for a pair depends on all pairs that are encoded with it.",
                        remedy=f"Train with whole batches: --set {MICRO_BATCH}=0; or with batch normalisation fixed, "
                        "such as image_encoder.cnn_mode=frozen of a backbone.",
                    )

    def encode(self, batch: Batch) -> Outputs:
        """Return the outputs of the encoders for the pairs of this process, images first."""
        self.model.require_uncertainty()
        self._pieces = []
        sides = [
            self._encode_side("image_encoder", [batch.images[part] for part in self._cut(batch)]),
            self._encode_side("text_encoder", [_trim(batch.tokens, part) for part in self._cut(batch)]),
        ]
        images, texts = sides
        self.model.require_one_width(images, texts)
        return images, texts

    def finish(self) -> None:
        """Pass the gradients of the outputs on to the parameters, and average them over the processes."""
        with _keep_random_state():
            while self._pieces:
                self._pieces.pop(0).propagate(self.runtime)
        self.runtime.average_gradients(self.model)

    def _cut(self, batch: Batch) -> list[slice]:
        return [slice(start, start + self.size) for start in range(0, len(batch.image_index), self.size)]

    def _encode_side(self, name: str, inputs: Sequence[Tensor | RegionSets | Tokens]) -> Embeddings:
        encoder = self.model.encoders[name]
        learns = any(parameter.requires_grad for parameter in encoder.parameters())
        outputs = []
        for given in inputs:
            state = _RandomState.read()
            with torch.no_grad(), self.runtime.autocast():
                output = Embeddings.of(encoder(given))
            if learns:  # leaves, which collect the gradient
                output = output.map(lambda tensor: tensor.detach().requires_grad_(tensor.is_floating_point()))
                self._pieces.append(_Piece(encoder, given, output, state))
            outputs.append(output)
        return Embeddings.cat(outputs)


@dataclass(frozen=True)
class _Piece:
    """A micro-batch of one side, and its output, whose gradient `backward` of the loss fills in."""

    encoder: nn.Module
    inputs: Tensor | RegionSets | Tokens
    output: Embeddings
    state: _RandomState

    def propagate(self, runtime: Runtime) -> None:
        """Encode again, now with a graph, and pass the gradient on."""
        self.state.restore()
        with runtime.autocast():
            again = Embeddings.of(self.encoder(self.inputs))
        pairs = [
            (made, leaf.grad)
            for made, leaf in zip(_list_tensors(again), _list_tensors(self.output), strict=True)
            if leaf.grad is not None and made.requires_grad
        ]
        if pairs:
            torch.autograd.backward([made for made, _ in pairs], [gradient for _, gradient in pairs])


@dataclass(frozen=True)
class _RandomState:
    """The states of all generators that an encoder may use."""

    python: Any
    numpy: Any
    torch: Tensor
    cuda: Tensor | None

    @classmethod
    def read(cls) -> _RandomState:
        """Return the present states."""
        cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
        return cls(random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda)

    def restore(self) -> None:
        """Set the generators to these states."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.set_rng_state(self.torch)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda)


@contextmanager
def _keep_random_state() -> Iterator[None]:
    """Leave the generators as they were: what is repeated draws no new numbers."""
    state = _RandomState.read()
    yield
    state.restore()


def _trim(tokens: Tokens, part: slice) -> Tokens:
    """Return some captions, padded to the longest of them."""
    lengths = tokens.lengths[part]
    return replace(tokens, ids=tokens.ids[part, : int(lengths.max())], lengths=lengths)


def _list_tensors(side: Embeddings) -> list[Tensor]:
    return [side.embeddings, *([] if side.items is None else [side.items]), *side.extras.values()]
