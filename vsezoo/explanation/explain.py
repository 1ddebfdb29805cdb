"""The explanation of one image and one caption, and how it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from vsezoo.batch import Embeddings, Tokens
from vsezoo.errors import RecipeError, UsageError, report_system_errors
from vsezoo.explanation.gradients import find_grid, weigh_inputs
from vsezoo.explanation.protocols import Attends, FindsView, NamesTokens
from vsezoo.explanation.regions import Regions
from vsezoo.model import JointEmbedding

Method = Literal["auto", "attention", "gradient"]


@dataclass(frozen=True)
class Explanation:
    """How the words of a caption and the regions of an image make up their score.

    Attributes:
        caption: the caption.
        score: the model's score of the pair.
        method: "attention" or "gradient".
        attends: with attention, which side distributes it: "words" over the regions, or "regions" over the words.
        words: the text of each token.
        word_weights: `(L,)`; with attention, the largest weight of each word.
        region_weights: `(L, R)` with attention, of each region for each word; `(1, R)` with the gradient; `(1, 0)` for
            an image that is one vector.
        regions: the places of the regions.
    """

    caption: str
    score: float
    method: str
    attends: str
    words: tuple[str, ...]
    word_weights: np.ndarray
    region_weights: np.ndarray
    regions: Regions

    def find_best(self, row: int) -> int:
        """Return the region with the largest weight for a word; row 0 with the gradient."""
        return int(self.region_weights[row].argmax())

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        words: list[dict[str, Any]] = []
        for row, (word, weight) in enumerate(zip(self.words, self.word_weights.tolist(), strict=True)):
            words.append({"word": word, "weight": weight})
            if self.method == "attention":
                words[-1] |= {"region": self.find_best(row), "weights": self.region_weights[row].tolist()}
        regions = self.regions.to_json()
        if self.method == "gradient":
            regions["weights"] = self.region_weights[0].tolist()
        return {
            "caption": self.caption,
            "score": self.score,
            "method": self.method,
            "attends": self.attends,
            "words": words,
            "regions": regions,
        }


@report_system_errors
def explain(
    model: JointEmbedding, image: Any, caption: str, *, method: Method = "auto", regions: Regions | None = None
) -> Explanation:
    """Explain the score of an image and a caption.

    Args:
        model: a loaded model.
        image: a picture (`PIL.Image.Image`), or features `(F,)` or `(R, F)`, as the image encoder takes them.
        caption: the caption.
        method: "attention" of a similarity that has it; "gradient": gradient x input, of any model; "auto": attention
            if the similarity has it.
        regions: the places of the regions of features; those of a picture are known.

    Raises:
        UsageError: for a caption without a known word, or attention of a similarity that has none.
        DataError: for an image that the model does not take.
        RecipeError: for a part whose attention or gradients cannot be used.
    """
    similarity = model.similarity
    if method == "attention" and not isinstance(similarity, Attends):
        raise UsageError(
            f"The similarity {model.recipe.similarity.name!r} has no attention: "
            + (
                "it shows none."
                if model.compares_sets
                else "it compares one vector of the image with one of the caption."
            ),
            remedy="Use --method gradient, or a model that attends to regions, such as scan-t2i.",
        )
    if not caption.strip() or not model.tokenizer.knows(caption):
        raise UsageError(
            f"The model knows no word of the caption {caption!r}.",
            remedy="Describe the image in words of its training captions.",
        )
    if isinstance(image, Image.Image):
        image = ImageOps.exif_transpose(image)
    training = model.training
    model.eval()
    try:
        batch = [image] if isinstance(image, Image.Image) else np.asarray(image)[None]
        sides = model.embed_images(batch), model.embed_texts([caption])
        with torch.inference_mode():
            score = float(similarity.compare(*sides))
        inputs = model.image_encoder.transform(False)(batch).to(model.device)
        assert isinstance(inputs, Tensor)  # one image has one number of regions
        if method != "gradient" and isinstance(similarity, Attends):
            weights, grid = _read_attention(similarity, *sides), None
            if isinstance(image, Image.Image):
                grid = find_grid(model, inputs, weights.shape[1])
            of_words, attends = weights.max(axis=1), getattr(similarity, "attends", "words")
        else:
            tokens = Tokens.pad(model.tokenizer.encode([caption])).to(model.device)
            found = weigh_inputs(model, inputs, tokens, picture=isinstance(image, Image.Image))
            weights = np.zeros((1, 0)) if found.regions is None else found.regions[None]
            of_words, grid, attends = found.words, found.grid, ""
    finally:
        model.train(training)
    if isinstance(image, Image.Image):
        regions = _locate_cells(model, image, weights.shape[1], grid, inputs)
    elif regions is None or regions.count != weights.shape[1]:
        regions = Regions(weights.shape[1], picture=regions.picture if regions else None)
    return Explanation(
        caption,
        score,
        "attention" if attends else "gradient",
        attends,
        tuple(name_tokens(model, caption, len(of_words))),
        of_words,
        weights,
        regions,
    )


def name_tokens(model: JointEmbedding, caption: str, count: int) -> Sequence[str]:
    """Return a text for each of the tokens of a caption."""
    tokenizer = model.tokenizer
    names = tokenizer.name_tokens(caption) if isinstance(tokenizer, NamesTokens) else caption.split()
    return names if len(names) == count else [f"token {index}" for index in range(count)]


@torch.inference_mode()
def _read_attention(similarity: Attends, images: Embeddings, texts: Embeddings) -> np.ndarray:
    """Return the weights `(L, R)` of one image and one caption."""
    found = similarity.attention(images, texts)
    shape = (1, 1, texts.size, images.size)
    if not isinstance(found, Tensor) or found.shape != shape or not found.isfinite().all():
        form = f"the shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise RecipeError(
            f"The attention of {type(similarity).__name__} has {form}; expected finite weights of the shape {shape}.",
            remedy="Report this to the author of the similarity.",
        )
    weights: np.ndarray = found[0, 0, : int(texts.counts[0]), : int(images.counts[0])].double().cpu().numpy()
    return weights


def _locate_cells(
    model: JointEmbedding, picture: Image.Image, count: int, grid: tuple[int, int] | None, inputs: Tensor
) -> Regions:
    """Return the cells of a picture; without places where it is not known which part of it the encoder sees."""
    regions = Regions(count, picture=picture, aspect=picture.width / picture.height)
    encoder = model.image_encoder
    view = encoder.find_view(*picture.size) if isinstance(encoder, FindsView) else None
    if grid is None or inputs.dim() != 4:
        return regions
    if view is None:
        return replace(regions, grid=grid, picture=None, aspect=1.0)
    return replace(regions, grid=grid, view=view)
