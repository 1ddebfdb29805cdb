"""The similarities of dual encoders: the cosine with a learned scale and bias, and the largest of several."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from vsezoo.batch import Embeddings
from vsezoo.interfaces import Similarity, Weights
from vsezoo.recipe.options import OneOf


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
        """Take from the names of the tensors what there is."""
        names = weights.tensors("")
        return {"form": "divide" if "temperature" in names else "exp", "bias": "logit_bias" in names, **options}

    def load_pretrained(self, weights: Weights | None = None) -> None:
        """Take scale and bias from the file of the dual encoder; BLIP's has none."""
        if weights is None:
            return
        tensors = weights.tensors("")
        if "temperature" in tensors or "logit_scale" in tensors:
            scale = tensors["temperature" if self.form == "divide" else "logit_scale"]
            self.scale.data = scale.float().reshape(()).clone()
        else:
            self.scale.data = torch.tensor(1.0 if self.form == "divide" else 0.0)
        if self.bias is not None:
            self.bias.data = tensors["logit_bias"].float().reshape(()).clone()

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return the scores `(N, M)` of unit vectors `(N, D)` and `(M, D)`."""
        cosines = images @ texts.T
        scores = cosines / self.scale if self.form == "divide" else self.scale.exp() * cosines
        return scores if self.bias is None else scores + self.bias


class MaxQuerySimilarity(Similarity):
    """`s(i, c) = max_q f_q(i) · g(c)`, of the vectors of an image and that of a caption: BLIP-2 (Li et al. 2023)."""

    inputs = "sets"
    tile = 2**16

    def forward(self, images: Embeddings, texts: Embeddings) -> Tensor:
        """Return the scores `(N, M)` of images with Q vectors each, and the first vector of each caption."""
        cosines = images.regions @ texts.regions[:, 0].T
        return cosines.masked_fill(~images.mask[:, :, None], -torch.inf).amax(dim=1)
