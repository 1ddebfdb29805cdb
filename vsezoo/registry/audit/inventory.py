"""Everything that is registered, with its origin and state."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

from vsezoo import registry
from vsezoo.errors import UnknownNameError, suggest_name
from vsezoo.registry.audit.api import describe_version, judge_version
from vsezoo.registry.audit.definitions import find_definition
from vsezoo.registry.audit.trial import Outcome, try_entries
from vsezoo.registry.distributions import Distribution
from vsezoo.registry.entry import Entry
from vsezoo.registry.names import normalize

State = Literal["ok", "unchecked", "failed", "conflict", "deprecated", "too old", "too new", "not allowed"]

Namesakes = dict[tuple[str, str], list[Entry]]
"""The entries by kind and name."""


@dataclass(frozen=True)
class Plugin:
    """Something that an installed distribution registers, or tries to register.

    Attributes:
        kind: the last part of its entry-point group, such as `losses`; empty for the distribution as a whole.
        name: the registered name; empty for the distribution as a whole.
        value: where the object is, `module:attribute`.
        distribution: the distribution that registers it.
        version: version of the distribution.
        api_version: the version of the plugin API that the distribution was written for.
        location: the folder that its modules are imported from; for an editable installation, the project folder.
        file: source file of the definition, None if not found.
        line: line of the definition in that file, None if not found.
        state: "ok", can be loaded, and the parts and options of a recipe are valid; "unchecked", was not imported;
            "failed", cannot be loaded; "conflict", only the qualified name means it; "deprecated", written for a
            deprecated version of the plugin API; "too old" and "too new", written for an unknown version; "not
            allowed", excluded by `VSEZOO_PLUGINS`.
        reason: what is wrong; empty for "ok" and "unchecked".
        seconds: duration of the import; None if it was not tried or did not finish.
    """

    kind: str
    name: str
    value: str
    distribution: str
    version: str
    api_version: int
    location: str
    file: str | None
    line: int | None
    state: State
    reason: str = ""
    seconds: float | None = None


def plugins(distribution: str | None = None, *, check: bool = False) -> list[Plugin]:
    """Return everything that installed distributions register, including those that are not allowed or damaged.

    Nothing is imported in this process.

    Args:
        distribution: name of a distribution; None: all.
        check: import each object and check recipes, in a separate process; if False, "failed" covers only problems
            that metadata and source files show, such as missing modules.
    """
    distributions = registry.list_distributions()
    if distribution is not None:
        names = [installed.name for installed in distributions]
        distributions = [found for found in distributions if normalize(found.name) == normalize(distribution)]
        if not distributions:
            raise UnknownNameError(
                f"No installed distribution {distribution!r} registers anything.",
                remedy=suggest_name(distribution, names, "`vsezoo list-plugins` lists those that do."),
            )
    wanted = [
        entry
        for installed in distributions
        if check and installed.allowed and judge_version(installed.api_version) in ("", "deprecated")
        for entry in installed.entries
    ]
    outcomes = dict(zip(wanted, try_entries(wanted), strict=True))
    namesakes = _group_entries()
    found = [plugin for installed in distributions for plugin in _describe(installed, outcomes, namesakes)]
    kinds = list(registry.KINDS)
    return sorted(  # keep the order of distributions
        found,
        key=lambda plugin: (
            registry.natural_key(plugin.distribution),
            kinds.index(plugin.kind) if plugin.kind in kinds else -1,
            registry.natural_key(plugin.name),
        ),
    )


def _group_entries() -> Namesakes:
    """Return the entries by kind and name; looking through all for each one would take minutes for thousands."""
    groups: Namesakes = {}
    for kind in registry.KINDS:
        for entry in registry.list_entries(kind):
            groups.setdefault((kind, entry.name), []).append(entry)
    return groups


def _describe(distribution: Distribution, outcomes: dict[Entry, Outcome], namesakes: Namesakes) -> list[Plugin]:
    origin = (distribution.name, distribution.version, distribution.api_version, _locate(distribution))
    found = [
        Plugin(fault.kind, fault.name, fault.value, *origin, file=None, line=None, state="failed", reason=fault.reason)
        for fault in distribution.faults
    ]
    for entry in distribution.entries:
        file, line, problem = find_definition(entry.value)
        outcome = outcomes.get(entry)
        if outcome is None:
            state, reason = _judge(distribution, entry, problem, "unchecked", namesakes)
        else:
            state, reason = _judge(distribution, entry, outcome.reason, "ok", namesakes)
        seconds = outcome.seconds if outcome else None
        found.append(Plugin(entry.kind, entry.name, entry.value, *origin, file, line, state, reason, seconds))
    return found


def _judge(
    distribution: Distribution, entry: Entry, problem: str, otherwise: State, namesakes: Namesakes
) -> tuple[State, str]:
    """Return the state of an entry and the reason.

    Args:
        distribution: the distribution that registers it.
        entry: the entry.
        problem: why it cannot be loaded, if known.
        otherwise: the state if nothing is wrong.
        namesakes: the entries by kind and name.
    """
    if not distribution.allowed:
        return "not allowed", "excluded by VSEZOO_PLUGINS"
    verdict, reason = judge_version(distribution.api_version), describe_version(distribution.api_version)
    if verdict in ("too old", "too new"):
        return verdict, reason
    if problem:
        return "failed", problem
    if rival := _find_rival(entry, namesakes.get((entry.kind, entry.name), [])):
        return "conflict", f"{rival}; use {entry.qualified}"
    return ("deprecated", reason) if verdict else (otherwise, "")


def _find_rival(entry: Entry, namesakes: list[Entry]) -> str:
    """Return who else registers the name of an entry, if the bare name does not mean the entry."""
    if not any(other.conflict for other in namesakes if other.qualified == entry.qualified):
        return ""
    owners = [other.distribution for other in namesakes if not other.conflict]
    if owners:
        return f"the name means the one of {owners[0]}"
    others = [other.distribution for other in namesakes if other.qualified != entry.qualified]
    return f"{' and '.join(others)} also registers the name"


def _locate(distribution: Distribution) -> str:
    try:
        origin = json.loads(metadata.distribution(distribution.name).read_text("direct_url.json") or "{}")
        if origin.get("dir_info", {}).get("editable"):
            return url2pathname(urlsplit(origin["url"]).path)
    except (metadata.PackageNotFoundError, ValueError):
        pass  # the record of the installer is only a hint
    return str(Path(distribution.location).resolve())
