"""Training settings: how a model is trained, and the values that each setting accepts."""

from __future__ import annotations

from dataclasses import KW_ONLY, InitVar, dataclass
from typing import Annotated

from vsezoo.recipe.options import AtLeast, Below, OneOf
from vsezoo.recipe.part import TRAINING_PARTS, Part
from vsezoo.recipe.signatures import read_options

ADAM, STEP = Part("adam"), Part("step", {"every": 15, "factor": 0.1})


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained. The defaults are those of VSE++ (Faghri et al. 2018).

    Attributes:
        learning_rate: initial learning rate, before the schedule.
        num_epochs: epochs in total.
        batch_size: captions in a batch, over all processes.
        micro_batch: captions that the encoders of a process get at a time, for batches larger than its memory; 0: the
            whole batch. The gradient is that of the whole batch.
        cache_frozen: compute what frozen parts of the encoders give once for each image and caption, and train on that.
            Pictures are prepared as for evaluation.
        grad_clip: largest global L2 norm of the gradient, 0: no limit.
        val_step: steps between two validations within an epoch, 0: none.
        val_epoch: validate after each epoch; after the last one in any case.
        criterion: criterion for the best checkpoint, on the dev split.
        select_mid_epoch: let a validation within an epoch give the best checkpoint (VSRN).
        precision: precision of the encoders; bf16: autocast, with parameters kept in float32.
        cuda_graphs: on one GPU, record the steps of models whose parts allow it and replay them: equal results, sooner.
        seed: seed of weights, data order and augmentation.
        weight_decay: weight of Σ θ², which is added to the loss before the gradient is clipped (Kiros' decay_c).
        decay_biases: include the biases in weight_decay.
        clip_per_tensor: apply grad_clip to the gradient of each parameter separately (order-embeddings).
        batches: how batches are made of captions; lengths: of one length each; images: one random caption of each
            image.
        last_batch: whether an epoch keeps its last batch; drop: it is skipped, full or not (order-embeddings); full: it
            is skipped unless it is full (VSE∞).
        average: decay of an exponential moving average of the weights, which is validated and kept instead of those of
            one step; 0: off. About the last 1 / (1 - average) steps count.
        max_words: longest caption in words to train on, 0: no limit (Kiros' maxlen_w).
        patience: stop after this many consecutive validations without a better score, 0: never (linxd5).
        ramp_epoch: epoch, counted from 0, during which the weight of the loss rises from 0 to 1, as in VSE∞ and PCME++
            when training of the backbone starts; -1: none.
        log_step: steps between two log records of the loss.
        optimizer: the registered optimiser and its options.
        schedule: the registered schedule of the learning rate and its options.

    Args:
        lr_update: option `every` of the schedule `step`, as API version 1 has it.
        lr_decay: its option `factor`, likewise. Both are arguments only: their values are stored in `schedule`.

    Raises:
        RecipeError: for an invalid value of a setting.
    """

    learning_rate: Annotated[float, AtLeast(0)] = 2e-4  # 0: nothing is learned, to see what the rest costs
    _: KW_ONLY
    num_epochs: Annotated[int, AtLeast(1)] = 30
    batch_size: Annotated[int, AtLeast(1)] = 128
    micro_batch: Annotated[int, AtLeast(0)] = 0
    cache_frozen: bool = False
    grad_clip: Annotated[float, AtLeast(0)] = 2.0
    val_step: Annotated[int, AtLeast(0)] = 500
    val_epoch: bool = True
    criterion: str = "rsum"
    select_mid_epoch: bool = False
    precision: Annotated[str, OneOf("fp32", "bf16")] = "fp32"
    cuda_graphs: bool = True
    seed: Annotated[int, AtLeast(0), Below(2**64)] = 0
    weight_decay: Annotated[float, AtLeast(0)] = 0.0
    decay_biases: bool = True
    clip_per_tensor: bool = False
    batches: Annotated[str, OneOf("captions", "lengths", "images")] = "captions"
    last_batch: Annotated[str, OneOf("keep", "drop", "full")] = "keep"
    average: Annotated[float, AtLeast(0), Below(1)] = 0.0
    max_words: Annotated[int, AtLeast(0)] = 0
    patience: Annotated[int, AtLeast(0)] = 0
    ramp_epoch: Annotated[int, AtLeast(-1)] = -1
    log_step: Annotated[int, AtLeast(1)] = 10
    optimizer: Part = ADAM
    schedule: Part = STEP
    lr_update: InitVar[int | None] = None
    lr_decay: InitVar[float | None] = None

    def __post_init__(self, lr_update: int | None, lr_decay: float | None) -> None:
        for name, option in TRAINING_OPTIONS.items():
            value = getattr(self, name)
            if value is not option.default:
                object.__setattr__(self, name, option.convert(value, f"training.{name}"))
        if isinstance(self.optimizer, str):  # as API version 1 has it
            object.__setattr__(self, "optimizer", Part(self.optimizer))
        given = {name: value for name, value in (("every", lr_update), ("factor", lr_decay)) if value is not None}
        if given:
            schedule = Part(self.schedule.name, {**self.schedule.options, **given})
            object.__setattr__(self, "schedule", schedule)


TRAINING_OPTIONS = read_options(TrainingSettings, given=(*TRAINING_PARTS, "lr_update", "lr_decay"))
"""Default and accepted values of each training setting."""
TRAINING_FIELDS = tuple(TRAINING_OPTIONS)
"""The training settings that are single values."""
CHOICES = {name: option.choices for name, option in TRAINING_OPTIONS.items() if option.choices}
"""The accepted words of fields of `TrainingSettings`."""

Training = TrainingSettings
"""The name used by plugins of API version 1."""
