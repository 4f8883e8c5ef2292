"""One registered model at one moment: its pointers, all its versions, its events, and the moves they tell of."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

from prodpointer.history import log
from prodpointer.pointers.selection import View
from prodpointer.types import ModelVersion, Promotion, State

UNDER_WAY = timedelta(seconds=60)
"""For so long an intent that nobody closed is a promotion under way; after that its promoter was stopped half way."""


@dataclass(frozen=True)
class Look:
    """What a model was like at one moment: its pointers, all its versions, its events, and the moves they tell of.

    ``events`` are those of every alias, among which an id has to be the highest; all else is about one alias. ``taken``
    is when it was taken, by a clock that only goes on.
    """

    seen: View
    versions: Sequence[ModelVersion]
    events: Sequence[Promotion]
    moves: Sequence[Promotion] = ()
    taken: float = field(default_factory=time.monotonic, compare=False)

    @property
    def recorded(self) -> list[Promotion]:
        """The events of this alias, oldest first."""
        return [event for event in self.events if event.alias == self.seen.rule.alias]

    @property
    def last_done(self) -> str:
        """The id of the last event that is done; the empty text where none is."""
        return max((event.event or "" for event in self.recorded if event.state == "done"), default="")

    @property
    def passing(self) -> str:
        """The event under way by which what is live is live; empty where none is, and where it was done."""
        if self._is_done:
            return ""
        return max((event.event or "" for event in self._to_live("intended") if self._is_under_way(event)), default="")

    @property
    def in_doubt(self) -> bool:
        """Whether what is live was moved there by who has lost by now, or by another tool: the next look tells.

        Pointers are read before the record, and what lost in between is not live any more.
        """
        return not self._is_done and not self.passing and bool(self._to_live("lost"))

    @property
    def explains_live(self) -> bool:
        """Whether the record tells of what is live, which is one of the versions.

        Else another tool moved it there, or it was moved after the versions were read and before the pointers were.
        """
        live = self.seen.live
        if self.seen.dangling or (live is None and not self.recorded):
            return not self.seen.dangling
        return any(event.to_version == live and (event.event or "") >= self.last_done for event in self.recorded)

    @property
    def _is_done(self) -> bool:
        """Whether the last event that is done made live what is live."""
        return any(event.event == self.last_done for event in self._to_live("done"))

    def _to_live(self, state: State) -> list[Promotion]:
        """Return the events in a state that moved to what is live."""
        live = self.seen.live
        return [event for event in self.recorded if event.state == state and event.to_version == live]

    def _is_under_way(self, intent: Promotion) -> bool:
        """Tell whether an intent may be under way; one that is older than what was done since was stopped half way."""
        if (intent.event or "") > self.last_done:
            return True
        last = next(event for event in self.recorded if event.event == self.last_done)
        met = (intent.after or "") >= (last.after or "")
        return met or datetime.now(timezone.utc) - intent.at < UNDER_WAY

    @property
    def in_stage(self) -> tuple[int, ...]:
        """Every version in the stage that the alias stands for."""
        stage = self.seen.rule.stage
        return tuple(each.version for each in self.versions if stage and each.stage == stage)

    @property
    def last(self) -> Promotion | None:
        """The last recorded move that happened."""
        recorded = [move for move in self.moves if move.kind != "unrecorded"]
        return recorded[-1] if recorded else None

    @property
    def pointers(self) -> tuple[tuple[str, ...], str]:
        """The pointers that a promotion moves, and why: those that are set and those that the last move moved."""
        return self.seen.moved(self.last_moved)

    @property
    def last_moved(self) -> tuple[str, ...]:
        """The pointers that the last recorded move moved: both after a migration carried one of them to the other.

        What a migration ended or took back is no longer the model's.
        """
        if self.last is None or self.last.kind in ("finish", "undo"):
            return ()
        return ("alias", "stage") if self.last.kind in ("migrate", "bridge") else self.last.pointers

    def version(self, number: int) -> ModelVersion | None:
        """Return one of the versions, None where there is none of that number."""
        return next((each for each in self.versions if each.version == number), None)

    def names_alone(self, number: int | None, pointers: tuple[str, ...]) -> bool:
        """Tell whether every one of these pointers names a version already, and the stage no other one beside it."""
        if "alias" in pointers and self.seen.alias != number:
            return False
        return "stage" not in pointers or self.in_stage == (() if number is None else (number,))


def look_at(seen: View, versions: Sequence[ModelVersion]) -> Look:
    """Return what a reply and the versions tell together; an alias of a version that is not among them dangles."""
    if seen.alias is not None and all(each.version != seen.alias for each in versions):
        seen = replace(seen, dangling=True)  # it does not count for reading, and is still moved
    look = Look(seen, versions, log.events(versions))
    moves = log.told(log.settled(look.recorded, seen.live), seen.live, datetime.now(timezone.utc))
    return replace(look, moves=moves)
