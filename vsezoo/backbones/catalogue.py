"""From the name of a backbone, `LIBRARY:NAME`, to the backbone."""

from __future__ import annotations

from typing import Any

import torch

from vsezoo.backbones.backbone import Backbone
from vsezoo.backbones.options import BackboneOptions
from vsezoo.errors import UsageError, suggest_name

LIBRARIES = ("timm", "torchvision")


def create_backbone(name: str, **options: Any) -> Backbone:
    """Build a backbone with drawn weights; `load_pretrained` takes on the others.

    Args:
        name: `timm:NAME` or `torchvision:NAME`, such as `timm:mobilenetv2_100`.
        **options: see `BackboneOptions`: weights, features, image_size, crop_size, crop_pct, mean, std, interpolation,
            crops, scales, model_args.

    Raises:
        UsageError: for another library.
        RecipeError: for a name that the library does not have, or an option that cannot be.
        CheckpointError: for a model of timm's by `local-dir:` or `hf-hub:` that cannot be had.
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
        f"{name!r} is no backbone.",
        remedy=suggest_name(library, LIBRARIES, "Name it as timm:NAME or torchvision:NAME."),
    )


def measure_features(name: str, **options: Any) -> tuple[int, ...]:
    """Return the shape of the features of a picture, `(F,)`, or `(R, F)` of a grid, without computing any."""
    backbone = create_backbone(name, **options).eval().to("meta")
    side = backbone.form.image_size
    return tuple(backbone(torch.empty(1, 3, side, side, device="meta")).shape[1:])
