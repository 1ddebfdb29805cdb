"""The encoders of PCME++ (Chun 2024): all tokens of CLIP, pooled to a mean and a variance for each side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from vsezoo.backbones.transform import PictureForm, PictureTransform
from vsezoo.batch import Embeddings
from vsezoo.encoders.augmentation import change_tokens
from vsezoo.encoders.transformer_tokenizer import TransformerTokenizer
from vsezoo.errors import DataError, RecipeError
from vsezoo.interfaces import ImageEncoder, TextEncoder, Tokens, Weights
from vsezoo.recipe.options import Above, AtLeast, AtMost, Below, Between
from vsezoo_pcmepp.clip import TextTransformer, VisionTransformer, rename_tensors
from vsezoo_pcmepp.heads import Head, join
from vsezoo_pcmepp.mixing import mix_samples

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of colours, those of ImageNet, as in the original code; CLIP itself has others."""
DEPTH = 12
"""Blocks from which the learning rates are counted, whatever the depth, as in the original code."""
BERT_WORDS = 30_522
"""Ids of which augmentation draws one, as in the original code: the size of BERT's vocabulary."""

SIZES = {
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "hidden": "intermediate_size",
}
"""Options, and what the configuration of transformers calls them."""

Share = Annotated[float, AtLeast(0), Below(1)]


def _scale_rates(
    backbone: VisionTransformer | TextTransformer, twins: str, base: float, decay: float
) -> dict[str, float]:
    """Return multiples of the learning rate: the further a block is from the end, the smaller."""
    scales = {"backbone.": base}
    for index in range(len(backbone.transformer.resblocks)):
        scales[f"backbone.transformer.resblocks.{index}."] = base * decay ** (DEPTH - index)
    copies = backbone.get_submodule(twins)
    assert isinstance(copies, nn.ModuleList)
    for index in range(len(copies)):
        scales[f"backbone.{twins}.{index}."] = base * decay ** (len(copies) - index)
    return scales


def _load(backbone: nn.Module, tensors: Mapping[str, Tensor], file: str) -> None:
    """Load the pretrained tensors of one side; the twins stay as they were drawn."""
    found, held = rename_tensors(tensors), backbone.state_dict()
    wanted = {name for name in held if not name.startswith(("uncertainty_", "transformer.prob_"))}
    if wanted - found.keys() or any(found[name].shape != held[name].shape for name in wanted):
        raise RecipeError("does not fit the sizes of the CLIP of this recipe.", file=file, remedy="Name a CLIP model.")
    backbone.load_state_dict({name: found[name].float() for name in wanted}, strict=False)


