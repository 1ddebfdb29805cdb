"""`vsezoo train`: train a model and evaluate its best checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vsezoo.cli import console, shared_options
from vsezoo.cli.assignments import read_assignments

FLAGS = {
    "margin": "loss.margin",
    "max_violation": "loss.max_violation",
    "warmup_epochs": "loss.warmup_epochs",
    "mask_same_image": "loss.mask_same_image",
    "ncon": "loss.ncon",
    "max_len": "loss.max_len",
    "word_dim": "text_encoder.word_dim",
    "num_layers": "text_encoder.num_layers",
    "bidirectional": "text_encoder.bidirectional",
    "image_weights": "image_encoder.weights",
    "finetune": "image_encoder.finetune",
    "embed_size": "embed_size",
    "num_epochs": "training.num_epochs",
    "batch_size": "training.batch_size",
    "learning_rate": "training.learning_rate",
    "lr_update": "training.lr_update",
    "grad_clip": "training.grad_clip",
    "optimizer": "training.optimizer",
    "weight_decay": "training.weight_decay",
    "max_words": "training.max_words",
    "val_step": "training.val_step",
    "log_step": "training.log_step",
    "patience": "training.patience",
    "seed": "training.seed",
    "precision": "training.precision",
}
"""The flags that the field knows, and the settings of a recipe that they are."""

PARTS = {"image_encoder": "image_encoder", "text_encoder": "text_encoder", "measure": "similarity", "loss": "loss"}
"""The flags that exchange a part."""


@click.command()
@click.argument("model")
@shared_options.data("shapes")
@shared_options.data_root
@click.option("--output", type=click.Path(path_type=Path), help="The run's folder.  [default: runs/MODEL-DATASET]")
@click.option("--resume", is_flag=True, help="Go on where the run in the output folder stopped.")
@click.option("--init", metavar="CHECKPOINT", help="Begin with the weights and the vocabulary of a checkpoint.")
@click.option("--overrides/--no-overrides", default=True, help="Apply what the recipe changes for this data set.")
@click.option("--max-violation/--sum-violation", default=None, help="Hardest negatives, or the sum over all.")
@click.option("--margin", type=float, help="Of the hinge.")
@click.option("--warmup-epochs", type=int, help="Epochs of the sum before the hardest negatives.")
@click.option("--mask-same-image/--no-mask-same-image", default=None, help="No negatives of the same image.")
@click.option("--ncon", type=int, help="Negatives by so many cyclic shifts of the batch; 0: all of the batch.")
@click.option("--max-len", type=int, help="Words of a caption that a caption head learns to write, marks included.")
@click.option("--measure", metavar="SIMILARITY", help="cosine, order, or another registered one.")
@click.option("--use-abs/--no-use-abs", default=None, help="Absolute values of both embeddings.")
@click.option("--imgnorm/--no-imgnorm", default=None, help="Scale images to unit length, or leave them.")
@click.option("--image-encoder", metavar="NAME", help="Exchange the image encoder.")
@click.option("--text-encoder", metavar="NAME", help="Exchange the text encoder.")
@click.option("--loss", metavar="NAME", help="Exchange the loss.")
@click.option("--image-weights", metavar="FILE", help="Weights of the image encoder's backbone; none, or pretrained.")
@click.option("--finetune/--no-finetune", default=None, help="Train the backbone of the image encoder, too.")
@click.option("--embed-size", type=int, help="Width of the joint embedding.")
@click.option("--word-dim", type=int, help="Width of a word embedding.")
@click.option("--num-layers", type=int, help="Layers of the text encoder.")
@click.option("--bidirectional/--no-bidirectional", default=None, help="Read captions in both directions.")
@click.option("--num-epochs", type=int, help="Epochs in all, on resume too.")
@click.option("--batch-size", type=int, help="Captions in a batch.")
@click.option("--learning-rate", type=float, help="Of the first epochs.")
@click.option("--lr-update", type=int, help="Epochs between two steps of the learning rate.")
@click.option("--grad-clip", type=float, help="Largest norm of the gradient; 0: no limit.")
@click.option("--optimizer", metavar="adam|theano_adam", help="Adam, or as the Theano codes have it.")
@click.option("--weight-decay", type=float, help="W adds W times the sum of all squared parameters to the loss.")
@click.option("--max-words", type=int, help="Leave captions of more words out of the training; 0: none.")
@click.option("--val-step", type=int, help="Steps between validations inside an epoch; 0: none.")
@click.option("--log-step", type=int, help="Steps between two records of the loss.")
@click.option("--patience", type=int, help="Validations without gain that end the training; 0: none.")
@click.option("--seed", type=int, help="Of the first weights, the order and all else that is random.")
@click.option("--precision", metavar="fp32|bf16", help="What the encoders compute in.")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="Any setting, e.g. loss.margin=0.1.")
@shared_options.device
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes that read batches.")
@click.option("--save-step", type=click.IntRange(0), default=200, show_default=True, help="Steps between saves.")
@shared_options.full_dev
@shared_options.use_restval
@shared_options.on_bad_image("error")
@shared_options.as_json
def train(
    model: str,
    data: str | None,
    data_root: Path | None,
    output: Path | None,
    resume: bool,
    init: str | None,
    overrides: bool,
    device: str,
    workers: int,
    save_step: int,
    full_dev: bool,
    use_restval: bool,
    on_bad_image: str,
    as_json: bool,
    assignments: tuple[str, ...],
    **flags: Any,
) -> None:
    """Train MODEL, keep its best checkpoint, and evaluate that on the test split.

    The run's folder holds best/ (the checkpoint), last/ (what --resume goes on from), log.jsonl and tensorboard/.
    """
    settings = read_settings(flags, assignments)
    from vsezoo.cli.figures import render
    from vsezoo.cli.progress import TrainingProgress
    from vsezoo.training import train as training
    from vsezoo.training.runtime import read_rank

    progress = TrainingProgress()
    try:
        result = training.train(
            model,
            data,
            data_root=data_root,
            output=output,
            resume=resume,
            init=init,
            settings=settings,
            overrides=overrides,
            device=device,
            workers=workers,
            save_step=save_step,
            full_dev=full_dev,
            use_restval=use_restval,
            on_bad_image=on_bad_image,
            observers=[progress],
        )
    finally:
        progress.close()
    if read_rank() > 0:
        return  # of the processes of a launcher, one reports
    if as_json:
        console.print_json(result.evaluation.to_json())
    else:
        console.results().print(render(result.evaluation))
    console.messages().print(f"Checkpoint: {result.checkpoint}")


def read_settings(flags: dict[str, Any], assignments: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings that the command line gives, by their dotted names: parts first, `--set` last."""
    given = {name: value for name, value in flags.items() if value is not None}
    settings: dict[str, Any] = {kind: given[flag] for flag, kind in PARTS.items() if flag in given}
    settings |= {setting: given[flag] for flag, setting in FLAGS.items() if flag in given}
    if "imgnorm" in given:
        settings["image_encoder.normalize"] = given["imgnorm"]
    if "use_abs" in given:
        settings |= {"image_encoder.use_abs": given["use_abs"], "text_encoder.use_abs": given["use_abs"]}
    return settings | read_assignments("--set", assignments, "loss.margin=0.1")
