"""Build a backbone from its name, `LIBRARY:NAME`."""

from __future__ import annotations

import functools
import json
from typing import Any

import torch

from vsezoo.backbones.backbone import Backbone
from vsezoo.backbones.options import BackboneOptions
from vsezoo.errors import RecipeError, UsageError, suggest_name
from vsezoo.storage.unfilled import without_memory

LIBRARIES = ("timm", "torchvision")


def create_backbone(name: str, **options: Any) -> Backbone:
    """Build a backbone with random weights; `load_pretrained` loads the pretrained ones.

    Args:
        name: `timm:NAME` or `torchvision:NAME`, such as `timm:mobilenetv2_100`.
        **options: see `BackboneOptions`: weights, features, image_size, crop_size, crop_pct, mean, std, interpolation,
            crops, scales, model_args.

    Raises:
        UsageError: for another library.
        RecipeError: for an unknown name or an invalid option.
        CheckpointError: for a `local-dir:` or `hf-hub:` model of timm that cannot be found.
    """
    library, _, model = name.partition(":")
    chosen = BackboneOptions(**options)
    if library == "timm" and model:
        from vsezoo.backbones.timm_backbone import TimmBackbone  # timm is slow to import

        return TimmBackbone(model, chosen)
    if library == "torchvision" and model:
        from vsezoo.backbones.torchvision_backbone import TorchvisionBackbone

        return TorchvisionBackbone(model, chosen)
    raise UsageError(
        f"{name!r} is not a backbone.",
        remedy=suggest_name(
            library, LIBRARIES, "Name it as timm:NAME or torchvision:NAME; `vsezoo features` also takes a checkpoint."
        ),
    )


def measure_features(name: str, **options: Any) -> tuple[int, ...]:
    """Return the shape of the features of a picture, `(F,)`, or `(R, F)` for a grid, without computing them."""
    return _measure_features(name, json.dumps(options, sort_keys=True))


@functools.cache  # a recipe is resolved several times, and building a network takes up to a second
def _measure_features(name: str, options: str) -> tuple[int, ...]:
    chosen = json.loads(options)
    try:
        with without_memory():  # VGG19 has 548 MB of weights
            backbone = create_backbone(name, **chosen)
    except (RecipeError, RuntimeError):  # one that reads numbers out of its weights, or what no device can build
        backbone = create_backbone(name, **chosen)
    backbone = backbone.eval().to("meta")
    side = backbone.form.image_size
    return tuple(backbone(torch.empty(1, 3, side, side, device="meta")).shape[1:])
