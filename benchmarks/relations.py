"""Whether a model knows what is where: accuracy on the relational captions of the data set `shapes`.

    python benchmarks/relations.py RUN... --output docs/figures/relations.svg

Every second image of `shapes` has a mirrored twin, in which two of the same objects have changed places. A relational
caption is true of its image and false of the twin. The accuracy is the share of such captions that score higher with
their image than with the twin; a model that cannot bind objects to places is right half of the time. `NAME=RUN` gives
a run the name of its row, which is otherwise that of its recipe; runs of one name, such as several seeds, make one row
and are averaged.

Prints a table; `--output` draws it as well (`pip install 'vsezoo[plot]'`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch
from figures import Figure, Report, make_parser

import vsezoo
from vsezoo.data.shapes.dataset import ShapesDataset, open_split
from vsezoo.evaluation.evaluate import embed_pairs
from vsezoo.model import JointEmbedding
from vsezoo.parts import accepted_kinds

CHANCE = 50.0


def main() -> None:
    """Print a table, and draw it."""
    parser = make_parser(__doc__)
    parser.add_argument("runs", nargs="+", metavar="[NAME=]RUN", help="a checkpoint or the folder of a run")
    parser.add_argument("--split", default="test")
    parser.add_argument("--output", type=Path, help="write a bar plot to this file")
    options = parser.parse_args()
    rows: dict[str, list[float]] = {}
    for argument in options.runs:
        name, _, run = argument.rpartition("=")
        model = vsezoo.load(run)
        data = open_split(options.split, next(kind for kind in accepted_kinds(model.recipe) if kind != "picture"))
        rows.setdefault(name or model.recipe.name, []).append(measure_relations(model, data))
    width = max(map(len, rows))
    with Report(options) as report:
        for name, accuracies in rows.items():
            figures = [Figure(f"{name}, run {run}", accuracy, "%") for run, accuracy in enumerate(accuracies, 1)]
            report.show(f"{name:<{width}}  {describe(accuracies)}", *figures)
    if options.output:
        draw(rows, options.output)


@torch.inference_mode()
def measure_relations(model: JointEmbedding, data: ShapesDataset) -> float:
    """Return the share of relational captions, in percent, that score higher with their image than with its twin."""
    encoded = embed_pairs(model, data)
    images, texts = encoded.images.load(), encoded.texts.load()
    right: list[bool] = []
    for image, twin in enumerate(data.mirrored.tolist()):
        captions = torch.from_numpy(np.flatnonzero(data.relational & (data.image_of == image)))
        if len(captions):
            own, other = model.similarity.compare(images[torch.tensor([image, twin])], texts[captions])
            right += (own > other).tolist()
    return 100 * mean(right)


def describe(accuracies: Sequence[float]) -> str:
    """Return the accuracy of a row, with the standard deviation over its runs."""
    spread = f" ± {stdev(accuracies):.1f} ({len(accuracies)} runs)" if len(accuracies) > 1 else ""
    return f"{mean(accuracies):.1f}{spread}"


def draw(rows: Mapping[str, Sequence[float]], output: Path) -> None:
    """Draw one bar for each row, with the runs as dots, and the line of chance."""
    import matplotlib as mpl
    from matplotlib import pyplot

    mpl.rcParams.update({"svg.hashsalt": "relations", "font.size": 10})  # the same file for the same figures
    figure, axes = pyplot.subplots(figsize=(6.4, 0.9 + 0.5 * len(rows)), layout="constrained")
    names, places = list(rows), range(len(rows))
    colours = ["#4c72b0" if mean(rows[name]) > CHANCE + 5 else "#b0b0b0" for name in names]
    axes.barh(places, [mean(rows[name]) for name in names], color=colours, height=0.6)
    for place, name in zip(places, names, strict=True):
        if len(rows[name]) > 1:
            axes.plot(rows[name], [place] * len(rows[name]), "k.", markersize=5)
        axes.text(max(rows[name]) + 1.5, place, f"{mean(rows[name]):.1f}", va="center")
    axes.axvline(CHANCE, color="black", linestyle="--", linewidth=1)
    axes.text(CHANCE + 0.8, -0.62, "chance", va="center", fontsize=9)
    axes.set(yticks=list(places), yticklabels=names, xlim=(0, 100), xlabel="relational captions right, %")
    axes.set_ylim(len(rows) - 0.5, -0.9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, metadata={"Date": None} if output.suffix == ".svg" else None)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
