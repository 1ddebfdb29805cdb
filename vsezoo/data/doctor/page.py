"""The report of the data doctor as one self-contained HTML page, with the pictures that findings are about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vsezoo.data.doctor.report import Finding, Report
from vsezoo.data.pictures.thumbnail import embed_thumbnail
from vsezoo.errors import DataError
from vsezoo.storage.html_page import write_html

SIDE = 200
"""Longer side of a thumbnail, in pixels."""
BARS, WIDTH, HEIGHT = 30, 9, 66
"""Of a chart: most bars, and pixels of a bar and of the highest one."""


def write_page(path: Path, report: Report) -> None:
    """Write the page.

    Args:
        path: the output file; replaced if it exists.
        report: what was found.

    Raises:
        StorageError: when the page cannot be written; an existing file remains unchanged.
    """
    values = {
        "report": report,
        "summary": report.account.get("summary", ""),
        "rows": [_describe(name, report) for name in report.splits],
        "charts": _draw(report),
        "findings": [_show(finding, report) for finding in report.findings],
    }
    write_html(path, "vsezoo.data.doctor", values)


def _describe(name: str, report: Report) -> list[str]:
    figures = report.splits[name]
    words, known = figures.words, figures.known_words
    return [
        name,
        "-" if figures.images is None else f"{figures.images:,}",
        "-" if figures.captions is None else f"{figures.captions:,}",
        "-" if words is None else f"{words.mean:.1f} ({words.min:g} to {words.max:g})",
        "-" if known is None else f"{known:.1%}",
        ", ".join(f"{size} ({count:,})" for size, count in list((figures.sizes or {}).items())[:3]) or "-",
    ]


def _draw(report: Report) -> list[dict[str, Any]]:
    """Return the charts: words per caption in each split, and the most frequent sizes of its pictures."""
    charts = []
    for name, lengths in report.lengths.items():
        if lengths:
            step = max(1, -(-(max(lengths) + 1) // BARS))
            bins = Counter[int]()
            for length, count in lengths.items():
                bins[length // step] += count
            labels = {number: str(number * step) for number in range(max(bins) + 1)}
            counts = {labels[number]: bins[number] for number in labels}
            charts.append(_make_chart(f"{name}: captions by number of words", counts, WIDTH, every=5))
        sizes = report.splits[name].sizes or {}
        if len(sizes) > 1:
            charts.append(_make_chart(f"{name}: pictures by size", sizes, 8 * WIDTH, every=1))
    return charts


def _make_chart(title: str, counts: Mapping[str, int], width: int, *, every: int) -> dict[str, Any]:
    highest = max(counts.values(), default=0) or 1
    bars = [
        {
            "x": number * (width + 1),
            "width": width,
            "height": round(HEIGHT * count / highest, 1),
            "count": count,
            "label": label,
            "shown": number % every == 0,
        }
        for number, (label, count) in enumerate(counts.items())
    ]
    return {"title": title, "bars": bars, "width": len(bars) * (width + 1) + 20}


def _show(finding: Finding, report: Report) -> dict[str, Any]:
    groups = [_show_group(group, report) for group in finding.images]
    shown = [group for group in groups if group]
    return {
        "level": finding.level,
        "split": finding.split,
        "what": finding.what,
        "file": finding.file,
        "at": finding.at,
        "remedy": finding.remedy,
        "more": finding.count - len(finding.at),
        "groups": shown,
        "more_groups": finding.count - len(shown),
    }


def _show_group(group: Sequence[tuple[str, int]], report: Report) -> list[dict[str, str]]:
    found = []
    for split, image in group:
        places = report.places.get(split, ())
        if image >= len(places):
            return []
        try:
            picture = embed_thumbnail(places[image], SIDE)
        except DataError:
            return []
        found.append({"picture": picture, "name": f"{split}: {places[image].member or Path(places[image].file).name}"})
    return found
