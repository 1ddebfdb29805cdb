"""Broken similarities and losses, each made from a sound one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from museum import exhibit
from torch import Tensor
from torch.nn import functional

from vsezoo.batch import Embeddings
from vsezoo.interfaces import Batch, Loss, LossOutput, Similarity


@exhibit()
class SoundScores(Similarity):
    """Nothing is wrong: the inner product."""

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        return images @ texts.T


@exhibit("shapes", "blocks")
class CaptionsInRows(SoundScores):
    """Rows and columns have changed places."""

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        return texts @ images.T


@exhibit("blocks")
class ScaledByBatch(SoundScores):
    """The best pair of the batch has a score of 1."""

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        scores = super().forward(images, texts)
        return scores / scores.abs().max()


@exhibit("direction")
class Distance(Similarity):
    """The lower, the better."""

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        return torch.cdist(images, texts)


@exhibit("input-gradients")
class RootOfZero(Similarity):
    """Equal vectors have no finite gradient."""

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        return -(images[:, None] - texts[None]).square().sum(dim=-1).sqrt()


@exhibit("input-gradients")
class FrozenImages(SoundScores):
    """Images learn nothing."""

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        return super().forward(images.detach(), texts)


@exhibit("declarations")
class NoInnerProduct(SoundScores):
    """An index that relies on the declaration finds others."""

    metric = "inner_product"

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        return 2 * super().forward(images, texts)


@exhibit()
class SoundReplayedScores(SoundScores):
    """Nothing is wrong: what a GPU replays needs no value."""

    replayable = True


@exhibit("replayable")
class ReadsAValue(SoundScores):
    """A replayed step would keep the scale of the batch that was recorded."""

    replayable = True

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        scores = super().forward(images, texts)
        return scores if bool(scores.isfinite().all()) else scores.nan_to_num()


@exhibit("replayable")
class DropsNumbers(SoundScores):
    """Recording a step draws numbers that an interrupted run has not drawn."""

    replayable = True

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        return super().forward(functional.dropout(images, 0.1, self.training), texts)


@exhibit()
class SoundSets(Similarity):
    """Nothing is wrong: the mean, over the words, of the region that fits best."""

    inputs = "sets"

    def forward(self, images: Embeddings, texts: Embeddings) -> Tensor:
        products = torch.einsum("nkd,mld->nmlk", images.regions, texts.regions)
        best = products.masked_fill(~images.mask[:, None, None], -torch.inf).amax(dim=3)
        return self.summarise(best, texts)

    def summarise(self, best: Tensor, texts: Embeddings) -> Tensor:
        """Return a score of what was found for each word."""
        return (best * texts.mask).sum(dim=2) / texts.counts


@exhibit("padding")
class CountsEmptyWords(SoundSets):
    """The mean is over the padding as well."""

    def summarise(self, best: Tensor, texts: Embeddings) -> Tensor:
        return best.mean(dim=2)


@exhibit("padding")
class FindsEmptyRegions(SoundSets):
    """The best region may be padding."""

    def forward(self, images: Embeddings, texts: Embeddings) -> Tensor:
        best = torch.einsum("nkd,mld->nmlk", images.regions, texts.regions).amax(dim=3)
        return self.summarise(best, texts)


@exhibit()
class ShowsAttention(SoundSets):
    """Nothing is wrong: words attend to regions."""

    def attention(self, images: Embeddings, texts: Embeddings) -> Tensor:
        """Return weights that add up to 1 over the regions, and 0 for padding."""
        products = torch.einsum("nkd,mld->nmlk", images.regions, texts.regions)
        weights = products.masked_fill(~images.mask[:, None, None], -torch.inf).softmax(dim=3)
        return weights * texts.mask[None, :, :, None]


@exhibit("attention")
class ShowsEmptyWords(ShowsAttention):
    """The padding attends to regions, too."""

    def attention(self, images: Embeddings, texts: Embeddings) -> Tensor:
        return super().attention(images, Embeddings(texts.embeddings, texts.regions))


@exhibit("attention")
class ConfusesSides(ShowsAttention):
    """Its words attend to regions, and it says the opposite."""

    attends = "regions"


@exhibit("blocks")
class ComparesWords(SoundSets):
    """The score is that next to the other captions."""

    def summarise(self, best: Tensor, texts: Embeddings) -> Tensor:
        scores = super().summarise(best, texts)
        return scores / scores.abs().max()


@exhibit()
class SoundLoss(Loss):
    """Nothing is wrong: the cross-entropy of the matches, in both directions."""

    def costs(self, scores: Tensor) -> Tensor:
        """Return what each pair costs."""
        matches = torch.arange(len(scores))
        directions = [functional.cross_entropy(logits, matches, reduction="none") for logits in (scores, scores.T)]
        return torch.stack(directions).sum(dim=0)

    def forward(self, scores: Tensor, images: Any, texts: Tensor, batch: Batch) -> LossOutput:
        total = self.costs(scores).sum()
        return LossOutput(total, {"costs": total.detach()})


@exhibit("scalar")
class KeepsGraph(SoundLoss):
    """The log would hold the graph of every step."""

    def forward(self, scores: Tensor, images: Any, texts: Tensor, batch: Batch) -> LossOutput:
        total = self.costs(scores).sum()
        return LossOutput(total, {"costs": 2 * total})


@exhibit("scalar")
class CountsNegatives(SoundLoss):
    """One pair has no negatives to divide by."""

    additive = False

    def forward(self, scores: Tensor, images: Any, texts: Tensor, batch: Batch) -> LossOutput:
        return LossOutput(self.costs(scores).sum() / torch.tensor(len(scores) - 1))


@exhibit()
class WantsTensors(SoundLoss):
    """Nothing is wrong: a loss that asks for no sets gets tensors, whatever the image encoder returns."""

    def forward(self, scores: Tensor, images: Any, texts: Tensor, batch: Batch) -> LossOutput:
        return LossOutput(self.costs(scores).sum() + 0.01 * images.square().sum())


@exhibit()
class SoundSetLoss(SoundLoss):
    """Nothing is wrong: words are drawn to the regions of their image."""

    needs = "sets"

    def forward(self, scores: Tensor, images: Embeddings, texts: Embeddings, batch: Batch) -> LossOutput:
        means = [(side.regions * side.mask[:, :, None]).sum(dim=1) / side.counts[:, None] for side in (images, texts)]
        return LossOutput(self.costs(scores).sum() + 0.1 * (means[0] - means[1]).square().sum())


@exhibit("forms")
class CountsEmptyRegions(SoundLoss):
    """The mean is over the padding as well."""

    needs_regions = True  # as before there was `needs`

    def forward(self, scores: Tensor, images: Embeddings, texts: Tensor, batch: Batch) -> LossOutput:
        return LossOutput(self.costs(scores).sum() + 0.1 * images.regions.mean(dim=1).square().sum())


@exhibit("direction")
class WrongWay(SoundLoss):
    """The sign is wrong."""

    def forward(self, scores: Tensor, images: Any, texts: Tensor, batch: Batch) -> LossOutput:
        return LossOutput(-self.costs(scores).sum())


@exhibit("differences")
class DetachedTexts(SoundLoss):
    """A part of the loss has no gradient."""

    def forward(self, scores: Tensor, images: Any, texts: Tensor, batch: Batch) -> LossOutput:
        return LossOutput(self.costs(scores).sum() + 0.1 * texts.detach().square().sum())


@exhibit("pair-order", "sum")
class FirstCountsMost(SoundLoss):
    """A pair weighs by its place."""

    def forward(self, scores: Tensor, images: Any, texts: Tensor, batch: Batch) -> LossOutput:
        return LossOutput((self.costs(scores) / torch.arange(1, len(scores) + 1)).sum())


@exhibit("sum")
class Mean(SoundLoss):
    """A mean over the batch."""

    def forward(self, scores: Tensor, images: Any, texts: Tensor, batch: Batch) -> LossOutput:
        return LossOutput(self.costs(scores).mean())


@exhibit()
class DeclaredMean(Mean):
    """Nothing is wrong: the same, declared."""

    additive = False


@exhibit(leave_out=("pair-order", "sum"))
class DeclaredPlaces(FirstCountsMost):
    """Nothing is wrong: checks of what is meant so are left out."""


@exhibit("plateau")
class OtherPlateau(SoundLoss):
    """That of one direction."""

    def plateau(self, scores: Tensor, images: Any, texts: Any, batch: Batch, output: LossOutput) -> Tensor:
        return super().plateau(scores, images, texts, batch, output) / 2


@exhibit("share")
class CountsImages(SoundLoss):
    """The images of one process are not those of the batch."""

    def forward(self, scores: Tensor, images: Any, texts: Tensor, batch: Batch) -> LossOutput:
        output = super().forward(scores, images, texts, batch)
        return replace(output, total=output.total * len(batch.images) / len(scores))


@exhibit("construction")
class ReturnsTensor(SoundLoss):
    """The loss alone, without its form."""

    def forward(self, scores: Tensor, images: Any, texts: Tensor, batch: Batch) -> Any:
        return self.costs(scores).sum()


@exhibit("inputs")
class ChangesIndex(SoundLoss):
    """The next part of a loss takes all captions for those of one image."""

    def forward(self, scores: Tensor, images: Any, texts: Tensor, batch: Batch) -> LossOutput:
        batch.image_index.zero_()
        return super().forward(scores, images, texts, batch)
