"""The image tower of a pretrained model, such as CLIP's, as a source of features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from vsezoo.errors import UsageError
from vsezoo.interfaces import ImageEncoder
from vsezoo.pretrained.frozen import FrozenPart, digest_frozen

SOURCE = "model"
"""Where the network of features came from, in their description."""


class ImageTower(nn.Module):
    """Maps pictures to what the frozen part of an image encoder gives, before a head and before it is scaled.

    Args:
        name: where the model came from: the name of its folder, `hub:org/name@commit`, or a registered name.
        encoder: its image encoder.

    Raises:
        UsageError: for an encoder that takes no pictures, or has no frozen part.
    """

    libraries: tuple[str, ...] = ()
    views = 1

    def __init__(self, name: str, encoder: ImageEncoder) -> None:
        super().__init__()
        if not isinstance(encoder, FrozenPart) or "picture" not in encoder.kinds:
            raise UsageError(
                f"The image encoder of {name} has no pretrained network for pictures.",
                remedy="Name a pretrained dual encoder, such as clip-vit-b32.openai, or a backbone, timm:NAME.",
            )
        self.name, self.encoder = name, encoder

    def transform(self, training: bool) -> Callable[[Any], Any]:
        """Return the transform from a list of pictures to the input of `forward`; it does not hold the network."""
        return self.encoder.transform(training)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features `(B, F)`, or `(B, R, F)` of a model with several vectors for an image."""
        assert isinstance(self.encoder, FrozenPart)
        return self.encoder.extract(pictures)

    def describe(self) -> dict[str, Any]:
        """Return name and digest of the network as JSON values."""
        return {"name": self.name, "source": SOURCE, "sha256": digest_frozen(self.encoder), "features": "pooled"}
