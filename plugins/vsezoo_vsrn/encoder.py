"""The image encoder of VSRN (Li, Zhang, Li, Li, Fu; ICCV 2019): reasoning over the regions of an image.

VSE++ has one feature for each image. VSRN has a set of them, one for each region that a detector found salient, and
makes one vector of the set in three steps. The sections in brackets are those of the paper.

1. Region relationship reasoning (3.2). Every region is related to every other one by how well their embeddings fit, and
   takes from the others what its relations let through: graph convolution on a graph that the image itself defines,
   four times over, each time as a residual (`RelationBlock`).
2. Global semantic reasoning (3.3). A GRU reads the regions one by one. What its gates keep until the last region is
   the embedding of the image.
3. The embedding is scaled to unit length, as in VSE++.

The regions after step 1 are returned as well: the loss of VSRN writes the caption from them (`vsezoo.captioning`, loss
`caption`), so that they learn to hold what a sentence would say.

**The axis of the norms.** The regions are scaled before and after step 1. The original code does it along dimension 1
of `(B, R, D)`, which is the regions: of each feature, the squares over all regions of an image add up to 1. Its author
calls the other axis more reasonable (KunpengLi1994/VSRN, issue 7), but the published models were trained so and need
it. `norm_axis="region"` is the original, `"feature"` the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from vsezoo.batch import Embeddings
from vsezoo.encoders.precomputed import FeatureImageEncoder
from vsezoo.encoders.recurrence import run_gru
from vsezoo.errors import DataError, TrainingError
from vsezoo.interfaces import PairDataset
from vsezoo.recipe.options import AtLeast, OneOf

NORM_AXES = {"region": 1, "feature": 2}
"""The dimensions of `(B, R, D)` by the names that the option `norm_axis` takes."""


class RelationBlock(nn.Module):
    """Graph convolution on a fully connected graph of regions, with a residual connection (section 3.2).

    Of N regions `v_i` in the rows of V: the relations are `R(v_i, v_j) = θ(v_i)ᵀ φ(v_j)`, divided by N and not passed
    through a softmax, and `V* = W(R g(V) / N) + V`. θ, φ and g are linear; W is linear and then batch norm, whose scale
    and shift begin at 0, so that the block begins as the identity. The original's convolutions of width 1 over the
    regions are the same linear maps, slower on a CPU.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.theta, self.phi, self.g = (nn.Linear(width, width) for _ in range(3))
        norm = nn.BatchNorm1d(width)
        nn.init.zeros_(norm.weight)
        self.W = nn.Sequential(nn.Linear(width, width), norm)

    def forward(self, regions: Tensor) -> Tensor:
        """Return the related regions `(B, R, D)` of regions `(B, R, D)`."""
        relations = self.theta(regions) @ self.phi(regions).transpose(1, 2) / regions.shape[1]
        gathered = relations @ self.g(regions)
        # Batch norm takes the regions of all images for its samples.
        change: Tensor = self.W(gathered.flatten(0, 1)).view_as(regions)
        return change + regions


class VSRNImageEncoder(FeatureImageEncoder):
    """Regions to one vector by reasoning over their relations.

    Args:
        embed_size: D, the width of the joint embedding, of the regions in it and of the GRU.
        num_blocks: relation blocks, one after the other.
        norm_axis: along what the regions are scaled to an L2 norm of 1: "region" (the original code) or "feature".
        first_norm: scale the regions before the first block; the original does for all data but `f30k_precomp`.
        final_batch_norm: batch norm before the embedding is scaled; the original has it for `f30k_precomp` alone.
        update_bias: what the bias of the GRU's update gate begins with, beside its random part. At 0, as in the paper,
            the GRU halves what it remembers at each region, so that the last few decide at first; at 3 it begins near
            the mean of the last twenty (after Jozefowicz et al. 2015, who do so to an LSTM's forget gate).
        **of_features: the options of `FeatureImageEncoder`; its features are those of the regions.

    Raises:
        RecipeError: for a value that an option cannot have.
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
            self.img_rnn.get_parameter("bias_ih_l0")[embed_size : 2 * embed_size] += (
                update_bias  # torch's order: reset, update, new
            )
        self.bn = nn.BatchNorm1d(embed_size) if final_batch_norm else None

    @classmethod
    def resolve_options(cls, options: Mapping[str, Any], data: PairDataset) -> dict[str, Any]:
        """Take the width of a region's feature from the data.

        Raises:
            RecipeError: for another width.
            DataError: for a single region where norms are taken over the regions.
        """
        if data.kind == "regions":
            _require_several(data.image_shape[0], options.get("norm_axis", "region"))
        return super().resolve_options(options, data)

    def forward(self, images: Tensor) -> Embeddings:
        """Return joint embeddings `(B, D)` and related regions `(B, R, D)` of features `(B, R, F)`.

        Raises:
            DataError: for features of another shape, or a single region where norms are taken over the regions.
            TrainingError: in training, for a batch of one pair with `final_batch_norm`, which needs two.
        """
        regions = self.project(images, ("images", "regions"))
        _require_several(regions.shape[1], self.norm_axis)
        if self.first_norm:
            regions = self._scale(regions)
        regions = self._scale(self.blocks(regions))
        embeddings = run_gru(self.img_rnn, _pack(regions))
        if self.bn is not None:
            if self.training and len(embeddings) == 1:
                raise TrainingError(
                    "image_encoder.final_batch_norm cannot train on a batch of one pair.",
                    remedy="Drop the last batch, --set training.last_batch=drop, or choose another batch size.",
                )
            embeddings = self.bn(embeddings)
        return Embeddings(self.finish(embeddings), regions)

    def _scale(self, regions: Tensor) -> Tensor:
        return functional.normalize(regions, dim=NORM_AXES[self.norm_axis])


def _pack(regions: Tensor) -> PackedSequence:
    """Return sequences `(B, R, D)` of one length as the GRU's recurrence takes them: `(R · B, D)`, step after step."""
    steps = regions.transpose(0, 1)
    return PackedSequence(steps.flatten(0, 1), torch.full((len(steps),), len(regions)))


def _require_several(regions: int, norm_axis: str) -> None:
    """Refuse what the norm over the regions would leave nothing but signs of."""
    if regions < 2 and norm_axis == "region":
        raise DataError(
            f"the images have {regions} region each, and a norm over the regions leaves nothing but signs of one.",
            remedy="Scale along the features, --set image_encoder.norm_axis=feature, or use a model for one feature.",
        )
