"""References to checkpoints on the Hub: `hub:org/name[@revision]`. Imports nothing but the standard library."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from vsezoo.errors import UsageError

PREFIXES = ("hub:", "hf-hub:", "hf://")
"""What a reference begins with; all mean the same."""

EXAMPLES = "Examples: hub:org/name, hub:org/name@main, hub:org/name@COMMIT."
COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class HubReference:
    """A repository of the Hub, and a revision of it.

    Attributes:
        repository: `org/name`.
        revision: a branch, a tag, a reference such as `refs/pr/1` or a commit; None: the default branch.
    """

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"hub:{self.repository}" + (f"@{self.revision}" if self.revision else "")

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, which no one can change."""
        return self.revision is not None and COMMIT.fullmatch(self.revision) is not None

    def at(self, revision: str) -> HubReference:
        """Return the reference to another revision."""
        return replace(self, revision=revision)


def parse_reference(text: str | Path) -> HubReference | None:
    """Return what a reference to the Hub names; None for text without one of the prefixes, such as a folder.

    Raises:
        UsageError: for a reference whose repository or revision cannot be one. The client makes paths of both.
    """
    prefix = next((prefix for prefix in PREFIXES if str(text).startswith(prefix)), None)
    if prefix is None:
        return None
    repository, at, revision = str(text).removeprefix(prefix).partition("@")
    if not is_repository(repository):
        raise UsageError(f"{str(text)!r} names no repository: {repository!r} is not org/name.", remedy=EXAMPLES)
    if at and not _is_revision(revision):
        raise UsageError(f"{str(text)!r} names no revision: {revision!r} cannot be one.", remedy=EXAMPLES)
    return HubReference(repository, revision or None)


def is_repository(text: str) -> bool:
    """Tell whether a text has the form of a repository's name, `org/name`."""
    parts = text.split("/")
    return len(parts) == 2 and len(text) <= 96 and all(map(_is_name, parts))


def _is_name(part: str) -> bool:
    sound = re.fullmatch(r"[A-Za-z0-9_]([\w.-]*[A-Za-z0-9_])?", part, flags=re.ASCII)
    return sound is not None and "--" not in part and ".." not in part and not part.endswith(".git")


def _is_revision(text: str) -> bool:
    """Follow git's rules for the names of references, and be narrower about the characters."""
    sound = re.fullmatch(r"[A-Za-z0-9_][\w./+-]*", text, flags=re.ASCII)
    return sound is not None and not re.search(r"\.\.|//|/\.|[./]$|\.lock(/|$)", text) and len(text) <= 200
