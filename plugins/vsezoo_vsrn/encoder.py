"""The image encoder of VSRN (Li, Zhang, Li, Li, Fu; ICCV 2019): reasoning over the regions of an image.

VSE++ has one feature for each image. VSRN has a set of them, one for each salient region found by a detector, and turns
the set into one vector in three steps. Sections of the paper are in brackets.

1. Region relationship reasoning (3.2). The affinity of two regions is the inner product of their embeddings, and each
   region aggregates the others weighted by affinity: four graph convolutions with residual connections, on a graph
   defined by the image itself (`RelationBlock`).
2. Global semantic reasoning (3.3). A GRU reads the regions one by one. Its last state is the embedding of the image.
3. The embedding is scaled to unit length, as in VSE++.

The regions after step 1 are returned as well: the loss of VSRN generates the caption from them (`vsezoo.captioning`,
loss `caption`), which teaches them the content of sentences.

**The axis of the norms.** The regions are normalised before and after step 1. The original code does so along dimension
1 of `(B, R, D)`, the regions: for each feature, the squares over all regions of an image sum to 1. Its author calls the
other axis more reasonable (KunpengLi1994/VSRN, issue 7), but the published models were trained this way and need
it. `norm_axis="region"` is the original, `"feature"` the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.batch import Embeddings
from vsezoo.encoders.precomputed import FeatureImageEncoder
from vsezoo.encoders.recurrence import Sequences, read_last
from vsezoo.errors import DataError, TrainingError
from vsezoo.interfaces import PairDataset
from vsezoo.recipe.options import AtLeast, OneOf

NORM_AXES = {"region": 1, "feature": 2}
"""The dimensions of `(B, R, D)` by the values of the option `norm_axis`."""


class RelationBlock(nn.Module):
    """Graph convolution on a fully connected graph of regions, with a residual connection (section 3.2).

    Of N regions `v_i` in the rows of V: the relations are `R(v_i, v_j) = θ(v_i)ᵀ φ(v_j)`, divided by N without a
    softmax, and `V* = W(R g(V) / N) + V`. θ, φ and g are linear; W is linear followed by batch norm, whose scale and
    shift are initialised to 0, so that the block starts as the identity. The original's convolutions of width 1 over
    the regions are the same linear maps, slower on a CPU.

    Two maps in succession are one: the relations are `v_iᵀ (Θᵀ Φ) v_j` with the matrices of θ and φ, and W after g is
    the matrix `W G`, each with the terms of the biases. A batch of more regions than the width takes these: two
    products of matrices replace two with all regions, and their gradients as well.

    Args:
        width: D, the width of a region.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.theta, self.phi, self.g = (nn.Linear(width, width) for _ in range(3))
        norm = nn.BatchNorm1d(width)
        nn.init.zeros_(norm.weight)
        self.W = nn.Sequential(nn.Linear(width, width), norm)

    def forward(self, regions: Tensor) -> Tensor:
        """Return the related regions `(B, R, D)` of regions `(B, R, D)`."""
        merges = len(regions) * regions.shape[1] > regions.shape[2]
        change = self._change_merged(regions) if merges else self._change(regions)
        # The regions of all images are the samples of batch norm.
        normed: Tensor = self.W[1](change.flatten(0, 1)).view_as(regions)
        return normed + regions

    def _change(self, regions: Tensor) -> Tensor:
        relations = self.theta(regions) @ self.phi(regions).transpose(1, 2) / regions.shape[1]
        change: Tensor = self.W[0](relations @ self.g(regions))
        return change

    def _change_merged(self, regions: Tensor) -> Tensor:
        theta, phi = self.theta, self.phi
        queries = functional.linear(regions, phi.weight.T @ theta.weight, theta.bias @ phi.weight)
        of_bias = functional.linear(regions, (phi.bias @ theta.weight)[None], (theta.bias @ phi.bias)[None])
        relations = torch.baddbmm(of_bias, queries, regions.transpose(1, 2)) / regions.shape[1]
        weight, bias = self.W[0].parameters()
        values = functional.linear(regions, weight @ self.g.weight, weight @ self.g.bias)
        return torch.baddbmm(bias.expand(1, 1, -1), relations, values)


