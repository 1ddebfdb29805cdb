"""Findings about the images of a split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from vsezoo.data.doctor.open_split import OpenSplit
from vsezoo.data.doctor.report import PICTURED, Finding, show_first
from vsezoo.data.doctor.scan import ImageScan
from vsezoo.errors import pluralise


def report_images(split: OpenSplit, scan: ImageScan) -> Iterator[Finding]:
    """Yield findings about the images of a split."""
    yield from report_values(split, scan)
    path = split.image_path
    is_picture = split.pairs is not None and split.pairs.kind == "picture"
    if scan.zero:
        yield Finding(
            "warning",
            split.name,
            f"{pluralise(len(scan.zero), 'image')} with only zeros: the model cannot distinguish them.",
            "Extract the features of these images again, or remove the images.",
            path,
            show_first(scan.zero, split.image_place),
            len(scan.zero),
        )
    if equal := _group(scan.digests):
        count = sum(map(len, equal)) - len(equal)
        yield Finding(
            "warning",
            split.name,
            f"{pluralise(count, 'picture' if is_picture else 'feature')} equal to that of an earlier image: "
            "the captions of one count as wrong for the other.",
            "Remove the repeated images, or give all their captions to one of them.",
            path,
            show_first(equal, lambda images: " = ".join(map(split.image_place, images[:3]))),
            len(equal),
            tuple(tuple((split.name, image) for image in images[:3]) for images in equal[:PICTURED]),
        )
    if split.pairs is not None and (named := _group(split.pairs.image_ids)):
        count = sum(map(len, named)) - len(named)
        yield Finding(
            "warning",
            split.name,
            f"{pluralise(count, 'image')} with the id of an earlier image.",
            "Give each image a unique id; results are reported by id.",
            path,
            show_first(named, lambda images: " = ".join(map(split.image_place, images[:3]))),
            len(named),
        )
    if split.copies > 1 and not scan.unequal:
        yield Finding(
            "note",
            split.name,
            f"Each image has {split.copies} rows, one per caption; image i is row {split.copies}i.",
            f"One row per image would take 1/{split.copies} of the space.",
            path,
        )


def report_values(split: OpenSplit, scan: ImageScan) -> Iterator[Finding]:
    """Yield findings about images that cannot be read."""
    path = split.image_path
    if scan.not_finite:
        yield Finding(
            split.level(scan.not_finite),
            split.name,
            f"{pluralise(len(scan.not_finite), 'image')} with NaN or an infinite value.",
            "Extract the features of these images again.",
            path,
            show_first(scan.not_finite, split.image_place),
            len(scan.not_finite),
        )
    if scan.unequal:
        yield Finding(
            split.level(scan.unequal),
            split.name,
            f"{pluralise(len(scan.unequal), 'image')} whose {split.copies} rows differ; the file has one row per "
            "caption.",
            f"Save one row per image, or repeat each row {split.copies} times in succession.",
            path,
            show_first(scan.unequal, split.image_place),
            len(scan.unequal),
        )
    if scan.unreadable:
        remedies = Counter(error.remedy for error in scan.unreadable.values())
        yield Finding(
            split.level(scan.unreadable),
            split.name,
            f"{pluralise(len(scan.unreadable), 'image')} that cannot be read.",
            remedies.most_common(1)[0][0],
            path,
            show_first(scan.unreadable.values(), lambda error: str(error).partition("\n")[0]),
            len(scan.unreadable),
        )


def _group(values: Sequence[Any]) -> list[list[int]]:
    """Return the indices of each value that occurs more than once, except None."""
    indices = defaultdict(list)
    for index, value in enumerate(values):
        if value is not None:
            indices[value].append(index)
    return [group for group in indices.values() if len(group) > 1]
