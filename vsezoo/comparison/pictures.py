"""Small copies of pictures inside of a page, by the ids of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vsezoo.data.pictures.thumbnail import embed_thumbnail
from vsezoo.errors import DataError
from vsezoo.storage.plain_file import require_path

SIDE = 240
"""Pixels of the longer side."""


class Pictures:
    """Makes `data:` addresses, each once.

    Args:
        find: returns the picture of an image by its id, a file or a `PIL.Image.Image`; None: it has none.
    """

    def __init__(self, find: Callable[[str], Any]) -> None:
        self._find, self._made = find, dict[str, str]()

    @classmethod
    def of_folder(cls, folder: Path | None) -> Pictures:
        """Return those in a folder and the folders in it, whose names are the ids of images; None: there are none.

        Raises:
            DataError: if it is not a folder.
        """
        files = {} if folder is None else find_files(folder)
        return cls(lambda image: files.get(image) or files.get(Path(image).name))

    def show(self, image: str) -> str:
        """Return the address of a picture; empty if there is none that can be read."""
        if image not in self._made:
            try:
                self._made[image] = embed_thumbnail(self._find(image), SIDE)
            except DataError:
                self._made[image] = ""
        return self._made[image]


def find_files(folder: Path) -> dict[str, Path]:
    """Return the files in a folder by name, with and without suffix: the ids of images are one or the other.

    Raises:
        DataError: if it is not a folder.
    """
    remedy = "Give the folder of the pictures to --images."
    require_path(folder, remedy)
    if not folder.is_dir():
        raise DataError("is not a folder.", file=folder, remedy=remedy)
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {file.stem: file for file in files} | {file.name: file for file in files}
