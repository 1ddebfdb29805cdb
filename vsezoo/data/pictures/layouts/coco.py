"""MS-COCO 2014 as VSE++ reads it: the annotations of the data set, and the caption ids of each split."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vsezoo.data.pictures.layouts.coco_json import list_places, read_annotations
from vsezoo.data.pictures.listing import CaptionedImage, Listing, clean_caption
from vsezoo.errors import DataError
from vsezoo.storage.plain_file import open_plain

ANNOTATIONS = ("captions_train2014.json", "captions_val2014.json")
SPLITS = ("train", "dev", "test", "restval")


def find_coco(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Look for `captions_train2014.json` or `captions_val2014.json`, in one of `coco_json.list_places`."""
    for place in list_places(folder):
        files = [place / name for name in ANNOTATIONS if (place / name).is_file()]
        if files:
            return functools.partial(_read, folder, files)
    return None


def _read(folder: Path, files: Sequence[Path]) -> Listing:
    ids = {split: file for split in SPLITS if (file := _find_ids(folder, split))}
    if not ids:
        raise DataError(
            "has COCO captions, but no files that assign them to splits.",
            file=files[0].parent,
            remedy="Copy coco_train_ids.npy, coco_dev_ids.npy, coco_test_ids.npy and coco_restval_ids.npy of VSE++ to "
            f"the same folder, or Karpathy's dataset_coco.json to {folder}.",
        )
    bad: list[DataError] = []
    captions = {number: found for file in files for number, found in _read_annotations(file, bad).items()}
    splits = {split: _pick(file, captions, files, bad) for split, file in ids.items()}
    return Listing(folder, files[0].parent, splits, remedy="The ids are in coco_SPLIT_ids.npy.", bad=bad)


def _find_ids(folder: Path, split: str) -> Path | None:
    return next((file for place in list_places(folder) if (file := place / f"coco_{split}_ids.npy").is_file()), None)


def _read_annotations(file: Path, bad: list[DataError]) -> dict[Any, tuple[str, str]]:
    """Return picture name and text by annotation number."""
    pictures = file.stem.removeprefix("captions_")  # the folder train2014 or val2014
    names, captions, _ = read_annotations(file, bad)
    return {number: (f"{pictures}/{names[image]}", caption or "") for number, image, caption in captions}


def _pick(
    file: Path, captions: dict[Any, tuple[str, str]], files: Sequence[Path], bad: list[DataError]
) -> list[CaptionedImage]:
    """Return the pictures of an id file, each with the captions that the file names (five in those of VSE++)."""
    import numpy as np

    try:
        with open_plain(file) as stream:
            ids = np.load(stream, allow_pickle=False)
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise ValueError(f"it contains {ids.dtype} of shape {ids.shape}")
    except (OSError, ValueError, EOFError) as error:
        remedy = "Copy it again from the data.tar of VSE++."
        raise DataError(f"is not an array of annotation numbers: {error}.", file=file, remedy=remedy) from None
    images: dict[str, CaptionedImage] = {}
    for number in ids.tolist():
        if number not in captions:
            problem = f"names the annotation {number}, which is not in {' or '.join(path.name for path in files)}."
            bad.append(DataError(problem, file=file, remedy="Use the annotations of COCO 2014, both train and val."))
            continue
        name, caption = captions[number]
        images.setdefault(name, CaptionedImage(name, [])).captions.append(clean_caption(caption))
    return list(images.values())
