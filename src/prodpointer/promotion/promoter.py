"""Moving the pointer of one registered model: looked at, decided, recorded, moved, read back.

MLflow has no compare-and-set on pointers, so promoters who meet are sorted out afterwards. Where an alias is moved it
is the arbiter: it is set first, and the stage then follows what the alias says by then. Where a stage alone is moved,
the highest event among the versions in it wins, and everybody archives the others. A promoter stops after it has read,
later than its own last write, that one version is live; whoever finds another one there has lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from enum import Enum
from functools import partial
from typing import Any, Final

from prodpointer._identity import acting_user
from prodpointer.errors import ExpectationFailed, GateFailed, NothingToRollBack, PromotionLost, PromotionRefused
from prodpointer.gates.gate import Gate, judge, recorded, refusals
from prodpointer.history import log
from prodpointer.mlflow_client import CONTROL_MODEL as CONTROL_ALIAS
from prodpointer.mlflow_client import ArtifactStore, Registry, ask_again_after, probe_capabilities, read_evidence
from prodpointer.pointers.selection import Rule, View, pointer_for, view
from prodpointer.promotion.recording import keep_small, remove_impossible, write_event
from prodpointer.promotion.snapshot import Look, look_at
from prodpointer.types import Kind, ModelReply, ModelVersion, Promotion, called
from prodpointer.validation import plain_text


class NotGiven(Enum):
    """The absence of an expectation, since None means "nothing is live"."""

    NOT_GIVEN = "not given"


NOT_GIVEN: Final = NotGiven.NOT_GIVEN
Expected = int | NotGiven | None

LOOK_LASTS = 3.0
"""Seconds after which a promoter looks again before it moves anything: it may have been stopped for longer."""

_DOUBTS_AT_MOST = 2  # looks that tell a promotion that has just lost from a move by another tool
_RAISED_AT_MOST = 100  # looks of one promotion, where others begin all the time
_LONGEST_EVIDENCE = 500  # characters of an event that the gates may take, so that the reason has room too


class Promoter:
    """Moves the pointer of one registered model and keeps the record of it.

    Parameters
    ----------
    name, registry, rule
        As for :class:`prodpointer.RegisteredModel`.
    noticed
        Called with each reply of the registry and what is seen in it.
    """

    def __init__(
        self,
        name: str,
        registry: Registry,
        rule: Rule,
        *,
        noticed: Callable[[ModelReply, View], object] = lambda *_: None,
    ) -> None:
        """Bind what is given; nothing is asked yet."""
        self._noticed = noticed
        self._name = name
        self._registry = registry
        self._rule = rule
        self._artifacts = ArtifactStore(registry)
        self._where = registry.addresses.shown

    def view(self, reply: ModelReply) -> View:
        """Read a reply by this model's rule, as what the registry is by now: it may have been upgraded since."""
        found = probe_capabilities(self._registry, max_age=ask_again_after(self._registry))
        if reply.aliases and not found.aliases:  # what sends aliases is no longer the registry that had none
            found = probe_capabilities(self._registry, max_age=0.0)
        return view(self._rule, reply, found, self._where)

    def look(self, *, retried: bool = False) -> Look:
        """Ask for the model and all its versions; two requests at the same time, where the registry allows that.

        ``retried`` is for a promotion under way, which rather waits for a server that restarts than stops half way.
        """
        reply, versions = self._registry.together(
            partial(self._registry.model, self._name, retried=retried), partial(self._registry.versions, self._name)
        )
        seen = self.view(reply)
        seen.check_readable(self._where)
        look = look_at(seen, versions)
        if self._registry.takes_several and not look.explains_live:
            look = self.looked(seen)  # the promoter that moved it wrote its event first: a read after the move has it
        self._noticed(reply, look.seen)
        return look

    def _look_to_move(self) -> Look:
        """Look, and again where it cannot be told by whom what is live was moved there."""
        look = self.look(retried=True)
        for _ in range(_DOUBTS_AT_MOST):
            if not look.in_doubt:
                break
            look = self.look(retried=True)
        return look

    def looked(self, seen: View) -> Look:
        """Return what the versions tell beside a reply at hand; one request."""
        versions = self._registry.versions(self._name)
        return look_at(seen, versions)

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
        look: Look | None = None,
    ) -> Promotion:
        """Make a version live; see :meth:`prodpointer.RegisteredModel.promote`.

        ``look`` is what the caller has just seen, if it has looked.
        """
        look = look or self._look_to_move()
        self._check_expected(look.seen, expected)
        candidate = look.version(number) or self._registry.version(self._name, number)
        pointers, _ = look.pointers
        self._check_promotable(candidate, pointers, look.seen)
        move = self._move(look, candidate, pointers=pointers, kind=kind, reason=reason, by=by)
        if look.names_alone(number, pointers):
            return replace(move, pointers=(), event=None, state="done", sha256=candidate.sha256)
        verdicts = self._judged(candidate, look, gates, across_datasets=across_datasets) if gates else ()
        move = replace(move, sha256=candidate.sha256, gates=verdicts)
        self._write(move)
        self._check_still_so(move, look)
        return self._moved(move, look)

    def withdraw(self, *, reason: str, by: str | None) -> Promotion:
        """Make nothing live; see :meth:`prodpointer.RegisteredModel.withdraw`."""
        look = self._look_to_move()
        pointers = self._set_pointers(look.seen)
        look.seen.check_nothing_left_behind(pointers, None, self._where)
        move = self._move(look, None, pointers=pointers, kind="withdraw", reason=reason, by=by)
        if not pointers:
            return replace(move, event=None, state="done")
        if "alias" in pointers and self._registry.may_deny:
            # A permission of its own in MLflow's basic-auth: denied before anything is written.
            self._registry.delete_alias(self._name, CONTROL_ALIAS)
        if look.seen.live is None:  # an alias alone, whose version was deleted: nobody to record it with
            pointer_for(move.pointers, look.seen, self._registry, self._name).clear()
            return replace(move, event=None, state="done")
        self._write(move)
        self._check_still_so(move, look)
        return self._moved(move, look)

    def roll_back(self, *, to: int | None, expected: Expected, reason: str, by: str | None) -> Promotion:
        """Make the version live that was live before; see :meth:`prodpointer.RegisteredModel.rollback`."""
        look = self._look_to_move()
        target = self._before(look) if to is None else to
        self._check_usable(target, look)
        return self.promote(target, expected=expected, reason=reason, by=by, kind="rollback", look=look)

    def repair(self) -> tuple[Look, tuple[str, ...]]:
        """Make the rest follow what is live and return the model as it is then, with what was mended."""
        look = self.look()
        mended = self._mend_alias(look) + self._mend_stage(look) + self._mend_events(look)
        mended += tuple(
            f"the tag {key} of version {number} was no event and is removed"
            for number, key in remove_impossible(self._registry, look.versions)
        )
        return (self.look() if mended else look), mended

    def _mend_alias(self, look: Look) -> tuple[str, ...]:
        """Make an alias that is in use name what is live: it names a deleted version, or a move of both stopped."""
        seen = look.seen
        uses = seen.dangling or self._uses(look, "alias")
        if seen.live is None or not uses or (seen.alias == seen.live and not seen.dangling):
            return ()
        pointer_for(("alias",), seen, self._registry, self._name).set(seen.live)
        return (f"the alias {seen.spelling!r} named {called(seen.alias)} and names version {seen.live}",)

    def _mend_stage(self, look: Look) -> tuple[str, ...]:
        """Make the stage hold what is live and nothing else, where it is in use."""
        live = look.seen.live
        if live is None or not (look.in_stage or self._uses(look, "stage")) or look.in_stage == (live,):
            return ()
        if self._rule.stage is None or look.seen.requested == "alias":
            return ()
        pointer_for(("stage",), look.seen, self._registry, self._name, deciding=lambda _: live).set(live)
        was = " and ".join(map(str, look.in_stage)) or "nothing"
        return (f"the stage {self._rule.stage} held {was} and holds version {live}",)

    def _uses(self, look: Look, pointer: str) -> bool:
        """Tell whether a pointer belongs to the model though it may not be set now."""
        return look.seen.requested == "both" or pointer in look.last_moved

    def _mend_events(self, look: Look) -> tuple[str, ...]:
        """Close the intents that nobody finished."""
        mended = []
        done = {move.event for move in look.moves}
        for event in look.recorded:
            if event.state == "intended":
                closed = replace(event, state="done" if event.event in done else "lost")
                self._write(closed)
                mended.append(f"the event {event.event} was left as an intent and is {closed.state}")
        return tuple(mended)

    def _before(self, look: Look) -> int:
        """Return the version that was live before what is live, or raise ``NothingToRollBack``."""
        before = [each for each in log.stack(look.moves)[:-1] if each is not None and each != look.seen.live]
        if before:
            return before[-1]
        archived = [each.version for each in look.versions if each.stage == "Archived"]
        others = archived or [each.version for each in look.versions if each.version != look.seen.live]
        kind = "archived versions" if archived else "other versions"
        hint = f"{kind}: {', '.join(map(str, others))}" if others else "there is no other version"
        why = "nothing is recorded of what was live before" if look.recorded else "no promotion was recorded"
        raise NothingToRollBack(
            f"Nothing to roll back {self._name!r} to: {why}; {hint}.",
            where=self._where,
            next_step="Name the version with to= (--to)." if others else "Register and promote another version.",
        )

    def _check_usable(self, target: int, look: Look) -> None:
        """Raise where the version to go back to is deleted, not READY or without its artifact."""
        version = look.version(target)
        if version is None:
            why = "was deleted"
        elif version.status != "READY":
            why = f"is {version.status}, not READY"
        elif not self._artifacts.has(version):
            why = "has lost its artifact"
        else:
            return
        older = [each for each in log.stack(look.moves)[:-1] if each not in {target, look.seen.live}]
        candidates = [each for each in older if look.version(each or 0) is not None]
        hint = f"The next candidate is version {candidates[-1]}: name it" if candidates else "Name another version"
        raise NothingToRollBack(
            f"Version {target} of {self._name!r} {why}.", where=self._where, next_step=f"{hint} with to= (--to)."
        )

    def _set_pointers(self, seen: View) -> tuple[str, ...]:
        """Return the pointers that are set and that this model's rule may clear."""
        pointers = tuple(name for name, at in (("alias", seen.alias), ("stage", seen.stage)) if at is not None)
        if seen.requested == "auto":
            return pointers
        wanted, _ = seen.moved()
        return tuple(pointer for pointer in pointers if pointer in wanted)

    def _judged(
        self, candidate: ModelVersion, look: Look, gates: Sequence[Gate], *, across_datasets: bool
    ) -> tuple[dict[str, Any], ...]:
        """Return the evidence of gates that all passed; raise ``GateFailed`` where one did not."""
        wanted = {gate.metric for gate in gates}
        live = None if look.seen.live is None else look.version(look.seen.live)
        production = None if live is None else read_evidence(self._registry, live, wanted)
        measured = read_evidence(self._registry, candidate, wanted)
        verdicts = judge(gates, measured, production, across_datasets=across_datasets)
        if not all(verdict.passed for verdict in verdicts):
            error = GateFailed(
                f"Version {candidate.version} of {self._name!r} does not pass: {refusals(verdicts)}",
                where=self._where,
                next_step="Nothing was moved. Promote a better version, or change the gates.",
            )
            error.verdicts = verdicts
            raise error
        return recorded(verdicts, longest=_LONGEST_EVIDENCE)

    def _check_expected(self, seen: View, expected: Expected) -> None:
        """Raise ``ExpectationFailed`` unless the live version is the one expected."""
        if expected is NOT_GIVEN or seen.live == expected:
            return
        error = ExpectationFailed(
            f"{called(seen.live).capitalize()} of {self._name!r} is live, and {called(expected)} was expected.",
            where=self._where,
            next_step="Look again at what is live, and promote with that expectation.",
        )
        error.expected, error.live = expected, seen.live
        raise error

    def _check_promotable(self, candidate: ModelVersion, pointers: tuple[str, ...], seen: View) -> None:
        """Raise where the candidate may not go live with these pointers."""
        seen.check_supported(pointers, self._where)
        seen.check_nothing_left_behind(pointers, candidate.version, self._where)
        if candidate.status != "READY":
            raise PromotionRefused(
                f"Version {candidate.version} of {self._name!r} is {candidate.status}, not READY.",
                where=self._where,
                next_step="Wait until it is READY, or register its artifact again.",
            )
        if "stage" in pointers and self._rule.stage == "Staging" and candidate.stage == "Production":
            raise PromotionRefused(
                f"Version {candidate.version} of {self._name!r} is in Production; a version has one stage, so moving "
                "it to Staging would take it out of production.",
                where=self._where,
                next_step="Promote another version to production first.",
            )

    def _move(
        self,
        look: Look,
        version: ModelVersion | None,
        *,
        pointers: tuple[str, ...],
        kind: Kind,
        reason: str,
        by: str | None,
    ) -> Promotion:
        """Return the move that is intended now, with an id after every event there is."""
        holder = version or look.version(look.seen.live or 0)
        return Promotion(
            name=self._name,
            from_version=look.seen.live,
            to_version=version.version if version else None,
            pointers=pointers,
            at=_now(),
            by=plain_text(by or acting_user(), "The name of who promotes,"),
            reason=plain_text(reason, "The reason"),
            event=log.next_id(look.events),
            alias=self._rule.alias,
            kind=kind,
            state="intended",
            after=look.last_done,
            holder_created_at=holder.created_at if holder else None,
            passing=look.passing,
            workspace=self._registry.addresses.workspace,
        )

    def _check_still_so(self, move: Promotion, before: Look) -> None:
        """Raise ``PromotionLost`` where the look is old and something else went live since.

        A process may be stopped for any time, by a debugger or with its machine, and the promotions after it must not
        be undone by the one that goes on then.
        """
        if time.monotonic() - before.taken < LOOK_LASTS:
            return
        look = self.look(retried=True)
        if look.seen.live in (before.seen.live, move.to_version):
            return
        self._write(replace(move, state="lost"))
        raise self._lost(move, look.seen.live, look.recorded)

    def _decided(self, move: Promotion, versions: Sequence[ModelVersion]) -> int | None:
        """Return what the stage should hold, given every version; the same for every promoter."""
        return log.deciding(move.to_version, move.event or "", move.alias, versions, self._rule.stage or "")

    def _set(self, move: Promotion, look: Look) -> Look | None:
        """Move the pointers, and return the model as it was read after the last move, None where it was not."""
        after: Look | None = None

        def read(count: int) -> tuple[Sequence[ModelVersion], int | None]:
            nonlocal after
            if "alias" not in move.pointers and count == 0:
                versions = self._registry.versions(self._name)
                return versions, self._decided(move, versions)
            after = self.look(retried=True)
            by_alias = "alias" in move.pointers
            return after.versions, after.seen.alias if by_alias else self._decided(move, after.versions)

        pointer = pointer_for(move.pointers, look.seen, self._registry, self._name, reading=read)
        pointer.clear() if move.to_version is None else pointer.set(move.to_version)
        return after

    def _write(self, event: Promotion) -> None:
        """Write one event to the version it moves to; a withdrawal, to the version withdrawn."""
        write_event(self._registry, event, log.event_text(event))

    def _moved(self, move: Promotion, before: Look) -> Promotion:
        """Move, read back what is live, close the event and return it; raise ``PromotionLost`` for another version."""
        move, look = self._read_back(move, self._set(move, before))
        if self._alias_appeared(move, look):
            move = replace(move, pointers=("alias", "stage"))
            self._write(move)
            move, look = self._read_back(move, self._set(move, look))
        named = self._named(move, look)
        if named != move.to_version:
            self._write(replace(move, state="lost"))
            raise self._lost(move, named, look.recorded)
        known = {each.event for each in before.recorded if each.state != "intended"} | {move.event}
        since = [each for each in look.recorded if each.state == "done" and each.event not in known]
        if move.kind == "rollback" and since and since[-1].to_version == move.to_version:
            self._write(replace(move, state="lost"))
            self._check_expected(look.seen, before.seen.live)  # another rollback has done it for both
        # Somebody else's promotion was done between the look and the move; of the same version, both replaced the same.
        if move.to_version is not None and since and since[-1].to_version != move.to_version:
            move = replace(move, from_version=since[-1].to_version, passing="")
        move = replace(move, state="done")
        self._write(move)
        self._pack(look, move)
        return move

    def _alias_appeared(self, move: Promotion, look: Look) -> bool:
        """Tell whether a model that had a stage alone got an alias meanwhile, by a migration, which has to move too."""
        seen = look.seen
        alone = move.pointers == ("stage",) and seen.requested == "auto" and seen.stage == move.to_version
        return alone and seen.alias is not None and not seen.dangling and seen.alias != move.to_version

    def _named(self, move: Promotion, look: Look) -> int | None:
        """Return what is live as far as a move is concerned: by the alias where it moved one, else by the stage."""
        return look.seen.alias if "alias" in move.pointers else look.seen.stage

    def _read_back(self, move: Promotion, after: Look | None) -> tuple[Promotion, Look]:
        """Look after a move, and give its event a new id as long as an alias that it moved overtook a higher one.

        Ids are given before the alias is set, and of promoters who meet the first may be the last to set it. Its id is
        raised before the look that decides: whoever was done before had its own id written by then, so that of all
        that are done the one that is live has the highest. ``after`` is a look that was taken after the move.
        """
        for _ in range(_RAISED_AT_MOST):
            look, after = after or self.look(retried=True), None
            seen = [each.event or "" for each in look.recorded if each.state != "lost"]
            if "alias" not in move.pointers or self._named(move, look) != move.to_version:
                break
            if max(seen, default="") <= (move.event or ""):
                break
            move = self._raised(move, look)
        return move, look

    def _raised(self, move: Promotion, look: Look) -> Promotion:
        """Write an intent again with an id after every event there is, and return it.

        The old tag is overwritten and not deleted: MLflow's basic-auth asks for a right of its own for that.
        """
        raised = replace(move, event=log.next_id(look.events))
        self._write(raised)
        write_event(self._registry, move, f"{log.RAISED}{raised.event}")
        return raised

    def _pack(self, look: Look, move: Promotion) -> None:
        """Keep the record of the version that just went live small."""
        version = look.version(move.to_version) if move.to_version is not None else None
        if version is not None:
            keep_small(self._registry, version)

    def _lost(self, move: Promotion, named: int | None, recorded: Sequence[Promotion]) -> PromotionLost:
        """Return the error that names the winner and its event."""
        events = [each for each in recorded if each.to_version == named and each.event != move.event]
        winning = events[-1].event if events else None
        error = PromotionLost(
            f"{called(move.to_version).capitalize()} of {self._name!r} was to go live, and {called(named)} is live now"
            f"{f' by the event {winning}' if winning else ''}: another promotion came at the same moment.",
            where=self._where,
            next_step="Look at what is live, and promote again if that is still wanted.",
        )
        error.winner, error.event = named, winning
        return error


def _now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(timezone.utc)
