"""Migrate one model of a fleet: read it, judge it, record the intent, move, read back.

A migration races promotions that go on meanwhile. So each model is judged right before it is moved, and read again
after the move: where it was promoted in between, the event is closed as lost and the model judged anew. It ends with a
read, later than its own last write, that shows both pointers where they should be.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from prodpointer._identity import acting_user
from prodpointer.migration.assess import Class, Foreseen, Judgement, Prefer, foresee, judge, uses_stage
from prodpointer.mlflow_client import Registry, ask_again_after, probe_capabilities
from prodpointer.pointers.rule import Rule
from prodpointer.pointers.selection import pointer_for
from prodpointer.pointers.snapshot import ModelSnapshot, read_reply
from prodpointer.promotion.recording import draft_event, make_findable, write_event
from prodpointer.promotion.sync import Side, open_intents, side_moved
from prodpointer.types import MIGRATING, Before, Kind, ModelReply, ModelVersion, Pointers, Promotion

Effect = Literal["moved", "closed", "nothing", "left", "failed"]

_MOVING = ("migrate", "bridge")
_TRIES = 5
_A_LITTLE = 0.2  # seconds for a promotion that is under way, the first time; then twice as long, and so on


@dataclass(frozen=True)
class PairResult:
    """What was done for one alias and its stage of one model; ``again`` says that another try may settle it."""

    name: str
    alias: str
    outcome: Effect
    reason: str
    from_version: int | None = None
    to_version: int | None = None
    pointers: tuple[str, ...] = ()
    event: str | None = None
    again: bool = False


@dataclass(frozen=True)
class Taken:
    """An alias that was set to a version while another client moved the model, and what it would name without that."""

    version: int
    instead: int | None


@dataclass
class MigratingModel:
    """One model while it is migrated: the last reply, whose versions have the events written since."""

    reply: ModelReply
    taken: dict[str, Taken] = field(default_factory=dict)

    @property
    def versions(self) -> Sequence[ModelVersion]:
        """The versions that were read."""
        return self.reply.versions or ()

    def as_others_left_it(self) -> ModelReply:
        """Return the reply without the aliases that were set here while another client moved them."""
        aliases = dict(self.reply.aliases)
        for spelling, taken in self.taken.items():
            if aliases.get(spelling) == taken.version:
                del aliases[spelling]
                aliases |= {} if taken.instead is None else {spelling: taken.instead}
        return replace(self.reply, aliases=aliases)

    def note(self, written: ModelVersion) -> None:
        """Keep a version whose tags were written, so that the next id is higher and nothing has to be read again."""
        number = written.version
        newest = {stage: written if each.version == number else each for stage, each in self.reply.newest.items()}
        self.reply = replace(self.reply, newest=newest)
        self.set_versions(written if each.version == number else each for each in self.versions)

    def fresh_version(self, number: int | None) -> ModelVersion | None:
        """Return a version as the last reply described it, None where that did not."""
        return next((each for each in self.reply.newest.values() if each.version == number), None)

    def set_versions(self, versions: Iterable[ModelVersion]) -> None:
        """Replace the versions by what was read or written since."""
        self.reply = replace(self.reply, versions=tuple(versions))


@dataclass(frozen=True)
class _Begun:
    """A move that was made and has not been read back."""

    snapshot: ModelSnapshot
    move: Promotion
    pointers: Pointers
    target: int
    reason: str


@dataclass(frozen=True)
class Migrator:
    """Migrates one model after another in the name of one run; several threads may share one.

    ``rules`` are the aliases with their stages, ``prefer`` is what a person chose for models that need a decision.
    ``begun`` are the models that were written to, whose versions are no longer as they were listed. With ``dry_run``
    nothing is written, and the results say what would be.
    """

    registry: Registry
    run: str
    rules: Sequence[Rule]
    kind: Kind = "migrate"
    prefer: Prefer | None = None
    reason: str = ""
    by: str = field(default_factory=acting_user)
    begun: set[str] = field(default_factory=set)
    dry_run: bool = False

    def migrate(self, planned: ModelReply) -> list[PairResult]:
        """Make both pointers of each rule name one version, and return one result for each rule.

        One request finds whether the model is still as it was read; what changed is read again.

        Parameters
        ----------
        planned
            The model as it was listed.
        """
        model = self.read_again(planned)
        return self._foresee(model) if self.dry_run else self.migrate_model(model, {})

    def _foresee(self, model: MigratingModel) -> list[PairResult]:
        """Return what :meth:`migrate_model` would do as the model is now."""
        return [_result(each) for each in foresee(model.reply, self.rules, self._read, self.prefer)]

    def migrate_model(self, model: MigratingModel, agreed: Mapping[str, int]) -> list[PairResult]:
        """Migrate a model that was read just now.

        Parameters
        ----------
        model
            The model, which is kept current.
        agreed
            What both pointers were seen to name before, by alias, for a model of which nothing is recorded.
        """
        name = model.reply.name
        steps = {rule.alias: PairResult(name, rule.alias, "left", "not checked yet", again=True) for rule in self.rules}
        for attempt in range(_TRIES):
            waiting = self._round(model, steps, agreed)
            if not any(step.again for step in steps.values()):
                break
            if waiting:
                time.sleep(_A_LITTLE * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311  # a pause, no secret
                self.refresh(model)
        for rule in self.rules if model.taken else ():
            self._give_back(model, self.take_snapshot(model, rule))
        return [steps[rule.alias] for rule in self.rules]

    def _round(self, model: MigratingModel, steps: dict[str, PairResult], agreed: Mapping[str, int]) -> bool:
        """Judge the rules that are not settled, move what is to be moved, and return whether a promotion is under way.

        A version has one stage: once one was moved, the other rules are judged after the next read.
        """
        begun: list[_Begun] = []
        waiting = False
        for rule in self.rules:
            if not steps[rule.alias].again:
                continue
            snapshot = self.take_snapshot(model, rule)
            judged = judge(snapshot, agreed.get(rule.alias))
            target = judged.choices.get(self.prefer or "") if judged.kind is Class.DECISION else judged.target
            if judged.under_way:
                steps[rule.alias] = PairResult(model.reply.name, rule.alias, "left", judged.reason, again=True)
                waiting = True
            elif target is None or not self._pointers_to_move(model, snapshot, target):
                self._give_back(model, snapshot)
                steps[rule.alias] = self._leave(model, snapshot, judged, target, agreed.get(rule.alias))
            else:
                begun.append(self._begin(model, snapshot, target, judged.reason))
                if Pointers.STAGE in begun[-1].pointers:
                    break
        steps.update(self._read_and_close(model, begun))
        return waiting

    def read_again(self, planned: ModelReply) -> MigratingModel:
        """Return a model as it is now; its versions are read only where the reply shows a change."""
        reply = self.registry.model(planned.name)
        if planned.versions and reply == planned and planned.name not in self.begun:
            return MigratingModel(planned)
        return MigratingModel(replace(reply, versions=tuple(self.registry.versions(planned.name))))

    def take_snapshot(self, model: MigratingModel, rule: Rule) -> ModelSnapshot:
        """Return what a model is like by one rule."""
        return self._read(model.as_others_left_it(), rule)

    def _read(self, reply: ModelReply, rule: Rule) -> ModelSnapshot:
        """Return a reply as one rule reads it."""
        found = probe_capabilities(self.registry, max_age=ask_again_after(self.registry))
        return read_reply(rule, reply, found, self.registry.addresses.shown, now=self.registry.now())

    def read_back(self, model: MigratingModel) -> None:
        """Read a model after its moves; its versions only where a stage has moved, by these or by another client."""
        updated = model.reply.updated_at
        self._read_reply(model)
        if model.reply.updated_at != updated:
            self._read_versions(model)

    def refresh(self, model: MigratingModel) -> None:
        """Read a model and its versions again."""
        self._read_reply(model)
        self._read_versions(model)

    def _read_reply(self, model: MigratingModel) -> None:
        """Read a model again, its versions excepted."""
        model.reply = replace(self.registry.model(model.reply.name), versions=model.reply.versions)

    def _read_versions(self, model: MigratingModel) -> None:
        """Read the versions of a model again."""
        model.set_versions(self.registry.versions(model.reply.name))

    def _leave(
        self, model: MigratingModel, snapshot: ModelSnapshot, judged: Judgement, target: int | None, agreed: int | None
    ) -> PairResult:
        """Return the result for a model that is not moved; what an interrupted run left open is closed."""
        outcome: Effect = "left" if judged.kind is Class.DECISION and target is None else "nothing"
        if judged.kind is Class.SAFE:
            self.close_open(model, snapshot)
            outcome = "closed"
        elif outcome == "nothing" and self.kind == "bridge" and side_moved(snapshot, agreed) is Side.SAME:
            self._note_seen(model, snapshot)
        return PairResult(model.reply.name, snapshot.rule.alias, outcome, judged.reason, snapshot.live, snapshot.live)

    def _note_seen(self, model: MigratingModel, snapshot: ModelSnapshot) -> None:
        """Record that other tools moved both pointers to one version, so that the next move is known by its side."""
        before = Before(self.run, snapshot.rule.stage, snapshot.alias)
        seen = replace(self._draft(snapshot, snapshot.live, Pointers.NONE, before), state="done")
        self._write(model, replace(seen, reason="both pointers were moved to it by other tools"))

    def close_open(self, model: MigratingModel, snapshot: ModelSnapshot) -> None:
        """Close what interrupted runs left open where the pointers are as they should be."""
        for intent in open_intents(snapshot):
            if intent.kind in MIGRATING:
                self.close(model, intent, done=True)

    def _pointers_to_move(self, model: MigratingModel, snapshot: ModelSnapshot, target: int) -> Pointers:
        """Return the pointers that do not name a version yet."""
        return Pointers.where(
            alias=model.reply.aliases.get(snapshot.spelling) != target,
            stage=uses_stage(snapshot) and snapshot.in_stage != (target,),
        )

    def _begin(self, model: MigratingModel, snapshot: ModelSnapshot, target: int, reason: str) -> _Begun:
        """Record what is about to be moved, and move it: the alias, then the stage."""
        pointers = self._pointers_to_move(model, snapshot, target)
        stages = self._stages_before(snapshot, target) if Pointers.STAGE in pointers else {}
        before = Before(self.run, snapshot.rule.stage, snapshot.alias, stages)
        move = self.intend(model, snapshot, target, pointers, before)
        if Pointers.ALIAS in pointers:
            pointer_for(Pointers.ALIAS, snapshot, self.registry, move.name).set(target)
        if Pointers.STAGE in pointers:
            self._follow(snapshot, target)
        return _Begun(snapshot, move, pointers, target, reason)

    def _read_and_close(self, model: MigratingModel, begun: Sequence[_Begun]) -> dict[str, PairResult]:
        """Read the model once after all its moves, close their events, and return one result for each.

        A move that does not show is lost: another client moved meanwhile, and the model is judged again.
        """
        if not begun:
            return {}
        self.read_back(model)
        return {each.move.alias: self._close_moved(model, each) for each in begun}

    def _close_moved(self, model: MigratingModel, begun: _Begun) -> PairResult:
        """Close the event of one move, and return its result."""
        rule, target = begun.snapshot.rule, begun.target
        model.taken.pop(begun.snapshot.spelling, None)
        after = self.take_snapshot(model, rule)
        done = after.alias == target and (not uses_stage(begun.snapshot) or after.in_stage == (target,))
        move = self.close(model, begun.move, done=done)
        step = PairResult(
            move.name, move.alias, "moved", begun.reason, move.from_version, target, begun.pointers.names, move.event
        )
        if done:
            return step
        if Pointers.ALIAS in begun.pointers and after.alias == target:
            self._read_versions(model)
            model.taken[after.spelling] = Taken(target, self._alias_of_others(model, begun))
        return replace(
            step, outcome="left", reason="other clients move it at the same time: see `prodpointer history`", again=True
        )

    def _alias_of_others(self, model: MigratingModel, begun: _Begun) -> int | None:
        """Return what an alias would name had it not been set here: what was done meanwhile, else what it named."""
        known = {event.event for event in begun.snapshot.events if event.state == "done"} | {begun.move.event}
        done = [event for event in self.take_snapshot(model, begun.snapshot.rule).recorded if event.state == "done"]
        since = [event for event in done if event.event not in known and "alias" in event.pointers]
        return since[-1].to_version if since else begun.snapshot.alias

    def _give_back(self, model: MigratingModel, snapshot: ModelSnapshot) -> None:
        """Put an alias back that was set while another client moved the model, where it is not to be moved now."""
        taken = model.taken.pop(snapshot.spelling, None)
        if taken is None or model.reply.aliases.get(snapshot.spelling) != taken.version:
            return
        pointer = pointer_for(Pointers.ALIAS, snapshot, self.registry, model.reply.name)
        pointer.clear() if taken.instead is None else pointer.set(taken.instead)
        self._read_reply(model)

    def _stages_before(self, snapshot: ModelSnapshot, target: int) -> dict[int, str | None]:
        """Return the stage of each version that is about to be moved."""
        moved = {target, *snapshot.in_stage}
        return {each.version: each.stage for each in snapshot.versions if each.version in moved}

    def _follow(self, snapshot: ModelSnapshot, target: int) -> None:
        """Make the stage follow what the alias says by then, as promotions do: of all that race, one wins."""
        name, spelling = snapshot.versions[0].name, snapshot.spelling

        def read(_: int) -> tuple[Sequence[ModelVersion], int | None]:
            versions = self.registry.versions(name)
            return versions, self.registry.model(name).aliases.get(spelling)

        pointer_for(Pointers.STAGE, snapshot, self.registry, name, reading=read).set(target)

    def intend(
        self, model: MigratingModel, snapshot: ModelSnapshot, target: int | None, pointers: Pointers, before: Before
    ) -> Promotion:
        """Write what is about to be done, and return it; an intent of an interrupted run that covers it goes on."""
        same = _MOVING if self.kind in _MOVING else (self.kind,)
        going_on: Promotion | None = None
        for intent in open_intents(snapshot):
            if intent.kind in same and intent.to_version == target and _covers(intent, pointers, before):
                going_on = intent
            elif intent.kind in MIGRATING:
                self.close(model, intent, done=False)
        if going_on is not None:
            return going_on
        move = self._draft(snapshot, target, pointers, before)
        self._write(model, move)
        return move

    def _draft(self, snapshot: ModelSnapshot, target: int | None, pointers: Pointers, before: Before) -> Promotion:
        """Return what is about to be done."""
        return replace(
            draft_event(snapshot, target, at=self.registry.now()),
            pointers=pointers.names,
            kind=self.kind,
            by=self.by,
            reason=self.reason,
            migration=before,
            workspace=self.registry.addresses.workspace,
        )

    def close(self, model: MigratingModel, move: Promotion, *, done: bool) -> Promotion:
        """Write an intent as done or lost, and return it."""
        move = replace(move, state="done" if done else "lost")
        self._write(model, move)
        return move

    def _write(self, model: MigratingModel, event: Promotion) -> None:
        """Write one event to the version it moves to; of a move to nothing, to the version that was live."""
        if event.held_by is None:
            return
        self.begun.add(event.name)
        for found in make_findable(self.registry, model.versions):
            model.note(found)
        # The versions may have been listed long ago, and what other promoters recorded since must not be overwritten.
        holder = model.fresh_version(event.held_by) or self.registry.version(event.name, event.held_by)
        model.note(write_event(self.registry, event, holder))


def _result(foreseen: Foreseen) -> PairResult:
    """Return the result that a move would have."""
    snapshot, judged, target = foreseen.snapshot, foreseen.judgement, foreseen.target
    name, alias, live = snapshot.reply.name, snapshot.rule.alias, snapshot.live
    if foreseen.pointers:
        return PairResult(name, alias, "moved", judged.reason, live, target, foreseen.pointers.names)
    if judged.under_way or (judged.kind is Class.DECISION and target is None):
        return PairResult(name, alias, "left", judged.reason, live, live)
    return PairResult(name, alias, "closed" if judged.kind is Class.SAFE else "nothing", judged.reason, live, live)


def _covers(intent: Promotion, pointers: Pointers, before: Before) -> bool:
    """Tell whether an open intent says everything about a move: another client may have moved a pointer since."""
    known = intent.migration
    if known is None:
        return False
    return pointers in Pointers.parse(intent.pointers) and before.stages.keys() <= known.stages.keys()
