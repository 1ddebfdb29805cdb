"""Write an explanation as a self-contained HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vsezoo.explanation.explain import Explanation
from vsezoo.explanation.heat import embed_photo, paint_attention, paint_signed
from vsezoo.storage.html_page import write_html

NOWHERE = "none"
"""The place of a region that has none."""
LISTED = 5
"""Most regions that are listed with their weights."""


def write_page(path: Path, explanation: Explanation, *, image: str, model: str) -> None:
    """Write the page. It contains no paths of folders, so that it can be shared.

    Args:
        path: the output file; replaced if it exists.
        explanation: what is shown.
        image: name of the image, of which only the last part is shown.
        model: name of the model.

    Raises:
        StorageError: when the page cannot be written; an existing file is left unchanged.
    """
    regions = explanation.regions
    largest = float(np.abs(explanation.word_weights).max(initial=0))
    values = {
        "found": explanation,
        "image": Path(image).name,
        "model": model,
        "photo": embed_photo(regions),
        "sharp": regions.picture is not None and max(regions.picture.size) < 200,
        "aspect": f"{regions.aspect:.4f}",
        "maps": _draw_maps(explanation),
        "start": _choose_first(explanation),
        "words": [
            {
                "text": word,
                "weight": f"{weight:+.4f}",
                "share": f"{abs(weight) / (largest or 1):.3f}",
                "plus": weight >= 0,
            }
            for word, weight in zip(explanation.words, explanation.word_weights.tolist(), strict=True)
        ],
    }
    write_html(path, "vsezoo.explanation", values)


def _draw_maps(explanation: Explanation) -> list[dict[str, Any]]:
    """Return what is drawn for each word, or once with the gradient; nothing for an image that is one vector."""
    regions, weights = explanation.regions, explanation.region_weights
    if not weights.size:
        return []
    attention = explanation.method == "attention"
    paint, form = (paint_attention, "{:.3f}") if attention else (paint_signed, "{:+.4f}")
    drawn = []
    for row, of_word in enumerate(weights):
        # Where regions attend to words, those of a word do not add up to 1: only next to others do they mean something.
        largest = float(np.abs(weights if explanation.attends == "regions" else of_word).max())
        best = [int(region) for region in np.argsort(-of_word, kind="stable")[:LISTED]]
        places = [regions.describe(region) or NOWHERE for region in best]
        drawn.append(
            {
                "word": explanation.words[row] if attention else "",
                "heat": paint(regions, of_word, largest) if regions.has_places else "",
                "box": _to_percent(regions.find_box(best[0])),
                "has_places": regions.has_places,
                "bars": [{"height": f"{100 * abs(w) / (largest or 1):.1f}", "plus": w >= 0} for w in of_word.tolist()],
                "best": [
                    {"region": region, "place": place, "weight": form.format(of_word[region])}
                    for region, place in zip(best, places, strict=True)
                ],
            }
        )
    return drawn


def _choose_first(explanation: Explanation) -> int:
    """Return the word that is shown first: the one with the largest weight of a region that has a place.

    Punctuation and the marks around a caption come last.
    """
    order: list[int] = np.argsort(-explanation.word_weights, kind="stable").tolist()
    if explanation.method == "gradient":
        return order[0]
    found, words = explanation, explanation.words
    return min(
        order,
        key=lambda row: (
            not words[row].isalpha(),
            found.regions.has_places and found.regions.find_box(found.find_best(row)) is None,
        ),
    )


def _to_percent(box: tuple[float, float, float, float] | None) -> list[str]:
    """Return x, y, width and height of a box in percent; empty for none."""
    if box is None:
        return []
    left, top, right, bottom = (100 * min(max(side, 0.0), 1.0) for side in box)
    return [f"{value:.2f}" for value in (left, top, right - left, bottom - top)]
