"""Picture files: decode any format to an 8-bit RGB picture, or report what is wrong in one message."""

from __future__ import annotations

import contextlib
import functools
import io
import stat
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from PIL import Image, ImageOps, UnidentifiedImageError

from vsezoo.data.pictures.limits import LARGEST_PICTURE
from vsezoo.data.pictures.walk import HEIC, can_decode_heic
from vsezoo.errors import DataError, ServerError, require_package
from vsezoo.storage.addresses import AddressError, is_address, read_part, show_address
from vsezoo.storage.colours import convert_to_rgb

SHORT_SIDE = 1024
"""Pixels. A JPEG of at least twice this size is decoded at 1/2, 1/4 or 1/8 as long as this many pixels remain: models
use a few hundred, and a photo of 48 megapixels would take 150 MB."""

WHOLE = 2**24
"""Bytes of a part of a file up to which it is read at once."""

SKIP = "or skip such pictures with --on-bad-image skip"


class AccessError(DataError):
    """A picture that cannot be opened or read at the moment, for lack of permission, disk or memory.

    Its contents may be valid, so it must not be remembered as bad.
    """


class Place(NamedTuple):
    """The location of a picture: a file, or a part of one, such as a member of a shard.

    Attributes:
        file: path, or URL of a file read over the network.
        offset: start of the picture in the file, in bytes.
        size: length in bytes; -1: up to the end of the file.
        member: name of the part in messages.
    """

    file: str
    offset: int = 0
    size: int = -1
    member: str = ""

    @property
    def name(self) -> str:
        """The name in messages."""
        file = show_address(self.file)
        return f"{file} ({self.member})" if self.member else file

    def open(self) -> BinaryIO:
        """Return a stream of the bytes.

        Raises:
            ServerError: when they cannot be read from a URL.
            AccessError: when the file cannot be read, or is not a regular file.
            DataError: for more than `LARGEST_PICTURE` bytes.
        """
        try:
            require_small(self.size, self.name)
            if is_address(self.file):
                return BytesIO(read_part(self.file, self.offset, self.size))
            file = Path(self.file)
            status = file.stat()
            if not stat.S_ISREG(status.st_mode):  # opening a pipe would block
                raise OSError("it is not a file but a folder, a pipe, a socket or a device")
            if self.size < 0:
                require_small(status.st_size, self.name)
                return file.open("rb")
            if self.size > WHOLE:  # Pillow looks at the declared size first, and reads no more than the pixels need
                return io.BufferedReader(_Window(file.open("rb", buffering=0), self.offset, self.size))
            with file.open("rb") as stream:
                stream.seek(self.offset)
                return BytesIO(stream.read(self.size))
        except AddressError as error:
            remedy = "Check that the server can be reached, and run the command again; resume training with --resume."
            raise ServerError(f"cannot be read: {error}.", file=self.name, remedy=remedy) from None
        except OSError as error:
            raise _explain_access(error, self.name) from None

    def read(self, short_side: int = SHORT_SIDE) -> Image.Image:
        """Decode the picture; see `open` and `read_picture`."""
        return self.inspect(short_side).picture

    def inspect(self, short_side: int = SHORT_SIDE) -> Inspected:
        """Decode the picture and return its original form, reading the file once; see `read`."""
        with self.open() as stream:
            return _decode(stream, self.name, short_side)


class _Window(io.RawIOBase):
    """A part of a file."""

    def __init__(self, file: io.RawIOBase, offset: int, size: int) -> None:
        self._file, self._offset, self._size, self._position = file, offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._position = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence])
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        size = min(len(buffer), max(self._size - self._position, 0))
        self._file.seek(self._offset + self._position)
        count = self._file.readinto(memoryview(buffer)[:size]) or 0
        self._position += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def require_small(size: int, name: str) -> None:
    """Raise DataError for more bytes than those of a picture."""
    if size > LARGEST_PICTURE:
        problem = f"has {size:,} bytes; pictures have at most {LARGEST_PICTURE:,}."
        raise DataError(problem, file=name, remedy=f"Check whether it is a picture, {SKIP}.")


class Inspected(NamedTuple):
    """A picture as passed to a model, with its form in the file.

    Attributes:
        picture: RGB, in main memory.
        size: width and height in the file.
        mode: Pillow's mode of the pixels in the file.
    """

    picture: Image.Image
    size: tuple[int, int]
    mode: str


