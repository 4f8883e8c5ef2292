"""Output of the command line: tables and sentences for people, one JSON document for programs."""

from __future__ import annotations

import json
import re
import shlex
from datetime import datetime
from typing import Any

import click

from prodpointer._text import INVISIBLE, visible
from prodpointer.cli.tables import Cell, Column, Row, print_table
from prodpointer.cli.terminal import Meaning, can_write, paint, write
from prodpointer.diagnostics.conformance import Conformance
from prodpointer.errors import ProdpointerError
from prodpointer.types import Pointers, PointerStatus, Promotion

_ADDRESS = re.compile(r" \(https?://[^\s)]*\)$")

DISAGREE = 4
"""The exit code for pointers that disagree."""

SCHEMA_VERSION = 1
"""The version of every printed JSON document; keys are only added."""


def print_history(found: list[Promotion]) -> None:
    """Print one row per event."""
    columns = (
        Column("at (UTC)"),
        Column("move"),
        Column("state", only="pipe"),
        Column("version", only="terminal"),
        Column("from", only="pipe"),
        Column("to", only="pipe"),
        Column("pointers", optional=True),
        Column("by", wraps=True),
        Column("reason", wraps=True),
    )
    rows = [_event_row(each) for each in found]
    print_table(columns, rows, empty="No moves are recorded.")


def _event_row(event: Promotion) -> Row:
    """Return the cells of one event."""
    kind = event.kind if event.state == "done" else f"{event.kind} ({event.state})"
    at = f"by {_time(event.at)}" if event.kind == "unrecorded" else _time(event.at)
    return (
        Cell(at, piped=event.at.isoformat()),
        Cell(kind, "" if event.state == "done" else "warning", piped=event.kind),
        event.state,
        f"{_named(event.from_version)} → {_named(event.to_version)}",
        _cell(event.from_version),
        _cell(event.to_version),
        " and ".join(event.pointers) if event.state == "done" else "-",
        actor_cell(event.by),
        event.reason,
    )


def print_move(move: Promotion, *, dry_run: bool = False) -> None:
    """Print one move of a pointer and the gates that it passed; a dry run says that it is one."""
    say(f"{'dry run: ' if dry_run else ''}{move_line(move)}")
    for gate in move.gates:
        say(f"  {gate.as_text()}")


def move_line(move: Promotion) -> str:
    """Return one move as a line: what moved from where to where, which pointers, by whom and why."""
    pointer = f"{move.name}@{move.alias}"
    if not move.pointers:
        return f"{pointer}: {_named(move.to_version)} already, nothing to move"
    because = f": {move.reason}" if move.reason else ""
    moved = " and ".join(move.pointers)
    line = f"{pointer}: {_named(move.from_version)} → {_named(move.to_version)} ({moved}) by {move.by}{because}"
    return " ".join(line.split())  # a reason may have several lines


def print_statuses(found: list[PointerStatus], *, options: str = "") -> None:
    """Print one row per model, and below the table what to do where pointers disagree.

    Parameters
    ----------
    found
        The models.
    options
        The options, each after a blank, with which a suggested command addresses them too.
    """
    columns = (
        Column("model"),
        Column("live"),
        Column("alias"),
        Column("stage"),
        Column("agreed"),
        Column("pointer"),
        Column("moved (UTC)", optional=True),
        Column("by", wraps=True, optional=True),
        Column("mismatch", only="pipe"),
    )
    print_table(columns, list(map(_status_row, found)), empty="There are no registered models.")
    for each in found:
        if not each.agreed:
            _explain_mismatch(each, options)


def _status_row(found: PointerStatus) -> Row:
    """Return the cells of one model."""
    alias = f"{found.alias} (deleted)" if found.dangling else _cell(found.alias)
    stage = ", ".join(map(str, found.in_stage)) if len(found.in_stage) > 1 else _cell(found.stage)
    suspect: Meaning = "" if found.agreed else "warning"
    last = found.last_event
    return (
        found.name,
        Cell(_cell(found.live), "good" if found.live is not None else ""),
        Cell(alias, suspect),
        Cell(stage, suspect),
        Cell("yes" if found.agreed else "no", suspect),
        Pointers.where(alias=found.alias is not None, stage=found.stage is not None).choice,
        Cell(_time(last.at) if last else "-", piped=last.at.isoformat() if last else "-"),
        actor_cell(last.by if last else "-"),
        _mismatch(found),
    )


