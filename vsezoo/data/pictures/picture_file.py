"""Picture files: of whatever form they are, one RGB picture of 8 bits, or one message that says what is wrong."""

from __future__ import annotations

import contextlib
import stat
import warnings
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vsezoo.errors import DataError, ServerError
from vsezoo.storage.addresses import AddressError, is_address, read_part, show_address

SHORT_SIDE = 1024
"""Pixels. A JPEG of at least twice that is decoded at 1/2, 1/4 or 1/8 of its size, as long as so many are left: what a
model cuts out of it has some hundred, and a photo of 48 million pixels takes 150 MB otherwise."""

SKIP = "or leave such pictures out with --on-bad-image skip"


class AccessError(DataError):
    """A picture that this machine cannot open or read now, for want of a right, of a disk, of memory.

    What is in it may be sound: nobody may remember it as a bad one.
    """


class Place(NamedTuple):
    """Where the bytes of a picture are: a file, or a part of one, such as a member of a shard.

    Attributes:
        file: the path, or the address of a file that is read over the network.
        offset: where in the file the picture begins, in bytes.
        size: how many bytes it has; -1: all up to the end of the file.
        member: what the part is called in messages.
    """

    file: str
    offset: int = 0
    size: int = -1
    member: str = ""

    @property
    def name(self) -> str:
        """What messages call it."""
        file = show_address(self.file)
        return f"{file} ({self.member})" if self.member else file

    def open(self) -> BinaryIO:
        """Return a stream of the bytes of the picture.

        Raises:
            ServerError: when they do not come from an address.
            AccessError: when a file cannot be read, or is none.
        """
        try:
            if is_address(self.file):
                return BytesIO(read_part(self.file, self.offset, self.size))
            file = Path(self.file)
            if not stat.S_ISREG(file.stat().st_mode):  # to open a pipe would take for ever
                raise OSError("it is no file, but a folder, a pipe, a socket or a device")
            if self.size < 0:
                return file.open("rb")
            with file.open("rb") as stream:
                stream.seek(self.offset)
                return BytesIO(stream.read(self.size))
        except AddressError as error:
            remedy = "See that the server can be reached, and repeat the command; a training goes on with --resume."
            raise ServerError(f"cannot be read: {error}.", file=self.name, remedy=remedy) from None
        except OSError as error:
            raise _explain_access(error, self.name) from None

    def read(self, short_side: int = SHORT_SIDE) -> Image.Image:
        """Decode the picture; see `open` and `read_picture`."""
        return self.inspect(short_side).picture

    def inspect(self, short_side: int = SHORT_SIDE) -> Inspected:
        """Decode the picture, and see what form it has in its file, which is read once; see `read`."""
        with self.open() as stream:
            return _decode(stream, self.name, short_side)


class Inspected(NamedTuple):
    """A picture as it is given to a model, and as it was in its file.

    Attributes:
        picture: RGB, in main memory.
        size: width and height in the file.
        mode: Pillow's name for the form of the pixels in the file.
    """

    picture: Image.Image
    size: tuple[int, int]
    mode: str


def read_picture(file: str | Path | BinaryIO, *, name: str = "", short_side: int = SHORT_SIDE) -> Image.Image:
    """Decode a picture.

    It is turned as its EXIF note says, which the original codes of the field do not heed; what is transparent becomes
    white; 16 bits are scaled to 8; of an animation the first frame is taken.

    Args:
        file: a path, or a stream that can be read anywhere, such as `io.BytesIO`.
        name: what messages call a stream.
        short_side: pixels that a JPEG keeps at least if it has more: it may be decoded at 1/2, 1/4 or 1/8 of its size,
            which is quick and takes little memory.

    Returns:
        an RGB picture in main memory, with no file open.

    Raises:
        AccessError: for what is absent or cannot be read now.
        DataError: for what is empty, no picture, cut off, damaged, or has more than
            `PIL.Image.MAX_IMAGE_PIXELS` pixels.
    """
    if isinstance(file, str | Path):
        return Place(str(file)).read(short_side)
    return _decode(file, name or "the picture", short_side).picture


def _decode(stream: BinaryIO, name: str, short_side: int) -> Inspected:
    try:
        stream.seek(0)
        is_empty = not stream.read(1)
        with warnings.catch_warnings():
            # Pillow's, of large pictures, which are errors here, and in each epoch again of notes that do no harm.
            warnings.filterwarnings("ignore", module="PIL")
            return _decode_quietly(stream, short_side)
    except UnidentifiedImageError:
        if is_empty:
            raise DataError("is empty (0 bytes).", file=name, remedy=f"Copy it again, {SKIP}.") from None
        remedy = f"Convert it to JPEG or PNG, {SKIP}."
        raise DataError("is not a picture, or in a format that is not known.", file=name, remedy=remedy) from None
    except Image.DecompressionBombError:
        raise DataError(
            f"says that it has more than {Image.MAX_IMAGE_PIXELS:,} pixels, which is too much to decode safely.",
            file=name,
            remedy=f"Scale it down: models look at some hundred pixels. Or raise PIL.Image.MAX_IMAGE_PIXELS, {SKIP}.",
        ) from None
    except Exception as error:  # what decoders raise for damaged data is of any type
        if isinstance(error, MemoryError) or getattr(error, "errno", None):  # OSError is raised for damaged data, too
            raise _explain_access(error, name) from None
        reason = str(error).rstrip(".") or type(error).__name__
        remedy = f"Copy or save it again, {SKIP}."
        raise DataError(f"cannot be decoded: {reason}.", file=name, remedy=remedy) from None


def _explain_access(error: Exception, name: str) -> AccessError:
    reason = getattr(error, "strerror", None) or str(error) or "there is not enough memory"
    remedy = f"Put it there, or see that you may read it, {SKIP}."
    return AccessError(f"cannot be read: {reason}.", file=name, remedy=remedy)


def _decode_quietly(stream: BinaryIO, short_side: int) -> Inspected:
    with Image.open(stream) as picture:
        size, mode = picture.size, picture.mode
        if Image.MAX_IMAGE_PIXELS and picture.width * picture.height > Image.MAX_IMAGE_PIXELS:
            raise Image.DecompressionBombError
        picture.draft(None, (short_side, short_side))  # does nothing unless it is a JPEG of more than that
        picture.load()
        with contextlib.suppress(Exception):  # a damaged note does not make the picture a bad one
            ImageOps.exif_transpose(picture, in_place=True)
        return Inspected(_convert(picture), size, mode)


def _convert(picture: Image.Image) -> Image.Image:
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = _scale_to_8_bits(picture)
    if picture.has_transparency_data:
        on_white = Image.new("RGBA", picture.size, "white")
        on_white.alpha_composite(picture.convert("RGBA"))
        picture = on_white
    return picture.convert("RGB")


def _scale_to_8_bits(picture: Image.Image) -> Image.Image:
    """Return a grey picture of 16 bits with 8; Pillow would cut all values above 255."""
    values = np.asarray(picture)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise ValueError("its values are not of 8 or 16 bits")
    return Image.fromarray(((values.astype(np.int32) + 128) // 257).astype(np.uint8))
