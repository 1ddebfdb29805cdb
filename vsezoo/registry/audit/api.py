"""Versions of the plugin API: which ones this vsezoo knows, and the messages about plugins written for others.

A distribution declares the version that it was written for by the name of an entry point in the group `vsezoo.api`,
which can be read without importing anything. docs/plugins.md says what the API is and how long a version lives.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterable
from typing import Literal, NamedTuple

from vsezoo.errors import PluginError
from vsezoo.registry.kinds import OWN
from vsezoo.registry.names import normalize


class Life(NamedTuple):
    """The releases of vsezoo that mark the life of an API version; empty if not yet known."""

    since: str
    deprecated: str = ""  # from here on plugins written for it get a warning
    removed: str = ""  # from here on it is unknown


API_VERSIONS: dict[int, Life] = {1: Life(since="0.1.0")}
"""All versions so far; the last is the one of this vsezoo."""

API_VERSION = max(API_VERSIONS)
"""The version that new plugins should be written for."""


class PluginWarning(FutureWarning):
    """A plugin that a later vsezoo will not load."""


def choose_version(distribution: str, declared: Iterable[int]) -> int:
    """Return which of the declared versions of a distribution is used: the newest known one, or else the oldest.

    A distribution that declares none counts as written for version 1; vsezoo's own parts change with the API.
    """
    if normalize(distribution) == OWN:
        return max(API_VERSIONS)
    versions = sorted(declared) or [1]
    return max((version for version in versions if version <= max(API_VERSIONS)), default=versions[0])


def judge_version(version: int) -> Literal["", "deprecated", "too old", "too new"]:
    """Return the state of a version for this vsezoo; an empty string for a current one."""
    if version > max(API_VERSIONS):
        return "too new"
    if API_VERSIONS[version].removed:
        return "too old"
    return "deprecated" if API_VERSIONS[version].deprecated else ""


def describe_version(version: int) -> str:
    """Return a remark on a distribution written for a version; an empty string for a current one."""
    verdict = judge_version(version)
    if not verdict:
        return ""
    written = f"written for version {version} of the plugin API"
    if verdict == "deprecated":
        return f"{written}, which is deprecated since vsezoo {API_VERSIONS[version].deprecated}"
    known = " and ".join(str(number) for number, life in API_VERSIONS.items() if not life.removed)
    from importlib.metadata import version as find_version  # only messages need it, and it takes long to import

    return f"{written}; this vsezoo {find_version(OWN)} knows version {known}"


def require_version(distribution: str, release: str, version: int) -> None:
    """Raise PluginError for a distribution written for an unknown version; warn about a deprecated one.

    Args:
        distribution: its name.
        release: its version.
        version: the version of the plugin API.
    """
    verdict = judge_version(version)
    if not verdict:
        return
    problem = f"{distribution} {release} is {describe_version(version)}."
    if verdict == "deprecated":
        remedy = f"Upgrade {distribution}: a later vsezoo will not load it."
        try:
            _warn(f"{problem} {remedy}")
        except PluginWarning:  # warnings are errors here
            raise PluginError(problem, remedy=remedy) from None
        return
    if verdict == "too new":
        remedy = f"pip install --upgrade '{_read_requirement(distribution)}', or install an older {distribution}."
    else:
        older = f"{OWN}<{API_VERSIONS[version].removed}"
        remedy = f"pip install --upgrade {distribution}, or use an older vsezoo: pip install '{older}'"
    raise PluginError(problem, remedy=remedy)


@functools.cache  # once for each plugin, regardless of warning filters
def _warn(text: str) -> None:
    warnings.warn(text, PluginWarning, stacklevel=2)


def _read_requirement(distribution: str) -> str:
    """Return the requirement of a distribution on vsezoo, such as `vsezoo>=0.3`."""
    from importlib.metadata import requires

    try:
        requirements = requires(distribution) or []
    except Exception:  # damaged metadata: the message is printed without it
        requirements = []
    for requirement in requirements:
        match = re.match(rf"{OWN}(?:\[[^]]*\])? *\(?([<>=!~][<>=!~0-9A-Za-z.*+, ]*)", requirement)
        if match:
            return OWN + match[1].strip()
    return OWN
