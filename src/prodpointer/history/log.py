"""What the record of a model says: which moves happened, what was live when, and what was live before.

Everything is computed from events, in the order of their ids; :mod:`prodpointer.history.record` reads and writes them.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from prodpointer.history.record import events
from prodpointer.types import MIGRATING, ModelVersion, Promotion

_DIGITS = 12


def next_id(recorded: Sequence[Promotion]) -> str:
    """Return an id that sorts after every event: the highest count plus one, then something random. Not a clock."""
    seen = recorded[-1].event or "" if recorded else ""
    count = int(seen.partition("-")[0]) if seen.partition("-")[0].isdecimal() else 0
    return f"{count + 1:0{_DIGITS}d}-{secrets.token_hex(4)}"


def in_time(recorded: Sequence[Promotion], now: datetime) -> list[Promotion]:
    """Return events with times that never go back: an event is never earlier than the one before it.

    A time that is still to come says nothing: such an event has the time of the one before it.
    """
    found: list[Promotion] = []
    for event in recorded:
        before = found[-1].at if found else min(event.at, now)
        found.append(event if before <= event.at <= now else replace(event, at=before))
    return found


def settled(recorded: Iterable[Promotion], live: int | None) -> list[Promotion]:
    """Return the moves that happened, oldest first.

    An open intent counts where nothing was done after it and it names what is live: its promoter was stopped after the
    pointer had moved. That of a migration does not, which names what is live before it has moved anything. A move that
    lost was live for a moment at most: a move that found its version live replaced what it had replaced.
    """
    newest = list(recorded)
    done = [event for event in newest if event.state == "done"]
    after = [event for event in newest if not done or (event.event or "") > (done[-1].event or "")]
    intents = [event for event in after if event.state == "intended" and event.kind not in MIGRATING]
    finished = [event for event in intents if event.to_version == live]
    moves: list[Promotion] = []
    for move in done + [replace(event, state="done") for event in finished[-1:]]:
        moves.append(replace(move, from_version=_replaced(move, moves[-1] if moves else None, newest)))
    return moves


def _replaced(move: Promotion, before: Promotion | None, recorded: Sequence[Promotion]) -> int | None:
    """Return what a move replaced, past the moves under way between the move before it and its own snapshot."""
    done = before.event or "" if before else ""
    while True:
        if before and move.from_version == before.to_version:
            return before.to_version
        if before and move.after is not None and move.after < done:  # decided before that one was done
            return before.to_version
        if move.passing is None:
            return _passed(move, before, recorded)
        through = next((event for event in recorded if event.event == move.passing), None)
        if through is None or through.state == "done" or (through.event or "") >= (move.event or ""):
            return before.to_version if before and move.passing else move.from_version
        move = through  # it was never live for itself, so this move replaced what that one had found


def _passed(move: Promotion, before: Promotion | None, recorded: Sequence[Promotion]) -> int | None:
    """Return what a move replaced that does not say what was on the way.

    They are those that lost, and those whose id was raised past this move's though they had begun before it. A version
    may be promoted again and again, so each event is judged by itself.
    """
    since, until = (before.event or "" if before else ""), move.event or ""  # an id is given after what was seen
    done = {event.to_version for event in recorded if event.state == "done"}
    passing = [
        event
        for event in recorded
        if event.from_version != event.to_version and event.event != move.event
        if (since < (event.event or "") and ((event.event or "") < until or event.at <= move.at))
        or (event.to_version not in done and _overlapped(event, before))
    ]
    found, ways = {move.from_version}, [move]
    while more := [event for event in passing if event.to_version in found and event not in ways]:
        ways += more
        found |= {event.from_version for event in more}
    if before and (before.to_version in found or any(_overlapped(event, before) for event in ways[1:])):
        return before.to_version
    reached = {event.to_version for event in ways[1:]}
    ends = [event for event in ways if event.from_version not in reached]
    return min(ends or ways, key=lambda event: event.event or "").from_version


def _overlapped(event: Promotion, before: Promotion | None) -> bool:
    """Tell whether an event was decided when it could not see yet that another one was done."""
    if before is None or before.after is None or event.after is None:
        return False
    return before.after <= event.after < (before.event or "")


def add_unrecorded(moves: Sequence[Promotion], live: int | None, now: datetime) -> list[Promotion]:
    """Return the moves with unrecorded ones where they show: between two moves, and after the last.

    Parameters
    ----------
    moves
        What :func:`settled` returned.
    live
        The version that is live now.
    now
        The time by which a move after the last one had happened.
    """
    found: list[Promotion] = []
    for move in moves:
        if found and found[-1].to_version != move.from_version:
            found.append(_unrecorded(found[-1], move.from_version, move.at))
        found.append(move)
    if found and found[-1].to_version != live:
        found.append(_unrecorded(found[-1], live, now))
    return found


def in_order(moves: Sequence[Promotion], others: Iterable[Promotion]) -> list[Promotion]:
    """Return moves and the intents and losses beside them, each where its id belongs."""
    found: list[Promotion] = []
    waiting = sorted(others, key=lambda event: event.event or "")
    for move in moves:
        while waiting and move.event and (waiting[0].event or "") < move.event:
            found.append(waiting.pop(0))
        found.append(move)
    return found + waiting


def _unrecorded(last: Promotion, version: int | None, at: datetime) -> Promotion:
    """Return the move that must have happened after ``last``."""
    reason = "not recorded: moved by another tool, or the version that held the record was deleted"
    return Promotion(
        last.name,
        last.to_version,
        version,
        (),
        at,
        "",
        reason,
        alias=last.alias,
        kind="unrecorded",
        workspace=last.workspace,
    )


def stack(moves: Iterable[Promotion]) -> list[int | None]:
    """Return what was live, oldest first, with what was rolled back taken off again; None is "nothing".

    Parameters
    ----------
    moves
        What :func:`add_unrecorded` returned.
    """
    found: list[int | None] = []
    for move in moves:
        if not found:
            found.append(move.from_version)
        if move.to_version == found[-1]:  # two operators who went back at the same moment went back once
            continue
        if move.kind == "rollback" and move.to_version in found:
            while found[-1] != move.to_version:
                found.pop()
        else:
            found.append(move.to_version)
    return found


def live_at(moves: Sequence[Promotion], when: datetime) -> int | None:
    """Return the version that was live at a time, as recorded; before the first move, what that one replaced."""
    if not moves:
        return None
    before = [move for move in moves if move.at <= when]
    return before[-1].to_version if before else moves[0].from_version


def deciding(version: int | None, event: str, alias: str, versions: Iterable[ModelVersion], stage: str) -> int | None:
    """Return which version a stage should hold, so that every promoter decides the same.

    Of the versions in the stage, and of this move, the one with the highest event counts; versions that other tools
    put there have none. A withdrawal counts like a version. Where nothing is in the stage, the highest of all events
    counts.

    Parameters
    ----------
    version, event
        The version of this move (None: a withdrawal) and the id of its event.
    alias
        The pointer.
    versions
        Every version, as read after this move's own last write.
    stage
        The stage that stands for the alias.
    """
    every = list(versions)
    in_stage = {each.version for each in every if each.stage == stage}
    ids: dict[int | None, str] = dict.fromkeys(in_stage, "")
    for move in events(every, alias):
        if move.state in ("lost", "refused") and move.event != event:
            continue
        if move.to_version is None or move.to_version in in_stage or not in_stage:
            ids[move.to_version] = max(ids.get(move.to_version, ""), move.event or "")
    if version is None or version in in_stage or not in_stage:
        ids[version] = max(ids.get(version, ""), event)
    return max(ids, key=lambda each: (ids[each], each or 0))
