"""The help of each command: ``-h``, a summary that fits, sections, examples that are accepted."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import chain

import click
import pytest
from click.testing import CliRunner

from prodpointer.cli.group import Command, Group, summary
from prodpointer.cli.main import main


def commands(group: Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Command | Group]]:
    """Yield each command below a group, groups too, with the words that name it."""
    for name, command in group.commands.items():
        assert isinstance(command, (Command, Group)), name
        yield (*path, name), command
        if isinstance(command, Group):
            yield from commands(command, (*path, name))


EVERY = dict(commands(main))
each_command = pytest.mark.parametrize("path", EVERY, ids=" ".join)


def printed(*words: str, columns: int = 80) -> str:
    """Return the help that a command prints on a terminal of a width."""
    runner = CliRunner(env={"COLUMNS": str(columns)})
    result = runner.invoke(main, [*words, "-h"], prog_name="prodpointer")
    assert result.exit_code == 0
    return result.output


@each_command
def test_help_has_examples_that_name_the_command(path: tuple[str, ...]) -> None:
    """Help ends with command lines to copy, not wrapped."""
    examples = printed(*path).partition("Examples:\n")[2].splitlines()
    assert examples
    assert all(line.startswith(f"  prodpointer {' '.join(path)}") for line in examples)


@each_command
def test_each_example_is_accepted(path: tuple[str, ...]) -> None:
    """Arguments and options of the examples are those that the command has."""
    for example in EVERY[path].examples:
        EVERY[path].make_context(path[-1], shlex.split(example)[len(path) :], parent=click.Context(main))


@each_command
def test_a_summary_fits_into_one_line(path: tuple[str, ...]) -> None:
    """A list of commands is never wrapped or cut at 80 columns."""
    assert 10 < len(summary(EVERY[path])) <= 61
    assert f" {summary(EVERY[path])}\n" in printed(*path[:-1])


def test_the_commands_are_in_sections() -> None:
    """Every command stands in a section of its own kind, in the order in which it is used."""
    assert [name for name in main.commands if name not in chain(*main.sections.values())] == []
    text = printed()
    titles = [f"\n{title}:\n" for title in main.sections]
    assert sorted(titles, key=text.index) == titles


def test_own_options_come_before_those_of_every_command() -> None:
    """What only this command has is read first."""
    text = printed("promote")
    places = [text.index(each) for each in ("Options:", "--gate", "Options of every command:", "--tracking-uri")]
    assert places == sorted(places)
