"""The protocols `eccv` and `cxc`: COCO's test split with the matches that its own captions leave out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from vsezoo.evaluation import query_metrics
from vsezoo.evaluation.ground_truths.coco import (
    SAME,
    CocoSplit,
    Matches,
    find_files,
    identify,
    read_matches,
    read_scores,
)
from vsezoo.evaluation.ground_truths.first import Array, find_alike, find_first, rank_matches
from vsezoo.evaluation.protocol import Protocol, Score
from vsezoo.inputs import PairDataset

RECALLS = (1, 5, 10)
STS, SIS = "sts_test.csv", "sis_test.csv"

Ranks = Sequence[tuple[float, ...]]


class EccvCaption(Protocol):
    """ECCV Caption (Chun et al. 2022): mAP@R, R-Precision and R@1 of 1,261 images and 1,332 captions.

    The candidates are all 25,000 captions and 5,000 images. R is the number of a query's matches, including those
    that are not candidates, as in the authors' code: for images, mAP@R of 100 is out of reach.
    """

    name = "eccv"
    summary = "ECCV Caption on COCO 5K: mAP@R, R-Precision and R@1 with 8 matches a caption, 18 an image."

    def measure(self, score: Score, data: PairDataset, folder: Path) -> Mapping[str, float]:
        """Return the three figures in percent, image to text (`i2t`) before text to image (`t2i`)."""
        ranks = _rank_split(score, data, find_files(folder), "eccv")
        metrics: dict[str, Callable[[Sequence[float]], float]] = {
            "mAP@R": query_metrics.map_at_r,
            "R-P": query_metrics.r_precision,
            "R@1": lambda ranks: query_metrics.hit(ranks, 1),
        }
        return {
            f"{way} {name}": 100 * fmean(map(metric, ranks[way]))
            for name, metric in metrics.items()
            for way in ("i2t", "t2i")
        }


class CrisscrossedCaptions(Protocol):
    """Crisscrossed Captions (Parekh et al. 2021): R@1, R@5 and R@10 over pairs that people find alike.

    With `sts_test.csv` and `sis_test.csv` of its authors in the folder, also from captions to captions and from images
    to images: pairs with a score of 3 or more match, as do captions of one image unless their score is lower. Queries
    without a match are left out.
    """

    name = "cxc"
    summary = "Crisscrossed Captions on COCO 5K: R@K, also text to text and image to image with its files."

    def measure(self, score: Score, data: PairDataset, folder: Path) -> Mapping[str, float]:
        """Return the recalls in percent."""
        files = find_files(folder)
        ranks = _rank_split(score, data, files, "cxc")
        if score.compares_alike and any((folder / name).is_file() for name in (STS, SIS)):
            ranks |= _rank_alike(score, identify(data, files), folder)
        return {
            f"{way} R@{k}": 100 * fmean(query_metrics.hit(query, k) for query in queries)
            for way, queries in ranks.items()
            for k in RECALLS
        }


def _rank_split(score: Score, data: PairDataset, files: Path, name: str) -> dict[str, Ranks]:
    """Return the ranks of the matches of each query in both directions."""
    split = identify(data, files)
    of_images, of_captions = read_matches(files, name)
    most = max(max(map(len, matches.values())) for matches in (of_images, of_captions))
    captions, images = find_first(score, split.images, split.texts, max(most, *RECALLS))
    return {
        "i2t": _rank(split.image_numbers, captions, split.caption_numbers, of_images),
        "t2i": _rank(split.caption_numbers, images, split.image_numbers, of_captions),
    }


def _rank(queries: Iterable[int], first: Array, numbers: Sequence[int], matches: Matches) -> Ranks:
    return [
        rank_matches((numbers[place] for place in row.tolist()), matches[query])
        for query, row in zip(queries, first, strict=True)
        if query in matches
    ]


def _rank_alike(score: Score, split: CocoSplit, folder: Path) -> dict[str, Ranks]:
    """Return the ranks of captions' captions and images' images, as far as there are scores of pairs."""
    ranks: dict[str, Ranks] = {}
    if (folder / STS).is_file():
        of_image: dict[int, set[int]] = {}
        for caption, image in zip(split.caption_numbers, split.image_of, strict=True):
            of_image.setdefault(image, set()).add(caption)
        own = [of_image[image] for image in split.image_of]
        matches = _match_alike(split.caption_numbers, own, folder / STS)
        ranks["t2t"] = _rank_same_kind(score.compare_captions, split.texts, split.caption_numbers, matches)
    if (folder / SIS).is_file():
        matches = _match_alike(split.image_numbers, [{number} for number in split.image_numbers], folder / SIS)
        ranks["i2i"] = _rank_same_kind(score.compare_images, split.images, split.image_numbers, matches)
    return ranks


def _match_alike(numbers: Sequence[int], own: Sequence[set[int]], file: Path) -> Matches:
    matches = {number: set(others) - {number} for number, others in zip(numbers, own, strict=True)}
    for first, second, similarity in read_scores(file):
        if first in matches and second in matches and first != second:
            change = set.add if similarity >= SAME else set.discard
            change(matches[first], second)
            change(matches[second], first)
    return {number: frozenset(others) for number, others in matches.items() if others}


def _rank_same_kind(
    compare: Callable[..., Array],
    items: Sequence[int] | Sequence[str],
    numbers: Sequence[int],
    matches: Matches,
) -> Ranks:
    wanted = [place for place, number in enumerate(numbers) if number in matches]
    found = find_alike(compare, items, wanted, max(RECALLS))
    return _rank([numbers[place] for place in wanted], found, numbers, matches)


eccv, cxc = EccvCaption(), CrisscrossedCaptions()
