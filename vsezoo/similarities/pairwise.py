"""Similarities over sets that score in blocks and differentiate pair by pair: the base of SCAN-like models.

Captions of one length are scored together, so that padding never enters a norm. In training, the scores of all
pairs are computed in the same small blocks as in evaluation, without a graph of intermediate
results, which would take several times `B² L S` numbers. The backward pass computes the pairs with a gradient again. A
hinge with hardest negatives has at most 3 B of them in B², so that a step costs little more than its scores.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vsezoo.batch import Embeddings, cut_evenly
from vsezoo.errors import DataError
from vsezoo.interfaces import Similarity

MOST_PAIRS = 0.5
"""Above this share of pairs with a gradient, whole blocks are computed again."""

GRAPH = 2**28
"""Numbers (see `count_numbers`) up to which a graph is kept if all pairs have a gradient anyway: 1 GB."""


class PairwiseSimilarity(Similarity):
    """A similarity over sets whose subclass scores a block of images and captions of one length.

    `score` must be deterministic: it is called again for the gradient.
    """

    inputs = "sets"
    tile = 2**18  # `forward` bounds its memory itself, and is fast with many captions of one length
    block: ClassVar[int] = 2**20
    """Numbers, see `count_numbers`, that are held at a time: 4 MB in float32."""

    @abstractmethod
    def score(self, images: Embeddings, texts: Embeddings, prepared: Sequence[Tensor], *, paired: bool) -> Tensor:
        """Return the scores `(N, M)` of N images and M captions without padding; with `paired`, N = M pairs: `(N, 1)`.

        Args:
            images: sets of regions, possibly padded.
            texts: sets of words of one length.
            prepared: output of `prepare`.
            paired: score the first image and the first caption, the second and the second, and so on.
        """

    @abstractmethod
    def count_numbers(self, images: Embeddings, length: int) -> int:
        """Return the approximate count of numbers needed for a pair of an image and a caption of this length."""

    def prepare(self) -> tuple[Tensor, ...]:
        """Return what `score` needs that depends only on parameters, such as a product of two. By default, nothing."""
        return ()

    def couples_images(self) -> bool:
        """Return whether, in this mode, the scores of a caption depend on all images; all are then scored together."""
        return False

    def forward(self, images: Embeddings, texts: Embeddings) -> Tensor:
        """Return the scores `(N, M)` of N sets of regions and M sets of words.

        Raises:
            DataError: for a set without items.
        """
        for side in (images, texts):
            _require_items(side)
        sides = (images.embeddings, images.regions, texts.embeddings, texts.regions)
        tensors = (*sides, *self.parameters())
        differentiable = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
        # The output of `embed_images` and `embed_texts` cannot have a gradient.
        if differentiable and not any(side.is_inference() for side in sides):
            if self.couples_images() and self._count_all(images, texts) <= GRAPH:
                return self.score_all(images, texts)
            scores: Tensor = _Recomputed.apply(self, images.lengths, texts.lengths, *tensors)
            return scores
        with torch.no_grad():
            return self.score_all(images, texts)

    def _count_all(self, images: Embeddings, texts: Embeddings) -> int:
        return sum(len(images) * self.count_numbers(images, length) for length in texts.counts.tolist())

    def score_all(self, images: Embeddings, texts: Embeddings) -> Tensor:
        """Return the scores `(N, M)`, block by block: the longest captions first."""
        scores = images.embeddings.new_empty(len(images), len(texts))
        prepared = self.prepare()
        for chosen, length in group_by_length(texts):
            for rows, columns in self.cut_blocks(images, len(chosen), length):
                words = take_sets(texts, chosen[columns], length)
                scores[rows, chosen[columns]] = self.score(images[rows], words, prepared, paired=False)
        return scores

    def cut_blocks(self, images: Embeddings, count: int, length: int) -> Iterator[tuple[slice, slice]]:
        """Yield the images and captions of blocks that fit into `block` numbers, or of one pair.

        Args:
            images: all images.
            count: captions of one length.
            length: their length.
        """
        pairs = max(1, self.block // self.count_numbers(images, length))
        height = len(images) if self.couples_images() else min(len(images), max(4, pairs // count))
        for columns in cut_evenly(count, max(1, pairs // height)):
            for rows in cut_evenly(len(images), height):
                yield rows, columns


def group_by_length(sets: Embeddings) -> Iterator[tuple[Tensor, int]]:
    """Yield the indices of the sets of each length, in their order, and that length; the longest first."""
    lengths = sets.counts
    for length in torch.unique(lengths).flip(0).tolist():
        yield (lengths == length).nonzero()[:, 0], length


def take_sets(sets: Embeddings, index: Tensor, size: int) -> Embeddings:
    """Return some sets, cut to a common size, without lengths."""
    # The gradient of `index_select` sums rows; that of plain indexing takes many times longer on the CPU.
    return Embeddings(sets.embeddings.index_select(0, index), sets.regions.index_select(0, index)[:, :size])


def _require_items(sets: Embeddings) -> None:
    empty = (sets.counts < 1).nonzero()[:, 0]
    if len(empty):
        raise DataError(
            f"the set at index {int(empty[0])} has no items.",
            remedy="Give each image at least one region, and each caption at least one word.",
        )


class _Recomputed(torch.autograd.Function):
    """The scores of `PairwiseSimilarity.score_all`, whose backward pass computes the pairs with a gradient again."""

    @staticmethod
    def forward(
        ctx: Any, similarity: PairwiseSimilarity, images_of: Tensor | None, texts_of: Tensor | None, *tensors: Tensor
    ) -> Tensor:
        """Return the scores; the tensors are vectors and items of images and texts, then the parameters."""
        ctx.similarity, ctx.lengths = similarity, (images_of, texts_of)
        ctx.save_for_backward(*tensors)
        images, texts = Embeddings(tensors[0], tensors[1], images_of), Embeddings(tensors[2], tensors[3], texts_of)
        return similarity.score_all(images, texts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the tensors."""
        similarity, wanted = ctx.similarity, ctx.needs_input_grad[3:]
        inputs, parameters = ctx.saved_tensors[:4], ctx.saved_tensors[4:]
        sides = [side.detach().requires_grad_(wants) for side, wants in zip(inputs, wanted, strict=False)]
        images = Embeddings(sides[0], sides[1], ctx.lengths[0])
        texts = Embeddings(sides[2], sides[3], ctx.lengths[1])
        with torch.enable_grad():
            sources = similarity.prepare()
            prepared = [source.detach().requires_grad_(source.requires_grad) for source in sources]
            collected = _Gradients([*sides, *parameters, *prepared])
            for scores, part in _score_again(similarity, images, texts, prepared, gradient):
                collected.add([scores], [part])
            through = [(source, copy) for source, copy in zip(sources, prepared, strict=True) if copy.requires_grad]
            collected.add([source for source, _ in through], [collected.of(copy) for _, copy in through])
        found = zip([*sides, *parameters], wanted, strict=True)
        return None, None, None, *(collected.of(tensor) if wants else None for tensor, wants in found)


