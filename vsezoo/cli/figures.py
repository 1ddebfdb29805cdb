"""An evaluation as a table for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vsezoo.errors import list_names
from vsezoo.evaluation.metrics import LABELS, PROTOCOLS
from vsezoo.evaluation.report import Evaluation

TIED_SHARE = 0.01
"""Share of tied queries above which a warning is printed."""


def render(evaluation: Evaluation) -> RenderableType:
    """Return labels, table and notes for the terminal, with a warning if many queries are tied."""
    metrics = evaluation.metrics
    data, split = (list_names([name], 1) for name in (evaluation.data, evaluation.split))
    title = (
        f"{data}, {split} split: {PROTOCOLS.get(evaluation.protocol, evaluation.protocol)}\n"
        f"{f'ensemble of {len(evaluation.checkpoints)} models' if evaluation.ensemble else 'single model'}, "
        f"{evaluation.images:,} images, {evaluation.captions:,} captions"
        f"{f' ({evaluation.skipped:,} unreadable images left out)' if evaluation.skipped else ''}"
    )
    table = Table()
    table.add_column("")
    for label in LABELS:
        table.add_column(label, justify="right")
    for name, direction in (("image to text (i2t)", metrics.i2t), ("text to image (t2i)", metrics.t2i)):
        table.add_row(name, *(f"{figure:.1f}" for figure in direction.to_json().values()))
    for language, of in evaluation.languages.items():
        table.add_section()
        for way, direction in (("i2t", of.metrics.i2t), ("t2i", of.metrics.t2i)):
            figures = (f"{figure:.1f}" for figure in direction.to_json().values())
            table.add_row(f"{language}, {of.images:,} images: {way}", *figures)
    ties = metrics.ties
    tied = f"tied queries: {ties.i2t:,} i2t, {ties.t2i:,} t2i (rule: {ties.rule})" if ties.total else "no tied queries"
    lines: list[RenderableType] = [
        Text(title, style="bold"),
        table,
        Text(f"rsum {metrics.rsum:.1f}, mR {metrics.mr:.1f}; {tied}"),
    ]
    share = ties.total / max(evaluation.images + evaluation.captions, 1)
    if share > TIED_SHARE:
        warning = (
            f"Warning: {share:.1%} of the queries are tied: another item has exactly the score of their match, and "
            "only the tie rule decides their rank. Many ties mean a collapsed model or repeated items."
        )
        lines.append(Text(warning, style="bold yellow"))
    return Group(*lines)
