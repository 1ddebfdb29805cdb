"""Open untrusted files: plain files of limited size, with one error for any problem."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vsezoo.errors import CheckpointError

MIB = 2**20
FETCH = "Download the file again from its authors."


class Refusal(ValueError):  # noqa: N818 - a decision about a file, which `open_file` turns into a CheckpointError
    """Why a file is refused: a sentence that follows its name.

    Args:
        problem: what is wrong.
        remedy: what to do about it.
    """

    def __init__(self, problem: str, remedy: str = FETCH) -> None:
        super().__init__(problem)
        self.remedy = remedy


@contextmanager
def open_file(path: Path, noun: str, limit: int) -> Iterator[BinaryIO]:
    """Open a file for reading, and turn any exception meanwhile into one error.

    Args:
        path: a plain file; not a folder, device or pipe.
        noun: the expected kind of file, for the message.
        limit: most bytes.

    Raises:
        CheckpointError: for a file that is missing, too large, damaged or refused.
    """
    try:
        status = path.stat()
        stream = path.open("rb") if stat.S_ISREG(status.st_mode) else None  # opening a pipe would wait for its writer
    except OSError as error:
        raise CheckpointError(
            f"cannot be read: {error.strerror or show(error)}.", file=path, remedy="Check the path and its permissions."
        ) from error
    if stream is None:
        raise CheckpointError("is not a file.", file=path, remedy=f"Give {noun}.")
    with stream:
        try:
            if status.st_size > limit:
                raise Refusal(
                    f"has {status.st_size:,} bytes; {noun} of more than {limit:,} bytes is not read.",
                    f"Give {noun}.",
                )
            if status.st_size == 0:
                raise Refusal("is empty.")
            on_disk = 512 * getattr(status, "st_blocks", 0)  # 0: unknown
            if status.st_size > 256 * MIB and 0 < on_disk < status.st_size // 4:
                raise Refusal(f"is sparse: only {on_disk:,} of its {status.st_size:,} bytes are on disk.")
            yield stream
        except Refusal as error:
            raise CheckpointError(str(error), file=path, remedy=error.remedy) from error
        except CheckpointError:
            raise
        except Exception as error:  # untrusted bytes can make a parser raise anything
            raise CheckpointError(
                f"is damaged, or not {noun}: {show(error)}.", file=path, remedy=f"{FETCH} Or give {noun}."
            ) from error


def show(value: object) -> str:
    """Return untrusted text as one short line with control characters escaped."""
    text = str(value) or type(value).__name__
    line = "".join(letter if letter.isprintable() else " " for letter in text[:1000])
    line = " ".join(line.split()).rstrip(".")
    return line if len(line) <= 160 else f"{line[:160]}…"
