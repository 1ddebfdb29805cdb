"""An option that several commands have says the same in all of them."""

from __future__ import annotations

import click
import pytest

from vsezoo import registry


def collect_options() -> dict[str, list[click.Option]]:
    """Return the options of all commands of vsezoo by their flags."""
    found: dict[str, list[click.Option]] = {}
    entries = [entry for entry in registry.list_entries("commands") if entry.distribution == "vsezoo"]
    loaded = [entry.load() for entry in entries]
    for command in [*loaded, *(inner for each in loaded for inner in getattr(each, "commands", {}).values())]:
        for option in command.params:
            if isinstance(option, click.Option):
                found.setdefault(option.opts[0], []).append(option)
    return found


@pytest.mark.parametrize("flag", ["--data-root", "--device", "--full-dev", "--json", "--on-bad-image", "--use-restval"])
def test_one_declaration(flag: str) -> None:
    options = collect_options()[flag]
    assert len(options) > 1
    assert len({(option.help, option.name, option.metavar, repr(option.type)) for option in options}) == 1


def test_the_default_is_chosen_by_the_command() -> None:
    defaults = {option.default for option in collect_options()["--on-bad-image"]}
    assert defaults == {"error", "skip"}
    assert any("[default: shapes]" in (option.help or "") for option in collect_options()["--data"])
