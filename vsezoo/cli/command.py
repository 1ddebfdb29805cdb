"""Commands whose help groups their options under headings and ends with examples. Part of the plugin API.

@click.command("count-words", cls=Command, examples=[("vsezoo count-words runs/vsepp", "Count its words.")])
@click.argument("checkpoint")
@section("Output", shared_options.as_json, click.option("--sort", is_flag=True, help="Sort by frequency."))
def count_words(checkpoint, as_json, sort): ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from vsezoo.cli.output import JSONOption, reserve_output

Function = TypeVar("Function", bound=Callable[..., Any])
Decorator = Callable[[Function], Function]

QUIET = "vsezoo.quiet"
"""Where click's context has whether the user wants results, warnings and errors alone."""

FIRST = "Options"
"""The heading of the options that belong to no section."""

LABEL_WIDTH = 30
"""The longest label of an option that has its help next to it; click's own default."""


class Command(click.Command):
    """A command whose help has sections of options (see `section`) and ends with examples.

    Args:
        args: as click.Command takes them, and so `options`.
        examples: command lines, and what each of them does.
    """

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples = tuple(examples)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters, and with them `--quiet`, which all commands have."""
        *own, help_option = super().get_params(ctx)
        taken = {flag for parameter in own for flag in (*parameter.opts, *parameter.secondary_opts)}
        flags = [flag for flag in ("-q", "--quiet") if flag not in taken]
        if "--quiet" in taken or isinstance(self, click.Group):
            return [*own, help_option]
        return [*own, _make_quiet(flags), help_option]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; while one of vsezoo's own writes JSON, nothing else gets to standard output.

        A command of a plugin may print its JSON in any way.
        """
        writes_json = any(isinstance(one, JSONOption) and ctx.params.get(one.name or "") for one in self.params)
        if not writes_json or not getattr(self.callback, "__module__", "").startswith("vsezoo."):
            return super().invoke(ctx)
        with reserve_output(ctx):
            return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options: first those without a section, then section by section, all in the same columns."""
        sections: dict[str, list[tuple[str, str]]] = {FIRST: []}
        for parameter in self.get_params(ctx):
            record = None if isinstance(parameter, click.Argument) else parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(parameter, "section", FIRST), []).append(record)
        width = max(len(label) for rows in sections.values() for label, _ in rows)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl([(label.ljust(min(width, LABEL_WIDTH)), text) for label, text in rows])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples. Command lines are never broken, so that they can be copied."""
        super().format_epilog(ctx, formatter)
        if not self.examples:
            return
        with formatter.section("Examples"):
            for line, effect in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")
                with formatter.indentation(), formatter.indentation():
                    formatter.write_text(effect)


class Group(Command, click.Group):
    """A group of such commands, with examples of its own."""

    command_class = Command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then the commands."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


def section(title: str, *options: Decorator[Any]) -> Decorator[Any]:
    """Return a decorator that adds options to a command, under a heading of their own in its help.

    Args:
        title: the heading.
        options: what `click.option` and `vsezoo.cli.shared_options` return.
    """

    def decorate(function: Function) -> Function:
        known = len(_list_declared(function))
        for option in reversed(options):
            option(function)
        for parameter in _list_declared(function)[known:]:
            parameter.section = title  # type: ignore[attr-defined]
        return function

    return decorate


def _make_quiet(flags: list[str]) -> click.Option:
    text = "Show no progress and no hints."
    return click.Option(flags, is_flag=True, is_eager=True, expose_value=False, callback=_be_quiet, help=text)


def _be_quiet(ctx: click.Context, option: click.Parameter, given: bool) -> None:
    ctx.meta[QUIET] = given


def _list_declared(function: Callable[..., Any]) -> list[click.Parameter]:
    """Return the parameters that click's decorators have kept on a function until it becomes a command."""
    declared: list[click.Parameter] = getattr(function, "__click_params__", [])
    return declared
