"""Gradient x input of a score, for words and for regions (Shrikumar et al. 2016, arXiv:1605.01713).

The weight of an input x is `(x - b) · ds/dx`: to first order, what the score would lose if x were its baseline b, as in
one step of integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365). The baseline of a word embedding is 0.
That of a region is the mean of the regions of the image: many encoders scale each region to unit norm, where a smaller
x is the same as x and its weight against 0 would be 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vsezoo.errors import RecipeError
from vsezoo.interfaces import Tokens
from vsezoo.model import JointEmbedding

PATCH = 16
"""Pixels of the sides of a patch, where an encoder has no feature map."""
FINEST = 4
"""Least number of pixels per side of a cell of a feature map."""


@dataclass(frozen=True)
class Contributions:
    """The weights of the inputs of one pair.

    Attributes:
        words: `(L,)`, of each token.
        regions: `(R,)`, of each region, cell or patch; None: the image is one vector, or has no gradient.
        grid: rows and columns of the cells or patches of a picture, row by row.
    """

    words: np.ndarray
    regions: np.ndarray | None
    grid: tuple[int, int] | None = None


def weigh_inputs(model: JointEmbedding, images: Tensor, tokens: Tokens, *, picture: bool) -> Contributions:
    """Return gradient x input of the score of one image and one caption.

    Args:
        model: in eval mode.
        images: what `ImageEncoder.transform` made of one image.
        tokens: one caption, on the model's device.
        picture: whether the image is a picture; then the weights are those of the last feature map of the encoder, or
            of patches of pixels if it has none.

    Raises:
        RecipeError: for a text encoder that looks up no word embeddings, or passes no gradient to them.
    """
    # cuDNN has no gradient of recurrent networks in eval mode.
    with torch.inference_mode(False), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        images, tokens = images.detach().clone().requires_grad_(), replace(tokens, ids=tokens.ids.clone())
        with _watch_words(model.text_encoder, tokens.ids) as words, _watch_maps(model.image_encoder, images) as maps:
            score = model.similarity.compare(*model(images, tokens)).sum()
        source = maps.last if picture and maps.last is not None else images
        of_words, of_image = None, None
        if words.looked_up is not None and score.requires_grad:
            of_words, of_image = torch.autograd.grad(score, [words.looked_up, source], allow_unused=True)
    if of_words is None:
        raise RecipeError(
            f"The text encoder {model.recipe.text_encoder.name!r} passes no gradient to word embeddings of a "
            "torch.nn.Embedding, which an explanation by gradients needs.",
            remedy="Use --method attention, if the similarity has attention.",
        )
    weights = (of_words * words.vectors).sum(dim=-1).flatten()[: tokens.ids.shape[1]]
    if of_image is None or images.dim() == 2:
        return Contributions(_to_numpy(weights), None)
    if not picture:
        product = of_image * (source - source.mean(dim=1, keepdim=True))
        return Contributions(_to_numpy(weights), _to_numpy(product.sum(dim=-1)[0]))
    channels = maps.channels if source is maps.last else source.dim() - 3
    sides = [dim for dim in range(source.dim()) if dim != channels and dim >= source.dim() - 3]
    product = of_image * (source - source.mean(dim=sides, keepdim=True))
    cells = product.sum(dim=(0, channels)) if source is maps.last else _sum_patches(product)
    return Contributions(_to_numpy(weights), _to_numpy(cells.flatten()), (cells.shape[0], cells.shape[1]))


def find_grid(model: JointEmbedding, images: Tensor, count: int) -> tuple[int, int] | None:
    """Return rows and columns of the cells of pictures, from the last feature map of their encoder.

    Args:
        model: in eval mode.
        images: what `ImageEncoder.transform` made of one picture.
        count: the number of cells.

    Returns:
        None if there is no feature map of so many cells.
    """
    with torch.inference_mode(), _watch_maps(model.image_encoder, images) as maps:
        model.image_encoder(images)
    if maps.last is None:
        return None
    rows, columns = (size for dim, size in enumerate(maps.last.shape) if dim not in (0, maps.channels))
    return (rows, columns) if rows * columns == count else None


@dataclass
class _Words:
    looked_up: Tensor | None = None  # what the gradient is taken of
    vectors: Tensor = field(default_factory=lambda: torch.empty(0))  # `(1, L, D)`, of the words


@contextmanager
def _watch_words(encoder: nn.Module, ids: Tensor) -> Iterator[_Words]:
    """Watch the first embedding that looks up these ids, and have its output take part in gradients."""
    words = _Words()

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        asked = inputs[0] if inputs else None
        if words.looked_up is not None or not isinstance(asked, Tensor):
            return None
        if not torch.equal(asked.flatten()[: len(ids[0])], ids[0]):  # there may be padding behind them
            return None
        words.looked_up = output.detach().requires_grad_()
        words.vectors = words.looked_up.detach()
        if isinstance(module, nn.EmbeddingBag):  # the output is a sum, or a mean, in which each word has its part
            words.vectors = module.weight.detach()[ids] / (len(ids[0]) if module.mode == "mean" else 1)
        return words.looked_up.clone()  # which an encoder may change in place

    lookups = [module for module in encoder.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)]
    with _hooked(lookups, keep):
        yield words


@dataclass
class _Maps:
    last: Tensor | None = None
    channels: int = 1  # the dimension of the channels


@contextmanager
def _watch_maps(encoder: nn.Module, images: Tensor) -> Iterator[_Maps]:
    """Watch the last feature map that an encoder computes of pictures `(1, 3, S, S)`, or of crops of one."""
    maps, largest = _Maps(), images.shape[-1] // FINEST
    views = images.shape[1] if images.dim() == 5 else 1

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and len(output) == views:
            for channels, height, width in ((1, 2, 3), (3, 1, 2)):
                if 1 < output.shape[height] == output.shape[width] <= largest:
                    maps.last, maps.channels = output, channels
                    return

    with _hooked(encoder.modules() if images.dim() >= 4 else (), keep):
        yield maps


@contextmanager
def _hooked(modules: Any, hook: Any) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _sum_patches(product: Tensor) -> Tensor:
    """Return the sums `(rows, columns)` over patches of pixels `(1, 3, S, S)`, or of those of crops of one picture."""
    pixels = product.flatten(0, -3).sum(dim=0)
    rows, columns = (max(1, size // PATCH) for size in pixels.shape)
    mean = nn.functional.adaptive_avg_pool2d(pixels[None], (rows, columns))[0]
    return mean * (pixels.numel() / (rows * columns))


def _to_numpy(weights: Tensor) -> np.ndarray:
    found: np.ndarray = weights.detach().double().cpu().numpy()
    return found