class PCMEPPClipImageEncoder(ImageEncoder):
    """`μ = GPO_k(W x_k + b)` with unit L2 norm and `log σ² = GPO_k(W' x'_k + b')` of all tokens of CLIP's image side.

    x are the tokens behind CLIP's last block, x' those behind its twin, which is drawn at random.

    Args:
        embed_size: D.
        width: of a token.
        layers: blocks.
        heads: of the attention; 0: one for 64 numbers of a token.
        hidden: units of the hidden layer of a block; 0: four times the width.
        patch_size: in pixels.
        image_size: side of a picture, in pixels; both sides are scaled to it.
        uncertainty_layers: how many of the last blocks have a twin.
        finetune_epoch: the first epoch, counted from 0, in which the backbone is trained; its twins are from the first.
        learning_rate_scale: learning rate of the backbone, as a multiple of `training.learning_rate`.
        layer_decay: by which that is multiplied from each block to the one before.
        size_augmentation: in training, the largest share of tokens to leave out.
        least_crop: in training, crop both sides to one share of at least this; see `SharedCrop`.
        mix_ratio: in training, the share of pictures that are mixed with others; see `mix_samples`.
        log_variance_bias: b' at first.
    """

    kinds: ClassVar[tuple[str, ...]] = ("picture",)
    gives = "vectors"
    uncertain = True

    def __init__(
        self,
        *,
        embed_size: int,
        width: Annotated[int, AtLeast(1)] = 768,
        layers: Annotated[int, AtLeast(1)] = 12,
        heads: Annotated[int, AtLeast(0)] = 0,
        hidden: Annotated[int, AtLeast(0)] = 0,
        patch_size: Annotated[int, AtLeast(1)] = 32,
        image_size: Annotated[int, AtLeast(1)] = 224,
        uncertainty_layers: Annotated[int, AtLeast(1)] = 1,
        finetune_epoch: Annotated[int, AtLeast(0)] = 2,
        learning_rate_scale: Annotated[float, Above(0)] = 0.01,
        layer_decay: Annotated[float, Above(0), AtMost(1)] = 0.7,
        size_augmentation: Share = 0.2,
        least_crop: Annotated[float, Between(0, 1)] = 0.6,
        mix_ratio: Annotated[float, Between(0, 1)] = 0.25,
        log_variance_bias: float = 0.0,
    ) -> None:
        super().__init__()
        self.backbone = VisionTransformer(width, layers, heads, hidden, patch_size, image_size, uncertainty_layers)
        self.mean_head = Head(width, embed_size, drop=size_augmentation)
        self.variance_head = Head(width, embed_size, bias=log_variance_bias, drop=size_augmentation)
        self.form = PictureForm(image_size, image_size, 1.0, "squash", MEAN, STD, "bilinear", least_crop=least_crop)
        self.finetune_epoch, self.mix_ratio = finetune_epoch, mix_ratio
        self.learning_rate_scale, self.layer_decay = learning_rate_scale, layer_decay

    @classmethod
    def resolve_pretrained(cls, options: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
        """Take the sizes from the configuration of a CLIP of transformers."""
        names = SIZES | {name: name for name in ("patch_size", "image_size")}
        return {**_read_sizes(weights, "vision_config", names), **options}

    def load_pretrained(self, weights: Weights | None = None) -> None:
        """Load the image side of CLIP."""
        if weights is not None:
            _load(self.backbone, weights.tensors("vision_model."), weights.name)

    def transform(self, training: bool) -> Callable[[Any], Tensor]:
        """Return what makes pictures `(B, 3, S, S)`."""
        return PictureTransform(self.form, training)

    def learning_rate_scales(self) -> Mapping[str, float]:
        """Return the multiples for the backbone and its blocks."""
        twins = "uncertainty_transformer.resblocks"
        return _scale_rates(self.backbone, twins, self.learning_rate_scale, self.layer_decay)

    def start_epoch(self, epoch: int) -> None:
        """Train the backbone from `finetune_epoch` on, its twins always."""
        self.backbone.requires_grad_(epoch >= self.finetune_epoch)
        self.backbone.uncertainty_transformer.requires_grad_(True)

    def forward(self, images: Tensor) -> Embeddings:
        """Return probabilistic embeddings `(B, D + 1)` of pictures `(B, 3, S, S)`; in training some are mixed."""
        extras = {}
        if self.training and self.mix_ratio:
            images, extras["mixing"] = mix_samples(images, self.mix_ratio)
        mean, variance = self.backbone(images)
        return join(self.mean_head(mean), self.variance_head(variance), extras)


class PCMEPPClipTextEncoder(TextEncoder):
    """The same of all tokens of a caption behind CLIP's text side, start and end included.

    Args:
        embed_size: D.
        tokenizer: gives the number of ids.
        model: a folder or a name of the Hub, for the tokenizer where the recipe has no pretrained weights.
        width: of a token.
        layers: blocks.
        heads: of the attention; 0: one for 64 numbers of a token.
        hidden: units of the hidden layer of a block; 0: four times the width.
        positions: ids that a caption may have, marks included; the rest is cut off.
        uncertainty_layers: how many of the last blocks have a twin.
        learning_rate_scale: learning rate of the backbone, as a multiple of `training.learning_rate`.
        layer_decay: by which that is multiplied from each block to the one before.
        size_augmentation: in training, the probability with which each token but start and end is chosen: half of those
            become the token "M", a tenth any of the first 30,522, and 40 % are left out.
        log_variance_bias: b' at first; all else is drawn as torch does.
    """

    gives = "vectors"
    uncertain = True
    tokenizer: TransformerTokenizer

    def __init__(
        self,
        *,
        embed_size: int,
        tokenizer: TransformerTokenizer,
        model: str = "openai/clip-vit-base-patch32",
        width: Annotated[int, AtLeast(1)] = 512,
        layers: Annotated[int, AtLeast(1)] = 12,
        heads: Annotated[int, AtLeast(0)] = 0,
        hidden: Annotated[int, AtLeast(0)] = 0,
        positions: Annotated[int, AtLeast(3)] = 77,
        uncertainty_layers: Annotated[int, AtLeast(1)] = 1,
        learning_rate_scale: Annotated[float, Above(0)] = 0.1,
        layer_decay: Annotated[float, Above(0), AtMost(1)] = 0.7,
        size_augmentation: Share = 0.2,
        log_variance_bias: float = 0.0,
    ) -> None:
        super().__init__()
        self.tokenizer, self.size_augmentation = tokenizer, size_augmentation
        self.backbone = TextTransformer(len(tokenizer), width, layers, heads, hidden, positions, uncertainty_layers)
        self.mean_head = Head(width, embed_size, xavier=False, bias=None)
        self.variance_head = Head(width, embed_size, xavier=False, bias=log_variance_bias)
        self.learning_rate_scale, self.layer_decay = learning_rate_scale, layer_decay
        self.mask = tokenizer.pieces.token_to_id("M") or 0
        self.marks = tokenizer.pieces.encode("").ids

    @classmethod
    def make_tokenizer(cls, options: Mapping[str, Any]) -> TransformerTokenizer:
        """Read the tokenizer of the option `model`, which cuts captions at `positions`."""
        model = options.get("model", "openai/clip-vit-base-patch32")
        return TransformerTokenizer.from_pretrained(model, options.get("positions", 77))

    @classmethod
    def read_pretrained_tokenizer(cls, options: Mapping[str, Any], weights: Weights) -> TransformerTokenizer:
        """Read the tokenizer next to the pretrained weights."""
        return TransformerTokenizer.from_pretrained(str(weights.folder), options.get("positions", 77))

    @classmethod
    def read_tokenizer(cls, folder: Path) -> TransformerTokenizer:
        """Read `tokenizer.json` and `transformer.json`."""
        return TransformerTokenizer.from_files(folder)

    @classmethod
    def portable_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options with the name alone of a folder."""
        model = str(options.get("model", ""))
        return {**options, "model": Path(model).absolute().name if Path(model).is_dir() else model}

    @classmethod
    def resolve_pretrained(cls, options: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
        """Take the sizes from the configuration of a CLIP of transformers."""
        return {**_read_sizes(weights, "text_config", SIZES | {"positions": "max_position_embeddings"}), **options}

    def load_pretrained(self, weights: Weights | None = None) -> None:
        """Load the text side of CLIP."""
        if weights is not None:
            _load(self.backbone, weights.tensors("text_model."), weights.name)

    def learning_rate_scales(self) -> Mapping[str, float]:
        """Return the multiples for the backbone and its blocks."""
        return _scale_rates(self.backbone, "transformer.prob_resblocks", self.learning_rate_scale, self.layer_decay)

    def forward(self, tokens: Tokens) -> Embeddings:
        """Return probabilistic embeddings `(B, D + 1)`.

        Raises:
            DataError: for captions as ids, more than there are positions.
        """
        positions = len(self.backbone.positional_embedding)
        if tokens.ids.shape[1] > positions:
            raise DataError(
                f"a caption has {tokens.ids.shape[1]} ids, and this model reads {positions}.",
                remedy="Give captions as text, which the tokenizer cuts, or shorter ones.",
            )
        if self.training and self.size_augmentation:
            tokens = change_tokens(
                tokens,
                self.size_augmentation,
                mask=self.mask,
                count=min(BERT_WORDS, len(self.tokenizer)),
                fixed=torch.isin(tokens.ids, torch.tensor(self.marks, device=tokens.ids.device)),
            )
        mean, variance = self.backbone(tokens.ids)
        return join(self.mean_head(mean, tokens.lengths), self.variance_head(variance, tokens.lengths))


def _read_sizes(weights: Weights, part: str, names: Mapping[str, str]) -> dict[str, Any]:
    config = weights.config().get(part)
    found = config if isinstance(config, Mapping) else {}
    return {option: found[name] for option, name in names.items() if name in found}
