"""Findings from comparing the splits with each other, and the folder with the splits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path

from vsezoo.data.doctor.open_split import MEASURED, REQUIRED, OpenSplit
from vsezoo.data.doctor.report import PICTURED, Finding, show_first
from vsezoo.data.doctor.scan import ImageScan
from vsezoo.data.pictures.likeness import find_near
from vsezoo.data.pictures.walk import ENDINGS, list_pictures
from vsezoo.data.source import DataSource, OpenOptions
from vsezoo.errors import DataError, list_names, pluralise

SAME_IMAGES = {"test", "testall"}
"""Splits that share images by design: COCO's test is the first 1,000 images of testall."""

ALIKE = 0.3  # mean cosine of two different images at which a large common mean is reported
FACTOR = 1.5  # allowed ratio of the mean norms of two splits
NAMED = 6  # most files that a remedy lists


def compare_forms(opened: Mapping[str, OpenSplit], scans: Mapping[str, ImageScan]) -> Iterator[Finding]:
    """Yield findings about the kind, width, norm and common mean of the images of the splits."""
    known = [split for split in opened.values() if split.kind is not None]
    for split in known[1:]:
        yield from _compare_form(known[0], split)
    vectors = {split.name: scans[split.name] for split in known if scans[split.name].norms is not None}
    yield from _compare_norms(vectors, all(opened[name].kind == "vector" for name in vectors))
    cosine = scans["train"].mean_cosine if "train" in scans else None
    if cosine is not None and cosine > ALIKE:
        yield Finding(
            "note",
            "train",
            f"The mean cosine of two different images is {cosine:.2f}: all features share a large mean, which hides "
            "the differences between images.",
            "`--set image_encoder.center=true` subtracts the mean of the training images; try it.",
            opened["train"].image_path,
        )


def _compare_form(first: OpenSplit, other: OpenSplit) -> Iterator[Finding]:
    remedy = "Extract the features of all splits in the same way."
    if first.kind != other.kind:
        level = "error" if other.name in REQUIRED else "warning"
        what = f"The images are of kind {other.kind!r}, those of {first.name} of kind {first.kind!r}."
        yield Finding(level, other.name, what, remedy, other.image_path)
    elif first.image_shape and other.image_shape and first.image_shape != other.image_shape:
        # Training works if only the number of regions differs. A test split that cannot be opened is not evaluated.
        fails = other.name in REQUIRED or (other.name in MEASURED and not other.refusals)
        level = "error" if fails else "warning"
        if first.image_shape[-1] == other.image_shape[-1]:
            level = "note"
        what = f"The images have the shape {other.image_shape}, those of {first.name} {first.image_shape}."
        yield Finding(level, other.name, what, remedy, other.image_path)


def _compare_norms(scans: Mapping[str, ImageScan], are_vectors: bool) -> Iterator[Finding]:
    means = {name: scan.norms.mean for name, scan in scans.items() if scan.norms is not None}
    if not means:
        return
    listing = ", ".join(f"{name} {mean:.3g}" for name, mean in means.items())
    if min(means.values()) * FACTOR < max(means.values()):
        yield Finding(
            "warning",
            None,
            f"The mean norms of the features differ between the splits: {listing}.",
            "Extract and scale the features of all splits in the same way.",
        )
    elif are_vectors and not all(scan.is_unit for scan in scans.values()):
        yield Finding(
            "note",
            None,
            f"The features do not have unit norm (mean {listing}); those of VSE++ and Kiros have.",
            "Normalise each row after extraction: features /= numpy.linalg.norm(features, axis=1, keepdims=True).",
        )


def compare_images(opened: Mapping[str, OpenSplit], scans: Mapping[str, ImageScan]) -> Iterator[Finding]:
    """Yield images that are in more than one split, compared by id and by content."""
    ids: dict[str, Sequence[object]] = {
        name: split.pairs.image_ids if split.pairs and split.has_ids else () for name, split in opened.items()
    }
    digests: dict[str, Sequence[object]] = {name: scan.digests for name, scan in scans.items()}
    remedy = "Remove them from one of the splits: results on training images are meaningless."
    for names in combinations(opened, 2):
        if set(names) == SAME_IMAGES:
            continue
        first, other = (opened[name] for name in names)
        for values, what in ((ids, "ids"), (digests, "contents")):
            shared = _match(values[first.name], values[other.name])
            if not shared:
                continue
            count = len(shared)
            images = pluralise(count, "image")
            text = f"{images} of {other.name} {'is' if count == 1 else 'are'} also in {first.name}, with equal {what}"
            if values is digests:
                equal = sum(not _captions_of(first, a).isdisjoint(_captions_of(other, b)) for a, b in shared)
                text += f"; {equal:,} of them with an equal caption"
            yield Finding(
                "warning",
                other.name,
                f"{text}.",
                remedy,
                other.image_path,
                show_first(shared, lambda pair: _show_pair(first, other, pair)),  # noqa: B023
                count,
                _list_images(first, other, shared),
            )


