"""One registered model at one moment: its pointers, all its versions, its events, and the moves they tell of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from prodpointer import journal
from prodpointer.records import ModelVersion, Promotion
from prodpointer.selection import View


@dataclass(frozen=True)
class Look:
    """What a model was like at one moment: its pointers, all its versions, its events, and the moves they tell of.

    ``events`` are those of every alias, among which an id has to be the highest; all else is about one alias.
    """

    seen: View
    versions: Sequence[ModelVersion]
    events: Sequence[Promotion]
    moves: Sequence[Promotion] = ()

    @property
    def recorded(self) -> list[Promotion]:
        """The events of this alias, oldest first."""
        return [event for event in self.events if event.alias == self.seen.rule.alias]

    @property
    def last_done(self) -> str:
        """The id of the last event that is done; the empty text where none is."""
        return max((event.event or "" for event in self.recorded if event.state == "done"), default="")

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
    look = Look(seen, versions, journal.events(versions))
    moves = journal.told(journal.settled(look.recorded, seen.live), seen.live, datetime.now(timezone.utc))
    return replace(look, moves=moves)
