"""The towers of a dual encoder of open_clip: CLIP of LAION and DataComp, SigLIP, MobileCLIP and others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from vsezoo.errors import RecipeError, first_line, require_package
from vsezoo.interfaces import ImageEncoder, Tokens, Weights
from vsezoo.recipe.options import AtLeast
from vsezoo_clip.frozen import FrozenTextTower, FrozenTower
from vsezoo_clip.open_clip_towers import CONTEXT, VOCABULARY, OpenClipTower, read_settings, read_text_network
from vsezoo_clip.tokenizer import DualTokenizer


class OpenClipTransform:
    """Turns a list of pictures into float32 tensors `(B, 3, S, S)` as open_clip does; the Exif orientation comes first.

    Args:
        settings: of `open_clip.transform.PreprocessCfg`.

    Raises:
        RecipeError: for settings that open_clip cannot use.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        library = require_package("open_clip.transform", "a model of open_clip")
        try:
            known = library.PreprocessCfg(**library.merge_preprocess_dict(library.PreprocessCfg(), settings))
            self._transform = library.image_transform_v2(known, is_train=False)
        except Exception as error:  # open_clip raises what it likes
            problem = f"open_clip cannot prepare pictures by this preprocess_cfg: {first_line(error)}."
            raise RecipeError(problem) from error

    def __call__(self, pictures: Any) -> Tensor:
        """Return the tensor.

        Raises:
            DataError: for an object that is not a picture, or cannot be decoded.
        """
        from vsezoo.backbones.transform import decode_picture  # imports torchvision

        return torch.stack([self._transform(decode_picture(picture)) for picture in pictures])


class OpenClipImageEncoder(FrozenTower, ImageEncoder):
    """`f(i) = v(i)`, the image tower of a model of open_clip with its projection, then unit L2 norm.

    Args:
        embed_size: D, the width of the joint embedding.
        config: `model_cfg` of its configuration.
        preprocess: how pictures are prepared, `preprocess_cfg` of its configuration and the size.
        width: the width of the embedding.
        **of_tower: the options of `TowerOptions`.

    Raises:
        RecipeError: for a configuration of which open_clip cannot make a model.
        MissingPackageError: if open_clip is not installed.
    """

    kinds: ClassVar[tuple[str, ...]] = ("picture",)
    gives = "vectors"
    tower: OpenClipTower

    def __init__(
        self,
        *,
        embed_size: int,
        config: Mapping[str, Any] | None = None,
        preprocess: Mapping[str, Any] | None = None,
        width: Annotated[int, AtLeast(0)] = 0,
        **of_tower: Any,
    ) -> None:
        super().__init__()
        self.preprocess = dict(preprocess or {})
        tower = OpenClipTower(config or {}, "image")
        self.set_tower(tower, width or embed_size, embed_size, of_tower)

    @classmethod
    def resolve_pretrained(cls, options: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
        """Take configuration, width and transform from the folder of the weights."""
        found = read_settings(weights)
        if found is None:
            return dict(options)
        config, pictures = read_text_network(found[0], weights.folder), found[1]
        size = {"size": config["vision_cfg"].get("image_size", 224)}  # comes first, as in open_clip
        return {"config": config, "width": config["embed_dim"], "preprocess": {**pictures, **size}, **options}

    def transform(self, training: bool) -> Callable[[Any], Tensor]:
        """Return the transform of open_clip for evaluation; in training, too, it draws nothing at random."""
        return OpenClipTransform(self.preprocess)

    def extract(self, inputs: Tensor) -> Tensor:
        """Return the vectors `(B, D)` of pixels `(B, 3, S, S)`."""
        return self.run_tower(inputs)


class OpenClipTextEncoder(FrozenTextTower):
    """`g(c) = t(c)`, the text tower of a model of open_clip with its projection, then unit L2 norm.

    Every caption has as many ids as the model reads, the padding included; there is no mask.

    Args:
        embed_size: D, the width of the joint embedding.
        tokenizer: that of the weights.
        config: `model_cfg` of its configuration.
        width: the width of the embedding.
        **of_tower: the options of `TowerOptions`.

    Raises:
        RecipeError: for a configuration of which open_clip cannot make a model.
        MissingPackageError: if open_clip is not installed.
    """

    tower: OpenClipTower

    def __init__(
        self,
        *,
        embed_size: int,
        tokenizer: DualTokenizer,
        config: Mapping[str, Any] | None = None,
        width: Annotated[int, AtLeast(0)] = 0,
        **of_tower: Any,
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        tower = OpenClipTower(config or {}, "text")
        self.set_tower(tower, width or embed_size, embed_size, of_tower)

    @classmethod
    def resolve_pretrained(cls, options: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
        """Take configuration and width from the folder of the weights."""
        found = read_settings(weights)
        if found is None:
            return dict(options)
        config = read_text_network(found[0], weights.folder)
        return {"config": config, "width": config["embed_dim"], **options}

    @classmethod
    def read_pretrained_tokenizer(cls, options: Mapping[str, Any], weights: Weights) -> DualTokenizer:
        """Read the tokenizer next to the weights, or take open_clip's own where the configuration names none.

        Raises:
            CheckpointError: for one that cannot be read, or does not belong to the weights.
        """
        network = options["config"]["text_cfg"]
        return DualTokenizer.of_open_clip(weights.folder, network, network.get("context_length", CONTEXT), VOCABULARY)

    def extract(self, inputs: Tokens) -> Tensor:
        """Return the vectors `(B, D)` of ids `(B, L)`."""
        ids, _ = self.tokenizer.pad(inputs)
        return self.run_tower(ids)
