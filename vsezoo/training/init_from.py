"""Weights and vocabulary of a checkpoint as the initial values of a new run: `--init`, for fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.errors import UsageError
from vsezoo.interfaces import Loss, Weights
from vsezoo.model import JointEmbedding
from vsezoo.pretrained.external import find_external
from vsezoo.recipe import Recipe

HEAD, BACKBONE = "head.", "backbone."
"""Prefixes of the parameter names of an image encoder with a backbone."""


class InitCheckpoint:
    """The checkpoint that a new model is initialised from.

    The vocabulary is that of the checkpoint. Parts of the same name copy all weights. Between an encoder for features
    and one for pictures that uses it as the head, the weights of the head are copied: a model trained on features can
    be fine-tuned on the original images.

    Args:
        reference: a checkpoint, as `vsezoo.load` takes it, or an open one; one on the Hub is resolved to a commit.

    Attributes:
        reference: an absolute path, or a commit on the Hub.
        model: its model.
        recipe: its recipe.
        data: training data in its `config.json`.

    Raises:
        CheckpointError: for a checkpoint that cannot be read.
        HubError: if it cannot be downloaded.
    """

    def __init__(self, reference: str | Path | Checkpoint) -> None:
        self._checkpoint = checkpoint = Checkpoint.open(reference)
        self.reference = checkpoint.reference if checkpoint.on_hub else str(checkpoint.folder.absolute())
        self.model, self.data = checkpoint.model(), checkpoint.config["data"]
        self.recipe = self.model.recipe

    def require_same_text_encoder(self, recipe: Recipe) -> None:
        """Refuse a new model whose text encoder cannot use the vocabulary of the checkpoint.

        Raises:
            UsageError: for another text encoder, or another `embed_size`.
        """
        for what, ours, theirs in (
            ("text encoder", recipe.text_encoder.name, self.recipe.text_encoder.name),
            ("embed_size", recipe.embed_size, self.recipe.embed_size),
        ):
            if ours != theirs:
                raise UsageError(
                    f"is a {self.recipe.name!r} with the {what} {theirs!r}; the new model has {ours!r}.",
                    file=self.reference,
                    remedy="Use a checkpoint with the same text encoder and embed_size, or remove --init.",
                )

    def copy_into(self, model: JointEmbedding, loss: Loss, weights: Weights | None = None) -> None:
        """Copy the weights of the checkpoint to a new model, and to its loss if it is the same one.

        An encoder loads pretrained weights only if the checkpoint does not contain them.

        Args:
            model: the new model.
            loss: its loss.
            weights: pretrained weights of the recipe; None if it has none.

        Raises:
            UsageError: for weights that do not fit.
            CheckpointError: if pretrained weights cannot be found.
        """
        for kind, part in model.parts.items():
            source = self.model.parts[kind]
            external = find_external(source)
            taken = self._choose(kind, source, part)
            if part.state_dict().keys() - taken.keys() or (external is not None and external.skips_external_weights()):
                model.load_part(kind, weights)
            part.load_state_dict(taken, strict=False)
        if self._checkpoint.has_loss and self.recipe.loss.name == model.recipe.loss.name:
            loss.load_state_dict(self._choose("loss", self._checkpoint.loss(), loss), strict=False)

    def _choose(self, kind: str, source: nn.Module, target: nn.Module) -> dict[str, Tensor]:
        """Return the tensors that the new part also has, by its names; refuse different shapes."""
        wanted = target.state_dict()
        taken = {name: tensor for name, tensor in rename_tensors(source.state_dict(), wanted).items() if name in wanted}
        absent = wanted.keys() - taken.keys()
        problems = [f"lacks {name}" for name in sorted(absent) if not name.startswith(BACKBONE)]
        problems += [
            f"has {name} of shape {tuple(tensor.shape)}, not {tuple(wanted[name].shape)}"
            for name, tensor in taken.items()
            if tensor.shape != wanted[name].shape
        ]
        if problems:
            raise UsageError(
                f"cannot initialise this model: its {kind.replace('_', ' ')} {problems[0]}.",
                file=self.reference,
                remedy=f"Use the parts and sizes of {self.recipe.name!r} in the checkpoint "
                f"(`vsezoo show {self.reference}`), or remove --init.",
            )
        return taken


def rename_tensors(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors renamed for an encoder with a head, or for one that is a head."""
    has, wants = (any(name.startswith(HEAD) for name in names) for names in (given, wanted))
    if wants and not has:
        return {HEAD + name: tensor for name, tensor in given.items()}
    if has and not wants:
        return {name.removeprefix(HEAD): tensor for name, tensor in given.items() if name.startswith(HEAD)}
    return dict(given)
