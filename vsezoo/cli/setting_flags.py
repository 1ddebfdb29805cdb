"""The flags of `vsezoo train` for settings of the recipe: one table that generates the options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from vsezoo.cli.arguments import PartName
from vsezoo.cli.assignments import read_assignments
from vsezoo.recipe import CHOICES

ASSIGNMENT = "loss.margin=0.1"
"""Example of an argument of `--set`."""


@dataclass(frozen=True)
class SettingFlag:
    """A flag, and the settings that get its value.

    Attributes:
        flags: as `click.option` takes them; two with a slash between them mean true and false.
        settings: the dotted names, as `Recipe.replace` takes them.
        help: the text of the help.
        type: of the value.
        metavar: the placeholder in the help.
    """

    flags: str
    settings: tuple[str, ...]
    help: str
    type: type | PartName | None = None
    metavar: str | None = None

    @property
    def name(self) -> str:
        """The name of the value among the parameters of the command."""
        return self.flags.partition("/")[0].removeprefix("--").replace("-", "_")

    def declare(self) -> Callable[[Any], Any]:
        """Return the decorator that adds the flag to a command."""
        return click.option(self.flags, type=self.type, metavar=self.metavar, default=None, help=self.help)


FIRST = (
    SettingFlag("--num-epochs", ("training.num_epochs",), "Epochs in total, also with --resume.", int),
    SettingFlag("--batch-size", ("training.batch_size",), "Captions in a batch.", int),
    SettingFlag("--learning-rate", ("training.learning_rate",), "Initial learning rate.", float),
    SettingFlag("--seed", ("training.seed",), "Random seed (weights, data order, augmentation).", int),
)
MODEL = (
    SettingFlag("--image-encoder", ("image_encoder",), "Replace the image encoder.", PartName("image_encoders")),
    SettingFlag("--text-encoder", ("text_encoder",), "Replace the text encoder.", PartName("text_encoders")),
    SettingFlag("--measure", ("similarity",), "Replace the similarity: cosine, order, …", PartName("similarities")),
    SettingFlag(
        "--pretrained",
        ("pretrained",),
        "Pretrained weights that the parts share: a folder, or hub:org/name.",
        metavar="REFERENCE",
    ),
    SettingFlag("--embed-size", ("embed_size",), "Width of the joint embedding.", int),
    SettingFlag("--word-dim", ("text_encoder.word_dim",), "Width of a word embedding.", int),
    SettingFlag("--num-layers", ("text_encoder.num_layers",), "Layers of the text encoder.", int),
    SettingFlag(
        "--bidirectional/--no-bidirectional", ("text_encoder.bidirectional",), "Read captions in both directions."
    ),
    SettingFlag("--imgnorm/--no-imgnorm", ("image_encoder.normalize",), "Scale images to unit L2 norm."),
    SettingFlag(
        "--use-abs/--no-use-abs",
        ("image_encoder.use_abs", "text_encoder.use_abs"),
        "Take absolute values of both embeddings.",
    ),
    SettingFlag(
        "--image-weights",
        ("image_encoder.weights",),
        "Weights of the backbone: a file, none (random initialisation) or pretrained.",
        metavar="FILE",
    ),
    SettingFlag("--finetune/--no-finetune", ("image_encoder.finetune",), "Train the backbone of the image encoder."),
)
LOSS = (
    SettingFlag("--loss", ("loss",), "Replace the loss.", PartName("losses")),
    SettingFlag(
        "--max-violation/--sum-violation", ("loss.max_violation",), "Hardest negatives, or the sum over all negatives."
    ),
    SettingFlag("--margin", ("loss.margin",), "Hinge margin.", float),
    SettingFlag(
        "--warmup-epochs", ("loss.warmup_epochs",), "Epochs with the sum before --max-violation takes effect.", int
    ),
    SettingFlag(
        "--mask-same-image/--no-mask-same-image",
        ("loss.mask_same_image",),
        "Never take other captions of the same image as negatives.",
    ),
    SettingFlag(
        "--ncon", ("loss.ncon",), "Negatives by this number of cyclic shifts of the batch; 0: the whole batch.", int
    ),
    SettingFlag("--max-len", ("loss.max_len",), "Longest caption of a caption head in words, marks included.", int),
)
TRAINING = (
    SettingFlag(
        "--micro-batch",
        ("training.micro_batch",),
        "Captions encoded at a time, with the gradient of the whole batch; 0: all of the batch.",
        int,
    ),
    SettingFlag("--optimizer", ("optimizer",), "Replace the optimizer: adam, adamw, …", PartName("optimizers")),
    SettingFlag(
        "--schedule",
        ("schedule",),
        "Replace the learning rate schedule: step, cosine, constant, …",
        PartName("schedules"),
    ),
    SettingFlag(
        "--lr-update", ("schedule.every",), "Epochs between two drops of the learning rate (schedule step).", int
    ),
    SettingFlag("--grad-clip", ("training.grad_clip",), "Largest norm of the gradient; 0: no limit.", float),
    SettingFlag(
        "--weight-decay",
        ("training.weight_decay",),
        "Add W times the sum of all squared parameters to the loss.",
        float,
        metavar="W",
    ),
    SettingFlag(
        "--precision", ("training.precision",), "Precision of the encoders.", metavar="|".join(CHOICES["precision"])
    ),
    SettingFlag("--max-words", ("training.max_words",), "Longest caption to train on, in words; 0: no limit.", int),
    SettingFlag(
        "--patience",
        ("training.patience",),
        "Stop after this number of validations without improvement; 0: never.",
        int,
    ),
    SettingFlag("--val-step", ("training.val_step",), "Steps between validations within an epoch; 0: none.", int),
    SettingFlag("--log-step", ("training.log_step",), "Steps between two log records of the loss.", int),
)
SETTING_FLAGS = (*FIRST, *MODEL, *LOSS, *TRAINING)


def read_settings(flags: dict[str, Any], assignments: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings given on the command line, by dotted names; `--set` overrides a flag."""
    settings = {
        setting: flags[flag.name]
        for flag in SETTING_FLAGS
        for setting in flag.settings
        if flags.get(flag.name) is not None
    }
    return settings | read_assignments("--set", assignments, ASSIGNMENT)
