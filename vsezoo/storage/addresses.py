"""Files that are read over the network, by an address such as `https://…`, `s3://…` or `hf://…`.

fsspec reads them: `hf` without further packages, `https` with the extra `network`, others with the package named in the
message. Its configuration applies (`~/.config/fsspec`, FSSPEC_HTTP_CLIENT_KWARGS and the like), for example a proxy.
"""

from __future__ import annotations

import errno
import hashlib
import io
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from vsezoo.errors import require_package
from vsezoo.storage.waiting import print_line

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

PAUSES = (1.0, 4.0, 15.0)
"""Seconds before each retry: among the millions of requests of a training run, some fail."""

TRANSIENT = (408, 425, 429)
"""HTTP status codes of temporary refusals: timeout, too early, too many requests."""

BLOCK = 2**22  # bytes of a request when reading a whole file

VERSION_FIELDS = (
    *(
        "ETag",
        "etag",
        "blob_id",
        "xet_hash",
        "sha",
        "Content-MD5",
        "Digest",
        "CRC",
    ),  # entity tags that identify contents
    *("LastModified", "Last-Modified", "last_modified", "last_commit", "updated", "modify", "modified", "mtime"),
)
"""Keys under which file systems report the version of a file; some are None, such as the last commit of `hf`."""

SIGNATURE = re.compile(
    r"x-(amz|goog|oss|cos|obs)-.+|q-.+|.*signature|.*expires|policy|key-pair-id|authorization|.*access(key)?id"
    r"|(.*(access|auth|security|session)[-_]?)?token",
    re.IGNORECASE,
)
"""Query parameters for authorisation, which do not identify the file: of S3, Google, CloudFront, …"""

AZURE_SIGNATURE = re.compile("s[vsrpeti]|srt|spr|sip|sig|sdd|ses|skoid|sktid|sk[tesv]")
"""Those of Azure, if `sig` is among them."""

QUERY = re.compile("[?#]")
"""Starts the query of an address, or its fragment."""

LINK = re.compile(r"::(?=[a-z][\w+.-]*(?:::|://))", re.IGNORECASE)
"""Separates the parts of a chained address, such as `zip://a.tar::https://example.org/b.zip`."""

Answer = TypeVar("Answer")


class AddressError(OSError):
    """An error with a remote file: `strerror` is the reason, `filename` the address as displayed."""

    def __str__(self) -> str:
        return self.strerror or ""


def is_address(file: str) -> bool:
    """Return whether this is an address rather than a path."""
    return "://" in file


def show_address(file: str) -> str:
    """Return an address for messages, without passwords and signatures; a path is returned unchanged."""
    return _hide_secrets(file) if is_address(file) else file


def identify_address(address: str) -> tuple[str, int, str]:
    """Return an identity that changes with the file: address as displayed, size in bytes, and version.

    The version is a digest of the server's version and of the query, which may identify the file. Signatures in the
    query are ignored, because they change every time. If the server reports no version, the whole address is used.

    Raises:
        AddressError: for a file that does not exist, or when the server cannot be reached.
        MissingPackageError: when the package for this kind of address is not installed.
    """
    info: dict[str, Any] = _ask(lambda system, path: system.info(path), address)
    if info.get("size") is None:
        raise _fail("the server does not report its size", address)
    named = next((str(info[field]) for field in VERSION_FIELDS if info.get(field)), "")
    version = f"{named} {_list_parameters(address)}" if named else address
    return show_address(address), info["size"], hashlib.sha256(version.encode()).hexdigest()


def open_address(address: str, block: int = BLOCK) -> io.BufferedReader:
    """Return a seekable stream.

    Args:
        address: of the file.
        block: the fewest bytes of a request; few for reading parts, many for reading from start to end.

    Raises:
        AddressError: as `identify_address`; in its `read`, as `read_part`.
    """
    return io.BufferedReader(_Stream(address, identify_address(address)[1]), block)


def read_part(address: str, offset: int, size: int) -> bytes:
    """Return a range of bytes of a file, read by one request.

    Raises:
        AddressError: as `identify_address`, or when the server sends something else, which is not read further.
    """
    content: bytes = _ask(lambda system, path: _read(system, path, offset, offset + size), address)
    if len(content) != size:
        raise _fail(f"the server sent {len(content):,} bytes instead of the requested {size:,} bytes", address)
    return content


