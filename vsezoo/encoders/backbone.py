"""Image encoders for pictures: a backbone of timm or torchvision, followed by a head that encodes features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vsezoo import registry
from vsezoo.backbones import create_backbone, measure_features
from vsezoo.backbones.options import GRID, NONE, POOLED, BackboneOptions
from vsezoo.batch import Embeddings
from vsezoo.encoders.composite import CompositeImageEncoder
from vsezoo.encoders.feature_pairs import FeaturePairs
from vsezoo.encoders.head import AUTO, WIDTH, build_head, choose_features, list_head_options, load_head, takes_features
from vsezoo.errors import CheckpointError, RecipeError
from vsezoo.inputs import PairDataset
from vsezoo.pretrained.external import PRETRAINED
from vsezoo.pretrained.frozen import FrozenPart
from vsezoo.recipe import Part
from vsezoo.recipe.declared import Option
from vsezoo.recipe.options import Above, AtLeast, OneOf
from vsezoo.recipe.signatures import read_options
from vsezoo.storage.digests import RESTORE

OF_BACKBONE = read_options(BackboneOptions, given=("features",))
"""Options that are passed to the backbone unchanged; `features` depends on the head."""
AT_ONCE = 32  # pictures in a batch when all features are computed


class BackboneImageEncoder(FrozenPart, CompositeImageEncoder):
    """`f(i) = h(φ(i))`, with φ a backbone and h the head (Faghri et al. 2018, section 3.1: a linear layer).

    The options of the head are also options of this encoder; its `img_dim` is the backbone's.

    Args:
        embed_size: D, the width of the joint embedding.
        model: name of the backbone in the library.
        head: an image encoder for features: precomp, regions, vsrn or another registered one.
        features: input of the head. "pooled": one feature per picture; "grid": the cells of the last feature map;
            "auto": whichever the head takes, or prefers if it takes both.
        normalize_features: scale φ(i), or each cell of a grid, to unit L2 norm, as VSE++ does.
        finetune: train the backbone too.
        finetune_epoch: the first epoch, counted from 0, in which it is trained.
        learning_rate_scale: learning rate of the backbone, as a multiple of `training.learning_rate`.
        cnn_mode: training mode of batch norm and dropout in the backbone. "frozen": never. "train": whenever the model
            trains. "legacy": as in the original VSE++, from the start of an epoch to the first validation inside it;
            the published figures come from that.
        store_weights: store the backbone in the checkpoint even if training cannot change it.
        **more: the other options of `BackboneOptions`, and those of the head.

    Raises:
        RecipeError: for an invalid option.
    """

    library: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]] = ("picture",)
    part_options: ClassVar[tuple[str, ...]] = ("head",)
    external: ClassVar[str] = "backbone."
    renamed: ClassVar[Mapping[str, str]] = {"cnn.": "backbone.network.", "fc.": "head.fc."}

    def __init__(
        self,
        *,
        embed_size: int,
        model: str = "",
        head: str = "precomp",
        features: Annotated[str, OneOf(AUTO, POOLED, GRID)] = AUTO,
        normalize_features: bool = True,
        finetune: bool = False,
        finetune_epoch: Annotated[int, AtLeast(0)] = 0,
        learning_rate_scale: Annotated[float, Above(0)] = 1.0,
        cnn_mode: Annotated[str, OneOf("frozen", "train", "legacy")] = "frozen",
        store_weights: bool = False,
        **more: Any,
    ) -> None:
        super().__init__()
        of_backbone = {name: value for name, value in more.items() if name in OF_BACKBONE}
        of_head = {name: value for name, value in more.items() if name not in OF_BACKBONE}
        features = choose_features(head, features, of_head)
        self.backbone = create_backbone(self._name(model), **of_backbone, features=features)
        self.backbone.requires_grad_(finetune)
        self.head = build_head(head, embed_size, self.backbone.width, of_head)
        self.gives, self.uncertain = self.head.gives, self.head.uncertain
        self.normalize_features, self.cnn_mode, self.store_weights = normalize_features, cnn_mode, store_weights
        self.finetune, self.finetune_epoch, self.learning_rate_scale = finetune, finetune_epoch, learning_rate_scale
        self._learns = finetune
        self._evaluated = False  # since the start of the epoch

    @classmethod
    def _name(cls, model: str) -> str:
        if not model:
            raise RecipeError(
                "image_encoder.model does not name a backbone.",
                remedy=f"Name one: --image-encoder {cls.library}:resnet50",
            )
        return f"{cls.library}:{model}"

    @classmethod
    def more_options(cls, options: Mapping[str, Any]) -> dict[str, Option]:
        """Return the options of the backbone, and those of the head except the width of its features.

        Raises:
            RecipeError: for a head that does not take features.
            UnknownNameError: for a head that is not registered.
        """
        of_head = list_head_options(options.get("head", "precomp"), options)
        return {**OF_BACKBONE, **{name: option for name, option in of_head.items() if name not in OF_BACKBONE}}

    @classmethod
    def replace_part(cls, part: Part) -> dict[str, Any]:
        """Use an encoder for features as the head; keep the head and training options of another backbone encoder."""
        encoder = registry.load("image_encoders", part.name)
        if issubclass(encoder, BackboneImageEncoder):
            own = ("model", "features", *OF_BACKBONE)
            return {name: value for name, value in part.options.items() if name not in own}
        if not takes_features(encoder):
            return {}
        return {"head": part.name, **{name: value for name, value in part.options.items() if name != WIDTH}}

    @classmethod
    def resolve_options(cls, options: Mapping[str, Any], data: PairDataset) -> dict[str, Any]:
        """Let the head resolve its options from the data, seen as features."""
        if data.kind != "picture":
            return dict(options)  # refused later, where the kinds are known
        head = options.get("head", "precomp")
        of_head = {name: options[name] for name in list_head_options(head, options) if name in options}
        of_backbone = {name: options[name] for name in OF_BACKBONE if name in options}
        of_backbone["weights"] = NONE
        features = choose_features(head, options.get("features", AUTO), of_head)
        shape = measure_features(cls._name(options.get("model", "")), features=features, **of_backbone)
        resolved = load_head(head).resolve_options(of_head, FeaturePairs(data, shape))
        return {**options, **{name: value for name, value in resolved.items() if name != WIDTH}}

    @classmethod
    def portable_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options, with a file of weights reduced to its name."""
        return {**options, "weights": Path(options.get("weights", PRETRAINED)).name}

    def load_pretrained(self) -> None:  # type: ignore[override] # it has its own source
        """Load the weights of the backbone, and those of the head.

        Raises:
            CheckpointError: for weights that cannot be downloaded, found or read, or belong to another backbone.
        """
        self.backbone.load_pretrained()
        self.head.load_pretrained()

    def fit(self, data: PairDataset) -> None:
        """Fit the head to the features of the training pictures, such as their mean."""
        training = self.training
        self.eval()
        self.head.fit(FeaturePairs(data, tuple(self._compute(data, [0]).shape[1:]), self._compute))
        self.train(training)
        self._evaluated = False

    def transform(self, training: bool) -> Callable[[Any], Tensor]:
        """Return a function that converts a list of pictures to tensors `(B, 3, S, S)`, or C crops of each."""
        return self.backbone.transform(training)

    def find_view(self, width: int, height: int) -> tuple[float, float, float, float] | None:
        """Return the part of a picture of this size that the backbone sees; None for several crops.

        Returns:
            left, top, right and bottom, as shares of width and height.
        """
        return self.backbone.form.find_view(width, height)

    def learning_rate_scales(self) -> Mapping[str, float]:
        """Return the scale of the backbone, and those of the head."""
        of_head = {f"head.{name}": scale for name, scale in self.head.learning_rate_scales().items()}
        return {"backbone.": self.learning_rate_scale, **of_head}

    def start_epoch(self, epoch: int) -> None:
        """Train the backbone from `finetune_epoch` on; an epoch of "legacy" starts with batch norm in training mode."""
        self._learns = self.finetune and epoch >= self.finetune_epoch
        self.backbone.requires_grad_(self._learns)
        self._evaluated = False
        self.head.start_epoch(epoch)
        self.train(self.training)

    def train(self, mode: bool = True) -> BackboneImageEncoder:
        """Set the mode, that of the backbone according to `cnn_mode`."""
        super().train(mode)
        self._evaluated = self._evaluated or not mode
        legacy = self.cnn_mode == "legacy" and not self._evaluated
        self.backbone.train(mode and (self.cnn_mode == "train" or legacy))
        return self

    def forward(self, images: Tensor) -> Tensor | Embeddings:
        """Return joint embeddings `(B, D)` of pictures `(B, 3, S, S)` or of C crops of each, `(B, C, 3, S, S)`."""
        return self.finish(self.extract(images))

    def is_fixed(self) -> bool:
        """Return whether the backbone is never trained."""
        return not self.finetune and self.cnn_mode == "frozen"

    def finish(self, features: Tensor) -> Tensor | Embeddings:
        """Return the joint embeddings `(B, D)` that the head gives of features."""
        self.head.keep_items = self.keep_items
        output: Tensor | Embeddings = self.head(features)
        return output

    def extract(self, pictures: Tensor) -> Tensor:
        """Return the input of the head: features `(B, F)`, or a grid `(B, R, F)`, float32."""
        # In eval mode, a caller with gradients enabled needs the graph: the gradient of pixels explains a score.
        with torch.set_grad_enabled((self._learns or not self.training) and torch.is_grad_enabled()):
            features: Tensor = self.backbone(pictures)
            return functional.normalize(features, dim=-1) if self.normalize_features else features

    def skips_external_weights(self) -> bool:
        """Return whether the backbone equals its source and will not be changed."""
        fixed = not self.finetune and self.cnn_mode == "frozen" and not self.store_weights
        return fixed and self.backbone.unchanged

    def describe(self) -> dict[str, Any]:
        """Return the name, source and digest of the backbone's weights, and its transform."""
        return {"backbone": self.backbone.describe()}

    def list_folders(self) -> list[Path]:
        """Return the folder of the weights file, if they came from one."""
        return [] if self.backbone.file is None else [self.backbone.file.parent]

    def restore_external(self, described: Mapping[str, Any], folders: Sequence[Path]) -> None:
        """Load the weights of the backbone again, and verify their digest."""
        backbone = described.get("backbone")
        digest = backbone.get("sha256") if isinstance(backbone, Mapping) else None
        if not isinstance(digest, str) or not digest:
            problem = f"config.json does not describe the weights of {self.backbone.name}."
            raise CheckpointError(problem, remedy=RESTORE)
        self.backbone.load_pretrained(folders, digest)

    @torch.inference_mode()
    def _compute(self, data: PairDataset, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        transform, device = self.transform(training=False), next(self.backbone.parameters()).device
        size = max(1, AT_ONCE // self.backbone.form.count_views())
        starts = range(0, len(indices), size)
        blocks = (transform(data.images(indices[start : start + size])).to(device) for start in starts)
        return np.concatenate([self.extract(block).cpu().numpy() for block in blocks])


class TimmImageEncoder(BackboneImageEncoder):
    """Any image model of timm, ViTs among them: `timm:mobilenetv2_100`, `timm:vit_base_patch16_clip_224.openai`."""

    library: ClassVar[str] = "timm"


class TorchvisionImageEncoder(BackboneImageEncoder):
    """A classifier of torchvision: `torchvision:vgg19`, `torchvision:resnet152`."""

    library: ClassVar[str] = "torchvision"
