"""Flickr8K's human judgements of pairs (Hodosh, Young and Hockenmaier 2013), counted as CLIPScore's code does.

Three experts gave 5,822 pairs of an image and a caption, mostly of another image, a score from 1 to 4; a crowd said of
47,830 pairs whether they fit. The published figure of Flickr8K-Expert is 100 · tau-c, that of Flickr8K-CF 100 · tau-b
(Hessel et al. 2021). Other papers count means of the three experts, or all rows: their figures are higher.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from vsezoo.errors import DataError
from vsezoo.evaluation.judgements.kendall import correlate
from vsezoo.evaluation.protocol import Protocol, Score
from vsezoo.inputs import PairDataset
from vsezoo.storage.plain_file import explain_unread, read_plain

TOKENS, EXPERT, CROWD = "Flickr8k.token.txt", "ExpertAnnotations.txt", "CrowdFlowerAnnotations.txt"
OBTAIN = f"Give the folder of Flickr8k_text, which has {TOKENS}, {EXPERT} and {CROWD}, to --protocol-files."
BLOCK = 256
"""Captions that are scored at a time."""


class Flickr8KExpert(Protocol):
    """Tau-c of scores and the judgements of three experts, each a point of its own.

    Pairs are left out if the text of the caption is among the captions of the image: 5,664 remain, with 16,992 points.
    """

    name = "flickr8k-expert"
    summary = "Flickr8K-Expert: Kendall's tau-c with the judgements of three experts."

    def measure(self, score: Score, data: PairDataset, folder: Path) -> Mapping[str, float]:
        """Return 100 · tau-c and 100 · tau-b, and the number of points."""
        texts = read_captions(folder)
        own: dict[str, set[str]] = {}
        for name, text in texts.items():
            own.setdefault(name.rpartition("#")[0], set()).add(text)
        pairs: list[tuple[str, str]] = []
        judgements: list[float] = []
        for image, caption, scores in _read_judgements(folder / EXPERT):
            if texts.get(caption) not in own.get(image, ()):
                pairs += [(image, caption)] * len(scores)
                judgements += scores
        tau_b, tau_c = correlate(score_pairs(score, data, pairs, texts), np.array(judgements))
        return {"tau-c": 100 * tau_c, "tau-b": 100 * tau_b, "points": len(judgements)}


class Flickr8KCrowd(Protocol):
    """Tau-b of scores and the share of people who say that a pair fits; all 47,830 pairs."""

    name = "flickr8k-cf"
    summary = "Flickr8K-CF: Kendall's tau-b with the share of yes of a crowd."

    def measure(self, score: Score, data: PairDataset, folder: Path) -> Mapping[str, float]:
        """Return 100 · tau-b and 100 · tau-c, and the number of points."""
        texts = read_captions(folder)
        rows = list(_read_judgements(folder / CROWD))
        pairs = [(image, caption) for image, caption, _ in rows]
        votes = np.array([counts for _, _, (_, *counts) in rows])
        if (votes.sum(axis=1) <= 0).any():
            raise DataError("has a pair that nobody judged.", file=folder / CROWD, remedy=OBTAIN)
        shares = votes[:, 0] / votes.sum(axis=1)
        tau_b, tau_c = correlate(score_pairs(score, data, pairs, texts), shares)
        return {"tau-b": 100 * tau_b, "tau-c": 100 * tau_c, "points": len(rows)}


def read_captions(folder: Path) -> dict[str, str]:
    """Return the captions by id, `IMAGE#NUMBER`."""
    return {name: text.strip() for name, text in _read_rows(folder / TOKENS, 2)}


def score_pairs(
    score: Score, data: PairDataset, pairs: Sequence[tuple[str, str]], texts: Mapping[str, str]
) -> np.ndarray:
    """Return the score of each pair of an image and a caption, both by id: `(n,)`.

    Raises:
        DataError: if the data set lacks an image, or there is no such caption.
    """
    places = {Path(name).name: index for index, name in enumerate(data.image_ids)}
    images, captions = (list(dict.fromkeys(side)) for side in zip(*pairs, strict=True))
    if missing := [name for name in images if name not in places]:
        raise DataError(
            f"the split {data.split} of {data.name} lacks {len(missing):,} of the {len(images):,} images that were "
            f"judged, such as {missing[0]}.",
            remedy="Evaluate on Flickr8K with its own split, whose images have the names of their files.",
        )
    if unknown := [name for name in captions if name not in texts]:
        raise DataError(f"The caption {unknown[0]} was judged, and is not in {TOKENS}.", remedy=OBTAIN)
    indices = [places[name] for name in images]
    matrix = np.concatenate(
        [
            score(indices, [texts[name] for name in captions[start : start + BLOCK]])
            for start in range(0, len(captions), BLOCK)
        ],
        axis=1,
    )
    row, column = ({name: place for place, name in enumerate(side)} for side in (images, captions))
    return matrix[[row[image] for image, _ in pairs], [column[caption] for _, caption in pairs]]


def _read_judgements(file: Path) -> Iterator[tuple[str, str, list[float]]]:
    """Yield the image, the caption and the three numbers of each line."""
    for number, (image, caption, *cells) in enumerate(_read_rows(file, 5), start=1):
        try:
            yield image, caption, list(map(float, cells))
        except ValueError as error:
            raise DataError(f"line {number} has something else than numbers.", file=file, remedy=OBTAIN) from error


def _read_rows(file: Path, width: int) -> Iterator[list[str]]:
    """Yield the cells of each line."""
    for number, line in enumerate(_read_lines(file), start=1):
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) != width:
            problem = f"has {len(cells)} columns instead of {width} in line {number}."
            raise DataError(problem, file=file, remedy=OBTAIN)
        yield cells


def _read_lines(file: Path) -> Iterable[str]:
    try:
        with explain_unread(file, remedy=OBTAIN):
            return read_plain(file).decode().splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 text: {error}.", file=file, remedy=OBTAIN) from error


expert, crowd = Flickr8KExpert(), Flickr8KCrowd()
