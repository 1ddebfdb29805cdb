"""Compute the rows of a feature file: pictures are decoded by worker processes and encoded by a backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from vsezoo.backbones import Backbone
from vsezoo.data.workers import leave_interrupts_to_parent
from vsezoo.errors import DataError, VsezooError
from vsezoo.features.image_tower import ImageTower
from vsezoo.inputs import PairDataset

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class FeatureForm:
    """The form of the written features.

    Attributes:
        dtype: number type of the file, "float32" or "float16".
        normalize: scale each feature (in a grid, each cell) to unit L2 norm.
        precision: precision of the backbone, "fp32" or "bf16".
        batch_size: pictures in a batch. Part of the form, because the last bits of a feature depend on it.
    """

    dtype: str = "float32"
    normalize: bool = False
    precision: str = "fp32"
    batch_size: int = 32


class PictureBatches(Dataset[Tensor | VsezooError]):
    """Batches of pictures, transformed for a backbone.

    Args:
        data: the split.
        batches: for each batch, the indices of its images.
        transform: the transform of the backbone.
    """

    def __init__(
        self, data: PairDataset, batches: Sequence[np.ndarray], transform: Callable[[list[Any]], Tensor]
    ) -> None:
        self.data, self.batches, self.transform = data, batches, transform

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.batches)

    def __getitem__(self, index: int) -> Tensor | VsezooError:
        """Read a batch or return its error, because a data loader would wrap an exception raised in a worker."""
        try:
            return self.transform(self.data.images(self.batches[index]))
        except VsezooError as error:
            return error


class Extractor:
    """Computes rows of pictures.

    Args:
        backbone: with its weights, in eval mode, on the device.
        form: form of the features.
        device: device of the backbone.
        workers: processes that decode pictures.
    """

    def __init__(self, backbone: Backbone | ImageTower, form: FeatureForm, device: torch.device, workers: int) -> None:
        self.backbone, self.form, self.device, self.workers = backbone, form, device, workers
        self.transform = backbone.transform(training=False)

    def extract(self, data: PairDataset, batches: Sequence[np.ndarray]) -> Iterator[Array]:
        """Yield the features of each batch, `(B, F)` or `(B, R, F)`, in the number type of the file.

        Raises:
            DataError: for a picture that cannot be read, or whose features are not finite in that type.
        """
        pictures = PictureBatches(data, batches, self.transform)
        loader = DataLoader(
            pictures, batch_size=None, num_workers=self.workers, worker_init_fn=leave_interrupts_to_parent
        )
        for images, batch in zip(batches, loader, strict=True):
            if isinstance(batch, VsezooError):
                raise batch
            rows = self.encode(batch)
            is_bad = ~np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
            if is_bad.any():
                raise DataError(
                    f"its features are not finite in {self.form.dtype}.",
                    file=data.image_ids[images[is_bad.argmax()]],
                    remedy="Use --dtype float32 and --precision fp32, or --normalize.",
                )
            yield rows

    @torch.inference_mode()
    def encode(self, pictures: Tensor) -> Array:
        """Return the rows of pictures `(B, 3, S, S)`, or of crops of them `(B, C, 3, S, S)`."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.form.precision == "bf16"):
            features = self.backbone(pictures.to(self.device, non_blocking=True)).float()
        if self.form.normalize:
            features = functional.normalize(features, dim=-1)
        rows: Array = features.to(getattr(torch, self.form.dtype)).cpu().numpy()
        return rows

    def measure(self) -> tuple[int, ...]:
        """Return the shape of a row, `(F,)` or `(R, F)`."""
        shape: tuple[int, ...] = self.encode(self.transform([Image.new("RGB", (64, 64))])).shape[1:]
        return shape
