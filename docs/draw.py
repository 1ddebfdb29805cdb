"""Draw how each model works, and how data flow through vsezoo: `python docs/draw.py`, into `docs/figures/`.

    python docs/draw.py            writes the figures
    python docs/draw.py --check    exits with 1 where they are not current

A figure is two lanes, of images and of captions, that meet in a row of boxes. The colours follow the reader's light or
dark mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from outdated import list_outdated, write_outdated

FIGURES = Path(__file__).parent / "figures"

LETTER, LINE, PADDING, GAP, MARGIN = 6.9, 17, 14, 34, 12
"""Widths and heights in pixels: of a letter, a line, the space in a box, between boxes, around the figure."""
BOX = 2 * LINE + PADDING
LANE = BOX + 30

STYLE = """
.box{fill:#f6f7fb;stroke:#8b93b3;stroke-width:1.2}
.image .box{fill:#e5efff}.text .box{fill:#fff0dc}.pair .box{fill:#e8f5e6}
text{font:13px system-ui,sans-serif;fill:#20263a;text-anchor:middle}
path{stroke:#5b6480;stroke-width:1.5;fill:none}.head{fill:#5b6480;stroke:none}
@media (prefers-color-scheme:dark){.box{fill:#2b3043;stroke:#7c86a8}
.image .box{fill:#22385c}.text .box{fill:#523c1d}.pair .box{fill:#274427}
text{fill:#e8ebf5}path{stroke:#a9b2cf}.head{fill:#a9b2cf}}
""".replace("\n", "")


@dataclass(frozen=True)
class Figure:
    """What a figure shows.

    Attributes:
        title: for those who do not see it.
        image: boxes of the lane of images, each of one or two lines.
        text: the same of captions.
        pair: the boxes in which they meet.
    """

    title: str
    image: Sequence[str]
    text: Sequence[str]
    pair: Sequence[str]


WORDS = "words of\nthe caption"
FEATURE = "feature of\na CNN"
REGIONS = "features of\n36 regions"
UNIT = "linear,\nunit length"
COSINE = "cosine"

MODELS = {
    "kiros": Figure(
        "Kiros et al. (2014)",
        [FEATURE, UNIT],
        [WORDS, "LSTM, GRU or sum\nof word vectors", "unit length"],
        [COSINE, "hinges of\nall negatives"],
    ),
    "order": Figure(
        "Order-embeddings (Vendrov et al. 2016)",
        [FEATURE, "linear,\nabsolute values"],
        [WORDS, "GRU,\nlast state", "absolute values"],
        ["minus the violation\nof the order", "hinges of\nall negatives"],
    ),
    "vsepp": Figure(
        "VSE++ (Faghri et al. 2018)",
        [FEATURE, UNIT],
        [WORDS, "GRU,\nlast state", "unit length"],
        [COSINE, "hinge of the\nhardest negative"],
    ),
    "vsrn": Figure(
        "VSRN (Li et al. 2019)",
        [REGIONS, "four graph\nconvolutions", "GRU over regions,\nlast state"],
        [WORDS, "GRU,\nlast state"],
        [COSINE, "hardest negative,\nand the caption written"],
    ),
    "scan": Figure(
        "SCAN (Lee et al. 2018), words attending to regions",
        [REGIONS, UNIT],
        [WORDS, "GRU in both\ndirections"],
        ["each word attends\nto the regions", "cosine with what\nit attended to", "mean or LogSumExp\nover words"],
    ),
    "sgraf": Figure(
        "SGRAF (Diao et al. 2021)",
        [REGIONS, UNIT],
        [WORDS, "GRU in both\ndirections"],
        ["each word attends\nto the regions", "a vector for each\nalignment", "graph (SGR) or\ngates (SAF)", "score"],
    ),
    "chan": Figure(
        "CHAN (Pan et al. 2023)",
        [REGIONS, "regions attend\nto each other"],
        [WORDS, "GRU in both\ndirections"],
        ["best region\nof each word", "LogSumExp\nover words"],
    ),
    "vse-infty": Figure(
        "VSE-infinity (Chen et al. 2021)",
        ["regions, or cells\nof a picture", "linear and\nperceptron", "pooling with\nlearned weights"],
        [WORDS, "GRU in both directions,\nor BERT", "pooling with\nlearned weights"],
        [COSINE, "hinge of the\nhardest negative"],
    ),
    "pcmepp": Figure(
        "PCME++ (Chun 2024)",
        ["picture", "vision transformer,\nall tokens", "mean and\nvariance"],
        [WORDS, "transformer,\nall tokens", "mean and\nvariance"],
        ["expected distance\nof samples", "soft matches"],
    ),
    "light": Figure(
        "Light models of frozen features",
        [FEATURE, "minus the mean", "linear and\nperceptron", "unit length"],
        [WORDS, "sum of word vectors,\nor frozen states", "linear and\nperceptron", "unit length"],
        [COSINE, "cross-entropy\nof the batch"],
    ),
    "pretrained": Figure(
        "Pretrained dual encoders, such as CLIP and SigLIP",
        ["picture", "vision\ntransformer", "projection,\nunit length"],
        ["pieces of\nthe caption", "transformer", "projection,\nunit length"],
        ["cosine by\na learned scale"],
    ),
}

FLOW = {
    "data-flow": Figure(
        "The way of the data",
        ["pictures, or\nfeatures of them", "dataset:\nimages of a split", "image encoder"],
        ["captions,\nas they are", "tokenizer:\nids of words", "text encoder"],
        ["embeddings: vectors,\nand sets if asked for", "similarity", "loss, ranks\nor search"],
    )
}


BADGES = {
    "python": ("Python", "3.11 or later"),
    "licence": ("licence", "Apache-2.0"),
    "typing": ("types", "mypy strict"),
    "weights": ("weights", "safetensors"),
}
"""What the README says first, each a name and a value; drawn here, so that a reader's browser asks no other server."""


def main() -> None:
    """Write the figures, or name those that are not current."""
    write_outdated(__doc__, "docs/draw.py", find_outdated)


def find_outdated() -> dict[Path, str | None]:
    """Return the figures that are not current, each with what it should hold."""
    wanted: dict[Path, str | None] = {}
    for name, figure in {**MODELS, **FLOW}.items():
        wanted[FIGURES / f"{name}.svg"] = draw(figure)
    for name, badge in BADGES.items():
        wanted[FIGURES / f"badge-{name}.svg"] = draw_badge(*badge)
    return list_outdated(wanted)


def draw(figure: Figure) -> str:
    """Return a figure as SVG."""
    rows = {"image": MARGIN, "text": MARGIN + LANE, "pair": MARGIN + LANE / 2}
    parts, ends = [], []
    for lane, boxes in (("image", figure.image), ("text", figure.text)):
        drawn, end = draw_row(boxes, MARGIN, rows[lane])
        parts.append(f'<g class="{lane}">{drawn}</g>')
        ends.append((end, rows[lane] + BOX / 2))
    start = max(end for end, _ in ends) + 1.4 * GAP
    drawn, right = draw_row(figure.pair, start, rows["pair"])
    parts.append(f'<g class="pair">{drawn}</g>')
    parts += [draw_arrow(*end, start, rows["pair"] + BOX / 2) for end in ends]
    width, height = f"{right + MARGIN:.0f}", f"{2 * MARGIN + LANE + BOX:.0f}"
    box = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img">'
    return f"{head}<title>{escape(figure.title)}</title><style>{STYLE}</style>{''.join(parts)}</svg>\n"


def draw_row(boxes: Sequence[str], left: float, top: float) -> tuple[str, float]:
    """Return boxes with arrows between them, and where the last one ends."""
    parts: list[str] = []
    for number, label in enumerate(boxes):
        if number:
            parts.append(draw_arrow(left, top + BOX / 2, left + GAP, top + BOX / 2))
            left += GAP
        lines = label.split("\n")
        width = max(map(len, lines)) * LETTER + 2 * PADDING
        first = top + BOX / 2 + 4.5 - (len(lines) - 1) * LINE / 2
        parts.append(f'<rect class="box" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{BOX}" rx="7"/>')
        parts += [
            f'<text x="{left + width / 2:.1f}" y="{first + index * LINE:.1f}">{escape(line)}</text>'
            for index, line in enumerate(lines)
        ]
        left += width
    return "".join(parts), left


def draw_arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    """Return an arrow between two points, curved if they are not on one line."""
    middle, tip = (x + to_x) / 2, to_x - 7
    curve = f"M{x:.1f} {y:.1f}C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {tip:.1f} {to_y:.1f}"
    head = f"M{tip:.1f} {to_y - 4.5:.1f}L{to_x:.1f} {to_y:.1f}L{tip:.1f} {to_y + 4.5:.1f}Z"
    return f'<path d="{curve}"/><path class="head" d="{head}"/>'


def draw_badge(name: str, value: str) -> str:
    """Return a badge as SVG: the name on grey, the value on blue."""
    left, right = (len(text) * 6.6 + 12 for text in (name, value))
    texts = "".join(
        f'<text x="{middle:.1f}" y="14">{escape(text)}</text>'
        for text, middle in ((name, left / 2), (value, left + right / 2))
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right:.0f}" height="20" role="img">',
        f"<title>{escape(name)}: {escape(value)}</title>",
        "<style>text{font:11px Verdana,system-ui,sans-serif;fill:#fff;text-anchor:middle}</style>",
        f'<rect width="{left + right:.1f}" height="20" rx="3" fill="#0b5fa5"/>',
        f'<path d="M3 0H{left:.1f}V20H3A3 3 0 0 1 0 17V3A3 3 0 0 1 3 0Z" fill="#4a4f5c"/>{texts}</svg>',
    ]
    return "".join(parts) + "\n"


if __name__ == "__main__":
    main()
