"""`vsezoo list-plugins`: the distributions that register anything."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import click
from rich.text import Text

from vsezoo import registry
from vsezoo.cli import console
from vsezoo.errors import PluginError


@click.command("list-plugins")
@click.option("--check", is_flag=True, help="Import all that is registered; exit code 1 if anything FAILED.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
def list_plugins(ctx: click.Context, check: bool, as_json: bool) -> None:
    """List the distributions that register anything.

    It shows what they register and where they come from. Nothing of theirs is imported without --check.
    VSEZOO_PLUGINS and --no-plugins decide which of them are allowed.
    """
    plugins = [_describe(distribution, check) for distribution in registry.list_distributions()]
    if as_json:
        console.print_json(plugins)
    else:
        for plugin in plugins:
            _print(plugin)
    if any(plugin["failed"] for plugin in plugins):
        ctx.exit(1)


def _describe(distribution: registry.Distribution, check: bool) -> dict[str, Any]:
    registers: dict[str, list[str]] = {}
    failed: dict[str, str] = {}
    for entry in sorted(distribution.entries, key=lambda entry: registry.natural_key(entry.name)):
        registers.setdefault(entry.kind, []).append(entry.name)
        if check and distribution.allowed:
            try:
                entry.load()
            except PluginError as error:
                failed[f"{entry.kind}: {entry.name}"] = registry.explain(error)
    if distribution.problem:
        failed["entry points"] = distribution.problem
    shared = [entry for kind in registry.KINDS for entry in registry.list_entries(kind) if entry.conflict]
    return {
        "distribution": distribution.name,
        "version": distribution.version,
        "allowed": distribution.allowed,
        "location": _locate(distribution),
        "registers": {kind: registers[kind] for kind in registry.KINDS if kind in registers},
        "conflicts": [f"{e.kind}: {e.name}" for e in shared if e.distribution == distribution.name],
        "checked": check and distribution.allowed,
        "failed": failed,
    }


def _locate(distribution: registry.Distribution) -> str:
    """Return the folder that the modules are imported from: of an editable installation, that of its project."""
    try:
        origin = json.loads(metadata.distribution(distribution.name).read_text("direct_url.json") or "{}")
        if origin.get("dir_info", {}).get("editable"):
            return url2pathname(urlsplit(origin["url"]).path)
    except (metadata.PackageNotFoundError, ValueError):
        pass  # the record of the installer is a help alone
    return str(Path(distribution.location).resolve())


def _print(plugin: dict[str, Any]) -> None:
    rows: list[tuple[str, str | Text]] = [("location", plugin["location"])]
    rows += [(kind.replace("_", " "), ", ".join(names)) for kind, names in plugin["registers"].items()]
    rows += [
        ("CONFLICT", Text(f"{name}: another distribution registers it, too", "red")) for name in plugin["conflicts"]
    ]
    rows += [("FAILED", Text(f"{name}: {reason}", "red")) for name, reason in plugin["failed"].items()]
    if plugin["checked"] and not plugin["failed"]:
        rows.append(("checked", "all of it can be loaded"))
    state = "" if plugin["allowed"] else " (not allowed by VSEZOO_PLUGINS)"
    console.print_fields(f"{plugin['distribution']} {plugin['version']}{state}", rows)
