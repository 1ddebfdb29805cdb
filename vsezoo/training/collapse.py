"""Detect the collapse of all embeddings to one point."""

from __future__ import annotations

PATIENCE = 10  # consecutive records, ten steps apart
TOLERANCE = 0.02  # the original VSE++ code had 51.5 instead of 51.2 on Flickr8K

CURE = (
    "For {steps} steps, the loss has been {plateau:.4g}, its value if all embeddings are equal "
    "(2 · batch · margin for max violation): the model has (almost) collapsed. It may recover by itself, if "
    "the recalls on dev rise from epoch to epoch. Remedies: sum over all negatives in the first "
    "epochs (--warmup-epochs 1), do not use captions of the same image as negatives (--mask-same-image), subtract "
    "the mean feature (--set image_encoder.center=true), a lower learning rate, or a larger batch."
)


class CollapseMonitor:
    """Detects, once per run, that the loss stays at its value for equal embeddings.

    Args:
        in_a_row: number of consecutive records on that value before, if a run is resumed.
        patience: number of consecutive records required.
        tolerance: relative distance from that value.
    """

    def __init__(self, in_a_row: int = 0, *, patience: int = PATIENCE, tolerance: float = TOLERANCE) -> None:
        self.in_a_row = in_a_row
        self.patience = patience
        self.tolerance = tolerance

    def update(self, loss: float, plateau: float) -> bool:
        """Record a loss; return True once, when the patience is exhausted.

        Args:
            loss: loss of a batch.
            plateau: loss of that batch if all scores were equal.
        """
        if self.in_a_row == self.patience:  # reported already
            return False
        near = plateau > 0 and abs(loss - plateau) <= self.tolerance * plateau
        self.in_a_row = self.in_a_row + 1 if near else 0
        return self.in_a_row == self.patience