class VSRNImageEncoder(FeatureImageEncoder):
    """Turns regions into one vector by reasoning over their relations.

    Args:
        embed_size: D, width of the joint embedding, of the regions in it and of the GRU.
        num_blocks: relation blocks, one after the other.
        norm_axis: along what the regions are scaled to an L2 norm of 1: "region" (the original code) or "feature".
        first_norm: scale the regions before the first block; the original does for all data but `f30k_precomp`.
        final_batch_norm: batch norm before the embedding is scaled; the original has it only for `f30k_precomp`.
        update_bias: what the bias of the GRU's update gate starts with, plus its random part. At 0, as in the paper,
            the GRU halves what it remembers at each region, so that the last few decide at first; at 3 it begins near
            the mean of the last twenty (after Jozefowicz et al. 2015, who do so to an LSTM's forget gate).
        **of_features: the options of `FeatureImageEncoder`; its features are those of the regions.

    Raises:
        RecipeError: for an invalid value.
    """

    kinds: ClassVar[tuple[str, ...]] = ("regions",)
    gives = "sets"

    def __init__(
        self,
        *,
        embed_size: int,
        num_blocks: Annotated[int, AtLeast(0)] = 4,
        norm_axis: Annotated[str, OneOf(*NORM_AXES)] = "region",
        first_norm: bool = True,
        final_batch_norm: bool = False,
        update_bias: float = 0.0,
        **of_features: Any,
    ) -> None:
        super().__init__(embed_size=embed_size, **of_features)
        self.norm_axis, self.first_norm = norm_axis, first_norm
        self.blocks = nn.Sequential(*(RelationBlock(embed_size) for _ in range(num_blocks)))
        self.img_rnn = nn.GRU(embed_size, embed_size, batch_first=True)
        with torch.no_grad():
            _, of_update, _ = self.img_rnn.get_parameter("bias_ih_l0").chunk(3)  # torch's order: reset, update, new
            of_update += update_bias
        self.bn = nn.BatchNorm1d(embed_size) if final_batch_norm else None

    @classmethod
    def resolve_options(cls, options: Mapping[str, Any], data: PairDataset) -> dict[str, Any]:
        """Read the width of a region's feature from the data.

        Raises:
            RecipeError: for a different width.
            DataError: for a single region, if norms are taken over the regions.
        """
        if data.kind == "regions":
            _require_several(data.image_shape[0], options.get("norm_axis", "region"))
        return super().resolve_options(options, data)

    def forward(self, images: Tensor) -> Embeddings:
        """Return joint embeddings `(B, D)` and related regions `(B, R, D)` of features `(B, R, F)`.

        Raises:
            DataError: for features of the wrong shape, or a single region, if norms are taken over the regions.
            TrainingError: in training, for a batch of one pair with `final_batch_norm`, which needs two.
        """
        regions = self.project(images, ("images", "regions"))
        _require_several(regions.shape[1], self.norm_axis)
        if self.first_norm:
            regions = self._scale(regions)
        regions = self._scale(self.blocks(regions))
        count = torch.full((len(regions),), regions.shape[1])
        embeddings = read_last(self.img_rnn, Sequences.of(regions, count))[-1]
        if self.bn is not None:
            if self.training and len(embeddings) == 1:
                raise TrainingError(
                    "image_encoder.final_batch_norm cannot train on a batch of one pair.",
                    remedy="Drop the last batch with --set training.last_batch=drop, or choose another batch size.",
                )
            embeddings = self.bn(embeddings)
        return Embeddings(self.finish(embeddings), regions)

    def _scale(self, regions: Tensor) -> Tensor:
        return functional.normalize(regions, dim=NORM_AXES[self.norm_axis])


def _require_several(regions: int, norm_axis: str) -> None:
    """Refuse single regions, of which the norm over the regions would leave only signs."""
    if regions < 2 and norm_axis == "region":
        raise DataError(
            f"the images have {regions} region each, and a norm over a single region leaves only signs.",
            remedy="Normalise along the features (--set image_encoder.norm_axis=feature), or use a model for vectors.",
        )
