"""Plot the curves of a training run for its card with matplotlib, which the extra `plot` installs."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from vsezoo.errors import require_package
from vsezoo.training.callbacks import LOG

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
    events = _read_log(run / LOG)
    steps = [event for event in events if event["event"] == "step"]
    validations = [event for event in events if event["event"] == "validation"]
    if not steps or not validations:
        return None
    figure = require_package("matplotlib.figure", "The plot of the training curves").Figure(
        figsize=(8, 3), layout="constrained"
    )
    losses, scores = figure.subplots(1, 2)
    losses.plot([event["step"] for event in steps], [event["loss"] for event in steps], linewidth=1)
    losses.set(xlabel="step", ylabel="loss of a batch")
    scores.plot([event["step"] for event in validations], [event["rsum"] for event in validations], marker=".")
    scores.set(xlabel="step", ylabel="rsum on dev")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100, metadata={"Software": None})
    return picture.getvalue()


def _read_log(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
