"""Captions of images: greedy and beam search for the words that a caption decoder gives the highest probability."""

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
from vsezoo.text import END, PAD, START


@dataclass(frozen=True)
class Caption:
    """A caption that was written.

    Attributes:
        text: its words, with spaces between them.
        log_probability: natural logarithm, of the words and of the end after them.
    """

    text: str
    log_probability: float


@torch.inference_mode()
def write_captions(
    model: JointEmbedding, loss: CaptionLoss, images: Any, *, beam: int = 1, max_len: int = 0, batch_size: int = 64
) -> list[Caption]:
    """Write a caption of each image, the same one at each call.

    Args:
        model: in eval mode, as `vsezoo.load` gives it.
        loss: what it was trained with, in eval mode, as `vsezoo.checkpoints.checkpoint.load_loss` gives it.
        images: as `JointEmbedding.encode_images` takes them.
        beam: how many captions are pursued at the same time; 1 takes the most probable word at each step.
        max_len: words in a caption at most; 0: as many as in training.
        batch_size: images at a time.

    Raises:
        UsageError: for a beam of nothing, or a negative length.
        DataError: for images that the model does not take, or with NaN in them.
        RecipeError: when the image encoder gives no regions.
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
                f"The image at index {start + int(finite.int().argmin())} holds NaN or infinite numbers.",
                remedy="Mend or leave out this image.",
            )
        found = search_words(loss.decoder, regions, beam, max_len or loss.max_len - 2, lengths)
        captions += [Caption(" ".join(loss.vocabulary.words[word] for word in words), p) for words, p in found]
    return captions


def search_words(
    decoder: CaptionDecoder, regions: Tensor, beam: int, max_len: int, lengths: Tensor | None = None
) -> list[tuple[list[int], float]]:
    """Search for the captions with the highest mean log-probability of a word, their end included.

    At each step, `beam` captions are kept of each image's, all that can be made by one more word of those that were
    kept, and those that have ended. A caption that has not ended after `max_len` words is cut.

    Args:
        decoder: in eval mode.
        regions: `(N, R, D')`.
        beam: captions kept.
        max_len: words in a caption at most.
        lengths: how many regions each image has, `(N,)`; None: all.

    Returns:
        for each image the ids of its words, without `<start>` and `<end>`, and the log-probability of them all.
    """
    memory, states = decoder.encode(regions, lengths)
    images = torch.arange(len(regions), device=regions.device)
    rows = images.repeat_interleave(beam)
    memory, states = memory.select(rows), states[rows]
    words = torch.full((len(regions), beam, 1), START, device=regions.device)
    totals = regions.new_full((len(regions), beam), -math.inf)
    totals[:, 0] = 0  # all captions begin as the same one, which counts once
    lengths = torch.zeros_like(totals)
    ended = torch.zeros_like(totals, dtype=torch.bool)
    for _ in range(max_len):
        states = decoder.step(decoder.embed(words[:, :, -1].flatten()), states, memory)
        steps = decoder.predict(states).log_softmax(dim=-1).view(len(regions), beam, -1)
        # What has ended goes on with <pad> alone, at no cost; what has not, with anything else but <start>.
        steps = steps.masked_fill(ended[:, :, None], -math.inf)
        steps[:, :, START] = -math.inf
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
