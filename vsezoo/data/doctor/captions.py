"""Findings about the captions of a split and about the training vocabulary."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from vsezoo.data.doctor.open_split import OpenSplit
from vsezoo.data.doctor.report import Finding, Range, show_first
from vsezoo.errors import pluralise
from vsezoo.text import SPECIAL_WORDS, Vocabulary, WordTokenizer, is_unspaced

CAPTIONS_AT_ONCE = 5000  # tokenised between two updates of the progress bar
LONG = 100  # words; the longest caption that Kiros et al. (2014) train on
WELL_KNOWN = 0.9  # share of running words of dev and test; a lower one is reported

NUMBER = re.compile(r"\s*[-+]?\d[\d.,]*\s*")
NAME = re.compile(r"\s*\S+\.(?:jpe?g|png|webp|gif|bmp|tiff?)(?:#\d+)?\s*", re.IGNORECASE)
"""The name of a picture, as in the columns of pairs of Crisscrossed Captions."""
ABSENT = re.compile(r"\s*(?:nan|none|null|n/a|<na>)\s*", re.IGNORECASE)
BYTES = re.compile(r"""b(['"]).*\1""")
ODD = re.compile(
    "\ufffd|[\x00-\x08\x0e-\x1f\x7f-\x9f]|[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac|&(?:amp|quot|lt|gt|#\\d+);"
)
"""Replacement character, control character, UTF-8 decoded as Latin-1 or Windows-1252, HTML entity."""

Words = Sequence[Sequence[str]]


def cut_captions(captions: Sequence[str], advance: Callable[[int, int], None]) -> Words:
    """Return the words of each caption, tokenised like VSE++."""
    tokenizer = WordTokenizer()
    words: list[list[str]] = []
    for start in range(0, len(captions), CAPTIONS_AT_ONCE):
        words += tokenizer.split(captions[start : start + CAPTIONS_AT_ONCE])
        advance(len(words), len(captions))
    return words


def measure_words(words: Words) -> Range | None:
    """Return the range of caption lengths in words."""
    return Range.of([len(caption) for caption in words])


def count_per_image(split: OpenSplit) -> Range | None:
    """Return the range of the number of captions per image."""
    return Range.of(np.bincount(split.pairs.image_of)) if split.pairs is not None else None


def measure_coverage(words: Words, vocabulary: Vocabulary) -> float | None:
    """Return the share of running words that are in the vocabulary; None if there are no words."""
    counts = Counter(word for caption in words for word in caption)
    known = sum(count for word, count in counts.items() if word in vocabulary)
    return known / counts.total() if counts else None


def report_captions(split: OpenSplit) -> Iterator[Finding]:
    """Yield findings about the text of captions and their assignment to images."""
    captions = split.captions

    def find(is_found: Callable[[str], object]) -> list[int]:
        return [index for index, caption in enumerate(captions) if is_found(caption)]

    if empty := find(lambda caption: not caption.strip()):
        yield _report(split, "warning", empty, "empty", "Write the captions, or remove their images.")
    if literals := find(BYTES.fullmatch):
        yield _report(
            split,
            "warning",
            literals,
            "written as Python bytes, b'…': their first and last words are not real words",
            "Write text, `file.write(caption.decode())`. To convert a line: `ast.literal_eval(line).decode()`.",
        )
    for pattern, what in ((NUMBER, "nothing but a number"), (NAME, "nothing but the name of a picture")):
        if found := find(pattern.fullmatch):
            yield _report(
                split,
                "warning",
                found,
                what,
                "Check that the column of the captions is the right one.",
                show=lambda index: f"{split.caption_place(index)}: {captions[index]}",
            )
    if absent := find(ABSENT.fullmatch):
        yield _report(
            split,
            "warning",
            absent,
            "'nan', 'None' or 'null', which programs write for one that is missing",
            "Write the captions, or leave the cells empty and skip them: --on-bad-image skip.",
            show=split.caption_place,
        )
    if odd := find(ODD.search):
        yield _report(
            split,
            "warning",
            odd,
            "with characters from a wrong decoding, such as \ufffd, Ã© for é, &amp;",
            "Write the file again from its source, as UTF-8.",
            show=lambda index: f"{split.caption_place(index)}: {captions[index]}",
        )
    if split.pairs is not None:
        yield from _report_equal(split, split.pairs.image_of)
        per_image = np.bincount(split.pairs.image_of)
        if len(set(per_image.tolist())) > 1:
            yield Finding(
                "note",
                split.name,
                f"Images have {per_image.min()} to {per_image.max()} captions each.",
                "Ranks are correct for any number, but published figures use five.",
                split.caption_path,
            )


def _report_equal(split: OpenSplit, image_of: np.ndarray) -> Iterator[Finding]:
    places = defaultdict(list)
    for index, caption in enumerate(split.captions):
        if caption.strip():
            places[caption].append(index)
    repeated = [indices for indices in places.values() if len(indices) > 1]
    within = [indices for indices in repeated if len(set(image_of[indices].tolist())) < len(indices)]
    across = [indices for indices in repeated if len(set(image_of[indices].tolist())) > 1]

    def show(indices: list[int]) -> str:
        return f"{', '.join(map(split.caption_place, indices[:3]))}: {split.captions[indices[0]]}"

    if across:
        images = sum(len(set(image_of[indices].tolist())) for indices in across)
        yield Finding(
            "note",
            split.name,
            f"{pluralise(len(across), 'caption')} shared by {images:,} images: "
            "each counts as correct for only one of them.",
            "Harmless if there are few; if not, write captions that distinguish the images.",
            split.caption_path,
            show_first(across, show),
            len(across),
        )
    if within:
        yield Finding(
            "note",
            split.name,
            f"{pluralise(len(within), 'caption')} given more than once to the same image.",
            "Harmless if there are few; if not, check whether captions were copied by mistake.",
            split.caption_path,
            show_first(within, show),
            len(within),
        )


def report_words(split: OpenSplit, words: Words, vocabulary: Vocabulary | None, threshold: int) -> Iterator[Finding]:
    """Yield findings about the words of the captions.

    Args:
        split: the split.
        words: words of each caption.
        vocabulary: the training vocabulary; None if there is no training split.
        threshold: minimum number of occurrences of a word in the vocabulary.
    """
    long = [index for index, caption in enumerate(words) if len(caption) > LONG]
    if long:
        yield _report(
            split,
            "note",
            long,
            f"with more than {LONG} words",
            f"They make batches large; `--max-words {LONG}` skips them in training.",
        )
    if vocabulary is None:
        return
    unknown = [i for i, caption in enumerate(words) if caption and not any(word in vocabulary for word in caption)]
    if unknown and len(vocabulary) > len(SPECIAL_WORDS):
        remedy = "Check that they are in the language of the training captions, or remove them."
        if is_unspaced([split.captions[index] for index in unknown]):
            remedy = "Train with `--set text_encoder.words=characters`: their script has no spaces between words."
        elif threshold > 1:
            remedy = "Lower `--set text_encoder.vocab_threshold` if there are many, or remove the captions."
        yield _report(
            split,
            "warning",
            unknown,
            "without a word in the vocabulary: the model cannot distinguish those of equal length",
            remedy,
            show=lambda index: f"{split.caption_place(index)}: {split.captions[index]}",
        )


def report_coverage(
    splits: Mapping[str, OpenSplit], coverages: Mapping[str, float | None], threshold: int
) -> Iterator[Finding]:
    """Yield one finding if too few of the words of some splits occur in the training captions.

    Args:
        splits: splits by name.
        coverages: results of `measure_coverage` by split.
        threshold: minimum number of occurrences of a word in the training captions.
    """
    low = {name: share for name, share in coverages.items() if share is not None and share < WELL_KNOWN}
    if not low:
        return
    one = next(iter(low)) if len(low) == 1 else None
    shares = ", ".join(f"{share:.0%}" + ("" if one else f" ({name})") for name, share in low.items())
    what, remedy = "occur in the training captions", "Use more training captions"
    if threshold > 1:
        what = "occur often enough in the training captions to be known"
        remedy = "Lower `--set text_encoder.vocab_threshold` if there are few captions"
    yield Finding(
        "warning",
        one,
        f"Only {shares} of the running words {what}.",
        f"{remedy}; if there are many, check that all splits use the same language and tokenisation.",
        splits[one].caption_path if one else None,
    )


def _report(
    split: OpenSplit,
    level: str,
    captions: Sequence[int],
    what: str,
    remedy: str,
    show: Callable[[int], str] | None = None,
) -> Finding:
    places = show_first(captions, show or split.caption_place)
    text = f"{pluralise(len(captions), 'caption')} {what}."
    return Finding(level, split.name, text, remedy, split.caption_path, places, len(captions))
