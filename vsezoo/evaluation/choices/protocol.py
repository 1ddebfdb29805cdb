"""The protocol `choices`: accuracy over choices, as Winoground, SugarCrepe and ARO count it, ties being wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from vsezoo.errors import DataError
from vsezoo.evaluation.choices.items import Choice, Crop, read_choices
from vsezoo.evaluation.choices.pictures import ChoicePictures, open_choice_pictures
from vsezoo.evaluation.protocol import Protocol, Score
from vsezoo.inputs import PairDataset

BLOCK = 64
"""Items that are scored at a time."""


class Choices(Protocol):
    """Choices between captions of an image, and between images of a caption.

    A choice is right only if the right score is greater than every other one: a tie is wrong, so that a model whose
    scores are all equal gets 0. Items with one image count for `accuracy`; those with several, as in Winoground, for
    `text` (the caption of every image is right), `image` (the image of every caption is right) and `group` (both).
    """

    name = "choices"
    summary = "Winoground, SugarCrepe, ARO and others: the right caption, or the right image, of a few."

    def open_images(self, folder: Path) -> ChoicePictures:
        """Return the pictures next to the files of choices."""
        crops = [crop for choice in read_choices(folder) for crop in choice.images]
        return open_choice_pictures(folder if folder.is_dir() else folder.absolute().parent, crops)

    def measure(self, score: Score, data: PairDataset, folder: Path) -> Mapping[str, float]:
        """Return figures in percent over all items, then by group, and the number of tied and of all items."""
        choices = read_choices(folder)
        places = _find_places(choices, data)
        marks = [
            mark(matrix)
            for start in range(0, len(choices), BLOCK)
            for matrix in _score_items(score, choices[start : start + BLOCK], places)
        ]
        groups = list(dict.fromkeys(choice.group for choice in choices))
        figures = _average(marks)
        for group in groups if len(groups) > 1 else []:
            own = [found for found, choice in zip(marks, choices, strict=True) if choice.group == group]
            figures |= {f"{group} {name}": value for name, value in _average(own).items()}
        return {**figures, "ties": sum(found["tie"] for found in marks), "items": len(choices)}


def mark(scores: np.ndarray) -> dict[str, bool]:
    """Return what is right of an item's scores `(n, m)`, images by captions, matches on the diagonal.

    Returns:
        `accuracy` for one image, otherwise `text`, `image` and `group`; and `tie`: a wrong score equals a right one.
    """
    rows = np.arange(len(scores))
    right = scores[rows, rows]
    others = scores.copy()
    others[rows, rows] = -np.inf
    text = bool((right > others.max(1)).all())
    tie = bool((right == others.max(1)).any())
    if len(scores) == 1:
        return {"accuracy": text, "tie": tie}
    image = bool((right > others.max(0)).all())
    tie = tie or bool((right == others.max(0)).any())
    return {"text": text, "image": image, "group": text and image, "tie": tie}


def _average(marks: Sequence[Mapping[str, bool]]) -> dict[str, float]:
    names = [name for name in ("accuracy", "text", "image", "group") if any(name in found for found in marks)]
    return {name: 100 * fmean(found[name] for found in marks if name in found) for name in names}


def _score_items(score: Score, choices: Sequence[Choice], places: Mapping[Crop, int]) -> list[np.ndarray]:
    """Return the scores of each item."""
    images = list(dict.fromkeys(crop for choice in choices for crop in choice.images))
    captions = list(dict.fromkeys(caption for choice in choices for caption in choice.captions))
    scores = score([places[crop] for crop in images], captions)
    row, column = ({item: place for place, item in enumerate(side)} for side in (images, captions))
    return [
        scores[np.ix_([row[crop] for crop in choice.images], [column[text] for text in choice.captions])]
        for choice in choices
    ]


def _find_places(choices: Sequence[Choice], data: PairDataset) -> dict[Crop, int]:
    """Return the index of each image in the data set, by its name with or without folder and suffix."""
    known = {Path(name).stem: index for index, name in enumerate(data.image_ids)}
    known |= {Path(name).name: index for index, name in enumerate(data.image_ids)}
    known |= {name: index for index, name in enumerate(data.image_ids)}
    places: dict[Crop, int] = {}
    for crop in dict.fromkeys(crop for choice in choices for crop in choice.images):
        names = (crop.name,) if crop.box else (crop.file, Path(crop.file).name, Path(crop.file).stem)
        index = next((known[name] for name in names if name in known), None)
        if index is None:
            raise DataError(
                f"the split {data.split} of {data.name} lacks the image {crop.name}.",
                remedy="Leave out --data to use the pictures next to the file of choices, or name data that have them.",
            )
        places[crop] = index
    return places


choices = Choices()
