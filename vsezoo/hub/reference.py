"""References to checkpoints on the Hub: `hub:org/name[@revision]`. Only the standard library is imported."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from vsezoo.errors import UsageError

PREFIXES = ("hub:", "hf-hub:", "hf://")
"""Prefixes of a reference; all mean the same."""

EXAMPLES = "Examples: hub:org/name, hub:org/name@main, hub:org/name@COMMIT."
COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class HubReference:
    """A repository of the Hub and a revision.

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
        """Whether the revision is a commit, which cannot change."""
        return self.revision is not None and COMMIT.fullmatch(self.revision) is not None

    def at(self, revision: str) -> HubReference:
        """Return the reference to another revision."""
        return replace(self, revision=revision)


def parse_reference(text: str | Path) -> HubReference | None:
    """Parse a reference to the Hub; None for a text without a prefix, such as a folder.

    Raises:
        UsageError: for an invalid repository or revision. The client uses both in paths.
    """
    prefix = next((prefix for prefix in PREFIXES if str(text).startswith(prefix)), None)
    if prefix is None:
        return None
    repository, at, revision = str(text).removeprefix(prefix).partition("@")
    if not is_repository(repository):
        raise UsageError(f"{str(text)!r} is not a valid reference: {repository!r} is not org/name.", remedy=EXAMPLES)
    if at and not _is_revision(revision):
        raise UsageError(f"{str(text)!r} is not a valid reference: {revision!r} is not a revision.", remedy=EXAMPLES)
    return HubReference(repository, revision or None)


def is_repository(text: str) -> bool:
    """Return whether a text has the form of a repository name, `org/name`."""
    parts = text.split("/")
    return len(parts) == 2 and len(text) <= 96 and all(map(_is_name, parts))


def _is_name(part: str) -> bool:
    sound = re.fullmatch(r"[A-Za-z0-9_]([\w.-]*[A-Za-z0-9_])?", part, flags=re.ASCII)
    return sound is not None and "--" not in part and ".." not in part and not part.endswith(".git")


def _is_revision(text: str) -> bool:
    """Apply git's rules for reference names, with a narrower set of characters."""
    sound = re.fullmatch(r"[A-Za-z0-9_][\w./+-]*", text, flags=re.ASCII)
    return sound is not None and not re.search(r"\.\.|//|/\.|[./]$|\.lock(/|$)", text) and len(text) <= 200
