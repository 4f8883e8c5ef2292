"""How commands describe themselves: sections in place of one alphabetical list, own options first, examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from prodpointer.cli.terminal import waiting


class SharedOption(click.Option):
    """An option that every command has; help lists it below the command's own."""


class Command(click.Command):
    """A command whose help ends with examples.

    Parameters
    ----------
    examples
        Command lines, without the name of the program.
    runs_on
        Whether the command runs until it is stopped, so that no spinner is shown.
    """

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), runs_on: bool = False, **options: Any) -> None:
        """Keep the examples."""
        super().__init__(*arguments, **options)
        self.examples: tuple[str, ...] = tuple(examples)
        self.runs_on: bool = runs_on

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; on a terminal a sign shows that it waits."""
        if self.runs_on:
            return super().invoke(ctx)
        with waiting(as_json=any(each.params.get("as_json") for each in (ctx, ctx.find_root()))):
            return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, then those that every command has."""
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, one line each, never wrapped: they are there to be copied."""
        super().format_epilog(ctx, formatter)
        _write_examples(self.examples, ctx, formatter)


class Group(click.Group):
    """A group of commands in sections; ``add`` puts commands into one.

    Parameters
    ----------
    examples
        As for :class:`Command`.
    """

    command_class: type[click.Command] | None = Command

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **options: Any) -> None:
        """Start without sections."""
        options["context_settings"] = {"help_option_names": ["-h", "--help"], **options.get("context_settings", {})}
        super().__init__(*arguments, **options)
        self.examples: tuple[str, ...] = tuple(examples)
        self.sections: dict[str, list[str]] = {}

    def add(self, section: str, *commands: click.Command) -> None:
        """Add commands to a section, which is made if it is new; help has both in the order of these calls."""
        for command in commands:
            self.add_command(command)
            self.sections.setdefault(section, []).append(str(command.name))

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # the signature is click's
        """Return the names of the commands in the order in which help lists them."""
        listed = [name for names in self.sections.values() for name in names]
        return listed + [name for name in self.commands if name not in listed]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands before the options: they are what a reader looks for."""
        self.format_commands(ctx, formatter)
        _write_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each of the group's, with the whole summary of each command."""
        names = self.list_commands(ctx)
        placed = {name for section in self.sections.values() for name in section}
        width = max(map(len, names), default=0)
        for title, section in (*self.sections.items(), ("Commands", [name for name in names if name not in placed])):
            rows = [(f"{name:{width}}", summary(self.commands[name])) for name in section if name in self.commands]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        super().format_epilog(ctx, formatter)
        _write_examples(self.examples, ctx, formatter)


def summary(command: click.Command) -> str:
    """Return what a list of commands says of one: its short help, else the first line of its help."""
    return command.short_help or (command.help or "").strip().partition("\n")[0]


def _write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the options in two sections; a group whose options are all shared has one section."""
    own: list[tuple[str, str]] = []
    shared: list[tuple[str, str]] = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
        if record is not None:
            (shared if isinstance(parameter, SharedOption) else own).append(record)
    for title, records in (("Options", own), ("Options of every command", shared)):
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def _write_examples(examples: Sequence[str], ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write command lines under a heading of their own."""
    if not examples:
        return
    program = ctx.find_root().info_name or "prodpointer"
    with formatter.section("Examples"):
        for example in examples:
            formatter.write(f"{'':{formatter.current_indent}}{program} {example}\n")