def read_picture(
    file: str | Path | BinaryIO, *, name: str = "", short_side: int = SHORT_SIDE, formats: tuple[str, ...] | None = None
) -> Image.Image:
    """Decode a picture.

    It is rotated according to its EXIF data, which the original codes of the field ignore. Transparent pixels become
    white, 16 bits are scaled to 8, and only the first frame of an animation is used.

    Args:
        file: a path, or a seekable stream such as `io.BytesIO`.
        name: name of a stream in messages.
        short_side: minimum size in pixels kept of a larger JPEG, which may be decoded at 1/2, 1/4 or 1/8 of its
            size. This is fast and takes little memory.
        formats: Pillow's names of the formats that a stream may have; None: all. Some that it knows are programs.

    Returns:
        an RGB picture in main memory; no file stays open.

    Raises:
        AccessError: for a file that is absent or cannot be read at the moment.
        DataError: for a file that is empty, not a picture, truncated, damaged, or has more than
            `PIL.Image.MAX_IMAGE_PIXELS` pixels.
    """
    if isinstance(file, str | Path):
        return Place(str(file)).read(short_side)
    return _decode(file, name or "the picture", short_side, formats).picture


def read_only_picture(file: str | Path, *, short_side: int = SHORT_SIDE) -> Image.Image:
    """Decode a picture that was asked for by itself, which cannot be skipped; see `read_picture`."""
    try:
        return read_picture(file, short_side=short_side)
    except DataError as error:
        raise type(error)(error.problem, file=error.file, remedy=error.remedy.replace(f", {SKIP}", "")) from None


def _decode(stream: BinaryIO, name: str, short_side: int, formats: tuple[str, ...] | None = None) -> Inspected:
    if name.lower().endswith(HEIC):
        _register_heic()
    try:
        stream.seek(0)
        is_empty = not stream.read(1)
        with warnings.catch_warnings():
            # Pillow warns of large pictures, which are errors here, and in each epoch of harmless metadata.
            warnings.filterwarnings("ignore", module="PIL")
            return _decode_quietly(stream, short_side, formats)
    except UnidentifiedImageError:
        if is_empty:
            raise DataError("is empty (0 bytes).", file=name, remedy=f"Copy it again, {SKIP}.") from None
        remedy = f"Convert it to JPEG or PNG, {SKIP}."
        raise DataError("is not a picture, or has an unknown format.", file=name, remedy=remedy) from None
    except Image.DecompressionBombError:
        raise DataError(
            f"declares more than {Image.MAX_IMAGE_PIXELS:,} pixels, too many to decode safely.",
            file=name,
            remedy=f"Scale it down: models use a few hundred pixels. Or raise PIL.Image.MAX_IMAGE_PIXELS, {SKIP}.",
        ) from None
    except Exception as error:  # decoders raise errors of any type for damaged data
        if isinstance(error, MemoryError) or getattr(error, "errno", None):  # OSError is also raised for damaged data
            raise _explain_access(error, name) from None
        reason = str(error).rstrip(".") or type(error).__name__
        remedy = f"Copy or save it again, {SKIP}."
        raise DataError(f"cannot be decoded: {reason}.", file=name, remedy=remedy) from None


def _explain_access(error: Exception, name: str) -> AccessError:
    reason = getattr(error, "strerror", None) or str(error) or "not enough memory"
    remedy = f"Check that it exists and that you may read it, {SKIP}."
    return AccessError(f"cannot be read: {reason}.", file=name, remedy=remedy)


@functools.cache
def _register_heic() -> None:
    """Let Pillow decode HEIC, if pillow-heif is installed."""
    if can_decode_heic():
        require_package("pillow_heif", "Reading HEIC").register_heif_opener()


def _decode_quietly(stream: BinaryIO, short_side: int, formats: tuple[str, ...] | None) -> Inspected:
    with Image.open(stream, formats=formats) as picture:
        size, mode = picture.size, picture.mode
        if Image.MAX_IMAGE_PIXELS and picture.width * picture.height > Image.MAX_IMAGE_PIXELS:
            raise Image.DecompressionBombError
        picture.draft(None, (short_side, short_side))  # only affects larger JPEG files
        picture.load()
        with contextlib.suppress(Exception):  # damaged metadata do not make the picture unusable
            ImageOps.exif_transpose(picture, in_place=True)
        return Inspected(convert_to_rgb(picture), size, mode)
