"""Draw recall against time from the tables of docs/indexes.md: `python docs/plot.py`, into `docs/figures/recall.svg`.

    python docs/plot.py            writes the figure
    python docs/plot.py --check    exits with 1 where it is not current

A curve is a table whose first line is `| NAME: cells | …`, with the lines `recall@10` and `of exact`. The colours
follow the reader's light or dark mode.
"""

from __future__ import annotations

import math
import re
from html import escape
from pathlib import Path
from typing import NamedTuple

from outdated import list_outdated, write_outdated

PAGE = Path(__file__).parent / "indexes.md"
FIGURE = Path(__file__).parent / "figures" / "recall.svg"

LEFT, TOP, WIDTH, HEIGHT = 58, 34, 520, 280
"""The area of the curves, in pixels; around it are labels."""
LEAST = 0.002
"""The share of an exact search's time at the left edge; the right edge is 1."""
TIMES = (0.003, 0.01, 0.03, 0.1, 0.3, 1)
RECALLS = (0, 0.2, 0.4, 0.6, 0.8, 1)

STYLE = """
text{font:13px system-ui,sans-serif;fill:#20263a}.mid{text-anchor:middle}.end{text-anchor:end}
.grid{stroke:#d5d9e6;fill:none}.limit{stroke:#5b6480;stroke-dasharray:5 4;fill:none}
.line{stroke-width:2;fill:none}.c0{stroke:#2563c9;fill:#2563c9}.c1{stroke:#2e8540;fill:#2e8540}
.c2{stroke:#b45309;fill:#b45309}.c3{stroke:#a2357c;fill:#a2357c}.line{fill:none}text[class]{stroke:none}
@media (prefers-color-scheme:dark){text{fill:#e8ebf5}.grid{stroke:#3a415a}.limit{stroke:#a9b2cf}
.c0{stroke:#7fb0ff;fill:#7fb0ff}.c1{stroke:#7fd08f;fill:#7fd08f}.c2{stroke:#f2a65a;fill:#f2a65a}.c3{stroke:#f08bc8;fill:#f08bc8}.line{fill:none}}
""".replace("\n", "")


class Curve(NamedTuple):
    """A collection's points: shares of an exact search's time, and recalls."""

    name: str
    points: list[tuple[float, float]]


def main() -> None:
    """Write the figure, or say that it is not current."""
    write_outdated(__doc__, "docs/plot.py", find_outdated)


def find_outdated() -> dict[Path, str | None]:
    """Return the figure with what it should hold, if it is not current."""
    return list_outdated({FIGURE: draw(read_curves(PAGE.read_text(encoding="utf-8")))})


def read_curves(page: str) -> list[Curve]:
    """Return the curves of the tables of a page."""
    curves = []
    for table in re.finditer(r"^\| (.+): cells \|.*\n((?:\|.*\n)+)", page, re.MULTILINE):
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2].splitlines()]
        rows = {name: [float(value) for value in values] for name, *values in lines[1:]}
        curves.append(Curve(table[1], list(zip(rows["of exact"], rows["recall@10"], strict=True))))
    return curves


def place(time: float, recall: float) -> tuple[float, float]:
    """Return where a point is drawn."""
    x = LEFT + WIDTH * math.log(time / LEAST) / -math.log(LEAST)
    return x, TOP + HEIGHT * (1 - recall)


def draw(curves: list[Curve]) -> str:
    """Return the figure as SVG."""
    parts = []
    for recall in RECALLS:
        _, y = place(1, recall)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}h{WIDTH}"/>')
        parts.append(f'<text class="end" x="{LEFT - 8}" y="{y + 4.5:.1f}">{recall:g}</text>')
    for time in TIMES:
        x, _ = place(time, 0)
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}v{HEIGHT}"/>')
        parts.append(f'<text class="mid" x="{x:.1f}" y="{TOP + HEIGHT + 20}">{time:g}</text>')
    x, y = place(0.2, 0.95)
    parts.append(f'<path class="limit" d="M{LEFT} {y:.1f}H{x:.1f}V{TOP + HEIGHT}"/>')
    for number, (name, points) in enumerate(curves):
        spots = [place(*point) for point in points]
        line = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        parts.append(f'<path class="line c{number}" d="M{line}"/>')
        parts += [f'<circle class="c{number}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in spots]
        legend = LEFT + WIDTH + 16, TOP + 20 + 24 * number
        parts.append(f'<text class="c{number}" x="{legend[0]}" y="{legend[1]}">{escape(name)}</text>')
    parts.append(f'<text x="{LEFT}" y="{TOP - 12}">recall@10</text>')
    below = TOP + HEIGHT + 42
    parts.append(
        f'<text class="mid" x="{LEFT + WIDTH / 2}" y="{below}">time of a query; 1 is that of an exact search</text>'
    )
    box = f'viewBox="0 0 {LEFT + WIDTH + 100} {below + 12}" width="{LEFT + WIDTH + 100}" height="{below + 12}"'
    title = "Recall of ivf by the time of a query; dashed: 0.95 in a fifth of the time"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img"><title>{title}</title>'
    return f"{head}<style>{STYLE}</style>{''.join(parts)}</svg>\n"


if __name__ == "__main__":
    main()
