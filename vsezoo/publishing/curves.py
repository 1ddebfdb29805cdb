"""Plot the curves of a training run for its card with matplotlib, which the extra `plot` installs."""

from __future__ import annotations

import io
from pathlib import Path

from vsezoo.errors import require_package
from vsezoo.training.history import read_history

CURVES = "curves.png"


def draw_curves(run: Path) -> bytes | None:
    """Return a plot of the loss and of the rsum on the dev split over the steps of a run.

    Args:
        run: folder of the run.

    Returns:
        a PNG file, the same bytes for the same log; None for a run without a log.

    Raises:
        MissingPackageError: without matplotlib.
    """
    history = read_history(run)
    if not history.steps or not history.validations:
        return None
    figure = require_package("matplotlib.figure", "The plot of the training curves").Figure(
        figsize=(8, 3), layout="constrained"
    )
    losses, scores = figure.subplots(1, 2)
    losses.plot(*zip(*history.losses, strict=True), linewidth=1)
    losses.set(xlabel="step", ylabel="loss of a batch")
    scores.plot(*zip(*history.scores, strict=True), marker=".")
    scores.set(xlabel="step", ylabel="rsum on dev")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100, metadata={"Software": None})
    return picture.getvalue()
