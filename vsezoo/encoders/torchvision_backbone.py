"""Images given as pictures: a CNN of torchvision, and one linear layer into the joint space (VSE++)."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vsezoo.encoders.backbone import CROP, BackboneImageEncoder
from vsezoo.errors import CheckpointError, RecipeError, suggest_name

IMAGENET, NONE = "imagenet", "none"
FORKED = ("googlenet", "inception_v3")
"""CNNs that return more than features in training."""


class TorchvisionImageEncoder(BackboneImageEncoder):
    """A CNN of torchvision without its last layer; what follows see `BackboneImageEncoder`.

    Args:
        embed_size: D, the width of the joint embedding.
        model: its name in torchvision, such as vgg19 (features of 4,096) or resnet152 (2,048).
        weights: where those of a new model come from: "imagenet", which torchvision downloads, "none", which are drawn,
            or a file of torchvision's tensors that ends with .safetensors.
        normalize_features, finetune, cnn_mode, crop_size, normalize, use_abs: see `BackboneImageEncoder`.

    Raises:
        RecipeError: for a value that an option cannot have.
    """

    def __init__(
        self,
        *,
        embed_size: int,
        model: str = "vgg19",
        weights: str = IMAGENET,
        normalize_features: bool = True,
        finetune: bool = False,
        cnn_mode: str = "frozen",
        crop_size: int = CROP,
        normalize: bool = True,
        use_abs: bool = False,
    ) -> None:
        if weights not in (IMAGENET, NONE) and not weights.endswith(".safetensors"):
            raise RecipeError(
                f"image_encoder.weights is {weights!r}; it must be {IMAGENET}, {NONE} or a file that ends with "
                ".safetensors."
            )
        cnn, last, width = build_backbone(model)
        super().__init__(
            embed_size,
            cnn,
            width,
            normalize_features=normalize_features,
            finetune=finetune,
            cnn_mode=cnn_mode,
            crop_size=crop_size,
            normalize=normalize,
            use_abs=use_abs,
        )
        self.model, self.weights, self._last = model, weights, last

    def load_pretrained(self) -> None:
        """Read the weights of the CNN.

        Raises:
            CheckpointError: for weights that cannot be fetched or read, or are those of another CNN.
        """
        if self.weights == NONE:
            return
        tensors = _fetch_weights(self.model) if self.weights == IMAGENET else _read_weights(Path(self.weights))
        kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(f"{self._last}.")}
        try:
            self.cnn.load_state_dict(kept)
        except RuntimeError as error:
            raise CheckpointError(
                f"has not the weights of {self.model}: {textwrap.shorten(str(error).partition(':')[2], 160)}",
                file=self.weights,
                remedy="Set image_encoder.model to the CNN that they are of.",
            ) from error


def build_backbone(model: str) -> tuple[nn.Module, str, int]:
    """Build a CNN of torchvision without its last linear layer.

    Returns:
        the CNN with drawn weights, the name of the layer that was taken away, and the width of the features.

    Raises:
        RecipeError: for a name that torchvision does not have, or a CNN without such a layer.
    """
    known = [name for name in torchvision.models.list_models(torchvision.models) if name not in FORKED]
    if model not in known:
        raise RecipeError(
            f"image_encoder.model is {model!r}, which is no image classifier of torchvision that can be used here.",
            remedy=suggest_name(model, known, "For example vgg19, resnet50 or resnet152."),
        )
    cnn: nn.Module = torchvision.models.get_model(model, weights=None)
    linear = {name: module for name, module in cnn.named_modules() if isinstance(module, nn.Linear)}
    if not linear:
        raise RecipeError(
            f"image_encoder.model is {model!r}, which has no linear layer whose input could be the features.",
            remedy="Use another one, for example resnet50.",
        )
    last, layer = list(linear.items())[-1]
    cnn.set_submodule(last, nn.Identity())
    return cnn, last, layer.in_features


def _fetch_weights(model: str) -> Mapping[str, Tensor]:
    """Return the weights that torchvision has of a CNN; the older ones of several, which the papers used."""
    known: Any = torchvision.models.get_model_weights(model)
    chosen = known.__members__.get("IMAGENET1K_V1", known.DEFAULT)
    try:
        tensors: Mapping[str, Tensor] = chosen.get_state_dict(
            progress=sys.stderr.isatty(), check_hash=True, weights_only=True
        )
    except (OSError, HTTPException, RuntimeError) as error:
        raise CheckpointError(
            f"The ImageNet weights of {model} cannot be fetched from {chosen.url}: {error}.",
            remedy="Connect to the network, or give a file, --set image_encoder.weights=FILE.safetensors, or train "
            f"from scratch, --set image_encoder.weights={NONE} --set image_encoder.finetune=true.",
        ) from error
    return tensors


def _read_weights(file: Path) -> Mapping[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot be read as safetensors: {error}.",
            file=file,
            remedy="Give the tensors of torchvision's model as a safetensors file.",
        ) from error
