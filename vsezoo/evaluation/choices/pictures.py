"""The pictures of choices as a data set."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vsezoo.data.pictures.picture_file import read_picture
from vsezoo.errors import DataError
from vsezoo.evaluation.choices.items import Crop
from vsezoo.inputs import PairDataset


class ChoicePictures(PairDataset):
    """Pictures and parts of pictures, without captions of their own.

    Args:
        name: of the data set.
        crops: the pictures, each once.
        files: where their files are, by `Crop.file`.
    """

    kind, split = "picture", "all"
    image_shape = ()
    captions: Sequence[str] = ()

    def __init__(self, name: str, crops: Sequence[Crop], files: Mapping[str, Path]) -> None:
        self.name, self._crops, self._files = name, crops, files
        self.image_ids = [crop.name for crop in crops]
        self.image_of = np.empty(0, np.int64)

    def images(self, indices: Sequence[int] | np.ndarray) -> list[Image.Image]:
        """Decode pictures.

        Raises:
            DataError: for a picture that cannot be read.
        """
        return [self._read(self._crops[index]) for index in np.asarray(indices).tolist()]

    def _read(self, crop: Crop) -> Image.Image:
        if not crop.box:
            return read_picture(self._files[crop.file])
        return read_picture(self._files[crop.file], short_side=1 << 20).crop(crop.box)  # the box is in its own pixels


def open_choice_pictures(folder: Path, crops: Iterable[Crop]) -> ChoicePictures:
    """Find the pictures of choices next to their files, in `images` or in another subfolder, which may be a link.

    Raises:
        DataError: if a picture is absent.
    """
    wanted = list(dict.fromkeys(crops))
    listed = _list_folder(folder)
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        listed = {**_list_folder(inner), **listed}
    files: dict[str, Path] = {}
    for crop in wanted:
        name = Path(crop.file).name
        exact = folder / crop.file
        found = exact if exact.is_file() else listed.get(name) or listed.get(Path(name).stem if "." in name else name)
        if found is None:
            raise DataError(
                f"lacks the picture {crop.file}.",
                file=folder,
                remedy="Put the pictures, or a link to their folder, next to the file of choices, such as in images.",
            )
        files[crop.file] = found
    return ChoicePictures(folder.absolute().name, wanted, files)


def _list_folder(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by name, with and without suffix: Winoground's names have none."""
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    return {Path(name).stem: folder / name for name in names} | {name: folder / name for name in names}
