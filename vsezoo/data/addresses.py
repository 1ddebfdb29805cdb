"""Files that are read over the network, by an address such as `https://…`, `s3://…` or `hf://…`.

fsspec reads them: `https` and `hf` as it comes, other schemes with the package that it names. Its settings hold
(`~/.config/fsspec`, FSSPEC_HTTP_CLIENT_KWARGS and the like), such as those of a proxy.
"""

from __future__ import annotations

import hashlib
import io
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

PAUSES = (1.0, 4.0, 15.0)
"""Seconds before each new attempt: of the millions of answers that a training waits for, some fail."""

TRANSIENT = (408, 425, 429)
"""Answers of HTTP that refuse for the moment only: a timeout, too early, too many requests."""

BLOCK = 2**22  # bytes of a request, where a file is read through

VERSION_FIELDS = ("ETag", "etag", "LastModified", "Last-Modified", "last_commit", "updated", "mtime")
"""What file systems call that which changes when the file does."""

Answer = TypeVar("Answer")


def is_address(file: str) -> bool:
    """Return whether this is an address, not a path."""
    return "://" in file


def show_address(file: str) -> str:
    """Return an address for messages, without the password and the signature that it may hold; a path as it is."""
    if not is_address(file):
        return file
    parts = urlsplit(file)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def identify_address(address: str) -> tuple[str, int, str]:
    """Return what changes when the file does: its address, its size in bytes, and its version.

    The address is without its query, which may be a signature that is another each time. So where the server tells no
    version, the whole address stands for it: the query may be what names the file.

    Raises:
        OSError: for a file that is not there, or when the server cannot be reached.
    """
    info: dict[str, Any] = _ask(lambda system, path: system.info(path), address)
    if info.get("size") is None:
        raise OSError("the server does not say how large it is")
    version = next((str(info[field]) for field in VERSION_FIELDS if field in info), "")
    return show_address(address), info["size"], version or hashlib.sha256(address.encode()).hexdigest()


def open_address(address: str) -> io.BufferedReader:
    """Return a stream that can be read anywhere, best from its beginning on: it asks for some million bytes a time.

    Raises:
        OSError: as `identify_address`; in its `read`, as `read_part`.
    """
    return io.BufferedReader(_Stream(address, identify_address(address)[1]), BLOCK)


def read_part(address: str, offset: int, size: int) -> bytes:
    """Return some bytes of a file, asked for by one request.

    Raises:
        OSError: when the server cannot be reached, or sends something else.
    """
    content: bytes = _ask(lambda system, path: system.cat_file(path, start=offset, end=offset + size), address)
    if len(content) != size:
        raise OSError(f"the server sent {len(content):,} bytes where a range of {size:,} was asked for")
    return content


class _Stream(io.RawIOBase):
    """Reads by `read_part`: the streams of fsspec do not ask again where an answer fails."""

    def __init__(self, address: str, size: int) -> None:
        self._address, self._size, self._position = address, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        size = min(len(buffer), max(self._size - self._position, 0))
        if size:
            buffer[:size] = read_part(self._address, self._position, size)
        self._position += size
        return size


def _ask(question: Callable[[AbstractFileSystem, str], Answer], address: str) -> Answer:
    from fsspec.core import url_to_fs

    pauses = iter(PAUSES)
    while True:
        try:
            return question(*url_to_fs(address))
        except (ImportError, ValueError) as error:  # a package that is not installed, a scheme that is not known
            raise OSError(str(error)) from None
        except Exception as error:  # what file systems raise is of any type
            # That of https says that a file is not there, whatever its reason was.
            reason = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ else error
            status = getattr(reason, "status", 0)
            refused = status in range(400, 500) and status not in TRANSIENT
            pause = next(pauses, None)
            if pause is None or refused or isinstance(reason, ValueError | FileNotFoundError | PermissionError):
                raise OSError(_describe(reason, status)) from None
            told = f"{show_address(address)}: {_describe(reason, status)}. Trying again in {pause:.0f} s."
            sys.stderr.write(f"{told}\n")  # at once: several threads may wait
            time.sleep(pause)


def _describe(error: BaseException, status: int) -> str:
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return "it is not there"
    if isinstance(error, PermissionError) or status in (401, 403):
        return "the server does not permit it"
    if status:  # the text of such an error holds the address, with what may be secret in it
        return f"the server answers with the status {status}"
    return str(getattr(error, "message", error)).rstrip(".") or type(error).__name__  # some write the address as well
