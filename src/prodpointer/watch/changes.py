"""What is new of one pointer since it was last read: a function of values, without I/O.

The order is that of the record, by the ids of its events. A promotion that is still intended holds up what comes after
it, so that it does not overtake it, for as long as its promoter may be at work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from prodpointer.history import log
from prodpointer.history.record import UNDER_WAY
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.types import Promotion


@dataclass(frozen=True)
class PointerRecord:
    """One pointer of one model as it was read: the events of its record, the moves that happened, what is live.

    ``recorded`` are events in every state, oldest first; ``moves`` are those that happened, with what each replaced.
    """

    name: str
    alias: str
    workspace: str | None
    recorded: Sequence[Promotion]
    moves: Sequence[Promotion]
    live: int | None

    @classmethod
    def of(cls, snapshot: ModelSnapshot, workspace: str | None) -> PointerRecord:
        """Return the pointer that a snapshot is about."""
        moves = [move for move in snapshot.moves if move.event is not None]
        recorded = sorted((*snapshot.recorded, *snapshot.refused), key=lambda event: event.event or "")
        return cls(snapshot.reply.name, snapshot.rule.alias, workspace, recorded, moves, snapshot.live)

    @property
    def explains_live(self) -> bool:
        """Whether the record tells how the live version went live; else another tool moved the pointer."""
        return not self.moves or self.moves[-1].to_version == self.live


@dataclass(frozen=True)
class Position:
    """Up to where one pointer is reported: the version then live, the last event, and moves by other tools since."""

    live: int | None = None
    last: str = ""
    unrecorded: int = 0


@dataclass(frozen=True)
class Change:
    """One event to send.

    ``key`` tells it from every other one of its pointer, and is the same whenever it is found; ``order`` is its place
    among the events of all pointers of its model.
    """

    event: Promotion
    key: str
    order: tuple[str, int]


@dataclass(frozen=True)
class News:
    """What is new of one pointer, oldest first, and the position once it is sent.

    ``closed`` maps the ids of events that are reported now to their states, ``waiting`` those of promotions that are
    still intended to the time at which they were first seen; ``under_way`` says that one of them may be at work.
    ``doubtful`` says that the last move is not recorded: it may be one that was made while the registry was read.
    ``certain`` is the same without that move.
    """

    changes: tuple[Change, ...]
    position: Position
    closed: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, datetime] = field(default_factory=dict)
    under_way: bool = False
    doubtful: bool = False
    certain: News | None = None


def begin(pointer: PointerRecord, since: datetime | None, now: datetime) -> tuple[Position, dict[str, str]]:
    """Return where to begin, and the events that count as reported: those before ``since``, or all that are closed."""
    old = {move.event or "" for move in pointer.moves if move.at < (since or now - UNDER_WAY)}
    reported: dict[str, str] = {}
    for event in pointer.recorded:
        if event.state == "intended":
            if event.event in old:  # it counts as done, since its promoter stopped after the pointer had moved
                reported[event.event or ""] = "done"
        elif since is None or event.at < since:
            reported[event.event or ""] = event.state
    sent = [move for move in pointer.moves if move.event in reported]
    rest = [move for move in pointer.moves if move.event not in reported]
    live = rest[0].from_version if rest else pointer.live
    if sent and since is not None:
        live = sent[-1].to_version
    return Position(live, sent[-1].event or "" if sent else ""), reported


def find_news(
    pointer: PointerRecord,
    position: Position,
    reported: Mapping[str, str],
    waiting: Mapping[str, datetime],
    now: datetime,
) -> News:
    """Return what is new of a pointer.

    Parameters
    ----------
    pointer
        The pointer as it was read.
    position, reported
        Up to where it was reported, and the state in which each event was.
    waiting
        When a promotion under way was first seen.
    now
        The time, also by which a move after the last recorded one had happened.
    """
    happened = {move.event: move for move in pointer.moves}
    changes: list[Change] = []
    closed: dict[str, str] = {}
    intents = (event.event or "" for event in pointer.recorded if event.state == "intended")
    first_seen = {key: waiting.get(key, now) for key in intents if key not in reported}
    under_way = {key for key, since in first_seen.items() if now - since < UNDER_WAY}
    for event in pointer.recorded:
        key = event.event or ""
        if key in under_way:
            break
        # An intent that names what is live counts as done: its promoter stopped after the pointer had moved.
        state: str = "done" if event.state == "intended" and key in happened else event.state
        if state == "intended" or reported.get(key) == state:
            continue
        move = happened.get(key, event) if state == "done" else event
        if state == "done" and key > position.last:
            found, position = _unrecorded(pointer, position, move.from_version, move.at)
            changes += found
            position = Position(move.to_version, key)
        changes.append(Change(move, f"{key} {state}", (key, 0)))
        closed[key] = state
    still = {key: since for key, since in first_seen.items() if key not in closed}
    certain = News(tuple(changes), position, closed, still, bool(under_way))
    if under_way or pointer.live == position.live:
        return certain
    found, position = _unrecorded(pointer, position, pointer.live, now)
    return replace(certain, changes=(*changes, *found), position=position, doubtful=True, certain=certain)


def list_changes(pointer: PointerRecord, now: datetime) -> list[Change]:
    """Return the whole history of a pointer, with the promotions that are under way or lost and unrecorded moves."""
    happened = {move.event for move in pointer.moves}
    others = [event for event in pointer.recorded if event.event not in happened]
    moves = log.add_unrecorded(pointer.moves, pointer.live, now)
    last, changes = "", list[Change]()
    for event in log.in_time(log.in_order(moves, others), now):
        if event.event is None:
            key = f"{last} +0 {event.from_version} {event.to_version}"
            changes.append(Change(event, key, (last, 1)))
        else:
            changes.append(Change(event, f"{event.event} {event.state}", (event.event, 0)))
            last = event.event if event.event in happened else last
    return changes


def _unrecorded(
    pointer: PointerRecord, position: Position, to: int | None, at: datetime
) -> tuple[list[Change], Position]:
    """Return the move by another tool, if there was one, that made live what a move replaced or what is live now."""
    if to == position.live:
        return [], position
    last = Promotion(pointer.name, None, position.live, (), at, "", alias=pointer.alias, workspace=pointer.workspace)
    moved = log.add_unrecorded([last], to, at)[-1]
    key = f"{position.last} +{position.unrecorded} {position.live} {to}"
    count = position.unrecorded + 1
    return [Change(moved, key, (position.last, count))], replace(position, live=to, unrecorded=count)
