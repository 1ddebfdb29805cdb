"""The pictures of a collection as a browser shows them, and pictures that are uploaded."""

from __future__ import annotations

import asyncio
import math
import os
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple, TypeVar

from PIL import Image

from vsezoo.data.pictures.picture_file import SHORT_SIDE, read_picture
from vsezoo.data.pictures.thumbnail import QUALITY, SIDE
from vsezoo.errors import DataError
from vsezoo.search.collection import Collection

Given = TypeVar("Given")
Made = TypeVar("Made")

DECODERS = 2
"""Number of pictures decoded at a time, which bounds their memory."""
HELD = 4
"""Number of uploaded pictures in memory at a time."""
LARGE = 16_000_000
"""Pixels above which an uploaded picture is reduced before the model sees it: a small file may have 89 millions."""
KEPT = 64 * 2**20
"""Bytes of thumbnails that are kept in memory."""
SHOWN = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif", "AVIF": "image/avif"}
"""Formats that every browser shows, with their media types; other files are sent as JPEG."""
UPLOADED = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF", "PPM", "JPEG2000")
"""Formats that are accepted from clients. Pillow also knows some that are programs, such as EPS."""


class PictureError(DataError):
    """A picture that cannot be shown or searched with; `file` is its id, never a path of the server."""


@dataclass(frozen=True)
class Shown:
    """A picture to send.

    Attributes:
        media_type: of the content or the file.
        content: the bytes; empty: those of the file.
        file: the file.
    """

    media_type: str
    content: bytes = b""
    file: Path | None = None


class Thumbnail(NamedTuple):
    """A small copy of a picture, and the file of the picture, if it has one."""

    file: Path | None
    content: bytes


class PictureShelf:
    """Pictures of a collection by their numbers; no path comes from a client.

    Args:
        collection: the collection. Of files, only those below its folder are shown, links followed.
    """

    def __init__(self, collection: Collection) -> None:
        self.has_pictures = collection.has_pictures
        self._collection = collection
        self._root = os.path.realpath(collection.place) if collection.place else ""
        self._pool = ThreadPoolExecutor(DECODERS, thread_name_prefix="pictures")
        self._held = asyncio.Semaphore(HELD)
        self._reading = threading.Lock()
        self._thumbnails: OrderedDict[int, Thumbnail] = OrderedDict()
        self._size = 0

    async def read_thumbnail(self, item: int) -> Shown:
        """Return a small copy.

        Raises:
            PictureError: for an image that is not a picture, cannot be read, or lies outside of the collection.
        """
        kept = self._thumbnails.get(item)
        if kept is None or (kept.file is not None and not kept.file.exists()):  # what was removed is not shown
            kept = await self._run(self._make_thumbnail, item)
            self._keep(item, kept)
        else:
            self._thumbnails.move_to_end(item)
        return Shown("image/jpeg", kept.content)

    async def read_whole(self, item: int) -> Shown:
        """Return the picture as it is, or as JPEG if a browser may not know its format; see `read_thumbnail`."""
        return await self._run(self._find_whole, item)

    @asynccontextmanager
    async def hold_upload(self, read: Callable[[], Awaitable[bytes]]) -> AsyncIterator[Image.Image]:
        """Decode an uploaded picture, and hold it while the block runs; others wait if there are `HELD` of them.

        Raises:
            PictureError: for anything else, and for a picture too large to decode.
        """
        async with self._held:
            yield await self._run(decode_upload, await read())

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, function: Callable[[Given], Made], argument: Given) -> Made:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, argument)

    def _keep(self, item: int, thumbnail: Thumbnail) -> None:
        if item not in self._thumbnails:
            self._size += len(thumbnail.content)
        self._thumbnails[item] = thumbnail
        while self._size > KEPT:
            _, oldest = self._thumbnails.popitem(last=False)
            self._size -= len(oldest.content)

    def _make_thumbnail(self, item: int) -> Thumbnail:
        found = self._find(item)
        picture = self._read(item, found, SIDE) if isinstance(found, Path) else found.copy()
        picture.thumbnail((SIDE, SIDE))
        return Thumbnail(found if isinstance(found, Path) else None, _encode(picture))

    def _find_whole(self, item: int) -> Shown:
        found = self._find(item)
        if isinstance(found, Path):
            form = read_format(found)
            if form in SHOWN:
                return Shown(SHOWN[form], file=found)
            found = self._read(item, found, SHORT_SIDE)
        return Shown("image/jpeg", _encode(found))

    def _find(self, item: int) -> Path | Image.Image:
        """Return the file of a picture, with links resolved, or the picture if it has none of its own."""
        with self._reading:  # data sets are not made for several threads
            found = self._collection.find_picture(item) if self.has_pictures else None
        if found is None:
            raise PictureError("is not a picture.", file=self._collection.label(item))
        if isinstance(found, Image.Image):
            return found
        file = os.path.realpath(found)
        if os.path.commonpath([file, self._root]) != self._root:
            raise PictureError("lies outside of the collection.", file=self._collection.label(item))
        return Path(file)

    def _read(self, item: int, file: Path, short_side: int) -> Image.Image:
        try:
            return read_picture(file, short_side=short_side)
        except DataError as error:
            raise PictureError(error.problem, file=self._collection.label(item)) from None


def read_format(file: Path) -> str:
    """Return Pillow's name of the format of a picture file; empty if it is not a picture."""
    try:
        with Image.open(file) as picture:
            return picture.format or ""
    except Exception:  # decoders raise anything for damaged data
        return ""


def decode_upload(content: bytes) -> Image.Image:
    """Decode an uploaded picture, of a format that is safe to decode, and reduce a large one; see `read_picture`.

    Raises:
        PictureError: for anything else.
    """
    try:
        picture = read_picture(BytesIO(content), formats=UPLOADED)
    except DataError as error:
        remedy = "Upload a JPEG, PNG or WebP picture of fewer pixels."
        raise PictureError(error.problem, file="The picture", remedy=remedy) from None
    factor = min(math.ceil(math.sqrt(picture.width * picture.height / LARGE)), min(picture.size) // SHORT_SIDE)
    return picture.reduce(factor) if factor > 1 else picture


def _encode(picture: Image.Image) -> bytes:
    stream = BytesIO()
    picture.convert("RGB").save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()
