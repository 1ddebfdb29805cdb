"""How a file of a stranger is opened: a plain file, not too large, and with one error for all that is wrong in it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vsezoo.errors import CheckpointError

MIB = 2**20
FETCH = "Fetch the file again from where its authors publish it."


class Refusal(ValueError):  # noqa: N818 - it is a decision about a file, which `open_file` turns into the user's error
    """Why a file is not read: a sentence that goes behind its name.

    Args:
        problem: what is wrong.
        remedy: what to do about it.
    """

    def __init__(self, problem: str, remedy: str = FETCH) -> None:
        super().__init__(problem)
        self.remedy = remedy


@contextmanager
def open_file(path: Path, noun: str, limit: int) -> Iterator[BinaryIO]:
    """Open a file to read it, and turn all that goes wrong meanwhile into one error.

    Args:
        path: a plain file; no folder, device or pipe.
        noun: what it should be, for the message.
        limit: bytes that it may have.

    Raises:
        CheckpointError: for a file that is absent, too large, damaged or refused.
    """
    try:
        status = path.stat()
        stream = path.open("rb") if stat.S_ISREG(status.st_mode) else None  # to open a pipe would wait for its writer
    except OSError as error:
        raise CheckpointError(
            f"cannot be read: {error.strerror or show(error)}.", file=path, remedy="Check the path and its permissions."
        ) from error
    if stream is None:
        raise CheckpointError("is no file.", file=path, remedy=f"Give {noun}.")
    with stream:
        try:
            if status.st_size > limit:
                raise Refusal(
                    f"has {status.st_size:,} bytes; {noun} of more than {limit:,} is not read.",
                    f"Give {noun}: this is something else.",
                )
            if status.st_size == 0:
                raise Refusal("is empty.")
            on_disk = 512 * getattr(status, "st_blocks", 0)  # 0: the system does not tell
            if status.st_size > 256 * MIB and 0 < on_disk < status.st_size // 4:
                raise Refusal(f"has holes: of its {status.st_size:,} bytes, {on_disk:,} were written.")
            yield stream
        except Refusal as error:
            raise CheckpointError(str(error), file=path, remedy=error.remedy) from error
        except CheckpointError:
            raise
        except Exception as error:  # the bytes of a stranger can make a parser raise anything
            raise CheckpointError(
                f"is damaged, or not {noun}: {show(error)}.", file=path, remedy=f"{FETCH} Or give {noun}."
            ) from error


def show(value: object) -> str:
    """Return what a file says, or an error about it, as one short line that no terminal takes for a command."""
    text = str(value) or type(value).__name__
    line = "".join(letter if letter.isprintable() else " " for letter in text[:1000])
    line = " ".join(line.split()).rstrip(".")
    return line if len(line) <= 160 else f"{line[:160]}…"


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 byte`, `2,000 bytes`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