class _Stream(io.RawIOBase):
    """Reads with `read_part`, because the streams of fsspec do not retry failed requests."""

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


def _read(system: AbstractFileSystem, path: str, start: int, end: int) -> bytes:
    part: bytes
    if "https" not in system.protocol:
        # Synchronous file systems read through their own file objects, which would read ahead.
        options = {} if system.async_impl else {"cache_type": "none"}
        part = system.cat_file(path, start=start, end=end, **options)
        return part
    try:  # unlike `cat_file`, the file object of https checks a response before it reads it into memory
        with system.open(path, cache_type="none", size=end) as stream:
            stream.seek(start)
            part = stream.read(end - start)
            return part
    except ValueError as error:
        if type(error) is not ValueError:  # not a valid address
            raise
        asked = f"a range of {end - start:,} bytes was requested"
        raise ValueError(f"the server sends the whole file although {asked}") from None


def _ask(question: Callable[[AbstractFileSystem, str], Answer], address: str) -> Answer:
    from fsspec.core import url_to_fs

    pauses = iter(PAUSES)
    while True:
        try:
            return question(*url_to_fs(address))
        except ImportError as error:
            if isinstance(error.__cause__, ModuleNotFoundError) and error.__cause__.name:
                require_package(error.__cause__.name, "Reading it", file=show_address(address))
            raise _fail(_describe(error, 0, address), address) from None
        except Exception as error:  # file systems raise exceptions of any type
            # The one of https reports a missing file, whatever the reason was.
            reason = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ else error
            status = _find_status(reason)
            problem = _describe(reason, status, address)
            refused = status in range(400, 500) and status not in TRANSIENT
            # ValueError: for example, an unknown scheme
            lasts = isinstance(reason, ValueError | FileNotFoundError | PermissionError)
            pause = next(pauses, None)
            if pause is None or refused or lasts:
                raise _fail(problem, address) from None
            print_line(f"{show_address(address)}: {problem}. Retrying in {pause:.0f} s.")
            time.sleep(pause)


def _fail(problem: str, address: str) -> AddressError:
    return AddressError(errno.EIO, problem, show_address(address))


def _find_status(error: BaseException) -> int:
    """Return the HTTP status of an error of aiohttp, httpx or requests; 0 if it has none."""
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else 0


def _describe(error: BaseException, status: int, address: str) -> str:
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return "it does not exist"
    if isinstance(error, PermissionError) or status in (401, 403):
        return "access is denied"
    if status:
        return f"the server answers with status {status}"
    text = str(getattr(error, "message", error)).replace(address, show_address(address))
    first = next(filter(None, map(str.strip, text.splitlines())), "")  # the other lines are hints for programmers
    line = re.sub(r"\S*(//|\?)\S*", lambda found: _hide_secrets(found[0]), first.rstrip("."))
    return line if " " in line else f"{type(error).__name__} {line}".rstrip()


def _list_parameters(address: str) -> list[str]:
    """Return the query parameters of an address without signatures."""
    pairs = [(parameter.partition("=")[0], parameter) for parameter in re.split("[?&#]", address)[1:]]
    is_azure = "sig" in dict(pairs)
    return [
        parameter
        for name, parameter in pairs
        if not SIGNATURE.fullmatch(name) and not (is_azure and AZURE_SIGNATURE.fullmatch(name))
    ]


def _hide_secrets(word: str) -> str:
    """Return an address, or a word that contains one, without passwords and queries."""
    return "::".join(map(_hide_in_link, LINK.split(word)))


def _hide_in_link(link: str) -> str:
    scheme, mark, rest = link.partition("//")
    if QUERY.search(scheme):
        return QUERY.split(scheme)[0]
    authority = QUERY.split(rest.partition("/")[0], maxsplit=1)[0]
    if "@" in authority:
        rest = rest[authority.rindex("@") + 1 :]
    elif not re.fullmatch(r"[^:]*(:\d*)?", authority):  # a password that contains a slash or the like
        rest = rest.rpartition("@")[2]
    shown = QUERY.split(rest, maxsplit=1)[0]
    return scheme + mark + (_hide_secrets(shown) if is_address(shown) else shown)
