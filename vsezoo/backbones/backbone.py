"""Backbones: networks that map pictures to features, with pretrained weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from vsezoo.backbones.options import GRID, NONE, BackboneOptions
from vsezoo.backbones.transform import PictureForm, PictureTransform
from vsezoo.backbones.weights import find_weights, load_weights, read_weights
from vsezoo.errors import CheckpointError
from vsezoo.pretrained.digests import TensorDigest
from vsezoo.pretrained.external import PRETRAINED


class Backbone(nn.Module, ABC):
    """A network without its classifier.

    Args:
        name: `LIBRARY:NAME`, for example `timm:mobilenetv2_100`.
        options: the chosen options.
        network: with random weights.
        width: F, the width of a feature.
        left_out: name prefixes of the tensors of removed layers.
        form: how pictures are prepared for the network.

    Attributes:
        file: the file of the weights; None before they are read, or if they come from no file.
        origin: the source of the library's pretrained weights, or empty.
    """

    origin: str

    def __init__(
        self,
        name: str,
        options: BackboneOptions,
        network: nn.Module,
        width: int,
        left_out: Iterable[str],
        form: PictureForm,
    ) -> None:
        super().__init__()
        self.name, self.options, self.width, self.left_out = name, options, width, tuple(left_out)
        self.form = form.change(options)
        # The memory layout in which convolutions are fastest, on CPUs and GPUs.
        self.network: nn.Module = network.to(memory_format=torch.channels_last)
        self.file: Path | None = None
        self._loaded = ""  # digest of the pretrained weights
        self._digest = TensorDigest()

    @abstractmethod
    def extract(self, pictures: Tensor) -> Tensor:
        """Return features `(B, F)`, or the last feature map `(B, F, rows, columns)`, of pictures `(B, 3, S, S)`."""

    @abstractmethod
    def fetch(self) -> Mapping[str, Tensor]:
        """Return the library's pretrained weights.

        Raises:
            CheckpointError: when they cannot be downloaded or do not exist.
        """

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features.

        Args:
            pictures: `(B, 3, S, S)`, or C crops of each, `(B, C, 3, S, S)`, whose features are averaged.

        Returns:
            `(B, F)`, or with a grid `(B, R, F)`, the R cells of the last feature map row by row; float32.
        """
        crops = pictures.shape[1] if pictures.dim() == 5 else 0
        images = pictures.flatten(0, 1) if crops else pictures
        features = self.extract(images.contiguous(memory_format=torch.channels_last)).float()
        if self.options.features == GRID:
            features = features.flatten(2).transpose(1, 2)
        return features.reshape(-1, crops, self.width).mean(dim=1) if crops else features

    def transform(self, training: bool) -> Callable[[list[Image.Image]], Tensor]:
        """Return the transform from a list of pictures to the input of `forward`; it does not hold the network."""
        return PictureTransform(self.form, training)

    def load_pretrained(self, folders: Sequence[Path] = (), sha256: str = "") -> None:
        """Load the weights that the options name.

        Args:
            folders: where to look for the file if it is not at the path in the options.
            sha256: the expected `digest` of the weights; empty: any.

        Raises:
            CheckpointError: for weights that cannot be downloaded, found or read, do not fit, or have another SHA-256.
        """
        weights = self.options.weights
        if weights == NONE:
            return
        file = None if weights == PRETRAINED else find_weights(weights, folders)
        tensors = self.fetch() if file is None else read_weights(file)
        load_weights(self.network, tensors, self.left_out, self.name, file)
        if sha256 and self.digest() != sha256:
            library = self.name.partition(":")[0]
            raise CheckpointError(
                f"the weights of {self.name} have the SHA-256 {self.digest()}, not {sha256}, with which the model was "
                "trained.",
                file=file,
                remedy=f"Install the version of {library} that the model was trained with."
                if file is None
                else "Use the file that the model was trained with.",
            )
        self.file, self._loaded = file, self.digest()

    @property
    def libraries(self) -> tuple[str, ...]:
        """The distributions, besides vsezoo and torch, whose versions features depend on."""
        return (self.name.partition(":")[0],)

    @property
    def views(self) -> int:
        """How many crops and scales there are of each picture."""
        return self.form.count_views()

    @property
    def unchanged(self) -> bool:
        """Whether the weights are still the ones that `load_pretrained` loaded, so that it can load them again."""
        return bool(self._loaded) and self.digest() == self._loaded

    def digest(self) -> str:
        """Return the SHA-256 of the weights; computed again only after they have changed."""
        return self._digest.compute(self.network.state_dict())

    def describe(self) -> dict[str, Any]:
        """Return a description as JSON values: name, source and digest of the weights, and the transform.

        For a file of weights, only its base name is included, not its path.
        """
        weights = self.options.weights
        source = weights if weights in (PRETRAINED, NONE) else Path(weights).name
        return {
            "name": self.name,
            "source": source,
            **({"origin": self.origin} if source == PRETRAINED and self.origin else {}),
            "sha256": self.digest(),
            "features": self.options.features,
            "width": self.width,
            "model_args": dict(self.options.model_args or {}),
            "transform": self.form.describe(),
        }
