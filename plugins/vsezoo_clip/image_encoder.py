"""The image tower of a dual encoder of transformers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from torch import Tensor

from vsezoo.interfaces import ImageEncoder, Weights
from vsezoo.recipe.options import AtLeast, OneOf
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
        **of_tower: the options of `TowerOptions`.

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
        **of_tower: Any,
    ) -> None:
        super().__init__()
        self.family, self.processor, self.backend = FAMILIES[family], dict(processor or {}), backend
        tower = Tower(self.family, self.family.image, network or {}, width or embed_size)
        self.set_tower(tower, width or embed_size, embed_size, of_tower)

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
        return self.run_on_pixels(inputs)
