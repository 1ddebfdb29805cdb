"""The loss: a hinge without a corner."""

from torch import Tensor
from torch.nn import functional

from vsezoo.errors import RecipeError
from vsezoo.interfaces import Batch, ImageOutput, Loss, LossOutput


class SoftHingeLoss(Loss):
    """`Σ_i τ log(1 + Σ_j exp((α + S_ij - S_ii) / τ))`, and the same over the images of each caption.

    Args:
        margin: α.
        temperature: τ.
    """

    def __init__(self, *, margin: float = 0.2, temperature: float = 0.1) -> None:
        super().__init__()
        if temperature <= 0:
            raise RecipeError(f"loss.temperature is {temperature}; it must be above 0.")
        self.margin, self.temperature = margin, temperature

    def forward(self, scores: Tensor, images: Tensor | ImageOutput, texts: Tensor, batch: Batch) -> LossOutput:
        same = batch.image_index[:, None] == batch.image_index[None, :]
        matching = scores.diagonal()
        i2t, t2i = (
            self.temperature * functional.softplus(costs.masked_fill(same, -1e9).logsumexp(dim=1)).sum()
            for costs in (
                (self.margin + scores - matching[:, None]) / self.temperature,
                (self.margin + scores - matching[None, :]).T / self.temperature,
            )
        )
        return LossOutput(i2t + t2i, {"i2t": i2t.detach(), "t2i": t2i.detach()})
