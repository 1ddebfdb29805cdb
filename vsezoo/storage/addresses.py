"""Files that are read over the network, by an address such as `https://…`, `s3://…` or `hf://…`.

fsspec reads them: `hf` as it comes, `https` with what the extra `network` installs, others with the package that the
message names. Its settings hold (`~/.config/fsspec`, FSSPEC_HTTP_CLIENT_KWARGS and the like), such as those of a proxy.
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
from vsezoo.storage.waiting import tell

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

PAUSES = (1.0, 4.0, 15.0)
"""Seconds before each new attempt: of the millions of answers that a training waits for, some fail."""

TRANSIENT = (408, 425, 429)
"""Answers of HTTP that refuse for the moment only: a timeout, too early, too many requests."""

BLOCK = 2**22  # bytes of a request, where a file is read through

VERSION_FIELDS = (
    *("ETag", "etag", "blob_id", "xet_hash", "sha", "Content-MD5", "Digest", "CRC"),  # these tell contents apart
    *("LastModified", "Last-Modified", "last_modified", "last_commit", "updated", "modify", "modified", "mtime"),
)
"""What file systems call that which changes when the file does; some give None, such as the last commit of `hf`."""

SIGNATURE = re.compile(
    r"x-(amz|goog|oss|cos|obs)-.+|q-.+|.*signature|.*expires|policy|key-pair-id|authorization|.*access(key)?id"
    r"|(.*(access|auth|security|session)[-_]?)?token",
    re.IGNORECASE,
)
"""Parameters of a query that say who may read the file, and not which it is: those of S3, Google, CloudFront, …"""

AZURE_SIGNATURE = re.compile("s[vsrpeti]|srt|spr|sip|sig|sdd|ses|skoid|sktid|sk[tesv]")
"""Those of Azure, where `sig` is among them."""

QUERY = re.compile("[?#]")
"""What begins that of an address, or its fragment."""

LINK = re.compile(r"::(?=[a-z][\w+.-]*(?:::|://))", re.IGNORECASE)
"""Parts the links of a chain, such as `zip://a.tar::https://example.org/b.zip`."""

Answer = TypeVar("Answer")


class AddressError(OSError):
    """What is wrong with a file that is read by its address: `strerror`; `filename` is the address as it is shown."""

    def __str__(self) -> str:
        return self.strerror or ""


def is_address(file: str) -> bool:
    """Return whether this is an address, not a path."""
    return "://" in file


def show_address(file: str) -> str:
    """Return an address for messages, without the passwords and signatures that it may hold; a path as it is."""
    return _hide_secrets(file) if is_address(file) else file


def identify_address(address: str) -> tuple[str, int, str]:
    """Return what changes when the file does: its address as it is shown, its size in bytes, and its version.

    The version is a digest of what the server calls so and of the query, which may be what names the file. Signatures
    in the query do not count, since they are others each time. Where the server tells no version, the whole address
    stands for it.

    Raises:
        AddressError: for a file that is not there, or when the server cannot be reached.
        MissingPackageError: when a package is missing that reads addresses of this kind.
    """
    info: dict[str, Any] = _ask(lambda system, path: system.info(path), address)
    if info.get("size") is None:
        raise _fail("the server does not say how large it is", address)
    told = next((str(info[field]) for field in VERSION_FIELDS if info.get(field)), "")
    version = f"{told} {_list_parameters(address)}" if told else address
    return show_address(address), info["size"], hashlib.sha256(version.encode()).hexdigest()


def open_address(address: str) -> io.BufferedReader:
    """Return a stream that can be read anywhere, best from its beginning on: it asks for some million bytes a time.

    Raises:
        AddressError: as `identify_address`; in its `read`, as `read_part`.
    """
    return io.BufferedReader(_Stream(address, identify_address(address)[1]), BLOCK)


def read_part(address: str, offset: int, size: int) -> bytes:
    """Return some bytes of a file, asked for by one request.

    Raises:
        AddressError: as `identify_address`, or when the server sends something else, which is not read to its end.
    """
    content: bytes = _ask(lambda system, path: _read(system, path, offset, offset + size), address)
    if len(content) != size:
        raise _fail(f"the server sent {len(content):,} bytes where a range of {size:,} bytes was asked for", address)
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


def _read(system: AbstractFileSystem, path: str, start: int, end: int) -> bytes:
    part: bytes
    if "https" not in system.protocol:
        # Those that are not asynchronous read by their own files, which would read ahead.
        options = {} if system.async_impl else {"cache_type": "none"}
        part = system.cat_file(path, start=start, end=end, **options)
        return part
    try:  # the file of https looks at an answer before it takes it into memory, `cat_file` does not
        with system.open(path, cache_type="none", size=end) as stream:
            stream.seek(start)
            part = stream.read(end - start)
            return part
    except ValueError as error:
        if type(error) is not ValueError:  # an address that is none
            raise
        asked = f"a range of {end - start:,} bytes was asked for"
        raise ValueError(f"the server sends the whole file where {asked}") from None


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
        except Exception as error:  # what file systems raise is of any type
            # That of https says that a file is not there, whatever its reason was.
            reason = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ else error
            status = _find_status(reason)
            problem = _describe(reason, status, address)
            refused = status in range(400, 500) and status not in TRANSIENT
            # ValueError: a scheme that is not known, among others
            lasts = isinstance(reason, ValueError | FileNotFoundError | PermissionError)
            pause = next(pauses, None)
            if pause is None or refused or lasts:
                raise _fail(problem, address) from None
            tell(f"{show_address(address)}: {problem}. Trying again in {pause:.0f} s.")
            time.sleep(pause)


def _fail(problem: str, address: str) -> AddressError:
    return AddressError(errno.EIO, problem, show_address(address))


def _find_status(error: BaseException) -> int:
    """Return the status of the answer that an error of aiohttp, httpx or requests is about; 0 if it has none."""
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else 0


def _describe(error: BaseException, status: int, address: str) -> str:
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return "it is not there"
    if isinstance(error, PermissionError) or status in (401, 403):
        return "the server does not permit it"
    if status:
        return f"the server answers with the status {status}"
    text = str(getattr(error, "message", error)).replace(address, show_address(address))
    line = next(filter(None, map(str.strip, text.splitlines())), "").rstrip(".")  # below it are hints for programmers
    line = re.sub(r"\S*(//|\?)\S*", lambda found: _hide_secrets(found[0]), line)
    return line if " " in line else f"{type(error).__name__} {line}".rstrip()


def _list_parameters(address: str) -> list[str]:
    """Return the parameters of an address that are no signature."""
    pairs = [(parameter.partition("=")[0], parameter) for parameter in re.split("[?&#]", address)[1:]]
    is_azure = "sig" in dict(pairs)
    return [
        parameter
        for name, parameter in pairs
        if not SIGNATURE.fullmatch(name) and not (is_azure and AZURE_SIGNATURE.fullmatch(name))
    ]


def _hide_secrets(word: str) -> str:
    """Return an address, or a word of a text that has one in it, without passwords and queries."""
    return "::".join(map(_hide_in_link, LINK.split(word)))


def _hide_in_link(link: str) -> str:
    scheme, mark, rest = link.partition("//")
    if QUERY.search(scheme):
        return QUERY.split(scheme)[0]
    authority = QUERY.split(rest.partition("/")[0], maxsplit=1)[0]
    if "@" in authority:
        rest = rest[authority.rindex("@") + 1 :]
    elif not re.fullmatch(r"[^:]*(:\d*)?", authority):  # a password that holds a slash or the like
        rest = rest.rpartition("@")[2]
    shown = QUERY.split(rest, maxsplit=1)[0]
    return scheme + mark + (_hide_secrets(shown) if is_address(shown) else shown)
