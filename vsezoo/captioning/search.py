"""Greedy and beam search for the most probable captions of images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vsezoo.batch import Embeddings
from vsezoo.captioning.decoder import CaptionDecoder
from vsezoo.captioning.loss import CaptionLoss
from vsezoo.errors import DataError, UsageError
from vsezoo.model import JointEmbedding
from vsezoo.text import END, PAD, START, UNKNOWN


@dataclass(frozen=True)
class Caption:
    """A generated caption.

    Attributes:
        text: its words, separated by spaces.
        log_probability: natural logarithm of the probability of the words and of the end after them.
    """

    text: str
    log_probability: float


@torch.inference_mode()
def write_captions(
    model: JointEmbedding,
    loss: CaptionLoss,
    images: Any,
    *,
    beam: int = 1,
    max_len: int = 0,
    unknown: bool = False,
    batch_size: int = 64,
) -> list[Caption]:
    """Write a caption for each image; the same images always give the same captions.

    Args:
        model: in eval mode, as `vsezoo.load` gives it.
        loss: the loss it was trained with, in eval mode, as `vsezoo.checkpoints.checkpoint.load_loss` gives it.
        images: as `JointEmbedding.encode_images` takes them.
        beam: beam size; 1 takes the most probable word at each step (greedy search).
        max_len: longest caption in words; 0: as in training.
        unknown: whether `<unk>` may be written, as by VSRN's own code.
        batch_size: images in a batch.

    Raises:
        UsageError: for a beam below 1 or a negative length.
        DataError: for images of the wrong form, or with NaN or infinite numbers.
        RecipeError: when the image encoder returns no regions.
    """
    if beam < 1 or max_len < 0:
        raise UsageError(f"beam is {beam} and max_len {max_len}; they must be at least 1 and 0.")
    transform = model.image_encoder.transform(training=False)
    model.keep_items(images=True, texts=False)
    captions = []
    for start in range(0, len(images), batch_size):
        batch = transform(images[start : start + batch_size]).to(model.device)
        regions, lengths = loss.take_regions(Embeddings.of(model.image_encoder(batch)).map(Tensor.float))
        finite = regions.isfinite().flatten(1).all(dim=1)
        if not finite.all():
            raise DataError(
                f"The image at index {start + int(finite.int().argmin())} contains NaN or infinite numbers.",
                remedy="Fix or leave out this image.",
            )
        found = search_words(loss.decoder, regions, beam, max_len or loss.max_len - 2, lengths, unknown)
        captions += [Caption(" ".join(loss.vocabulary.words[word] for word in words), p) for words, p in found]
    return captions


def search_words(
    decoder: CaptionDecoder,
    regions: Tensor,
    beam: int,
    max_len: int,
    lengths: Tensor | None = None,
    unknown: bool = False,
) -> list[tuple[list[int], float]]:
    """Search for the captions with the highest mean log-probability per word, including their end.

    At each step, the best `beam` captions of each image are kept, among all continuations of the captions kept before
    and those that have ended. A caption that has not ended after `max_len` words is truncated.

    Args:
        decoder: in eval mode.
        regions: `(N, R, D')`.
        beam: captions kept for each image.
        max_len: longest caption in words.
        lengths: number of regions of each image, `(N,)`; None: all.
        unknown: whether the word for unknown words may be written; its probability is not given to other words.

    Returns:
        for each image the ids of its words, without `<start>` and `<end>`, and their total log-probability.
    """
    memory, states = decoder.encode(regions, lengths)
    images = torch.arange(len(regions), device=regions.device)
    rows = images.repeat_interleave(beam)
    memory, states = memory.select(rows), states[rows]
    words = torch.full((len(regions), beam, 1), START, device=regions.device)
    totals = regions.new_full((len(regions), beam), -math.inf)
    totals[:, 0] = 0  # all captions of an image start as the same one, which counts once
    lengths = torch.zeros_like(totals)
    ended = torch.zeros_like(totals, dtype=torch.bool)
    for _ in range(max_len):
        states = decoder.step(decoder.embed(words[:, :, -1].flatten()), states, memory)
        steps = decoder.predict(states).log_softmax(dim=-1).view(len(regions), beam, -1)
        # Captions that have ended continue with <pad> at no cost; all others with any word but <pad> and <start>.
        steps = steps.masked_fill(ended[:, :, None], -math.inf)
        steps[:, :, START] = -math.inf
        if not unknown:
            steps[:, :, UNKNOWN] = -math.inf
        steps[:, :, PAD] = torch.where(ended, 0.0, -math.inf)
        candidates = (totals[:, :, None] + steps).flatten(1)
        lengths = lengths + ~ended
        means = candidates / lengths.repeat_interleave(steps.shape[-1], dim=1)
        chosen = means.topk(beam).indices
        parents, following = chosen // steps.shape[-1], chosen % steps.shape[-1]
        totals, lengths = candidates.gather(1, chosen), lengths.gather(1, parents)
        ended = ended.gather(1, parents) | (following == END)
        words = torch.cat([words[images[:, None], parents], following[:, :, None]], dim=2)
        states = states[(images[:, None] * beam + parents).flatten()]
        if ended.all():
            break
    best = [[word for word in caption if word not in (START, END, PAD)] for caption in words[:, 0].tolist()]
    return list(zip(best, totals[:, 0].tolist(), strict=True))
