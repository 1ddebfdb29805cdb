"""The help of every command: options under headings, examples that can be run, lines that fit the terminal."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from vsezoo import registry
from vsezoo.cli import main, shared_options
from vsezoo.cli.command import Command, Group, section
from vsezoo.cli.setting_flags import SETTING_FLAGS
from vsezoo.recipe import TRAINING_FIELDS, TRAINING_PARTS, Recipe


def list_commands() -> Iterator[tuple[str, Command]]:
    """Yield the calls of vsezoo's commands, those inside a group included."""
    yield "vsezoo", main
    for entry in registry.list_entries("commands"):
        if entry.distribution == "vsezoo":
            command = entry.load()
            yield f"vsezoo {entry.name}", command
            for name, inner in getattr(command, "commands", {}).items():
                yield f"vsezoo {entry.name} {name}", inner


COMMANDS = dict(list_commands())


def read_help(call: str, columns: int = 80) -> str:
    arguments = [*shlex.split(call)[1:], "--help"]
    done = CliRunner(env={"COLUMNS": str(columns)}).invoke(main, arguments, prog_name="vsezoo")
    assert done.exit_code == 0
    return done.stdout


def read_sections(text: str) -> dict[str, str]:
    """Return the text under each heading."""
    sections, heading = {}, ""
    for line in text.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            heading = line.removesuffix(":")
        sections[heading] = f"{sections.get(heading, '')}{line}\n"
    return sections


@pytest.mark.usefixtures("unchecked_names")
@pytest.mark.parametrize("call", COMMANDS)
def test_examples_stand_at_the_end_and_parse(call: str) -> None:
    assert 2 <= len(COMMANDS[call].examples) <= 6
    *_, last = read_sections(read_help(call))
    assert last == "Examples"
    for line, effect in COMMANDS[call].examples:
        assert effect.endswith(".")
        words = [word for word in shlex.split(line.partition(" > ")[0]) if not word.startswith("VSEZOO_")]
        assert " ".join(words).startswith(call if call != "vsezoo data" else "vsezoo data check")
        assert words.pop(0) == "vsezoo"
        with click.Context(main, info_name="vsezoo", **main.context_settings) as context:
            command: click.Command = main
            while isinstance(command, click.Group):
                name = words.pop(0)
                command = command.get_command(context, name) or pytest.fail(f"{line}: no command {name}")
            if "--help" not in words:
                command.make_context(name, words, parent=context)  # raises what is wrong with a call


@pytest.mark.parametrize("call", COMMANDS)
@pytest.mark.parametrize(("columns", "width"), [(80, 80), (200, 120)])
def test_lines_fit_the_terminal_and_stay_readable(call: str, columns: int, width: int) -> None:
    assert max(map(len, read_help(call, columns).splitlines())) <= width


def test_train_shows_what_people_need_first() -> None:
    sections = read_sections(read_help("vsezoo train"))
    assert list(sections)[1:] == [
        "Options",
        "Model settings",
        "Loss settings",
        "Training settings",
        "Data",
        "Run",
        "Examples",
    ]
    flags = [word for line in sections["Options"].splitlines() for word in line.split()[:1] if word.startswith("-")]
    needed = (
        "--data --data-root --output --resume --init --num-epochs --batch-size --learning-rate --seed --device --set "
        "-q,"
    )
    # A command keeps the help option that it got first: from `vsezoo`, which has -h, or called alone by a test.
    assert " ".join(flags) in (f"{needed} -h,", f"{needed} --help")
    assert "--margin" in sections["Loss settings"]


def test_each_flag_of_a_setting_is_declared_once_and_names_settings() -> None:
    train = registry.load("commands", "train")
    options = {parameter.name: parameter for parameter in train.params}
    assert len({flag.name for flag in SETTING_FLAGS}) == len(SETTING_FLAGS)
    for flag in SETTING_FLAGS:
        assert options[flag.name].opts == [flag.flags.partition("/")[0]]
        assert options[flag.name].default is None  # what is not given leaves the recipe alone
        for setting in flag.settings:
            group, dot, name = setting.partition(".")
            assert group in {*TRAINING_PARTS, *(field.name for field in dataclasses.fields(Recipe))}
            assert group != "training" or (dot and name in TRAINING_FIELDS)


def test_sections_of_a_command_of_a_plugin() -> None:
    @click.command("count", cls=Command, examples=[("vsezoo count a-name-that-is-long", "Count.")], epilog="More.")
    @click.argument("name")
    @click.option("--plain", help="In no section.")
    @section("First", click.option("--one", is_flag=True, help="The first."), shared_options.device)
    @section("Second", click.option("--two", is_flag=True, help="The second."))
    @section("First", click.option("--three", hidden=True), shared_options.as_json)
    def count(name: str, plain: str, one: bool, device: str, two: bool, three: str, as_json: bool) -> None:
        """Count."""
        click.echo(f"{name} {plain} {one} {device} {two} {as_json}")

    sections = read_sections(CliRunner().invoke(count, ["--help"]).stdout)
    assert [line.split()[0] for line in sections["Options"].splitlines()[1:-1]] == ["--plain", "-q,", "--help"]
    assert [line.split()[0] for line in sections["First"].splitlines()[1:-1]] == ["--one", "--device", "--json"]
    assert sections["Second"].splitlines()[1].split("  ")[-1] == "The second."
    columns = {
        line.index(text)
        for part in sections.values()
        for line in part.splitlines()
        for text in ("The ", "cpu,")
        if text in line
    }
    assert len(columns) == 1  # the same in all sections
    assert sections["Examples"] == "Examples:\n  vsezoo count a-name-that-is-long\n      Count.\n"
    done = CliRunner().invoke(count, ["x", "--one", "--device", "cpu", "--json"])
    assert done.stdout == "x None True cpu False True\n"


def test_a_group_gives_its_commands_the_same_class() -> None:
    group = Group("shelf", examples=[("vsezoo shelf look", "Look.")], help="A shelf.")

    @group.command("look", examples=[("vsezoo shelf look", "Look.")])
    def look() -> None:
        """Look at it."""

    assert isinstance(look, Command)
    assert list(read_sections(CliRunner().invoke(group, ["--help"]).stdout))[1:] == ["Options", "Commands", "Examples"]


@pytest.mark.usefixtures("unchecked_names")
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (["sweep", "vsepp", "--num-epochs", "1"], "Here it is a setting: --set training.num_epochs=VALUE"),
        (["sweep", "vsepp", "--max_violation"], "Here it is a setting: --set loss.max_violation=VALUE"),
        (["sweep", "vsepp", "--epochs", "1"], "No such option"),
        (["search", "vsepp", "--num-epochs", "1"], "No such option"),
    ],
)
def test_a_flag_of_train_elsewhere_is_told_as_a_setting(call: list[str], words: str) -> None:
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 2
    assert words in done.stderr
    assert ("setting" in done.stderr) == ("setting" in words)
