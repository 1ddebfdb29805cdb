"""A training step up to the optimiser's: encoders, similarity, loss, gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from vsezoo.interfaces import Batch, Loss, LossOutput
from vsezoo.losses.sides import wants_sets
from vsezoo.model import JointEmbedding
from vsezoo.recipe import TrainingSettings
from vsezoo.training.encoding import Encoding, MicroBatches, WholeBatch
from vsezoo.training.optimizer_step import prepare_gradients
from vsezoo.training.runtime import Runtime
from vsezoo.training.step_checks import check_results, compute_loss


@dataclass(frozen=True)
class StepResult:
    """What a step computed, on the device.

    Attributes:
        batch: the pairs of all processes.
        scores: `(B, B)`.
        sides: what the loss got of images and texts.
        output: the loss.
        norm: the L2 norm of all gradients before clipping.
    """

    batch: Batch
    scores: Tensor
    sides: tuple[Any, Any]
    output: LossOutput
    norm: Tensor


class Step:
    """Computes the gradients of a batch.

    Args:
        model: the model, for whose encoders it decides whether they keep their sets.
        loss: the loss.
        encoded: the model whose encoders run: that one, or one of what its frozen parts gave.
        runtime: device, precision and processes.
        parameters: the trained parameters by name.
    """

    def __init__(
        self,
        model: JointEmbedding,
        loss: Loss,
        encoded: JointEmbedding,
        runtime: Runtime,
        parameters: Mapping[str, nn.Parameter],
    ) -> None:
        self.model, self.loss, self.runtime, self.parameters = model, loss, runtime, parameters
        self.settings: TrainingSettings = model.recipe.training
        self._sets = tuple(model.compares_sets or wanted for wanted in wants_sets(loss))
        for one in (model, encoded):
            one.keep_items(images=self._sets[0], texts=self._sets[1])
        size = self.settings.micro_batch
        self.encoding: Encoding = MicroBatches(encoded, runtime, size) if size else WholeBatch(encoded, runtime)

    def compute(self, batch: Batch, weight: float, *, first: bool = False) -> StepResult:
        """Return the result for a batch on the device; the parameters have its gradients in addition to their own.

        Args:
            batch: the pairs of this process.
            weight: factor of the loss.
            first: also look at figures, see `check_results`.
        """
        outputs = self.encoding.encode(batch)
        batch = self.runtime.gather_pairs(batch)
        # Similarity and loss are computed in float32: differences of cosines are small.
        images, texts = map(self.runtime.gather_output, outputs, self._sets)
        for side, embedded, sets in zip(self.model.encoders, (images, texts), self._sets, strict=True):
            if sets and embedded.items is None:  # the encoder does not declare its output, or wrongly
                self.model.refuse_vectors(side, f"The loss {self.model.recipe.loss.name!r} or the similarity")
        scores, sides, output = compute_loss(self.model, self.loss, images, texts, batch)
        check_results(self.model, self.loss, images, texts, scores, output, first=first)
        (output.total * weight).backward()  # type: ignore[no-untyped-call]
        self.encoding.finish()
        self.runtime.average_gradients(self.loss)
        return StepResult(batch, scores, sides, output, prepare_gradients(self.settings, self.parameters))
