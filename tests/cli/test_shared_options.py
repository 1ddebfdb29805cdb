"""An option that several commands have says the same in all of them."""

from __future__ import annotations

import click
import pytest

from vsezoo import registry
from vsezoo.errors import CheckpointError


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


@pytest.mark.parametrize(
    "line", ["search vsepp words", "serve vsepp", "push vsepp hub:a/b", "card vsepp", "eval vsepp", "embed vsepp"]
)
def test_a_model_without_weights_is_found_before_the_command_starts(line: str) -> None:
    name, *arguments = line.split()
    command: click.Command = registry.load("commands", name)
    with pytest.raises(CheckpointError, match=r"^vsepp: is a model without weights: a recipe\."):
        command.make_context(name, arguments)


def test_a_query_for_a_service_is_no_checkpoint() -> None:
    command: click.Command = registry.load("commands", "search")
    assert command.make_context("search", ["two dogs", "--at", "http://127.0.0.1:1"]).params["checkpoint"] == "two dogs"
