"""Karpathy's JSON (`dataset_flickr8k.json` and similar): all splits of a data set in one file, as VSE++ reads it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from fnmatch import filter as match
from pathlib import Path
from typing import Any

from vsezoo.data.caption_file import CAPTIONS_PER_IMAGE
from vsezoo.data.pictures.listing import CaptionedImage, Listing, clean_caption, name_split, read_json
from vsezoo.errors import DataError

OF_DATASETS = {"dataset_dict.json", "dataset_info.json", "dataset_infos.json"}
"""What the library `datasets` writes beside its files."""
REMEDY = "Each entry of `images` needs `filename`, `split`, and `sentences`, a list of objects with a text `raw`."


def find_karpathy(folder: Path, names: Sequence[str], pattern: str = "dataset_*.json") -> Callable[[], Listing] | None:
    """Look for a file of this pattern.

    Raises:
        DataError: for several such files.
    """
    files = [name for name in match(names, pattern) if name not in OF_DATASETS]
    if len(files) > 1:
        problem = f"has several lists of pictures: {', '.join(sorted(files))}."
        raise DataError(problem, file=folder, remedy="Keep one of them.")
    return functools.partial(_read, folder, folder / files[0]) if files else None


def _read(folder: Path, file: Path) -> Listing:
    images = read_json(file).get("images")
    if not isinstance(images, list):
        raise DataError("does not have a list `images`.", file=file, remedy=REMEDY)
    splits: dict[str, dict[str, CaptionedImage]] = {}
    bad, cut = list[DataError](), 0
    for index, entry in enumerate(images):
        try:
            split, image = _read_image(entry)
        except (KeyError, TypeError) as error:
            reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            bad.append(DataError(f"images[{index}] {reason}.", file=file, remedy=REMEDY))
            continue
        of_split = splits.setdefault(split, {})
        if image.name in of_split:
            remedy = "Keep one entry, with all captions."
            bad.append(DataError(f"has {image.name!r} twice in the split {split}.", file=file, remedy=remedy))
            continue
        of_split[image.name] = image
        cut += len(entry["sentences"]) - len(image.captions)
    return Listing(folder, file, {split: list(found.values()) for split, found in splits.items()}, bad=bad, cut=cut)


def _read_image(entry: Any) -> tuple[str, CaptionedImage]:
    if not isinstance(entry, dict):
        raise TypeError("is not an object")
    name, split, sentences = entry["filename"], entry["split"], entry["sentences"]
    if not (isinstance(name, str) and isinstance(split, str) and isinstance(sentences, list) and sentences):
        raise TypeError("needs texts as `filename` and `split`, and a list as `sentences`")
    texts = [sentence["raw"] if isinstance(sentence, dict) else None for sentence in sentences[:CAPTIONS_PER_IMAGE]]
    captions = [clean_caption(text) for text in texts if isinstance(text, str)]
    if len(captions) < len(texts):
        raise TypeError("has a sentence that is not an object with a text `raw`")
    languages = [str(sentence.get("language") or "") for sentence in sentences[: len(texts)]]
    place = f"{entry['filepath']}/{name}" if entry.get("filepath") else name
    return name_split(split), CaptionedImage(place, captions, languages=languages if any(languages) else [])
