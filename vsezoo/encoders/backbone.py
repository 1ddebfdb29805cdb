"""Images given as pictures: what their encoders share, whatever library their CNN comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torchvision import transforms

from vsezoo.encoders.precomputed import FeatureImageEncoder
from vsezoo.errors import DataError, RecipeError
from vsezoo.interfaces import PairDataset

CNN_MODES = ("frozen", "train", "legacy")
SHORT_SIDE, CROP = 256, 224  # pixels, at test time
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's training pictures, red, green, blue


class BackboneImageEncoder(FeatureImageEncoder):
    """`f(i) = W φ(i) + b`, then unit L2 norm, with φ a CNN (Faghri et al. 2018, section 3.1).

    Args:
        embed_size: D, the width of the joint embedding.
        cnn: φ, from pictures `(B, 3, height, width)` to features `(B, F)`.
        width: F.
        normalize_features: scale φ(i) to unit L2 norm, as VSE++ does.
        finetune: train the CNN too.
        cnn_mode: whether batch norm and dropout of the CNN do what they do in training. "frozen": never. "train":
            whenever the model trains. "legacy": as the original VSE++, from the start of an epoch to the first
            validation inside it; the published figures come from that.
        crop_size: pixels of a side of what is cut out of a picture in training; at test time there are 224.
        normalize: scale embeddings to unit L2 norm; False is VSE++'s `--no_imgnorm`.
        use_abs: take absolute values at the end, as order-embeddings do.

    Raises:
        RecipeError: for a value that an option cannot have.
    """

    kinds: ClassVar[tuple[str, ...]] = ("picture",)
    poolings = ("none",)

    def __init__(
        self,
        embed_size: int,
        cnn: nn.Module,
        width: int,
        *,
        normalize_features: bool,
        finetune: bool,
        cnn_mode: str,
        crop_size: int,
        normalize: bool,
        use_abs: bool,
    ) -> None:
        super().__init__(embed_size, width, normalize, use_abs, center=False, pool="none", init="xavier_uniform")
        if cnn_mode not in CNN_MODES:
            raise RecipeError(f"image_encoder.cnn_mode is {cnn_mode!r}; it must be one of {', '.join(CNN_MODES)}.")
        if crop_size < 1:
            raise RecipeError(f"image_encoder.crop_size is {crop_size}; it must be at least 1.")
        self.cnn = cnn.requires_grad_(finetune)
        self.normalize_features, self.finetune = normalize_features, finetune
        self.cnn_mode, self.crop_size = cnn_mode, crop_size

    @classmethod
    def resolve_options(cls, options: Mapping[str, Any], data: PairDataset) -> dict[str, Any]:
        """Take nothing from the data: pictures may have any size."""
        return dict(options)

    def transform(self, training: bool) -> Callable[[Any], Tensor]:
        """Return the function that makes float32 pictures `(B, 3, side, side)` of a list of pictures.

        As VSE++ does: in training a random part, perhaps mirrored; else the middle of the picture, its short side
        scaled to 256 pixels. A note in the file on how to turn the picture is not heeded, as in the originals.
        """
        if training:
            cut = [transforms.RandomResizedCrop(self.crop_size), transforms.RandomHorizontalFlip()]
        else:
            cut = [transforms.Resize(SHORT_SIDE), transforms.CenterCrop(CROP)]
        return PictureTransform(transforms.Compose([*cut, transforms.ToTensor(), transforms.Normalize(MEAN, STD)]))

    def train(self, mode: bool = True) -> BackboneImageEncoder:
        """Set the mode, and that of the CNN as `cnn_mode` says.

        The training loop calls this with True at the start of an epoch, when the model is in training mode already,
        and after a validation, when it is not: "legacy" tells the one from the other by that.
        """
        after_validation = mode and not self.training
        super().train(mode)
        if self.cnn_mode == "frozen" or (self.cnn_mode == "legacy" and after_validation):
            self.cnn.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return joint embeddings `(B, D)` of pictures `(B, 3, height, width)`."""
        with torch.set_grad_enabled(self.finetune and torch.is_grad_enabled()):
            features = self.cnn(images).float()
            if self.normalize_features:
                features = functional.normalize(features, dim=-1)
        return self.finish(self.project(features, ("images",)))


class PictureTransform:
    """Makes a tensor `(B, 3, side, side)` of a list of pictures.

    Args:
        cut: makes a tensor of one RGB picture.
    """

    def __init__(self, cut: Callable[[Image.Image], Tensor]) -> None:
        self.cut = cut

    def __call__(self, pictures: Any) -> Tensor:
        """Return the tensor.

        Raises:
            DataError: for what is no picture, or cannot be decoded.
        """
        return torch.stack([self.cut(_decode(picture)) for picture in pictures])


def _decode(picture: Any) -> Image.Image:
    if not isinstance(picture, Image.Image):
        raise DataError(
            f"the images are of type {type(picture).__name__}, but this model takes pictures.",
            remedy="Pass a list of PIL.Image.Image, or use a model for features.",
        )
    try:
        return picture.convert("RGB")
    except OSError as error:
        name = getattr(picture, "filename", "") or None
        raise DataError(f"a picture cannot be decoded: {error}.", file=name, remedy="Mend or leave it out.") from error
