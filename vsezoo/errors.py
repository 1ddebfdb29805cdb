"""Errors that a user can fix: a small hierarchy, each with a remedy in its text and an exit code.

The command line prints the text of a `VsezooError` and exits with its `exit_code`; any other exception that escapes is
a bug of vsezoo. Only the standard library is imported.
"""

from __future__ import annotations

import errno
import functools
import importlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

INTERRUPTED = 130
"""Exit code of a process stopped by Ctrl-C, by the convention of shells."""

REMEDIES = {
    errno.ENOSPC: "Free some space on the disk, or write to another place.",
    errno.EDQUOT: "Free some of your disk quota, or write to another place.",
    errno.EFBIG: "The file is too large for this disk or for `ulimit -f`: raise the limit, or write to another place.",
    errno.EACCES: "Check the permissions, or use another place.",
    errno.EPERM: "Check the permissions, or use another place.",
    errno.EROFS: "The file system is read-only: write to another place.",
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "Check the path: a file is in the place of a folder.",
    errno.EEXIST: "Check the path: a file is in the place of a folder.",
    errno.EISDIR: "Use a file, not a folder.",
    errno.ENAMETOOLONG: "The path is too long: check whether a text was given in the place of a file or folder.",
    errno.ELOOP: "Check the path: its symbolic links form a loop.",
    errno.ENODEV: "Use a plain file, not a pipe, a socket or a device.",
    errno.ENXIO: "If it is a pipe, start the program that reads it first; or write to a file.",
    errno.EMFILE: "Close other programs, or raise the limit with `ulimit -n`.",
}
"""Remedies for errors of the operating system by number."""


EXTRAS = {
    "aiohttp": "network",
    "eccv_caption": "eccv",
    "faiss": "index",
    "fastapi": "serve",
    "h5py": "hdf5",
    "imagehash": "duplicates",
    "lmdb": "lmdb",
    "matplotlib": "plot",
    "open_clip": "clip",
    "optuna": "sweep",
    "peft": "adapters",
    "pillow_heif": "heic",
    "pyarrow": "parquet",
    "python_multipart": "serve",
    "qdrant_client": "qdrant",
    "ray": "engine",
    "rjieba": "chinese",
    "sentencepiece": "clip",
    "uvicorn": "serve",
}
"""The extras of vsezoo that install optional packages, by package."""


class VsezooError(Exception):
    """An error that the user can fix.

    Args:
        problem: what is wrong, one sentence.
        file: the file or folder concerned; printed before the text.
        remedy: what to do about it, one sentence.
    """

    exit_code = 1

    def __init__(self, problem: str, *, file: str | Path | None = None, remedy: str = "") -> None:
        self.problem = problem
        self.file = None if file is None else str(file)
        self.remedy = remedy
        place = "" if self.file is None else f"{self.file}: "
        super().__init__(f"{place}{problem}" + (f"\n{remedy}" if remedy else ""))


class UsageError(VsezooError):
    """A wrong call: an unknown name, an invalid value, an output folder that already exists."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that no installed distribution registers."""


class ConflictError(UsageError):
    """One name registered by several distributions."""


class RecipeError(UsageError):
    """A recipe with an unknown field or an invalid value."""


class PluginError(VsezooError):
    """A registered object that cannot be imported, or that returns something else than its interface says."""


class DataError(VsezooError):
    """A data set that is missing or damaged."""


class AbsentDataError(DataError):
    """A data set named on the command line that does not exist."""

    exit_code = 2


class ServerError(VsezooError):
    """A server that fails to deliver a file: the image is not at fault and must not be skipped for good."""


class CheckpointError(VsezooError):
    """A checkpoint that cannot be read or does not fit."""


class AbsentCheckpointError(CheckpointError):
    """A checkpoint named on the command line that does not exist."""

    exit_code = 2


class TrainingError(VsezooError):
    """A training run that cannot continue, for example because the loss is NaN."""


class InterruptedTrainingError(VsezooError):
    """The user stopped the training run; its state is saved."""

    exit_code = INTERRUPTED