class _Gradients:
    """Sums of the gradients of some tensors, initially zero."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = [tensor for tensor in tensors if tensor.requires_grad]
        self._sums = {id(tensor): torch.zeros_like(tensor) for tensor in self._tensors}

    def add(self, outputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Add the gradients from outputs with these gradients."""
        if outputs:
            found = torch.autograd.grad(outputs, self._tensors, gradients, allow_unused=True)
            for tensor, gradient in zip(self._tensors, found, strict=True):
                if gradient is not None:
                    self._sums[id(tensor)] += gradient

    def of(self, tensor: Tensor) -> Tensor:
        """Return the sum of one of the tensors."""
        return self._sums[id(tensor)]


def _score_again(
    similarity: PairwiseSimilarity, images: Embeddings, texts: Embeddings, prepared: Sequence[Tensor], gradient: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield scores with a graph, and their gradient, until every pair with a gradient is covered."""
    for chosen, length in group_by_length(texts):
        of_words = gradient[:, chosen]
        active = of_words != 0
        if not active.any():
            continue
        if similarity.couples_images() or active.sum() > MOST_PAIRS * active.numel():
            for rows, columns in similarity.cut_blocks(images, len(chosen), length):
                if active[rows, columns].any():
                    words = take_sets(texts, chosen[columns], length)
                    yield similarity.score(images[rows], words, prepared, paired=False), of_words[rows, columns]
            continue
        pairs = active.nonzero()
        for part in cut_evenly(len(pairs), max(1, similarity.block // similarity.count_numbers(images, length))):
            row, column = pairs[part].T
            lengths = None if images.lengths is None else images.lengths[row]
            regions = Embeddings(images.embeddings.index_select(0, row), images.regions.index_select(0, row), lengths)
            words = take_sets(texts, chosen[column], length)
            yield similarity.score(regions, words, prepared, paired=True), of_words[row, column, None]
