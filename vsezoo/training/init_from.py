"""Weights and vocabulary that a new training run takes over from a checkpoint: `--init`, for fine-tuning."""

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
"""The prefixes of the names that an image encoder with a backbone gives to its parameters."""


class InitCheckpoint:
    """A checkpoint that a new model begins from.

    The vocabulary is the checkpoint's own. Parts of the same name take over all weights. Between an encoder of features
    and one of pictures that has it for its head, the head's weights are taken over: so a model that was trained on
    features goes on, on the pictures that they were made of.

    Args:
        reference: a checkpoint, as `vsezoo.load` takes it; one on the Hub is resolved to a commit.

    Attributes:
        reference: where it is: an absolute path, or a commit of the Hub.
        model: the model in it.
        recipe: of that model.
        data: what `config.json` says of the data that it was trained on.

    Raises:
        CheckpointError: for a checkpoint that cannot be read.
        HubError: for what the Hub does not give.
    """

    def __init__(self, reference: str | Path) -> None:
        self._checkpoint = checkpoint = Checkpoint.open(reference)
        self.reference = checkpoint.reference if checkpoint.on_hub else str(checkpoint.folder.absolute())
        self.model, self.data = checkpoint.model(), checkpoint.config["data"]
        self.recipe = self.model.recipe

    def require_same_text_encoder(self, recipe: Recipe) -> None:
        """Refuse a new model whose text encoder could not read the checkpoint's vocabulary.

        Raises:
            UsageError: for another text encoder, or another width of the joint embedding.
        """
        for what, ours, theirs in (
            ("text encoder", recipe.text_encoder.name, self.recipe.text_encoder.name),
            ("embed_size", recipe.embed_size, self.recipe.embed_size),
        ):
            if ours != theirs:
                raise UsageError(
                    f"is of {self.recipe.name!r} with the {what} {theirs!r}; the new model has {ours!r}.",
                    file=self.reference,
                    remedy="Begin from a checkpoint of the same text encoder and width, or leave --init out.",
                )

    def copy_into(self, model: JointEmbedding, loss: Loss, weights: Weights | None = None) -> None:
        """Put the checkpoint's weights into a new model, and into its loss if it is the same one.

        An encoder loads pretrained weights only where the checkpoint does not bring them.

        Args:
            model: the new one.
            loss: likewise.
            weights: the pretrained weights of the recipe; None: it has none.

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
        """Return the tensors of a part that the new one has too, by its names; refuse what does not fit."""
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
                f"cannot be the beginning of this model: its {kind.replace('_', ' ')} {problems[0]}.",
                file=self.reference,
                remedy=f"Give the new model the parts and sizes of {self.recipe.name!r} as the checkpoint has them "
                f"(`vsezoo show {self.reference}`), or leave --init out.",
            )
        return taken


def rename_tensors(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under the names of an encoder that may have another's head, or be another's head."""
    has, wants = (any(name.startswith(HEAD) for name in names) for names in (given, wanted))
    if wants and not has:
        return {HEAD + name: tensor for name, tensor in given.items()}
    if has and not wants:
        return {name.removeprefix(HEAD): tensor for name, tensor in given.items() if name.startswith(HEAD)}
    return dict(given)
