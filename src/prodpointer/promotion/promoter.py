"""Move the pointer of one registered model: take a snapshot, decide, record the intent, move, read back.

MLflow has no compare-and-set on pointers, so promoters that race are sorted out afterwards. Where an alias is moved it
is the arbiter: it is set first, and the stage then follows what the alias says by then. Where a stage alone is moved,
the highest event among the versions in it wins, and every promoter archives the others. A promoter stops after it has
read, later than its own last write, that one version is live; if that is another version, it has lost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from functools import partial
from shlex import quote
from typing import Final

from prodpointer._cancellation import raise_if_cancelled
from prodpointer._identity import acting_user
from prodpointer.errors import (
    ExpectationFailed,
    GateFailed,
    MoveUnconfirmed,
    ProdpointerError,
    PromotionLost,
    PromotionRefused,
    RegistryUnavailable,
)
from prodpointer.gates.gate import Gate, judge, refusals
from prodpointer.history import log, record
from prodpointer.mlflow_client import CONTROL_MODEL as CONTROL_ALIAS
from prodpointer.mlflow_client import Registry, ask_again_after, probe_capabilities, read_evidence
from prodpointer.pointers.rule import Rule
from prodpointer.pointers.selection import (
    check_nothing_left_behind,
    check_readable,
    check_supported,
    pointer_for,
    pointers_to_move,
)
from prodpointer.pointers.snapshot import ModelSnapshot, read_reply
from prodpointer.promotion.recording import apply_changes, draft_event, make_findable, write_event
from prodpointer.types import Kind, ModelReply, ModelVersion, Pointers, Promotion, State, Verdict, called
from prodpointer.validation import plain_text


class NotGiven(Enum):
    """The absence of an expectation, since None means "nothing is live"."""

    NOT_GIVEN = "not given"


NOT_GIVEN: Final = NotGiven.NOT_GIVEN
Expected = int | NotGiven | None

_log = logging.getLogger("prodpointer")

SNAPSHOT_LASTS = 3.0
"""Seconds after which a promoter reads again before it moves anything: its process may have been stopped for longer."""

SMALL = 1000
"""Versions of a model that are listed whole where no record was found, to be sure that there is none."""

_FRESH = 0.25  # seconds after which a version is read again before its record is rewritten
_DOUBTS_AT_MOST = 2  # more snapshots, to tell a promotion that has just lost from a move by another tool
_RAISED_AT_MOST = 100  # snapshots of one promotion, where others begin all the time


class Promoter:
    """Moves the pointer of one registered model and keeps the record of it.

    Parameters
    ----------
    name, registry, rule
        As for :class:`prodpointer.RegisteredModel`.
    noticed
        Called with each snapshot.
    """

    def __init__(
        self,
        name: str,
        registry: Registry,
        rule: Rule,
        *,
        noticed: Callable[[ModelSnapshot], object] = lambda _: None,
    ) -> None:
        """Bind the arguments; no request is sent yet."""
        self._noticed = noticed
        self.name = name
        self.registry = registry
        self.rule = rule
        self.where: str = registry.addresses.shown

    def read(self, reply: ModelReply) -> ModelSnapshot:
        """Read a reply by this model's rule, as what the registry is by now: it may have been upgraded since."""
        found = probe_capabilities(self.registry, max_age=ask_again_after(self.registry))
        if reply.aliases and not found.aliases:  # what sends aliases is no longer the registry that had none
            found = probe_capabilities(self.registry, max_age=0.0)
        return read_reply(self.rule, reply, found, self.where)

    def take_snapshot(self, *, retried: bool = False, complete: bool = False) -> ModelSnapshot:
        """Ask for the model and the versions that hold events; two requests at the same time, if the registry allows.

        Parameters
        ----------
        retried
            For a promotion under way, which waits for a server that restarts rather than stop half way.
        complete
            Whether every version is wanted, for instance to know which of them are in a stage.
        """
        wanted = self._tag_wanted(complete=complete)
        reply, versions = self.registry.together(
            partial(self.registry.model, self.name, retried=retried),
            partial(self.registry.versions, self.name, wanted),
        )
        pointers = self.read(reply)
        check_readable(pointers, self.where)
        snapshot = self._with_versions(pointers, versions, wanted)
        if not snapshot.explains_live:
            # A promotion between the two reads: the promoter that moved the pointer wrote its event first, so a read
            # of the record after that of the pointers has it. A database was read in that order, and may be behind.
            if not self.registry.takes_several:
                pointers = self.read(self.registry.model(self.name, retried=retried))
            wanted = self._tag_wanted(complete=snapshot.complete)
            versions = self.registry.versions(self.name, wanted)
            snapshot = self._with_versions(pointers, versions, wanted)
        self._noticed(snapshot)
        return snapshot

    def take_snapshot_to_show(self, reply: ModelReply) -> ModelSnapshot:
        """Return a model as it was just read with every version that matters to a reader; one request more.

        They are all its versions where it is small or a stage is in use, since any of them may be in the stage.
        """
        pointers = self.read(reply)
        check_readable(pointers, self.where)
        newest = max((each.version for each in reply.newest.values()), default=0)
        uses_stage = pointers.stage is not None or pointers.requested in ("stage", "both")
        wanted = self._tag_wanted(complete=uses_stage or newest <= SMALL)
        snapshot = self._with_versions(pointers, self.registry.versions(self.name, wanted), wanted)
        self._noticed(snapshot)
        return snapshot

    def with_record(self, pointers: ModelSnapshot) -> ModelSnapshot:
        """Return pointers that were just read beside the versions that hold events; one request."""
        wanted = self._tag_wanted(complete=False)
        return self._with_versions(pointers, self.registry.versions(self.name, wanted), wanted)

    def _tag_wanted(self, *, complete: bool) -> str | None:
        """Return the tag of the versions to list, None for all of them."""
        return record.RECORD_TAG if self.registry.finds_tags and not complete else None

    def _with_versions(
        self,
        pointers: ModelSnapshot,
        found: Sequence[ModelVersion],
        tag: str | None,
    ) -> ModelSnapshot:
        """Return pointers beside the versions that were found, and those that they name.

        All are listed after all where some events were written before there was the tag, where the search did not find
        what the pointers show, and where nothing was found in a model that is small.
        """
        now = self.registry.now()
        if tag is None:
            return pointers.with_versions(found, now=now)
        shown = list(pointers.reply.newest.values())
        if pointers.alias is not None and pointers.alias not in {each.version for each in (*shown, *found)}:
            named = self.registry.existing_version(self.name, pointers.alias)
            shown += [] if named is None else [named]
        nothing_in_small = not found and 0 < max((each.version for each in shown), default=0) <= SMALL
        joined = None if nothing_in_small else record.join_found(found, shown)
        if joined is None:
            return pointers.with_versions(self.registry.versions(self.name), now=now)
        return pointers.with_versions(joined, complete=False, now=now)

    def take_snapshot_to_move(self) -> ModelSnapshot:
        """Take a snapshot, and another where it does not show which move made live what is live."""
        snapshot = self.take_snapshot(retried=True)
        for _ in range(_DOUBTS_AT_MOST):
            if not snapshot.in_doubt:
                break
            snapshot = self.take_snapshot(retried=True)
        return snapshot

    def promote(
        self,
        number: int,
        *,
        expected: Expected,
        reason: str,
        by: str | None,
        gates: Sequence[Gate] = (),
        across_datasets: bool = False,
        kind: Kind = "promote",
        snapshot: ModelSnapshot | None = None,
        dry_run: bool = False,
        record_refusals: bool = False,
    ) -> Promotion:
        """Make a version live; see :meth:`prodpointer.RegisteredModel.promote`.

        ``snapshot`` is one that the caller has just taken.
        """
        snapshot = snapshot or self.take_snapshot_to_move()
        self._check_expected(snapshot, expected)
        candidate = snapshot.version(number) or self.registry.version(self.name, number)
        pointers, _ = pointers_to_move(snapshot)
        self._check_promotable(candidate, pointers, snapshot)
        if Pointers.STAGE in pointers and snapshot.stage == number and not snapshot.complete:
            # Another version may be in the stage beside it.
            snapshot = snapshot.with_versions(self.registry.versions(self.name), now=self.registry.now())
        move = self._draft(snapshot, candidate, pointers, kind=kind, reason=reason, by=by)
        if snapshot.names_alone(number, pointers):
            return replace(move, pointers=(), event=None, state="done")
        verdicts = self._judge_gates(candidate, snapshot, gates, across_datasets=across_datasets) if gates else ()
        move = replace(move, gates=verdicts)
        if not all(verdict.passed for verdict in verdicts):
            if record_refusals and not dry_run:
                self._write_refusal(move)
            raise self._refused(candidate, verdicts)
        if dry_run:
            return replace(move, event=None)
        self._write_intent(move, candidate, snapshot)
        self._check_still_so(move, snapshot)
        return self._move(move, snapshot)

    def withdraw(
        self, *, reason: str, by: str | None, expected: Expected = NOT_GIVEN, dry_run: bool = False
    ) -> Promotion:
        """Make nothing live; see :meth:`prodpointer.RegisteredModel.withdraw`."""
        snapshot = self.take_snapshot_to_move()
        self._check_expected(snapshot, expected)
        pointers = self._set_pointers(snapshot)
        check_nothing_left_behind(snapshot, pointers, None, self.where)
        move = self._draft(snapshot, None, pointers, kind="withdraw", reason=reason, by=by)
        if not pointers:
            return replace(move, event=None, state="done")
        if dry_run:
            return replace(move, event=None)
        if Pointers.ALIAS in pointers and self.registry.may_deny:
            # A permission of its own in MLflow's basic-auth: denied before anything is written.
            self.registry.delete_alias(self.name, CONTROL_ALIAS)
        if snapshot.live is None:  # an alias alone, whose version was deleted: no version can hold the record
            pointer_for(pointers, snapshot, self.registry, self.name).clear()
            return replace(move, event=None, state="done")
        self._write_intent(move, snapshot.version(snapshot.live), snapshot)
        self._check_still_so(move, snapshot)
        return self._move(move, snapshot)

    def _set_pointers(self, snapshot: ModelSnapshot) -> Pointers:
        """Return the pointers that are set and that this model's rule may clear."""
        wanted = Pointers.BOTH if snapshot.requested == "auto" else pointers_to_move(snapshot)[0]
        return snapshot.set_pointers & wanted

    def _judge_gates(
        self, candidate: ModelVersion, snapshot: ModelSnapshot, gates: Sequence[Gate], *, across_datasets: bool
    ) -> tuple[Verdict, ...]:
        """Return one verdict for each gate."""
        wanted = {gate.metric for gate in gates}
        live = None if snapshot.live is None else snapshot.version(snapshot.live)
        production = None if live is None else read_evidence(self.registry, live, wanted)
        measured = read_evidence(self.registry, candidate, wanted)
        return tuple(judge(gates, measured, production, across_datasets=across_datasets))

    def _refused(self, candidate: ModelVersion, verdicts: tuple[Verdict, ...]) -> GateFailed:
        """Return the error for a candidate that a gate refused."""
        error = GateFailed(
            f"Version {candidate.version} of {self.name!r} does not pass: {refusals(verdicts)}",
            where=self.where,
            next_step="Nothing was moved. Promote a better version, or change the gates.",
        )
        error.verdicts = verdicts
        return error

    def _write_refusal(self, move: Promotion) -> None:
        """Record that gates refused a promotion; where that fails, the refusal is still what the caller has to see."""
        try:
            self._write(replace(move, state="refused"), self.registry.version(self.name, move.to_version or 0))
        except ProdpointerError as error:
            _log.warning("the refusal of a promotion of %r was not recorded: %s", self.name, error)

    def _write_intent(self, move: Promotion, holder: ModelVersion | None, snapshot: ModelSnapshot) -> None:
        """Write what is about to be moved; what others recorded since the version was read must not be overwritten."""
        raise_if_cancelled()
        make_findable(self.registry, snapshot.versions)
        is_first = holder is not None and record.RECORD_TAG not in holder.tags
        if is_first and time.monotonic() - snapshot.taken > _FRESH:
            holder = None  # is read again
        self._write(move, holder)

    def _check_expected(self, snapshot: ModelSnapshot, expected: Expected) -> None:
        """Raise ``ExpectationFailed`` unless the live version is the one expected."""
        if expected is NOT_GIVEN or snapshot.live == expected:
            return
        error = ExpectationFailed(
            f"{called(snapshot.live).capitalize()} of {self.name!r} is live, and {called(expected)} was expected.",
            where=self.where,
            next_step=f"Run `prodpointer history {quote(self.name)}` to see who moved it, then decide again.",
        )
        error.expected, error.live = expected, snapshot.live
        raise error

    def _check_promotable(self, candidate: ModelVersion, pointers: Pointers, snapshot: ModelSnapshot) -> None:
        """Raise where the candidate may not go live with these pointers."""
        check_supported(snapshot, pointers, self.where)
        check_nothing_left_behind(snapshot, pointers, candidate.version, self.where)
        if candidate.status != "READY":
            raise PromotionRefused(
                f"Version {candidate.version} of {self.name!r} is {candidate.status}, not READY.",
                where=self.where,
                next_step="Wait until it is READY, or register its artifact again.",
            )
        if Pointers.STAGE in pointers and self.rule.stage == "Staging" and candidate.stage == "Production":
            raise PromotionRefused(
                f"Version {candidate.version} of {self.name!r} is in Production; a version has one stage, so moving "
                "it to Staging would take it out of production.",
                where=self.where,
                next_step="Promote another version to production first.",
            )

    def _draft(
        self,
        snapshot: ModelSnapshot,
        version: ModelVersion | None,
        pointers: Pointers,
        *,
        kind: Kind,
        reason: str,
        by: str | None,
    ) -> Promotion:
        """Return the move that is intended now."""
        return replace(
            draft_event(snapshot, version.version if version else None, version, at=self.registry.now()),
            name=self.name,
            pointers=pointers.names,
            kind=kind,
            by=plain_text(by or acting_user(), "The name of who promotes,"),
            reason=plain_text(reason, "The reason"),
            workspace=self.registry.addresses.workspace,
        )

    def _check_still_so(self, move: Promotion, before: ModelSnapshot) -> None:
        """Raise ``PromotionLost`` where the snapshot is old and something else went live since.

        A process may be stopped for any time, by a debugger or with its machine; it must not undo promotions since.
        """
        if time.monotonic() - before.taken < SNAPSHOT_LASTS:
            return
        snapshot = self.take_snapshot(retried=True)
        if snapshot.live in (before.live, move.to_version):
            return
        self.close(move, "lost", snapshot)
        raise self._lost_to(move, snapshot.live, snapshot.recorded)

    def _choose_for_stage(self, move: Promotion, versions: Sequence[ModelVersion]) -> int | None:
        """Return what the stage should hold, given every version; the same for every promoter."""
        return log.deciding(move.to_version, move.event or "", move.alias, versions, self.rule.stage or "")

    def _set(self, move: Promotion, snapshot: ModelSnapshot) -> ModelSnapshot | None:
        """Move the pointers, and return the model as it was read after the last move, None where it was not."""
        after: ModelSnapshot | None = None

        def read(count: int) -> tuple[Sequence[ModelVersion], int | None]:
            nonlocal after
            if "alias" not in move.pointers and count == 0:
                versions = self.registry.versions(self.name)
                return versions, self._choose_for_stage(move, versions)
            after = self.take_snapshot(retried=True, complete="stage" in move.pointers)
            by_alias = "alias" in move.pointers
            return after.versions, after.alias if by_alias else self._choose_for_stage(move, after.versions)

        pointer = pointer_for(Pointers.parse(move.pointers), snapshot, self.registry, self.name, reading=read)
        pointer.clear() if move.to_version is None else pointer.set(move.to_version)
        return after

    def _write(self, event: Promotion, holder: ModelVersion | None) -> None:
        """Write an event to the version it moves to; a withdrawal, to the version withdrawn."""
        if event.held_by is not None:
            write_event(self.registry, event, holder or self.registry.version(self.name, event.held_by))

    def close(self, move: Promotion, state: State, snapshot: ModelSnapshot) -> Promotion:
        """Write how a move ended to the version that holds it, as it was read after its beginning; return the move."""
        closed = replace(move, state=state)
        is_fresh = time.monotonic() - snapshot.taken < _FRESH  # this process may have been stopped since
        self._write(closed, snapshot.version(move.held_by or 0) if is_fresh else None)
        return closed

    def _move(self, move: Promotion, before: ModelSnapshot) -> Promotion:
        """Move and return the closed event; raise ``MoveUnconfirmed`` where the registry is lost on the way."""
        try:
            return self._move_and_confirm(move, before)
        except RegistryUnavailable as error:
            raise self._unconfirmed(move, error) from error

    def _unconfirmed(self, move: Promotion, error: RegistryUnavailable) -> MoveUnconfirmed:
        """Return the error for a move during which the registry was lost."""
        to = "withdrawal" if move.to_version is None else f"version {move.to_version}"
        name = quote(self.name)
        unconfirmed = MoveUnconfirmed(
            f"The registry was lost while the pointer of {self.name!r} was being moved ({to}); the move may be done. "
            f"{error.what}",
            where=error.where or self.where,
            next_step=f"Run `prodpointer status {name}`; `prodpointer repair {name}` completes the record.",
        )
        unconfirmed.version, unconfirmed.event = move.to_version, move.event
        return unconfirmed

    def _move_and_confirm(self, move: Promotion, before: ModelSnapshot) -> Promotion:
        """Move, read back what is live, close the event and return it; raise ``PromotionLost`` for another version."""
        move, snapshot = self._read_back(move, self._set(move, before))
        if self._alias_appeared(move, snapshot):
            move = replace(move, pointers=Pointers.BOTH.names)
            self._write(move, snapshot.version(move.held_by or 0))
            move, snapshot = self._read_back(move, self._set(move, snapshot))
        named = self._live_by(move, snapshot)
        if named != move.to_version:
            self.close(move, "lost", snapshot)
            raise self._lost_to(move, named, snapshot.recorded)
        known = {each.event for each in before.recorded if each.state != "intended"} | {move.event}
        since = [each for each in snapshot.recorded if each.state == "done" and each.event not in known]
        if move.kind == "rollback" and since and since[-1].to_version == move.to_version:
            self.close(move, "lost", snapshot)
            self._check_expected(snapshot, before.live)  # another rollback has done it for both
        # Another promotion was done between the snapshot and the move; of the same version, both replaced the same.
        if move.to_version is not None and since and since[-1].to_version != move.to_version:
            move = replace(move, from_version=since[-1].to_version, passing="")
        return self.close(move, "done", snapshot)

    def _alias_appeared(self, move: Promotion, snapshot: ModelSnapshot) -> bool:
        """Tell whether a model that had a stage alone got an alias meanwhile, by a migration, which has to move too."""
        alone = move.pointers == ("stage",) and snapshot.requested == "auto" and snapshot.stage == move.to_version
        return alone and snapshot.alias is not None and not snapshot.dangling and snapshot.alias != move.to_version

    def _live_by(self, move: Promotion, snapshot: ModelSnapshot) -> int | None:
        """Return what is live as far as a move is concerned: by the alias where it moved one, else by the stage."""
        return snapshot.alias if "alias" in move.pointers else snapshot.stage

    def _read_back(self, move: Promotion, after: ModelSnapshot | None) -> tuple[Promotion, ModelSnapshot]:
        """Read after a move, and give its event a new id as long as an alias that it moved overtook a higher one.

        Ids are given before the alias is set, and of promoters that race the first may be the last to set it. Its id is
        raised before the snapshot that decides: promotions done before had written their ids by then, so that of all
        that are done the live one has the highest. ``after`` is a snapshot that was taken after the move.
        """
        for _ in range(_RAISED_AT_MOST):
            snapshot, after = after or self.take_snapshot(retried=True), None
            events = [each.event or "" for each in snapshot.recorded if each.state != "lost"]
            if "alias" not in move.pointers or self._live_by(move, snapshot) != move.to_version:
                break
            if max(events, default="") <= (move.event or ""):
                break
            move = self._raise_id(move, snapshot)
        return move, snapshot

    def _raise_id(self, move: Promotion, snapshot: ModelSnapshot) -> Promotion:
        """Write an intent again with an id after every event there is, and return it."""
        raised = replace(move, event=log.next_id(snapshot.events))
        holder = snapshot.version(move.held_by or 0) or self.registry.version(self.name, move.held_by or 0)
        apply_changes(self.registry, record.raising(move, raised, holder), holder)
        return raised

    def _lost_to(self, move: Promotion, named: int | None, recorded: Sequence[Promotion]) -> PromotionLost:
        """Return the error that names the winner and its event."""
        events = [each for each in recorded if each.to_version == named and each.event != move.event]
        winning = events[-1].event if events else None
        error = PromotionLost(
            f"Promotion of {self.name!r} to {called(move.to_version)} lost a race: {called(named)} is live"
            f"{f' (event {winning})' if winning else ''}.",
            where=self.where,
            next_step="Check which version should be live, then promote it again.",
        )
        error.winner, error.event = named, winning
        return error
