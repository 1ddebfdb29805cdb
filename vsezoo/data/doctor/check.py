"""Check a data set: each split as far as it can be read, then the splits against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from vsezoo.data.doctor.account import report_account
from vsezoo.data.doctor.captions import (
    Words,
    count_per_image,
    cut_captions,
    measure_coverage,
    measure_words,
    report_captions,
    report_coverage,
    report_words,
)
from vsezoo.data.doctor.images import report_images, report_values
from vsezoo.data.doctor.open_split import OpenSplit, choose_source, list_splits, open_split
from vsezoo.data.doctor.report import LEVELS, Finding, Report, SplitFigures
from vsezoo.data.doctor.scan import ImageScan, scan_images
from vsezoo.data.doctor.split_comparison import compare_forms, compare_images, compare_likeness, report_unnamed
from vsezoo.data.lookup import find_source
from vsezoo.data.source import OpenOptions
from vsezoo.errors import report_system_errors
from vsezoo.inputs import KINDS
from vsezoo.storage.waiting import AdvanceNamed
from vsezoo.text import SPECIAL_WORDS, Vocabulary

SIZES = 10
"""Most sizes of pictures that the figures list."""


@report_system_errors
def check_data(
    data: str,
    *,
    root: Path | None = None,
    splits: Sequence[str] = (),
    pictures: bool = False,
    vocab_threshold: int = 4,
    advance: AdvanceNamed = lambda what, done, total: None,
) -> Report:
    """Check a data set. Reads every image and every caption, in blocks.

    Args:
        data: a registered data set or a folder.
        root: the folder that contains the data set's folder; None: `$VSEZOO_DATA`, then `./data`.
        splits: splits to check; empty: all available ones, and train, dev and test.
        pictures: check the pictures of a data set that also has features.
        vocab_threshold: minimum number of occurrences of a word in the vocabulary.
        advance: progress callback.

    Raises:
        DataError: if the data set is absent, or has no such split.
        UnknownNameError: for a name that is neither registered nor a folder.
    """
    whole, options = find_source(data), OpenOptions(root)
    source = choose_source(whole, options, pictures=pictures)
    kinds = ("picture",) if pictures else KINDS
    opened = {name: open_split(source, name, options, kinds) for name in list_splits(source, options, splits)}
    _require_any(opened)
    words = {
        name: cut_captions(split.captions, partial(advance, f"captions of {name}")) for name, split in opened.items()
    }
    scans = {name: scan_images(split, partial(advance, f"images of {name}")) for name, split in opened.items()}
    report = Report(source.name, vocab_threshold)
    for name, split in opened.items():
        report.splits[name] = _measure(split, words[name], scans[name])
        report.findings += _report_split(split, scans[name])
    report.places = {name: split.pairs.places for name, split in opened.items() if split.pairs}
    report.lengths = {name: Counter(map(len, of_split)) for name, of_split in words.items()}
    _check_words(report, opened, words)
    report.account = dict(next((split.pairs.account for split in opened.values() if split.pairs), {}))
    report.findings += [
        *report_account(report.account),
        *compare_forms(opened, scans),
        *compare_images(opened, scans),
        *compare_likeness(opened, scans),
        *report_unnamed(whole, source, options),
    ]
    report.findings.sort(key=lambda finding: LEVELS.index(finding.level))
    return report


def _require_any(opened: Mapping[str, OpenSplit]) -> None:
    """Raise the error of the splits if all have the same one and nothing can be checked: the data set is absent."""
    first = next(iter(opened.values())).refusals
    said = {str(split.refusals[0]) if split.refusals and not split.is_readable else "" for split in opened.values()}
    if first and len(opened) > 1 and said == {str(first[0])}:
        raise first[0]


def _measure(split: OpenSplit, words: Words, scan: ImageScan) -> SplitFigures:
    pairs, features = split.pairs, split.features
    sizes = {f"{width} x {height}": count for (width, height), count in scan.sizes.most_common(SIZES)}
    return SplitFigures(
        images=len(pairs.image_ids) if pairs else None,
        captions=len(split.captions) or None,
        captions_per_image=count_per_image(split),
        kind=split.kind,
        image_shape=split.image_shape,
        rows=features.shape[0] if features else None,
        dtype=str(features.dtype) if features else None,
        norms=scan.norms,
        mean_cosine=scan.mean_cosine,
        sizes=sizes or None,
        modes=dict(scan.modes.most_common()) or None,
        words=measure_words(words),
    )


def _report_split(split: OpenSplit, scan: ImageScan) -> list[Finding]:
    """Return findings about a single split."""
    skipped = split.report_skipped()
    # If the files fit together, the refusal is about single images, which the scan describes better.
    is_explained = split.pairs is not None and (skipped or any(report_values(split, scan)))
    refusals = () if is_explained else split.report_refusals()
    return [*refusals, *skipped, *report_images(split, scan), *report_captions(split)]


def _check_words(report: Report, opened: Mapping[str, OpenSplit], words: Mapping[str, Words]) -> None:
    """Build the vocabulary that a training run would build, and compare all captions with it."""
    vocabulary = None
    if words.get("train"):
        own = Vocabulary.build(words["train"], report.vocab_threshold)
        vocabulary = Vocabulary.build([*words["train"], *words.get("dev", ())], report.vocab_threshold)
        report.vocabulary = len(vocabulary)
        if len(vocabulary) == len(SPECIAL_WORDS):
            what, remedy = "The captions contain no words.", "Write captions with words."
            if report.vocab_threshold > 1:
                what = (
                    f"No word occurs {report.vocab_threshold} times in the captions, so that the vocabulary would have "
                    "none."
                )
                remedy = "Use more captions, or `--set text_encoder.vocab_threshold=1`."
            report.findings.append(Finding("error", "train", what, remedy, opened["train"].caption_path))
    for name, split in opened.items():
        report.findings += report_words(split, words[name], vocabulary, report.vocab_threshold)
        if vocabulary is not None and len(vocabulary) > len(SPECIAL_WORDS):
            report.splits[name].known_words = measure_coverage(words[name], own)
    coverages = {name: figures.known_words for name, figures in report.splits.items()}
    report.findings += report_coverage(opened, coverages, report.vocab_threshold)
