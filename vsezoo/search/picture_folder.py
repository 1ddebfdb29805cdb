"""Pictures as a collection: those of a folder, or files that are named."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from vsezoo.data.pictures.layouts.registered import list_recognised
from vsezoo.data.pictures.picture_file import read_only_picture, read_picture
from vsezoo.data.pictures.walk import ENDINGS, FoundFile, walk_pictures
from vsezoo.errors import DataError, list_names
from vsezoo.search.collection import Array, Block, Collection, digest_files
from vsezoo.storage.plain_file import require_path

DECODERS = 4
"""Number of pictures decoded at a time. Pillow releases Python's lock."""


class PictureFiles(Collection):
    """Picture files.

    Args:
        files: their paths.
        ids: their ids.
        skips: skip files that cannot be read as a picture; if not, they are an error.
    """

    kind = "picture"

    def __init__(self, files: Sequence[str], ids: Sequence[str], *, skips: bool) -> None:
        self._files, self.ids, self.skips = files, ids, skips

    def keys(self) -> Array:
        """Return digests of the names, sizes and modification times of the files."""
        return digest_files(zip(self._files, self.ids, strict=True))

    def read(self, items: Sequence[int]) -> Block:
        """Decode pictures, several in parallel."""
        with ThreadPoolExecutor(DECODERS) as pool:
            read = list(pool.map(self._decode, items))
        bad = {item: found for item, found in zip(items, read, strict=True) if isinstance(found, DataError)}
        return Block([found for found in read if not isinstance(found, DataError)], bad)

    def find_picture(self, item: int) -> Path:
        """Return the path of the file."""
        return Path(self._files[item])

    def _decode(self, item: int) -> Image.Image | DataError:
        try:
            return (read_picture if len(self._files) > 1 else read_only_picture)(self._files[item])
        except DataError as error:
            if not self.skips:
                raise
            return error


class NamedPictures(PictureFiles):
    """Picture files that a user names. One alone is not skipped.

    Args:
        names: their paths.
        skips: as for `PictureFiles`.
        ids: their ids; None: the paths.

    Raises:
        DataError: for one that does not exist.
    """

    def __init__(self, names: Sequence[str], *, skips: bool, ids: Sequence[str] | None = None) -> None:
        super().__init__(names, ids or names, skips=skips and len(names) > 1)
        self.name, self.place = "the pictures", ""
        if len(names) == 1:
            self.name, self.place = names[0], str(Path(names[0]).absolute())
        for name in names:
            require_path(Path(name), "Check the path of the picture.")


class PictureFolder(PictureFiles):
    """The pictures below a folder, sorted by name.

    Args:
        folder: searched with its subfolders; names that start with a dot are ignored.
        skips: skip files that cannot be read as a picture; if not, they are an error.

    Raises:
        DataError: if it is not a folder, or has no pictures.
    """

    def __init__(self, folder: Path, *, skips: bool) -> None:
        self.name, self.place = str(folder), str(folder.absolute())
        require_path(folder, "Name a folder of pictures.")
        if not folder.is_dir():
            raise DataError("is not a folder.", file=folder, remedy="Name a folder of pictures.")
        found = list(walk_pictures(folder))
        usable = [one for one in found if not one.reason]
        if not usable:
            raise DataError(_describe_contents(folder, found), file=folder, remedy=_advise(folder))
        super().__init__([one.file for one in usable], [one.name for one in usable], skips=skips)
        self.skipped = {one.name: one.reason for one in found if one.reason}


def _describe_contents(folder: Path, found: Sequence[FoundFile]) -> str:
    if found:
        return f"contains no usable picture, only {len(found):,} such as {found[0].name}: {found[0].reason}."
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return "is empty: it contains no pictures."
    return f"contains no pictures, only {list_names(names, 5)}."


def _advise(folder: Path) -> str:
    if any(folder.glob("*_ims.npy")):
        return f"It contains features: use --data {folder} and --split, or --images with one of its files."
    if layouts := list_recognised(folder):
        return (
            f"It is a data set whose pictures are in files of the layout {layouts[0]}: use --data {folder} and --split."
        )
    return f"Name a folder of pictures, with the suffixes {', '.join(ENDINGS)}."