def compare_likeness(opened: Mapping[str, OpenSplit], scans: Mapping[str, ImageScan]) -> Iterator[Finding]:
    """Yield pictures that look nearly the same as one of an earlier split, without being equal."""
    for names in combinations(opened, 2):
        if set(names) == SAME_IMAGES:
            continue
        first, other = (opened[name] for name in names)
        one, two = (scans[name] for name in names)
        near: dict[int, int] = {}
        for a, b in find_near(one.sketches, two.sketches):
            if one.digests[a] != two.digests[b]:
                near.setdefault(b, a)
        if near:
            pairs = [(a, b) for b, a in sorted(near.items())]
            text = f"{pluralise(len(near), 'picture')} of {other.name} nearly the same as one of {first.name}"
            yield Finding(
                "warning",
                other.name,
                f"{text}: a copy, or a neighbouring frame.",
                "Keep them in one split: `vsezoo data split DATA --group near-duplicates`, or `--group folder` if each "
                "folder is a video.",
                other.image_path,
                show_first(pairs, lambda pair: _show_pair(first, other, pair).replace(" is ", " is like ")),  # noqa: B023
                len(near),
                _list_images(first, other, pairs),
            )


def _list_images(
    first: OpenSplit, other: OpenSplit, pairs: Sequence[tuple[int, int]]
) -> tuple[tuple[tuple[str, int], ...], ...]:
    return tuple(((first.name, one), (other.name, two)) for one, two in pairs[:PICTURED])


def _match(first: Sequence[object], other: Sequence[object]) -> list[tuple[int, int]]:
    """Return the index pairs of equal values, using the first occurrence in each; None equals nothing."""
    places = {value: index for index, value in reversed(list(enumerate(first))) if value is not None}
    found = {value: index for index, value in reversed(list(enumerate(other))) if value in places}
    return sorted(((places[value], index) for value, index in found.items()), key=lambda pair: pair[1])


def _captions_of(split: OpenSplit, image: int) -> set[str]:
    if split.pairs is None:
        return set()
    start, stop = split.pairs.image_of.searchsorted([image, image + 1])
    return set(split.captions[start:stop])


def _show_pair(first: OpenSplit, other: OpenSplit, pair: tuple[int, int]) -> str:
    return f"{other.image_place(pair[1])} is {first.image_place(pair[0])} of {first.name}"


def report_unnamed(whole: DataSource, source: DataSource, options: OpenOptions) -> Iterator[Finding]:
    """Yield findings about files in the folder that were not checked.

    Args:
        whole: the data set as named.
        source: its features or its pictures, whichever was checked.
        options: where to look.
    """
    folder, others, remedy = _find_others(source, options)
    if others:
        yield Finding(
            "note",
            None,
            f"{pluralise(len(others), 'file')} without a split.",
            remedy,
            str(folder),
            show_first(others, str),
            len(others),
        )
    if len(whole.list_sources(options)) > 1:
        forms = ("features", "pictures") if "picture" in source.kinds else ("pictures", "features")
        option = "without" if forms[0] == "features" else "with"
        text = f"The folder also has {forms[0]}; only the {forms[1]} were checked."
        yield Finding("note", None, text, f"Run `vsezoo data check` {option} --pictures as well.", str(folder))


def _find_others(source: DataSource, options: OpenOptions) -> tuple[Path | None, list[str], str]:
    """Return the folder of a data set, its unused files, and the remedy for them."""
    folder, read = None, list[Path]()
    with suppress(DataError):  # for example an ambiguous file name, which is a finding of its split
        folder = source.find_folder(options)
        read = list(source.list_files(options))
    if folder is None or not read:
        return folder, [], ""
    used = {path.absolute() for path in read}  # a table may contain absolute paths
    if "picture" in source.kinds:
        lists = [path.name for path in read if not path.name.lower().endswith(ENDINGS)]
        where = f" to {list_names(lists, NAMED)}" if lists else ""
        remedy = f"Add their captions{where}, or ignore this."
        found: Iterable[Path] = list_pictures(folder)
    else:
        remedy = f"Check for misspelt names. Files that are read: {list_names([path.name for path in read], NAMED)}."
        found = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return folder, [str(path.relative_to(folder)) for path in found if path.absolute() not in used], remedy