def _explain_mismatch(found: PointerStatus, options: str) -> None:
    """Say on standard error why pointers disagree, who made the last recorded move, and what to do."""
    say(f"{found.name}: {_mismatch(found)}", err=True, meaning="warning")
    if (last := found.last_event) is not None:
        move = f"{last.kind} {_named(last.from_version)} → {_named(last.to_version)}"
        say(f"  last recorded: {move} by {last.by}, {_time(last.at)} UTC; other tools record nothing", err=True)
    command = "repair" if found.live is not None else "promote"
    version = "" if found.live is not None else " VERSION"
    say(f"  next: prodpointer{options} {command} {shlex.quote(found.name)}{version}", err=True)


def _mismatch(found: PointerStatus) -> str:
    """Return why the pointers of a model disagree, the empty text where they agree."""
    if found.mismatch or found.agreed:
        return found.mismatch
    if found.dangling:
        return f"the alias names version {found.alias}, which was deleted"
    if len(found.in_stage) > 1:
        return f"versions {' and '.join(map(str, found.in_stage))} are in the stage"
    return f"the {'alias' if found.alias is None else 'stage'} is not set, and the model is marked for both"


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


def actor_cell(by: str) -> Cell:
    """Return who acted; on a terminal a CI job without its address, which ``--json`` and a pipe have."""
    return Cell(_ADDRESS.sub(" (CI)", by), piped=by)


def _cell(version: int | None) -> str:
    """Return a version as a table shows it."""
    return "-" if version is None else str(version)


def _named(version: int | None) -> str:
    """Return a version as one end of a move."""
    return "none" if version is None else str(version)


def _time(at: datetime) -> str:
    """Return a time as a table shows it."""
    return f"{at:%Y-%m-%d %H:%M:%S}"


def say(text: str, *, err: bool = False, meaning: Meaning = "") -> None:
    """Print a text; control characters, which may come from the registry, are escaped."""
    write(paint(visible(text), meaning, err=err), err=err)


def print_error(error: ProdpointerError, *, about: str = "") -> None:
    """Print an error on standard error: the fact on the first line, then the place and the next step.

    Parameters
    ----------
    error
        The error.
    about
        What it concerns, where several things are done.
    """
    fact = f"{about}: {error.what}" if about else error.what
    write(f"{paint('error:', 'bad', err=True)} {visible(fact)}", err=True)
    for title, text in (("where:", error.where), ("next: ", error.next_step)):
        if text:
            write(f"  {paint(title, 'aside', err=True)} {visible(text)}", err=True)


def print_warning(text: str) -> None:
    """Print a warning on standard error, in one line."""
    write(f"{paint('warning:', 'warning', err=True)} {visible(text)}", err=True)


def ask(move: str) -> None:
    """Ask on standard error whether to make a move, and end the command unless the answer is yes."""
    say(move, err=True)
    if not click.confirm("Continue?", err=True):
        say("Nothing was changed.", err=True)
        raise click.exceptions.Exit(1)


def print_json(document: dict[str, Any], *, indent: int | None = 2) -> None:
    """Print one JSON document, on one line where ``indent`` is None."""
    write(json_text({"schema_version": SCHEMA_VERSION, **document}, indent=indent))


def json_text(document: dict[str, Any], *, indent: int | None = 2) -> str:
    """Return a document as JSON for standard output.

    Control characters are written as JSON escapes, so that a terminal ignores them, and so is everything outside ASCII
    where the encoding of standard output does not have all of it.
    """
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    if not can_write(text):
        text = json.dumps(document, indent=indent)
    return INVISIBLE.sub(lambda found: json.dumps(found.group())[1:-1], text)
