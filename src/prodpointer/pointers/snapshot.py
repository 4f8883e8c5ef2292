"""One registered model at one moment, read by one rule, without a request: everything is computed from the values."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from prodpointer.errors import InvalidName
from prodpointer.history import log, record
from prodpointer.mlflow_client import Capabilities
from prodpointer.pointers.rule import Rule
from prodpointer.types import ModelReply, ModelVersion, Pointers, Promotion, State


@dataclass(frozen=True)
class ModelSnapshot:
    """A registered model as one rule reads it: both pointers and, where its versions were read, their record.

    ``requested`` is the override in force and ``source`` where it comes from; ``spelling`` is the alias as the registry
    spells it. ``dangling`` says that the alias names a deleted version: it does not count for reading, and a write
    still moves it, since its readers would fail for ever. ``complete`` says that every version was read, and not only
    those that hold events, the newest in each stage, and the one that the alias names. ``events`` are those of every
    alias, among which a new id has to be the highest; ``moves`` are those of this alias that happened. ``taken`` is the
    time of reading by the monotonic clock, ``now`` by the registry's.
    """

    rule: Rule
    capabilities: Capabilities
    reply: ModelReply
    requested: str
    source: str
    spelling: str
    dangling: bool = False
    complete: bool = True
    events: Sequence[Promotion] = ()
    moves: Sequence[Promotion] = ()
    taken: float = field(default_factory=time.monotonic, compare=False)
    now: datetime = field(default_factory=lambda: datetime.now(timezone.utc), compare=False)

    def with_versions(
        self, versions: Iterable[ModelVersion], *, complete: bool = True, now: datetime | None = None
    ) -> ModelSnapshot:
        """Return the same pointers beside the versions of the model; an alias of another version dangles."""
        now = now or datetime.now(timezone.utc)
        reply = replace(self.reply, versions=tuple(versions))
        dangling = self.alias is not None and all(each.version != self.alias for each in reply.versions or ())
        events = record.events(reply.versions or ())
        read = replace(
            self,
            reply=reply,
            dangling=dangling,
            complete=complete,
            events=events,
            taken=time.monotonic(),
            now=now,
        )
        settled = log.settled(read.recorded, read.live)
        moves = log.add_unrecorded(settled, read.live, now)
        return replace(read, moves=log.in_time(moves, now))

    @property
    def alias(self) -> int | None:
        """The version that the alias names."""
        return self.reply.aliases.get(self.spelling)

    @property
    def stage(self) -> int | None:
        """The version that the stage names: the highest in it."""
        newest = self.reply.newest.get(self.rule.stage) if self.rule.stage else None
        return newest.version if newest else None

    @property
    def versions(self) -> Sequence[ModelVersion]:
        """The versions that were read; empty where the pointers alone were."""
        return self.reply.versions or ()

    @property
    def live(self) -> int | None:
        """The version that counts: the alias where one is set, else the stage; an override reads its own alone."""
        alias = None if self.dangling else self.alias
        if self.requested == "alias":
            return alias
        if self.requested == "stage":
            return self.stage
        return self.stage if alias is None else alias

    @property
    def set_pointers(self) -> Pointers:
        """The pointers that are set, whatever they name."""
        return Pointers.where(alias=self.alias is not None, stage=self.stage is not None)

    @property
    def differ(self) -> bool:
        """Whether both pointers count and name different versions."""
        return not self.dangling and self.alias is not None and self.stage is not None and self.alias != self.stage

    @property
    def recorded(self) -> list[Promotion]:
        """The moves of this alias that were begun, oldest first."""
        return [each for each in self.events if each.alias == self.rule.alias and each.state != "refused"]

    @property
    def refused(self) -> list[Promotion]:
        """The promotions to this alias that gates refused, oldest first."""
        return [each for each in self.events if each.alias == self.rule.alias and each.state == "refused"]

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
        """Whether what is live was moved there by a promotion that has lost by now, or by another tool.

        Pointers are read before the record, and what lost in between is not live any more.
        """
        return not self._is_done and not self.passing and bool(self._to_live("lost"))

    @property
    def explains_live(self) -> bool:
        """Whether the record explains what is live, which is one of the versions.

        Else another tool moved it there, or it was moved after the versions were read and before the pointers were.
        """
        live = self.live
        if self.dangling or (live is None and not self.recorded):
            return not self.dangling
        return any(event.to_version == live and (event.event or "") >= self.last_done for event in self.recorded)

    @property
    def _is_done(self) -> bool:
        """Whether the last event that is done made live what is live."""
        return any(event.event == self.last_done for event in self._to_live("done"))

    def _to_live(self, state: State) -> list[Promotion]:
        """Return the events in a state that moved to what is live."""
        live = self.live
        return [event for event in self.recorded if event.state == state and event.to_version == live]

    def _is_under_way(self, intent: Promotion) -> bool:
        """Tell whether an intent may be under way; one that is older than what was done since was stopped half way."""
        if (intent.event or "") > self.last_done:
            return True
        last = next(event for event in self.recorded if event.event == self.last_done)
        overlapped = (intent.after or "") >= (last.after or "")
        return overlapped or self.now - intent.at < record.UNDER_WAY

    @property
    def in_stage(self) -> tuple[int, ...]:
        """Every version in the stage that the alias stands for."""
        stage = self.rule.stage
        return tuple(each.version for each in self.versions if stage and each.stage == stage)

    @property
    def held(self) -> str:
        """The versions in the stage, as a text names them."""
        return " and ".join(map(str, self.in_stage)) or "nothing"

    @property
    def last(self) -> Promotion | None:
        """The last recorded move that happened."""
        recorded = [move for move in self.moves if move.kind != "unrecorded"]
        return recorded[-1] if recorded else None

    @property
    def last_moved(self) -> Pointers:
        """The pointers that the last recorded move moved: both after a migration.

        Pointers that a migration ended or took back are no longer the model's.
        """
        if self.last is None or self.last.kind in ("finish", "undo"):
            return Pointers.NONE
        return Pointers.BOTH if self.last.kind in ("migrate", "bridge") else Pointers.parse(self.last.pointers)

    def version(self, number: int) -> ModelVersion | None:
        """Return one of the versions, None where there is none of that number."""
        return next((each for each in self.versions if each.version == number), None)

    def names_alone(self, number: int | None, pointers: Pointers) -> bool:
        """Tell whether every one of these pointers names a version already, and the stage no other one beside it."""
        if Pointers.ALIAS in pointers and self.alias != number:
            return False
        return Pointers.STAGE not in pointers or self.in_stage == (() if number is None else (number,))


def read_reply(
    rule: Rule, reply: ModelReply, capabilities: Capabilities, where: str, *, now: datetime | None = None
) -> ModelSnapshot:
    """Return a reply as one rule reads it.

    Raises ``InvalidName`` where two aliases differ only in case, so that it is unknown which of them is meant.
    """
    requested, source = rule.requested(reply.tags)
    spellings = sorted(alias for alias in reply.aliases if alias.lower() == rule.alias)
    if len(spellings) > 1:
        raise InvalidName(
            f"The aliases {' and '.join(map(repr, spellings))} of {reply.name!r} differ only in case.",
            where=where,
            next_step="Delete the one that is not meant.",
        )
    spelling = spellings[0] if spellings else rule.written or rule.alias
    snapshot = ModelSnapshot(rule, capabilities, reply, requested, source, spelling)
    return snapshot if reply.versions is None else snapshot.with_versions(reply.versions, now=now)
