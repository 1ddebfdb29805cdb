"""Two encoders: gated regions, and captions as bags of letters with a tokenizer of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.errors import CheckpointError
from vsezoo.interfaces import ImageEncoder, ImageOutput, PairDataset, TextEncoder, Tokenizer, Tokens

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789 "


class GatedImageEncoder(ImageEncoder):
    """`f(i) = Σ_r σ(u · φ_r) W φ_r`, then unit L2 norm.

    Args:
        embed_size: D, the width of the joint embedding.
        img_dim: F, the width of a region's feature.
    """

    kinds: ClassVar[tuple[str, ...]] = ("regions",)
    region_order = "invariant"

    def __init__(self, *, embed_size: int, img_dim: int = 16) -> None:
        super().__init__()
        self.gate = nn.Linear(img_dim, 1)
        self.project = nn.Linear(img_dim, embed_size)

    @classmethod
    def resolve_options(cls, options: Mapping[str, Any], data: PairDataset) -> dict[str, Any]:
        return {**options, "img_dim": data.image_shape[-1]}

    def transform(self, training: bool) -> Callable[[Any], Tensor]:
        return to_tensor

    def forward(self, images: Tensor) -> ImageOutput:
        regions = self.gate(images).sigmoid() * self.project(images)
        return ImageOutput(functional.normalize(regions.float().sum(dim=1), dim=-1), regions)


def to_tensor(features: Any) -> Tensor:
    return torch.from_numpy(np.array(features, dtype=np.float32))


class LetterTokenizer(Tokenizer):
    """Each letter and each two neighbouring letters by an id; stored as `letters.json`."""

    FILE: ClassVar[str] = "letters.json"

    def __init__(self) -> None:
        self.ids: dict[str, int] = {"": 0}

    def split(self, captions: Sequence[str]) -> list[list[str]]:
        kept = ["".join(letter for letter in caption.lower() if letter in LETTERS) for caption in captions]
        return [[*text, *map("".join, pairwise(text))] for text in kept]

    def fit(self, split_captions: Sequence[Any]) -> None:
        found = sorted({part for parts in split_captions for part in parts})
        self.ids = {part: index for index, part in enumerate(["", *found])}

    def encode_split(self, split_captions: Sequence[Any]) -> list[np.ndarray]:
        return [np.array([0, *(self.ids.get(part, 0) for part in parts)], np.int32) for parts in split_captions]

    def to_files(self) -> Mapping[str, bytes]:
        return {self.FILE: json.dumps(list(self.ids)).encode()}

    @classmethod
    def from_files(cls, folder: Path) -> LetterTokenizer:
        tokenizer = cls()
        try:
            tokenizer.ids = {part: index for index, part in enumerate(json.loads((folder / cls.FILE).read_bytes()))}
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError("cannot be read.", file=folder / cls.FILE) from error
        return tokenizer

    def __len__(self) -> int:
        return len(self.ids)


class LetterTextEncoder(TextEncoder):
    """The mean of the embeddings of letters and of pairs of letters, then unit L2 norm.

    Args:
        embed_size: D, the width of the joint embedding.
        tokenizer: gives the number of ids.
    """

    def __init__(self, *, embed_size: int, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.embed = nn.Embedding(len(tokenizer), embed_size)

    @classmethod
    def make_tokenizer(cls, options: Mapping[str, Any]) -> Tokenizer:
        return LetterTokenizer()

    @classmethod
    def read_tokenizer(cls, folder: Path) -> Tokenizer:
        return LetterTokenizer.from_files(folder)

    def forward(self, tokens: Tokens) -> Tensor:
        places = torch.arange(tokens.ids.shape[1], device=tokens.ids.device)
        lengths = tokens.lengths.to(tokens.ids.device)[:, None]
        summed = (self.embed(tokens.ids) * (places < lengths)[:, :, None]).sum(dim=1)
        return functional.normalize(summed.float(), dim=-1)
