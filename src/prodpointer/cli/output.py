"""Output of the command line: tables and sentences for people, one JSON document for programs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from prodpointer._text import INVISIBLE, visible
from prodpointer.diagnostics.conformance import Conformance
from prodpointer.types import PointerStatus, Promotion, called

if TYPE_CHECKING:
    from rich.table import Table

DISAGREE = 4
"""The exit code for pointers that disagree."""

SCHEMA_VERSION = 1
"""The version of every printed JSON document; keys are only added."""


def print_history(found: list[Promotion]) -> None:
    """Print one line per event."""
    from rich.table import Table

    table = Table("at (UTC)", "move", "from", "to", "pointers", "by", "reason")
    for each in found:
        kind = each.kind if each.state == "done" else f"{each.kind} ({each.state})"
        at = f"by {each.at:%Y-%m-%d %H:%M:%S}" if each.kind == "unrecorded" else f"{each.at:%Y-%m-%d %H:%M:%S}"
        pointers = " and ".join(each.pointers) if each.state == "done" else "-"
        row = (at, kind, _cell(each.from_version), _cell(each.to_version), pointers, each.by, each.reason)
        table.add_row(*map(visible, row))
    print_table(table if found else "No moves are recorded.")


def print_move(move: Promotion) -> None:
    """Print one move of a pointer."""
    before = f"was {called(move.from_version)}; moved {' and '.join(move.pointers)}"
    moved = before if move.pointers else "no pointer had to move"
    say(f"{move.name}: {called(move.to_version)} is live ({moved})")


def print_statuses(found: list[PointerStatus]) -> None:
    """Print one line per model."""
    from rich.table import Table

    differ = any(each.mismatch for each in found)
    table = Table("model", "live", "alias", "stage", "agreed", "pointer", *(("mismatch",) if differ else ()))
    for each in found:
        alias = f"{each.alias} (deleted)" if each.dangling else _cell(each.alias)
        stage = ", ".join(map(str, each.in_stage)) if len(each.in_stage) > 1 else _cell(each.stage)
        row = (each.name, _cell(each.live), alias, stage, "yes" if each.agreed else "no", each.pointer)
        table.add_row(*map(visible, row), *((visible(each.mismatch),) if differ else ()))
    print_table(table if found else "There are no registered models.")


def print_conformance(found: Conformance) -> None:
    """Print one line per check that did not pass, and the row for a compatibility table."""
    passed = sum(finding.outcome == "works" for finding in found.findings)
    say(f"registry  {found.registry}")
    say(f"checks    {passed} of {len(found.findings)} passed")
    for finding in found.findings:
        if finding.outcome != "works":
            say(f"{finding.outcome:9} {finding.pointer}: {finding.law}: {finding.detail}")
    for text in found.left:
        say(f"remains   {text}")
    say(found.row)


def print_table(table: Table | str) -> None:
    """Print a table, or a sentence in its place; cells wider than the terminal are wrapped."""
    from rich.console import Console

    for column in [] if isinstance(table, str) else table.columns:
        column.overflow = "fold"
    width = None if sys.stdout.isatty() else 1000  # a pipe has no width
    Console(markup=False, emoji=False, highlight=False, width=width).print(table)


def _cell(version: int | None) -> str:
    """Return a version as a table shows it."""
    return "-" if version is None else str(version)


def say(text: str, *, err: bool = False) -> None:
    """Print a text; control characters, which may come from the registry, are escaped."""
    click.echo(visible(text), err=err)


def print_json(document: dict[str, Any], *, indent: int | None = 2) -> None:
    """Print one JSON document, on one line where ``indent`` is None."""
    click.echo(json_text({"schema_version": SCHEMA_VERSION, **document}, indent=indent))


def json_text(document: dict[str, Any], *, indent: int | None = 2) -> str:
    """Return a document as JSON; control characters are written as JSON escapes, so that a terminal ignores them."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    return INVISIBLE.sub(lambda found: json.dumps(found.group())[1:-1], text)
