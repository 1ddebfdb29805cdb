"""`vsezoo list-plugins`: the distributions that register something."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby

import click
from rich.text import Text

from vsezoo.cli import console, shared_options
from vsezoo.cli.command import Command
from vsezoo.registry.audit.inventory import Plugin, plugins

SLOW = 1.0
"""Seconds from which on an import is listed as SLOW."""


@click.command(
    "list-plugins",
    cls=Command,
    examples=[
        ("vsezoo list-plugins", "List all distributions that register something."),
        ("vsezoo list-plugins vsezoo-example", "Show one distribution."),
        ("vsezoo list-plugins --check", "Load everything, and exit with 1 if anything fails: for your CI."),
    ],
)
@click.argument("distribution", required=False)
@click.option(
    "--check",
    is_flag=True,
    help="Import everything, with a minute for each import, and check the parts and options of recipes; exit code 1 if "
    "anything FAILED.",
)
@shared_options.as_json
@click.pass_context
def list_plugins(ctx: click.Context, distribution: str | None, check: bool, as_json: bool) -> None:
    """List the distributions that register models, parts or commands, or only DISTRIBUTION.

    Shows what they register, where they are installed, and what is wrong with them. Their code is imported only with
    --check, and then in a separate process. VSEZOO_PLUGINS and --no-plugins decide which distributions are allowed.
    """
    found = plugins(distribution, check=check)
    if as_json:
        console.print_json([asdict(plugin) for plugin in found])
    else:
        for _, group in groupby(found, key=lambda plugin: plugin.distribution):
            print_distribution(list(group))
        if not check:
            console.messages().print("Nothing was imported; --check reports what cannot be loaded.")
    if any(plugin.state in ("failed", "too old", "too new") for plugin in found):
        ctx.exit(1)


def print_distribution(plugins: list[Plugin]) -> None:
    """Print what one distribution registers."""
    first, states = plugins[0], {plugin.state for plugin in plugins}
    rows: list[tuple[str, str | Text]] = [("location", first.location), ("plugin API", str(first.api_version))]
    names: dict[str, list[str]] = {}
    for plugin in plugins:
        if plugin.name:
            names.setdefault(plugin.kind, []).append(plugin.name)
    rows += [(kind.replace("_", " "), ", ".join(listed)) for kind, listed in names.items()]
    if len(states) == 1 and first.reason and states & {"not allowed", "too old", "too new", "deprecated"}:
        rows.append((first.state.upper(), console.style_text(first.reason, "red")))
    else:
        broken = [plugin for plugin in plugins if plugin.reason]
        rows += [(plugin.state.upper(), console.style_text(_explain(plugin), "red")) for plugin in broken]
    slow = [plugin for plugin in plugins if plugin.seconds and plugin.seconds > SLOW]
    rows += [("SLOW", f"{plugin.kind}: {plugin.name}: {plugin.seconds:.1f} s to import") for plugin in slow]
    if states == {"ok"}:
        rows.append(("checked", "everything can be loaded"))
    console.print_fields(f"{first.distribution} {first.version}", rows)


def _explain(plugin: Plugin) -> str:
    place = f" ({plugin.file}:{plugin.line})" if plugin.line else ""
    return ": ".join(filter(None, [plugin.kind, plugin.name, plugin.reason])) + place
