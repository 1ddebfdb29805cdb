"""MS-COCO 2014 as VSE++ reads it: the annotations of the data set, and the caption ids of each split."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from vsezoo.data.pictures.layouts.coco_json import explain_json
from vsezoo.data.pictures.listing import CaptionedImage, Listing, clean_caption, read_json
from vsezoo.errors import DataError

ANNOTATIONS = ("captions_train2014.json", "captions_val2014.json")
SPLITS = ("train", "dev", "test", "restval")


def find_coco(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Look for `captions_train2014.json` or `captions_val2014.json`, in the folder or in `annotations`."""
    for place in (folder / "annotations", folder):
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
    captions = {number: found for file in files for number, found in _read_annotations(file).items()}
    splits = {split: _pick(file, captions, files) for split, file in ids.items()}
    return Listing(folder, files[0].parent, splits, remedy="The ids are in coco_SPLIT_ids.npy.")


def _find_ids(folder: Path, split: str) -> Path | None:
    places = (folder / "annotations", folder)
    return next((file for place in places if (file := place / f"coco_{split}_ids.npy").is_file()), None)


def _read_annotations(file: Path) -> dict[int, tuple[str, str]]:
    """Return picture name and text by annotation number."""
    content = read_json(file)
    pictures = file.stem.removeprefix("captions_")  # the folder train2014 or val2014
    try:
        names = {image["id"]: f"{pictures}/{image['file_name']}" for image in content["images"]}
        return {entry["id"]: (names[entry["image_id"]], str(entry["caption"])) for entry in content["annotations"]}
    except (KeyError, TypeError) as error:
        raise explain_json(file, error) from None


def _pick(file: Path, captions: dict[int, tuple[str, str]], files: Sequence[Path]) -> list[CaptionedImage]:
    """Return the pictures of an id file, each with the captions that the file names (five in those of VSE++)."""
    import numpy as np

    try:
        ids = np.load(file, allow_pickle=False)
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise ValueError(f"it contains {ids.dtype} of shape {ids.shape}")
    except (OSError, ValueError, EOFError) as error:
        remedy = "Copy it again from the data.tar of VSE++."
        raise DataError(f"is not an array of annotation numbers: {error}.", file=file, remedy=remedy) from None
    images: dict[str, CaptionedImage] = {}
    for number in ids.tolist():
        if number not in captions:
            raise DataError(
                f"names the annotation {number}, which is not in {' or '.join(path.name for path in files)}.",
                file=file,
                remedy="Use the annotations of COCO 2014, both train and val.",
            )
        name, caption = captions[number]
        images.setdefault(name, CaptionedImage(name, [])).captions.append(clean_caption(caption))
    return list(images.values())
