"""The image tower of a dual encoder of transformers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from torch import Tensor

from vsezoo.interfaces import ImageEncoder, Weights
from vsezoo.recipe.options import Above, AtLeast, OneOf
from vsezoo_clip.configurations import describe_networks, measure_width
from vsezoo_clip.families import FAMILIES, find_family
from vsezoo_clip.frozen import FrozenTower
from vsezoo_clip.processor import BACKENDS, ProcessorTransform, find_settings
from vsezoo_clip.towers import Tower


class DualImageEncoder(FrozenTower, ImageEncoder):
    """`f(i) = W pool(h(i))`, then unit L2 norm: CLIP (Radford et al. 2021, section 2.4) and its relatives.

    The options `family`, `network`, `width` and `processor` are those of the pretrained weights.

    Args:
        embed_size: D, the width of the joint embedding.
        family: the family of the dual encoder, by its `model_type` in transformers.
        network: the configuration of the network, as transformers has it.
        width: the width of the projection.
        processor: the settings of the image processor, as transformers has them.
        backend: implementation of the image processor; their pixels differ by a grey level or two.
        normalize: scale embeddings to unit L2 norm. False: as `get_image_features` returns them.
        finetune: train the tower. False: it stays as it is, and without dropout.
        learning_rate_scale: learning rate of the tower, as a multiple of `training.learning_rate`.
        store_weights: have checkpoints hold the tower although it is frozen.

    Raises:
        RecipeError: for a configuration that is none of the family, or options without pretrained weights.
    """

    kinds: ClassVar[tuple[str, ...]] = ("picture",)
    gives = "vectors"
    tower: Tower

    def __init__(
        self,
        *,
        embed_size: int,
        family: Annotated[str, OneOf(*FAMILIES)] = "clip",
        network: Mapping[str, Any] | None = None,
        width: Annotated[int, AtLeast(0)] = 0,
        processor: Mapping[str, Any] | None = None,
        backend: Annotated[str, OneOf(*BACKENDS)] = BACKENDS[0],
        normalize: bool = True,
        finetune: bool = False,
        learning_rate_scale: Annotated[float, Above(0)] = 1.0,
        store_weights: bool = False,
    ) -> None:
        super().__init__()
        self.family, self.processor, self.backend = FAMILIES[family], dict(processor or {}), backend
        self.set_tower(
            Tower(self.family, self.family.image, network or {}, embed_size),
            finetune=finetune,
            learning_rate_scale=learning_rate_scale,
            normalize=normalize,
            store_weights=store_weights,
        )

    @classmethod
    def resolve_pretrained(cls, options: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
        """Take family, network, width and image processor from a dual encoder."""
        config = weights.config()
        if find_family(config) is None:
            return dict(options)
        known = {
            "family": config["model_type"],
            "network": describe_networks(config)["image"],
            "width": measure_width(config),
            "processor": find_settings(weights.folder, config["model_type"]),
        }
        return {**known, **options}

    def transform(self, training: bool) -> Callable[[Any], Tensor]:
        """Return the image processor; in training, too, it draws nothing at random."""
        return ProcessorTransform(self.processor, self.backend)

    def extract(self, inputs: Tensor) -> Tensor:
        """Return the vectors `(B, D)` of pixels `(B, 3, S, S)`."""
        return self.run_tower(pixel_values=inputs)
