"""The errors that a user can meet: one small tree, each with a remedy in its text and an exit code.

The command line prints the text of a `VsezooError` and leaves with its `exit_code`; anything else that
escapes is a fault of vsezoo itself. Imports nothing but the standard library.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

INTERRUPTED = 130
"""The exit code of a process that Ctrl-C ended, as shells count it."""

REMEDIES = {
    errno.ENOSPC: "Free some space on that disk, or write elsewhere.",
    errno.EDQUOT: "Free some of your quota on that disk, or write elsewhere.",
    errno.EFBIG: "That disk, or `ulimit -f`, allows no file so large: raise the limit, or write elsewhere.",
    errno.EACCES: "Check the permissions, or name another place.",
    errno.EPERM: "Check the permissions, or name another place.",
    errno.EROFS: "That disk is read-only: write elsewhere.",
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "Check the path: there is a file where a folder is wanted.",
    errno.EEXIST: "Check the path: there is a file where a folder is wanted.",
    errno.EISDIR: "Name a file, not a folder.",
    errno.ENAMETOOLONG: "No path is so long: check whether a text stands where a file or folder is to be named.",
    errno.ELOOP: "Check the path: its links lead in a circle.",
    errno.EMFILE: "Close other programs, or raise the limit with `ulimit -n`.",
}
"""What to do about an error of the system, by its number."""


EXTRAS = {"aiohttp": "network", "matplotlib": "plot"}
"""The extras of vsezoo that install what not every installation has, by the names of packages."""


class VsezooError(Exception):
    """A mistake or a mishap that the user can mend.

    Args:
        problem: what is wrong, one sentence.
        file: the file or folder that it is about; put in front of the text.
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
    """The call itself is wrong: an unknown name, an impossible value, a folder that is taken."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that no installed distribution registers."""


class ConflictError(UsageError):
    """One name registered by several distributions."""


class RecipeError(UsageError):
    """A recipe with an unknown field or an impossible value."""


class PluginError(VsezooError):
    """A registered object that cannot be imported."""


class DataError(VsezooError):
    """A data set that is absent or damaged."""


class ServerError(VsezooError):
    """A server that does not give what lies on it: no fault of a picture, which would be left out for good."""


class CheckpointError(VsezooError):
    """A checkpoint folder that cannot be read or does not fit."""


class TrainingError(VsezooError):
    """A training that cannot go on, such as one whose loss is not a number."""


class InterruptedTrainingError(VsezooError):
    """The user stopped the training; its state is saved."""

    exit_code = INTERRUPTED


class HubError(VsezooError):
    """A call of the Hub that failed."""


class StorageError(VsezooError):
    """A file that cannot be written."""


class MissingPackageError(VsezooError):
    """A package that only some commands need is not installed."""


def list_names(names: Sequence[str], most: int) -> str:
    """Return the first names for a message, "…" if there are more; one that would break the line is shown escaped."""
    shown = [name if name.isprintable() else repr(name) for name in names[:most]]
    return ", ".join([*shown, *(["…"] if len(names) > most else [])])


def explain_system(error: Exception) -> tuple[str, str]:
    """Return what the system says of a file that cannot be read or written, and what to do about it.

    Args:
        error: an `OSError`, or that of a library in Rust, which has the number in its text: "(os error 28)".
    """
    told = re.search(r"\(os error (\d+)\)", str(error))
    number = error.errno if isinstance(error, OSError) else int(told[1]) if told else None
    reason = getattr(error, "strerror", None) or (os.strerror(number) if number is not None else str(error).rstrip("."))
    return reason, REMEDIES.get(number or 0, "See whether that disk is sound and has room, or name another place.")


def suggest_name(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return a remedy: "Did you mean 'x'?" for the known name nearest to `name`, if one is near, then `otherwise`."""
    spelled = {item.lower(): item for item in known}
    near = difflib.get_close_matches(name.lower(), spelled, n=1, cutoff=0.6)
    return " ".join(filter(None, [f"Did you mean {spelled[near[0]]!r}?" if near else "", otherwise]))


def require_name(kind: str, name: str, known: Iterable[str]) -> None:
    """Raise a UsageError unless `name` is one of the known names of this kind."""
    names = list(known)
    if name not in names:
        remedy = suggest_name(name, names, f"Known: {', '.join(names)}.")
        raise UsageError(f"{name!r} is not a {kind}.", remedy=remedy)


def require_package(name: str, purpose: str, file: str | Path | None = None) -> ModuleType:
    """Import a module of a package that not every installation has.

    Args:
        name: of the module.
        purpose: what needs it; the beginning of the message.
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
