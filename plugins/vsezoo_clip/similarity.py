"""The similarities of dual encoders: the cosine with a learned scale and bias, and the largest of several."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from vsezoo.batch import Embeddings
from vsezoo.errors import CheckpointError
from vsezoo.interfaces import Similarity, Weights
from vsezoo.recipe.options import OneOf
from vsezoo.storage.tensors import require_finite
from vsezoo_clip.families import find_family, find_outer


class ScaledCosineSimilarity(Similarity):
    """`s(i, c) = exp(t) f(i) · g(c) + b`, the logits of CLIP (Radford et al. 2021) and SigLIP (Zhai et al. 2023).

    Scale and bias do not change ranks. They are what losses and probabilities need: SigLIP's probability that a caption
    belongs to an image is `sigmoid(s)`; CLIP's is a softmax over the captions or images that are compared.

    Args:
        form: what the stored scale is. "exp": its logarithm; "divide": a temperature, which the cosine is divided by.
        bias: whether there is a bias b. SigLIP has one.
        learn: train scale and bias.
    """

    metric = "inner_product"  # up to the scale and the bias, which keep the order

    def __init__(
        self, *, form: Annotated[str, OneOf("exp", "divide")] = "exp", bias: bool = False, learn: bool = True
    ) -> None:
        super().__init__()
        self.form = form
        self.scale = nn.Parameter(torch.tensor(1.0 if form == "divide" else 0.0), requires_grad=learn)
        self.bias = nn.Parameter(torch.tensor(0.0), requires_grad=learn) if bias else None

    @classmethod
    def resolve_pretrained(cls, options: dict[str, object], weights: Weights) -> dict[str, object]:  # type: ignore[override]
        """Take from the family, and the names of the tensors, what there is."""
        family, tensors = find_family(weights.config()), _read_tensors(weights)
        divides = "temperature" in tensors if family is None else family.scale == "temperature"
        return {"form": "divide" if divides else "exp", "bias": "logit_bias" in tensors, **options}

    def load_pretrained(self, weights: Weights | None = None) -> None:
        """Take scale and bias from the file of the dual encoder; without a scale, that which its training starts from.

        BLIP has no scale.
        """
        if weights is None:
            return
        tensors, name = _read_tensors(weights), "temperature" if self.form == "divide" else "logit_scale"
        if name not in tensors:
            tensors[name] = torch.tensor(_find_first_scale(weights))
        scale = tensors[name]
        require_finite({name: scale.float()}, weights.folder)
        self.scale.data = scale.float().reshape(()).clone()
        if self.bias is not None:
            self.bias.data = tensors["logit_bias"].float().reshape(()).clone()

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return the scores `(N, M)` of unit vectors `(N, D)` and `(M, D)`."""
        cosines = images @ texts.T
        scores = cosines / self.scale if self.form == "divide" else self.scale.exp() * cosines
        return scores if self.bias is None else scores + self.bias


def _read_tensors(weights: Weights) -> dict[str, Tensor]:
    family = find_family(weights.config())
    outer = find_outer(weights, family.image.module if family else "visual")
    return dict(weights.tensors(outer))


def _find_first_scale(weights: Weights) -> float:
    """Return the scale that training starts from. transformers 5.24 has some families start from undefined memory."""
    config = weights.config()
    family = find_family(config)
    if family is None:
        raise CheckpointError(
            "lacks the tensor logit_scale.", file=weights.folder, remedy="Get all files of the model again."
        )
    return float(config.get(f"{family.scale}_init_value", family.first_scale)) if family.scale else 0.0


class MaxQuerySimilarity(Similarity):
    """`s(i, c) = max_q f_q(i) · g(c)`, of the vectors of an image and that of a caption: BLIP-2 (Li et al. 2023)."""

    inputs = "sets"
    tile = 2**16

    def forward(self, images: Embeddings, texts: Embeddings) -> Tensor:
        """Return the scores `(N, M)` of images with Q vectors each, and the first vector of each caption."""
        cosines = images.regions @ texts.regions[:, 0].T
        return cosines.masked_fill(~images.mask[:, :, None], -torch.inf).amax(dim=1)
