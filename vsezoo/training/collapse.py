"""Notice embeddings that have all fallen into one point."""

from __future__ import annotations

PATIENCE = 10  # records in a row, each ten steps after the one before
TOLERANCE = 0.02  # the original VSE++ code stood at 51.5 of 51.2 on Flickr8K

CURE = (
    "The loss has stood for {steps} steps at {plateau:.4g}, where it is when all embeddings are equal "
    "(2 · batch · margin for max violation): the model has collapsed, or nearly. It may come out of that by itself, if "
    "the recalls on dev rise from epoch to epoch. Cures: sum over all negatives in the first "
    "epochs (--warmup-epochs 1), do not take captions of the same image for negatives (--mask-same-image), subtract "
    "the mean feature (--set image_encoder.center=true), a lower learning rate, or a larger batch."
)


class CollapseMonitor:
    """Tells when the loss sits at the value that it has for equal embeddings, once in a training.

    Args:
        in_a_row: how many of the last records were there already, where a training goes on.
        patience: how many records in a row must be there.
        tolerance: how near, as a share of that value.
    """

    def __init__(self, in_a_row: int = 0, *, patience: int = PATIENCE, tolerance: float = TOLERANCE) -> None:
        self.in_a_row = in_a_row
        self.patience = patience
        self.tolerance = tolerance

    def update(self, loss: float, plateau: float) -> bool:
        """Take note of a loss; return True once, when the patience is used up.

        Args:
            loss: of a batch.
            plateau: what the loss of that batch is when all scores are equal.
        """
        if self.in_a_row == self.patience:  # told already
            return False
        near = plateau > 0 and abs(loss - plateau) <= self.tolerance * plateau
        self.in_a_row = self.in_a_row + 1 if near else 0
        return self.in_a_row == self.patience
