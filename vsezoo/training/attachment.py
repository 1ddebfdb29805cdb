"""Put the backbone in front of a model that was trained on features of it, so that it takes pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsezoo.backbones.options import BackboneOptions
from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.construction import build_loss, build_model
from vsezoo.encoders.backbone import OF_BACKBONE, BackboneImageEncoder
from vsezoo.errors import CheckpointError, UsageError
from vsezoo.features.image_tower import SOURCE as MODEL_SOURCE
from vsezoo.parts import change_recipe, resolve_recipe
from vsezoo.pretrained.external import PRETRAINED
from vsezoo.recipe import Recipe
from vsezoo.training.init_from import InitCheckpoint

INIT = "Or train it on pictures: vsezoo train MODEL --image-encoder timm:NAME --init CHECKPOINT."


def attach_backbone(
    reference: str | Path, output: str | Path, *, weights: str | Path | None = None, overwrite: bool = False
) -> Path:
    """Write a checkpoint that takes pictures, from one that takes features which vsezoo has extracted.

    The checkpoint records how the features of its training data were extracted (their `features.json`): backbone,
    digest of its weights, transform, scale. Nothing is trained. A picture has the embedding of its features, but for
    their rounding where they are stored in float16.

    Args:
        reference: the checkpoint, as `vsezoo.load` takes it.
        output: the folder to write.
        weights: the file of the backbone's weights; None: the library's pretrained ones, as in the extraction.
        overwrite: replace an existing folder.

    Returns:
        the folder of the new checkpoint.

    Raises:
        UsageError: for a model of pictures, features of unknown origin, or an existing folder.
        CheckpointError: for weights that cannot be read or downloaded, or are not those of the extraction.
    """
    output = Path(output)
    if output.exists() and not overwrite:
        raise UsageError("exists.", file=output, remedy="Choose another --output, or use --overwrite.")
    checkpoint = Checkpoint.open(reference)
    known = checkpoint.config["data"].get("extraction")
    if not isinstance(known, Mapping) or "backbone.name" not in known:
        raise UsageError(
            "does not record a backbone: it was not trained on features that `vsezoo features` has extracted.",
            file=checkpoint.reference,
            remedy=INIT,
        )
    if known.get("backbone.source") == MODEL_SOURCE:
        raise UsageError(
            f"was trained on features of the image tower of {known['backbone.name']}, which is not a backbone.",
            file=checkpoint.reference,
            remedy="Train it on pictures instead: vsezoo train vse-on-clip --pretrained REFERENCE.",
        )
    recipe = resolve_recipe(describe_pictures(checkpoint.recipe, known, weights))
    init = InitCheckpoint(checkpoint)
    model, loss = build_model(recipe, init.model.tokenizer), build_loss(recipe, init.model.tokenizer)
    try:
        init.copy_into(model, loss)
    except CheckpointError as error:
        if weights is not None:
            raise
        remedy = "Name the file of weights that the features were extracted with: --weights FILE."
        raise CheckpointError(error.problem, file=error.file, remedy=remedy) from error
    encoder = model.image_encoder
    assert isinstance(encoder, BackboneImageEncoder)
    if (digest := encoder.backbone.digest()) != known["backbone.sha256"]:
        raise CheckpointError(
            f"has the SHA-256 {digest}; the features were extracted with {known['backbone.sha256']}.",
            file=weights or encoder.backbone.name,
            remedy="Name the file of weights of the extraction: --weights FILE.",
        )
    data = {name: value for name, value in checkpoint.config["data"].items() if name not in ("extraction", "account")}
    data |= {"kind": "picture", "image_shape": []}
    save_checkpoint(output, model.eval(), data, checkpoint.config["trained"], loss=loss)
    return output


def describe_pictures(recipe: Recipe, known: Mapping[str, Any], weights: str | Path | None = None) -> Recipe:
    """Return the recipe with the backbone of an extraction in front of its image encoder.

    Args:
        recipe: of a model that takes features.
        known: the settings of the extraction, by dotted names, as a checkpoint records them.
        weights: see `attach_backbone`.
    """
    options: dict[str, Any] = {}
    for name, value in known.items():
        group, _, option = name.removeprefix("backbone.").rpartition(".")
        if group == "transform" and option in OF_BACKBONE and value not in ([], getattr(BackboneOptions(), option)):
            options[option] = value
        elif group == "model_args":
            options.setdefault("model_args", {})[option] = value
    options |= {"features": known["backbone.features"], "normalize_features": known["normalize"]}
    options["weights"] = PRETRAINED if weights is None else str(weights)
    changed = change_recipe(recipe, {"image_encoder": known["backbone.name"]})
    return changed.replace({f"image_encoder.{name}": value for name, value in options.items()})
