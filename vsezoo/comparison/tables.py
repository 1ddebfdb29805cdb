"""A comparison as text, Markdown, CSV or LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

import numpy as np

from vsezoo.comparison.compare import Comparison, Row
from vsezoo.comparison.hits import FIGURES

HEADINGS = ("R@1", "R@5", "R@10", "R@1", "R@5", "R@10", "rsum")
LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}
"""What characters that mean something to LaTeX are written as."""
SMALL = 0.001
"""p-values below are not written out."""


def tabulate(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return headings and cells: name, runs, six recalls, rsum, its interval, difference and p."""
    several = len(comparison.rows) > 1
    headings = [
        "model",
        "runs",
        *(f"{way} {name}" for way, name in zip(["i2t"] * 3 + ["t2i"] * 3, HEADINGS[:6], strict=True)),
    ]
    headings += ["rsum", "95 % interval", *(["difference", "p"] if several else [])]
    marks = mark_notes(comparison)
    rows = []
    for row in comparison.rows:
        low, high = row.interval[-1]
        cells = [row.name + marks[row.name], str(row.runs)]
        cells += [format_figure(row, column, "±") for column in range(len(FIGURES))]
        cells.append(f"{low:.1f} to {high:.1f}")
        if several:
            cells += [format_difference(row, " to "), format_p(row)]
        rows.append(cells)
    return headings, rows


def format_figure(row: Row, column: int, sign: str) -> str:
    """Return a figure to one decimal, with its spread over the seeds if there are several."""
    spread = row.spread[column]
    return f"{row.mean[column]:.1f}" + ("" if np.isnan(spread) else f" {sign} {spread:.1f}")


def format_difference(row: Row, between: str) -> str:
    """Return the difference in rsum to the first model with its interval; empty for the first."""
    if row.difference is None or row.difference_interval is None:
        return ""
    low, high = row.difference_interval[-1]
    return f"{row.difference[-1]:+.1f} ({low:+.1f}{between}{high:+.1f})"


def format_p(row: Row) -> str:
    """Return the p-value of the difference in rsum; empty for the first model."""
    if row.p is None:
        return ""
    return f"< {SMALL}" if row.p[-1] < SMALL else f"{row.p[-1]:.3f}"


def mark_notes(comparison: Comparison) -> dict[str, str]:
    """Return the letters of the notes by the name of the model: " [a]"; empty if it has none."""
    listed = list_notes(comparison)
    return {
        row.name: "".join(f" [{chr(ord('a') + listed.index(note))}]" for note in row.notes) for row in comparison.rows
    }


def list_notes(comparison: Comparison) -> list[str]:
    """Return the notes of all models, each once."""
    return list(dict.fromkeys(note for row in comparison.rows for note in row.notes))


def explain(comparison: Comparison) -> list[str]:
    """Return the lines below a table: what spread, interval, difference and p are, and the notes."""
    lines = []
    if any(row.runs > 1 for row in comparison.rows):
        lines.append("±: standard deviation over the runs of a model.")
    lines.append(f"95 % interval: rsum of these runs; bootstrap over images, {comparison.resamples:,} resamples.")
    if len(comparison.rows) > 1:
        lines.append(
            f"difference, p: rsum against {comparison.rows[0].name}; paired randomization test over images, adjusted "
            "by Holm's method."
        )
    return lines + [f"[{chr(ord('a') + index)}] {note}." for index, note in enumerate(list_notes(comparison))]


def to_markdown(comparison: Comparison) -> str:
    """Return a Markdown table with its explanation."""
    headings, rows = tabulate(comparison)
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *rows]
    table = "\n".join(f"| {' | '.join(map(_escape_markdown, line))} |" for line in lines)
    return "\n".join([table, "", *explain(comparison)]) + "\n"


def to_csv(comparison: Comparison) -> str:
    """Return CSV with one line for each model and figure, not rounded."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        [
            "model",
            "runs",
            "figure",
            "mean",
            "spread",
            "low",
            "high",
            "difference",
            "difference_low",
            "difference_high",
            "p",
        ]
    )
    for row in comparison.rows:
        for column, figure in enumerate(FIGURES):
            cells: list[object] = [row.name, row.runs, figure, row.mean[column]]
            cells += ["" if np.isnan(row.spread[column]) else row.spread[column], *row.interval[column]]
            if row.difference is None or row.difference_interval is None or row.p is None:
                cells += [""] * 4
            else:
                cells += [row.difference[column], *row.difference_interval[column], row.p[column]]
            writer.writerow(cells)
    return stream.getvalue()


def to_latex(comparison: Comparison) -> str:
    """Return a LaTeX table for the package booktabs, the best figure of each column in bold."""
    best = np.max([row.mean.round(1) for row in comparison.rows], axis=0)
    lines = [
        "% \\usepackage{booktabs}",
        "\\begin{tabular}{l" + "r" * len(FIGURES) + "}",
        "\\toprule",
        " & \\multicolumn{3}{c}{image to text} & \\multicolumn{3}{c}{text to image} & \\\\",
        "\\cmidrule(lr){2-4} \\cmidrule(lr){5-7}",
        f"model & {' & '.join(HEADINGS)} \\\\",
        "\\midrule",
    ]
    for row in comparison.rows:
        cells = [_escape_latex(row.name + mark_notes(comparison)[row.name])]
        for column in range(len(FIGURES)):
            cell = f"{row.mean[column]:.1f}"
            cell = f"\\textbf{{{cell}}}" if _is_best(row, column, best, len(comparison.rows)) else cell
            spread = row.spread[column]
            cells.append(cell if np.isnan(spread) else f"{cell} {{\\scriptsize$\\pm${spread:.1f}}}")
        lines.append(" & ".join(cells) + r" \\")
    lines += ["\\bottomrule", "\\end{tabular}"]
    for row in comparison.rows:
        low, high = row.interval[-1]
        text = f"rsum {low:.1f} to {high:.1f}"
        if row.p is not None:
            text += f"; difference {format_difference(row, ' to ')}, p {format_p(row)}"
        lines.append(f"% {row.name}: {text}".replace("\n", " "))
    return "\n".join([*lines, *(f"% {line}" for line in explain(comparison))]) + "\n"


def _is_best(row: Row, column: int, best: Sequence[float] | np.ndarray, count: int) -> bool:
    return count > 1 and bool(row.mean[column].round(1) == best[column])


def _escape_markdown(text: str) -> str:
    return re.sub(r"([|\\`*_<\[])", r"\\\1", text)


def _escape_latex(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in text)
