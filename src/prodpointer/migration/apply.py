"""One model of a fleet: looked at again, decided, recorded, moved, read back.

A migration meets promotions that go on meanwhile. So each model is judged again right before it is moved, and read
again after the move: where somebody promoted in between, the event is closed as lost and the model judged anew. It ends
with a read, later than its own last write, that shows both pointers where they should be.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Literal

from prodpointer._identity import acting_user
from prodpointer.history import log
from prodpointer.mlflow_client import Registry, ask_again_after, probe_capabilities
from prodpointer.pointers.selection import Rule, pointer_for, view
from prodpointer.promotion.recording import keep_small, write_event
from prodpointer.promotion.snapshot import Look, look_at
from prodpointer.promotion.sync import Class, Judgement, Prefer, Side, judge, open_intents, side_moved
from prodpointer.types import MIGRATING, Before, Kind, ModelReply, ModelVersion, Promotion

Outcome = Literal["moved", "closed", "nothing", "left", "failed"]

_CARRYING = ("migrate", "bridge")
_TRIES = 5
_A_LITTLE = 0.2  # seconds for a promotion that is under way, the first time; then twice as long, and so on


@dataclass(frozen=True)
class Found:
    """One model as the pages told: its reply, and those of its versions that matter."""

    reply: ModelReply
    versions: tuple[ModelVersion, ...] = ()

    @property
    def name(self) -> str:
        """The name of the registered model."""
        return self.reply.name


@dataclass(frozen=True)
class Step:
    """What became of one alias and its stage of one model; ``again`` says that another look may find it settled."""

    name: str
    alias: str
    outcome: Outcome
    reason: str
    from_version: int | None = None
    to_version: int | None = None
    pointers: tuple[str, ...] = ()
    event: str | None = None
    again: bool = False


@dataclass(frozen=True)
class Taken:
    """An alias that was set to a version while somebody else moved the model, and what it would name without that."""

    version: int
    instead: int | None


@dataclass
class Model:
    """One model while it is worked on: the last reply, and its versions with what was written to them since."""

    reply: ModelReply
    versions: Sequence[ModelVersion]
    taken: dict[str, Taken] = field(default_factory=dict)

    def as_others_left_it(self) -> ModelReply:
        """Return the reply as it would be without the aliases that were set here while somebody else moved them."""
        aliases = dict(self.reply.aliases)
        for spelling, taken in self.taken.items():
            if aliases.get(spelling) == taken.version:
                del aliases[spelling]
                aliases |= {} if taken.instead is None else {spelling: taken.instead}
        return replace(self.reply, aliases=aliases)

    def note(self, event: Promotion, text: str) -> None:
        """Keep a tag that was written, so that the next id is higher and nothing has to be read again."""
        key = f"{log.EVENT_TAG}{event.event}"
        self.versions = [
            replace(each, tags={**each.tags, key: text}) if each.version == event.held_by else each
            for each in self.versions
        ]


@dataclass(frozen=True)
class _Begun:
    """A move that was made and has not been read back."""

    look: Look
    move: Promotion
    pointers: tuple[str, ...]
    target: int
    reason: str


@dataclass(frozen=True)
class Carrier:
    """Works on one model after another in the name of one run; several threads may share one.

    ``rules`` are the aliases with their stages, ``prefer`` is what a person chose for models that need a decision.
    ``begun`` are the models that were written to, whose versions are no longer as the pages told.
    """

    registry: Registry
    run: str
    rules: Sequence[Rule]
    kind: Kind = "migrate"
    prefer: Prefer | None = None
    reason: str = ""
    by: str = field(default_factory=acting_user)
    begun: set[str] = field(default_factory=set)

    def carry(self, planned: Found) -> list[Step]:
        """Make both pointers of each rule name one version, and return what became of each rule.

        One request finds whether the model is still as it was read; what changed is read again.

        Parameters
        ----------
        planned
            The model as the pages told.
        """
        return self.carry_model(self.read_again(planned), {})

    def carry_model(self, model: Model, agreed: Mapping[str, int]) -> list[Step]:
        """Carry a model that was read just now.

        Parameters
        ----------
        model
            The model, which is kept current.
        agreed
            What both pointers were seen to name before, by alias, for a model of which nothing is recorded.
        """
        name = model.reply.name
        steps = {rule.alias: Step(name, rule.alias, "left", "not looked at yet", again=True) for rule in self.rules}
        for attempt in range(_TRIES):
            waiting = self._round(model, steps, agreed)
            if not any(step.again for step in steps.values()):
                break
            if waiting:
                time.sleep(_A_LITTLE * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311  # a pause, no secret
                self.refresh(model)
        for rule in self.rules if model.taken else ():
            self._give_back(model, self.look(model, rule))
        return [steps[rule.alias] for rule in self.rules]

    def _round(self, model: Model, steps: dict[str, Step], agreed: Mapping[str, int]) -> bool:
        """Judge the rules that are not settled, move what is to be moved, and tell whether a promotion is under way.

        A version has one stage: once one was moved, the other rules are judged after the next look.
        """
        begun: list[_Begun] = []
        waiting = False
        for rule in self.rules:
            if not steps[rule.alias].again:
                continue
            look = self.look(model, rule)
            judged = judge(look, agreed.get(rule.alias))
            target = judged.choices.get(self.prefer or "") if judged.kind is Class.DECISION else judged.target
            if judged.under_way:
                steps[rule.alias] = Step(model.reply.name, rule.alias, "left", judged.reason, again=True)
                waiting = True
            elif target is None or not self._moves(model, look, target):
                self._give_back(model, look)
                steps[rule.alias] = self._without_a_move(model, look, judged, target, agreed.get(rule.alias))
            else:
                begun.append(self._begin(model, look, target, judged.reason))
                if "stage" in begun[-1].move.pointers:
                    break
        steps.update(self._ended(model, begun))
        return waiting

    def read_again(self, planned: Found) -> Model:
        """Return a model as it is now; its versions are read only where the reply tells of a change."""
        reply = self.registry.model(planned.name)
        if planned.versions and reply == planned.reply and planned.name not in self.begun:
            return Model(reply, planned.versions)
        return Model(reply, self.registry.versions(planned.name))

    def look(self, model: Model, rule: Rule) -> Look:
        """Return what a model is like by one rule."""
        found = probe_capabilities(self.registry, max_age=ask_again_after(self.registry))
        reply = model.as_others_left_it()
        return look_at(view(rule, reply, found, self.registry.addresses.shown), model.versions)

    def read_back(self, model: Model) -> None:
        """Read a model after its moves; its versions only where a stage has moved, by these or by somebody else."""
        updated = model.reply.updated_at
        model.reply = self.registry.model(model.reply.name)
        if model.reply.updated_at != updated:
            model.versions = self.registry.versions(model.reply.name)

    def refresh(self, model: Model) -> None:
        """Read a model and its versions again."""
        model.reply = self.registry.model(model.reply.name)
        model.versions = self.registry.versions(model.reply.name)

    def _without_a_move(
        self, model: Model, look: Look, judged: Judgement, target: int | None, agreed: int | None
    ) -> Step:
        """Return what became of a model that is not moved; what an interrupted run left open is closed."""
        outcome: Outcome = "left" if judged.kind is Class.DECISION and target is None else "nothing"
        if judged.kind is Class.SAFE:
            self.close_open(model, look)
            outcome = "closed"
        elif outcome == "nothing" and self.kind == "bridge" and side_moved(look, agreed) is Side.SAME:
            self._note_seen(model, look)
        return Step(model.reply.name, look.seen.rule.alias, outcome, judged.reason, look.seen.live, look.seen.live)

    def _note_seen(self, model: Model, look: Look) -> None:
        """Record that other tools moved both pointers to one version, from which the next move is told by its side."""
        before = Before(self.run, look.seen.rule.stage, look.seen.alias)
        seen = replace(self._move(model, look, look.seen.live, (), before), state="done")
        self._write(model, replace(seen, reason="both pointers were moved to it by other tools"))

    def close_open(self, model: Model, look: Look) -> None:
        """Close what interrupted runs left open where the pointers are as they should be."""
        for intent in open_intents(look):
            if intent.kind in MIGRATING:
                self.close(model, intent, done=True)

    def _moves(self, model: Model, look: Look, target: int) -> tuple[str, ...]:
        """Return the pointers that do not name a version yet, in the order in which they are moved."""
        stage = self._uses_stage(look) and look.in_stage != (target,)
        moves = {"alias": model.reply.aliases.get(look.seen.spelling) != target, "stage": stage}
        return tuple(pointer for pointer, has_to in moves.items() if has_to)

    def _begin(self, model: Model, look: Look, target: int, reason: str) -> _Begun:
        """Record what is about to be moved, and move it: the alias, then the stage."""
        pointers = self._moves(model, look, target)
        stages = self._stages_before(look, target) if "stage" in pointers else {}
        before = Before(self.run, look.seen.rule.stage, look.seen.alias, stages)
        move = self.intend(model, look, target, pointers, before)
        if "alias" in pointers:
            pointer_for(("alias",), look.seen, self.registry, move.name).set(target)
        if "stage" in pointers:
            self._follow(look, target)
        return _Begun(look, move, pointers, target, reason)

    def _ended(self, model: Model, begun: Sequence[_Begun]) -> dict[str, Step]:
        """Read the model once after all its moves, close their events, and return what became of each.

        A move that does not show is lost: somebody else moved meanwhile, and it is to be judged again.
        """
        if not begun:
            return {}
        self.read_back(model)
        return {each.move.alias: self._closed(model, each) for each in begun}

    def _closed(self, model: Model, begun: _Begun) -> Step:
        """Close the event of one move, and return what became of it."""
        rule, target = begun.look.seen.rule, begun.target
        model.taken.pop(begun.look.seen.spelling, None)
        after = self.look(model, rule)
        done = after.seen.alias == target and (not self._uses_stage(begun.look) or after.in_stage == (target,))
        move = self.close(model, begun.move, done=done)
        step = Step(move.name, move.alias, "moved", begun.reason, move.from_version, target, begun.pointers, move.event)
        if done:
            return step
        if "alias" in begun.pointers and after.seen.alias == target:
            model.versions = self.registry.versions(move.name)
            model.taken[after.seen.spelling] = Taken(target, self._left_by_others(model, begun))
        return replace(step, outcome="left", reason="something keeps moving it: look at its history", again=True)

    def _left_by_others(self, model: Model, begun: _Begun) -> int | None:
        """Return what an alias would name had it not been set here: what was done meanwhile, else what it named."""
        known = {event.event for event in begun.look.events if event.state == "done"} | {begun.move.event}
        done = [event for event in self.look(model, begun.look.seen.rule).recorded if event.state == "done"]
        since = [event for event in done if event.event not in known and "alias" in event.pointers]
        return since[-1].to_version if since else begun.look.seen.alias

    def _give_back(self, model: Model, look: Look) -> None:
        """Put an alias back that was set while somebody else moved the model, where it is not to be carried now."""
        taken = model.taken.pop(look.seen.spelling, None)
        if taken is None or model.reply.aliases.get(look.seen.spelling) != taken.version:
            return
        pointer = pointer_for(("alias",), look.seen, self.registry, model.reply.name)
        pointer.clear() if taken.instead is None else pointer.set(taken.instead)
        model.reply = self.registry.model(model.reply.name)

    def _uses_stage(self, look: Look) -> bool:
        """Tell whether the stage has to name what the alias names."""
        return bool(look.in_stage) or look.seen.requested == "both"

    def _stages_before(self, look: Look, target: int) -> dict[int, str | None]:
        """Return the stage of each version that is about to be moved."""
        moved = {target, *look.in_stage}
        return {each.version: each.stage for each in look.versions if each.version in moved}

    def _follow(self, look: Look, target: int) -> None:
        """Make the stage follow what the alias says by then, as promotions do: of all who meet, one wins."""
        name, spelling = look.versions[0].name, look.seen.spelling
        following = pointer_for(
            ("stage",),
            look.seen,
            self.registry,
            name,
            deciding=lambda _: self.registry.model(name).aliases.get(spelling),
        )
        following.set(target)

    def intend(
        self, model: Model, look: Look, target: int | None, pointers: tuple[str, ...], before: Before
    ) -> Promotion:
        """Write what is about to be done, and return it; an intent of an interrupted run that says the same goes on."""
        same = _CARRYING if self.kind in _CARRYING else (self.kind,)
        going_on: Promotion | None = None
        for intent in open_intents(look):
            if intent.kind in same and intent.to_version == target and intent.migration is not None:
                going_on = intent
            elif intent.kind in MIGRATING:
                self.close(model, intent, done=False)
        if going_on is not None:
            return going_on
        move = self._move(model, look, target, pointers, before)
        self._write(model, move)
        return move

    def _move(
        self, model: Model, look: Look, target: int | None, pointers: tuple[str, ...], before: Before
    ) -> Promotion:
        """Return what is about to be done, with an id after every event there is."""
        version = None if target is None else look.version(target)
        holder = version if target is not None else look.version(look.seen.live or 0)
        return Promotion(
            name=model.reply.name,
            from_version=look.seen.live,
            to_version=target,
            pointers=pointers,
            at=datetime.now(timezone.utc),
            by=self.by,
            reason=self.reason,
            event=log.next_id(look.events),
            alias=look.seen.rule.alias,
            kind=self.kind,
            state="intended",
            sha256=version.sha256 if version else None,
            migration=before,
            after=look.last_done,
            holder_created_at=holder.created_at if holder else None,
            passing=look.passing,
            workspace=self.registry.addresses.workspace,
        )

    def close(self, model: Model, move: Promotion, *, done: bool) -> Promotion:
        """Write what became of an intent, and return it; a version with many events keeps them packed."""
        move = replace(move, state="done" if done else "lost")
        self._write(model, move)
        for version in model.versions:
            if version.version == move.held_by:
                keep_small(self.registry, version)
        return move

    def _write(self, model: Model, event: Promotion) -> None:
        """Write one event to the version it moves to; of a move to nothing, to the version that was live."""
        if event.held_by is None:
            return
        text = log.event_text(event)
        self.begun.add(event.name)
        write_event(self.registry, event, text)
        model.note(event, text)
