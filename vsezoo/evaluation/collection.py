"""Collect per-query results while a split is ranked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from vsezoo.evaluation.matches import place_matches, select_top
from vsezoo.evaluation.predictions import Query
from vsezoo.evaluation.ranks import Scorer, score_blocks
from vsezoo.inputs import PairDataset

PROBE = 3
"""Images whose features stand for all of them in the digest."""


class Collector:
    """Makes the queries of a split from the scores that it is ranked by.

    Args:
        data: the split.
        top: how many of the first candidates to keep with their scores.
        ties: the tie rule.
    """

    def __init__(self, data: PairDataset, top: int, ties: str) -> None:
        self._data, self._top, self._ties = data, top, ties
        self._captions = name_captions(data)
        self._found: dict[str, list[Query]] = {"i2t": [], "t2i": []}

    @property
    def queries(self) -> list[Query]:
        """The queries so far, `i2t` first."""
        return [query for queries in self._found.values() for query in queries]

    def add(self, scorer: Scorer, images: np.ndarray, captions: np.ndarray, fold: int = 0) -> None:
        """Add a part of the split, or all of it.

        Args:
            scorer: scores of the images and captions of the part.
            images: `(n,)` which images of the split these are.
            captions: `(m,)` which captions.
            fold: number of the part, from 1; 0: it is all of the split.
        """
        image_of = np.searchsorted(images, np.asarray(self._data.image_of)[captions])
        matches = {"i2t": _list_captions(image_of, len(images)), "t2i": image_of[:, None]}
        names = {
            "i2t": [self._data.image_ids[index] for index in images],
            "t2i": [self._captions[index] for index in captions],
        }
        texts = {"i2t": [""] * len(images), "t2i": [self._data.captions[index] for index in captions]}
        for direction, rows, scores in score_blocks(scorer, len(images), len(captions)):
            own = torch.from_numpy(matches[direction][rows]).to(scores.device)
            places = place_matches(scores, own, self._ties)
            results = (
                *(part.tolist() for part in (places.positions, places.matches, places.tied)),
                *(part.cpu().numpy() for part in select_top(scores, self._top)),
            )
            candidates = names["t2i" if direction == "i2t" else "i2t"]
            queries = zip(names[direction][rows], texts[direction][rows], *results, strict=True)
            self._found[direction] += _make_queries(direction, candidates, queries, fold, self._ties)


def describe_data(data: PairDataset) -> dict[str, Any]:
    """Return what decides whether results may be compared: `ground_truth` and `images` of `Predictions.about`."""
    truth = hashlib.sha256()
    for name, text in zip(name_captions(data), data.captions, strict=True):
        truth.update(f"{name}\n{text}\n".encode(errors="surrogatepass"))
    images: dict[str, Any] = {
        "kind": data.kind,
        "shape": list(data.image_shape),
        "extraction": dict(data.extraction),
    }
    if data.kind != "picture":
        chosen = np.linspace(0, len(data.image_ids) - 1, PROBE).astype(int)
        probe = b"".join(np.ascontiguousarray(image, np.float32).tobytes() for image in data.images(chosen))
        images["probe_sha256"] = hashlib.sha256(probe).hexdigest()
    return {"ground_truth": truth.hexdigest(), "images": images}


def name_captions(data: PairDataset) -> list[str]:
    """Return an id for each caption: that of its image, `#`, and its number among the image's captions."""
    seen: dict[int, int] = {}
    names = []
    for image in np.asarray(data.image_of).tolist():
        number = seen.get(image, 0)
        seen[image] = number + 1
        names.append(f"{data.image_ids[image]}#{number}")
    return names


def _list_captions(image_of: np.ndarray, num_images: int) -> np.ndarray:
    """Return the captions of each image, ascending, in rows padded with -1."""
    counts = np.bincount(image_of, minlength=num_images)
    order = np.argsort(image_of, kind="stable")
    listed = np.full((num_images, counts.max()), -1)
    listed[np.arange(listed.shape[1]) < counts[:, None]] = order
    return listed


def _make_queries(
    direction: str, candidates: Sequence[str], rows: Iterator[Any], fold: int, ties: str
) -> Iterator[Query]:
    number = float if ties == "expected" else int
    for name, text, positions, matches, tied, top, scores in rows:
        count = sum(match >= 0 for match in matches)
        yield Query(
            direction,
            name,
            tuple(number(position + 1) for position in positions[:count]),
            tuple(candidates[match] for match in matches[:count]),
            tied,
            tuple(candidates[index] for index in top),
            tuple(float(str(score)) for score in scores),  # as few digits as tell float32 apart
            text,
            fold,
        )
