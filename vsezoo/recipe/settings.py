"""Training settings: how a model is trained, and the values that each setting accepts."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from vsezoo.errors import RecipeError, suggest_name


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained. The defaults are those of VSE++ (Faghri et al. 2018)."""

    learning_rate: float = 2e-4
    lr_update: int = 15  # epochs between two steps of the schedule
    lr_decay: float = 0.1  # what each step multiplies the learning rate by
    num_epochs: int = 30
    batch_size: int = 128  # captions in a batch, over all processes
    grad_clip: float = 2.0  # largest global L2 norm of the gradient; 0 leaves it as it is
    val_step: int = 500  # steps between two validations inside an epoch; 0: none
    val_epoch: bool = True  # validate after each epoch; after the last one in any case
    criterion: str = "rsum"  # what the best checkpoint is chosen by, on the dev split
    select_mid_epoch: bool = False  # may a validation inside an epoch give the best checkpoint (VSRN)
    precision: str = "fp32"  # or bf16: autocast, with parameters kept in float32
    seed: int = 0
    optimizer: str = "adam"  # or theano_adam, whose first steps are longer (Kiros 2014; order-embeddings)
    weight_decay: float = 0.0  # w adds w · Σ θ² to the loss before the gradient is clipped (Kiros' decay_c)
    decay_biases: bool = True  # does weight_decay take in the biases
    clip_per_tensor: bool = False  # grad_clip limits each parameter's gradient by itself (order-embeddings)
    batches: str = "captions"  # lengths: one caption length in a batch; images: one random caption of each image
    last_batch: str = "keep"  # drop: an epoch leaves its last batch out, full or not (order-embeddings)
    max_words: int = 0  # captions of more words are left out of the training; 0: none are (Kiros' maxlen_w)
    patience: int = 0  # validations in a row without a better score that end the training; 0: none do (linxd5)
    log_step: int = 10  # steps between two records of the loss

    def __post_init__(self) -> None:
        for name in ("num_epochs", "batch_size", "lr_update", "log_step"):
            if getattr(self, name) < 1:
                raise RecipeError(f"training.{name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("grad_clip", "val_step", "seed", "weight_decay", "max_words", "patience"):
            if not 0 <= getattr(self, name) < math.inf:
                raise RecipeError(f"training.{name} is {getattr(self, name)}; it must not be negative.")
        if self.seed >= SEEDS:
            raise RecipeError(f"training.seed is {self.seed}; it must be below 2**64.")
        if not 0 < self.learning_rate < math.inf:
            raise RecipeError(f"training.learning_rate is {self.learning_rate}; it must be above 0.")
        if not 0 < self.lr_decay <= 1:
            raise RecipeError(f"training.lr_decay is {self.lr_decay}; it must be above 0 and at most 1.")
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise RecipeError(
                    f"training.{name} is {value!r}; it must be one of {', '.join(choices)}.",
                    remedy=suggest_name(value, choices),
                )


CHOICES = {
    "precision": ("fp32", "bf16"),
    "optimizer": ("adam", "theano_adam"),
    "batches": ("captions", "lengths", "images"),
    "last_batch": ("keep", "drop"),
}
"""The words that a field of `TrainingSettings` may hold."""
SEEDS = 2**64  # how many seeds torch's generator knows
TRAINING_FIELDS = tuple(field.name for field in dataclasses.fields(TrainingSettings))

Training = TrainingSettings
"""The name that plugins of API version 1 use."""