class HubError(VsezooError):
    """A failed request to the Hub."""


class StorageError(VsezooError):
    """A file that cannot be written."""


class MissingPackageError(VsezooError):
    """A package that only some commands need is not installed."""


class VsezooWarning(UserWarning):
    """Something that a user should know but that is not an error, such as truncated captions."""


def list_names(names: Sequence[str], most: int) -> str:
    """Return the first names for a message, and "…" if there are more; unprintable names are escaped."""
    shown = [name if name.isprintable() else repr(name) for name in names[:most]]
    return ", ".join([*shown, *(["…"] if len(names) > most else [])])


def pluralise(number: int, noun: str) -> str:
    """Return a number with a noun: `1 byte`, `2,000 bytes`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, with the one that it announces by a colon, without the full stop.

    An error without text gives the name of its class; classes that the text names before a message are left out.
    """
    lines = list(filter(None, map(str.strip, str(error).splitlines()))) or [type(error).__name__]
    text = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return re.sub(r"\b\w+Error: ", "", text).rstrip(".:")


def explain_system(error: Exception) -> tuple[str, str]:
    """Return the system's reason why a file cannot be read or written, and a remedy.

    Args:
        error: an `OSError`, or the error of a Rust library, which has the number in its text: "(os error 28)".
    """
    found = re.search(r"\(os error (\d+)\)", str(error))
    number = error.errno if isinstance(error, OSError) else int(found[1]) if found else None
    reason = getattr(error, "strerror", None) or (os.strerror(number) if number is not None else str(error).rstrip("."))
    if number == errno.ENOENT and re.search(r"[*?\[]", str(getattr(error, "filename", ""))):
        return reason, "No file has a name of this pattern: check it."  # a shell leaves such a pattern as it is
    return reason, REMEDIES.get(number or 0, "Check whether the disk works and has free space, or use another place.")


def describe_system(error: OSError) -> StorageError:
    """Return the error about a file or the system as one message."""
    reason, remedy = explain_system(error)
    return StorageError(f"{reason}.", file=error.filename, remedy=remedy)


def report_system_errors(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Let a public function raise a VsezooError for any error of the operating system, whatever its number."""

    @functools.wraps(function)
    def reporting(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Result:
        try:
            return function(*arguments, **keywords)
        except OSError as error:
            if error.errno is None:  # not of the system, but a fault of whatever raised it
                raise
            raise describe_system(error) from error

    return reporting


def suggest_name(name: str, known: Iterable[str], hint: str = "") -> str:
    """Return a remedy: "Did you mean 'x'?" for the known name nearest to `name`, if one is near, then `hint`."""
    import difflib  # only errors need it, and every command starts with this module

    spelled = {item.lower(): item for item in known}
    near = difflib.get_close_matches(name.lower(), spelled, n=1, cutoff=0.6)
    return " ".join(filter(None, [f"Did you mean {spelled[near[0]]!r}?" if near else "", hint]))


def require_name(kind: str, name: str, known: Iterable[str]) -> None:
    """Raise a UsageError if `name` is not a known name of this kind."""
    names = list(known)
    if name not in names:
        remedy = suggest_name(name, names, f"Known: {', '.join(names)}.")
        raise UsageError(f"{name!r} is not a {kind}.", remedy=remedy)


def require_package(name: str, purpose: str, file: str | Path | None = None) -> ModuleType:
    """Import a module of an optional package.

    Args:
        name: name of the module.
        purpose: what needs it; the message begins with it.
        file: the file that the message is about.

    Raises:
        MissingPackageError: names the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        wanted = f"'vsezoo[{EXTRAS[package]}]'" if package in EXTRAS else package
        is_absent = isinstance(error, ModuleNotFoundError)
        problem = "which is not installed." if is_absent else f"which cannot be imported: {error}."
        remedy = f"Install it: python -m pip install {wanted}"
        raise MissingPackageError(f"{purpose} needs {package}, {problem}", file=file, remedy=remedy) from error
