"""Backbones of torchvision: its image classifiers, such as the VGG19 and ResNet152 of VSE++."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from vsezoo.backbones.backbone import Backbone
from vsezoo.backbones.options import GRID, BackboneOptions
from vsezoo.backbones.transform import PictureForm
from vsezoo.errors import CheckpointError, RecipeError, suggest_name
from vsezoo.storage.unfilled import without_memory

FORKED = ("googlenet", "inception_v3")
"""CNNs that return more than features in training mode."""


class TorchvisionBackbone(Backbone):
    """A classifier of torchvision without its last linear layer; a grid is its last feature map before pooling.

    Args:
        model: its name in torchvision, such as vgg19 (features of 4,096, cells of 512) or resnet152 (2,048).
        options: the chosen options.

    Raises:
        RecipeError: for an unknown name, or a network without such a layer.
    """

    def __init__(self, model: str, options: BackboneOptions) -> None:
        self.model = model
        known = [name for name in torchvision.models.list_models(torchvision.models) if name not in FORKED]
        if model not in known:
            raise RecipeError(
                f"torchvision has no image classifier {model!r} that can be used here.",
                remedy=suggest_name(model, known, "For example vgg19, resnet50 or resnet152."),
            )
        arguments = dict(options.model_args or {})
        members: Any = torchvision.models.get_model_weights(model)
        # If there are several, the older ones, which the papers used.
        self._pretrained = members.__members__.get("IMAGENET1K_V1", members.DEFAULT)
        preset = self._pretrained.transforms()
        size = preset.crop_size[0]
        form = PictureForm(
            image_size=size,
            crop_size=size,
            crop_pct=size / preset.resize_size[0],
            crop_mode="center",
            mean=tuple(preset.mean),
            std=tuple(preset.std),
            interpolation=preset.interpolation.value,
        )
        network: nn.Module = torchvision.models.get_model(model, weights=None, **arguments)
        self._grid = ""
        last, width = _find_last(model, network)
        left_out = [last]
        if options.features == GRID:
            self._grid, width, left_out = _find_grid(model, arguments, options.image_size or size)
        for layer in left_out:
            network.set_submodule(layer, nn.Identity())
        super().__init__(f"torchvision:{model}", options, network, width, left_out, form)
        self.origin = self._pretrained.url

    def extract(self, pictures: Tensor) -> Tensor:
        """Return features `(B, F)`, or the last feature map `(B, F, rows, columns)`."""
        if not self._grid:
            pooled: Tensor = self.network(pictures)
            return pooled
        caught: list[Tensor] = []
        layer = self.network.get_submodule(self._grid)
        hook = layer.register_forward_hook(lambda module, given, output: caught.append(output))
        try:
            self.network(pictures)  # the layers behind it have been removed
        finally:
            hook.remove()
        return caught[-1]  # a residual block uses one activation module several times

    def fetch(self) -> Mapping[str, Tensor]:
        """Return torchvision's weights of the model."""
        try:
            tensors: Mapping[str, Tensor] = self._pretrained.get_state_dict(
                progress=sys.stderr.isatty(), check_hash=True, weights_only=True
            )
        except (OSError, HTTPException, RuntimeError) as error:
            raise CheckpointError(
                f"the ImageNet weights of {self.name} cannot be downloaded from {self._pretrained.url}: {error}.",
                remedy="Connect to the network, or give the weights as a file: --image-weights FILE.safetensors "
                "(image_encoder.weights).",
            ) from error
        return tensors


def _find_last(model: str, network: nn.Module) -> tuple[str, int]:
    """Return the name of the last linear layer and the width of its input."""
    linear = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    if not linear:
        raise RecipeError(
            f"torchvision:{model} has no linear layer whose input could be the features.",
            remedy="Use another model, for example resnet50.",
        )
    name, layer = list(linear.items())[-1]
    return name, layer.in_features


def _find_grid(model: str, arguments: Mapping[str, Any], size: int) -> tuple[str, int, list[str]]:
    """Return the layer that outputs the last feature map, the width of the map, and the layers after it.

    The order of the layers is found by running them once on a picture of this side in pixels, without computing
    anything.
    """
    with without_memory():
        network, picture = torchvision.models.get_model(model, weights=None, **arguments), torch.zeros(1, 3, size, size)
    ran: list[tuple[str, nn.Module, tuple[int, ...]]] = []
    for name, module in network.named_modules():
        if not list(module.children()):
            module.register_forward_hook(
                lambda module, given, output, name=name: ran.append((name, module, tuple(output.shape)))
            )
    network.eval()(picture)
    maps = [
        index
        for index, (_, module, shape) in enumerate(ran)
        if len(shape) == 4 and shape[2] * shape[3] > 1 and not isinstance(module, nn.AdaptiveAvgPool2d)
    ]
    if not maps or model.startswith("vit_"):  # the only map of a transformer is at its input
        raise RecipeError(
            f"torchvision:{model} has no grid of features.", remedy="Use a CNN, or a vision transformer of timm."
        )
    name, _, shape = ran[maps[-1]]
    return name, shape[1], [later for later, _, _ in ran[maps[-1] + 1 :] if later != name]
