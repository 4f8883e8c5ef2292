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

from prodpointer import journal, registration
from prodpointer.detection import ASK_AGAIN_AFTER, capabilities
from prodpointer.drift import MIGRATING, Class, Judgement, Prefer, Side, judge, open_intents, side_moved
from prodpointer.mlflow_border.registry import Registry
from prodpointer.promotion import Look, look_at
from prodpointer.records import Before, Kind, ModelReply, ModelVersion, Promotion
from prodpointer.selection import Rule, pointer_for, view

Outcome = Literal["moved", "closed", "nothing", "left", "failed"]

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


@dataclass
class Model:
    """One model while it is worked on: the last reply, and its versions with what was written to them since."""

    reply: ModelReply
    versions: Sequence[ModelVersion]

    def note(self, event: Promotion, text: str) -> None:
        """Keep a tag that was written, so that the next id is higher and nothing has to be read again."""
        number = event.from_version if event.to_version is None else event.to_version
        key = f"{journal.EVENT_TAG}{event.event}"
        self.versions = [
            replace(each, tags={**each.tags, key: text}) if each.version == number else each for each in self.versions
        ]


@dataclass(frozen=True)
class _Begun:
    """A move that was made and has not been read back."""

    look: Look
    move: Promotion
    target: int
    reason: str


@dataclass(frozen=True)
class Carrier:
    """Works on one model after another in the name of one run; several threads may share one.

    ``rules`` are the aliases with their stages, ``prefer`` is what a person chose for models that need a decision.
    """

    registry: Registry
    run: str
    rules: Sequence[Rule]
    kind: Kind = "migrate"
    prefer: Prefer | None = None
    reason: str = ""
    by: str = field(default_factory=registration.acting_user)

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
            elif target is None:
                steps[rule.alias] = self._without_a_move(model, look, judged, agreed.get(rule.alias))
            else:
                begun.append(self._begin(model, look, target, judged.reason))
                if "stage" in begun[-1].move.pointers:
                    break
        steps.update(self._ended(model, begun))
        return waiting

    def read_again(self, planned: Found) -> Model:
        """Return a model as it is now; its versions are read only where the reply tells of a change."""
        reply = self.registry.model(planned.name)
        if planned.versions and reply == planned.reply:
            return Model(reply, planned.versions)
        return Model(reply, self.registry.versions(planned.name))

    def look(self, model: Model, rule: Rule) -> Look:
        """Return what a model is like by one rule."""
        found = capabilities(self.registry, max_age=ASK_AGAIN_AFTER)
        return look_at(view(rule, model.reply, found, self.registry.addresses.shown), model.versions)

    def refresh(self, model: Model) -> None:
        """Read a model and its versions again."""
        model.reply = self.registry.model(model.reply.name)
        model.versions = self.registry.versions(model.reply.name)

    def _without_a_move(self, model: Model, look: Look, judged: Judgement, agreed: int | None) -> Step:
        """Return what became of a model that is not moved; what an interrupted run left open is closed."""
        outcome: Outcome = "left" if judged.kind is Class.DECISION else "nothing"
        if judged.kind is Class.SAFE:
            self.close_open(model, look)
            outcome = "closed"
        elif outcome == "nothing" and self.kind == "bridge" and side_moved(look, agreed) is Side.SAME:
            self._note_seen(model, look)
        return Step(model.reply.name, look.seen.rule.alias, outcome, judged.reason, look.seen.live, look.seen.live)

    def _note_seen(self, model: Model, look: Look) -> None:
        """Record that other tools moved both pointers to one version, from which the next move is told by its side."""
        seen = replace(self._move(model, look, look.seen.live, (), Before(self.run, look.seen.alias)), state="done")
        self._write(model, replace(seen, reason="both pointers were moved to it by other tools"))

    def close_open(self, model: Model, look: Look) -> None:
        """Close what interrupted runs left open where the pointers are as they should be."""
        for intent in open_intents(look):
            if intent.kind in MIGRATING:
                self.close(model, intent, done=True)

    def _begin(self, model: Model, look: Look, target: int, reason: str) -> _Begun:
        """Record what is about to be moved, and move it: the alias, then the stage."""
        alias_moves = look.seen.alias != target
        stage_moves = self._uses_stage(look) and look.in_stage != (target,)
        pointers = tuple(name for name, moves in (("alias", alias_moves), ("stage", stage_moves)) if moves)
        before = Before(self.run, look.seen.alias, self._stages_before(look, target) if stage_moves else {}, None)
        move = self.intend(model, look, target, pointers, before)
        if alias_moves:
            pointer_for(("alias",), look.seen, self.registry, move.name).set(target)
        if stage_moves:
            self._follow(look, target)
        return _Begun(look, move, target, reason)

    def _ended(self, model: Model, begun: Sequence[_Begun]) -> dict[str, Step]:
        """Read the model once after all its moves, close their events, and return what became of each.

        A move that does not show is lost: somebody else moved meanwhile, and it is to be judged again.
        """
        if not begun:
            return {}
        updated = model.reply.updated_at
        model.reply = self.registry.model(model.reply.name)
        if model.reply.updated_at != updated:  # a stage has moved, by this or by somebody else
            model.versions = self.registry.versions(model.reply.name)
        steps = {}
        for each in begun:
            after = self.look(model, each.look.seen.rule)
            uses = self._uses_stage(each.look)
            done = after.seen.alias == each.target and (not uses or after.in_stage == (each.target,))
            move = self.close(model, each.move, done=done)
            live = each.look.seen.live
            step = Step(
                move.name, move.alias, "moved", each.reason, live, each.target, each.move.pointers, each.move.event
            )
            steps[move.alias] = (
                step
                if done
                else replace(step, outcome="left", reason="something keeps moving it: look at its history", again=True)
            )
        return steps

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
            ("stage",), look.seen, self.registry, name, lambda _: self.registry.model(name).aliases.get(spelling)
        )
        following.set(target)

    def intend(
        self, model: Model, look: Look, target: int | None, pointers: tuple[str, ...], before: Before
    ) -> Promotion:
        """Write what is about to be done, and return it; an intent of an interrupted run that says the same goes on."""
        for intent in open_intents(look):
            if (intent.kind, intent.to_version) == (self.kind, target) and intent.migration is not None:
                return intent
        move = self._move(model, look, target, pointers, before)
        self._write(model, move)
        return move

    def _move(
        self, model: Model, look: Look, target: int | None, pointers: tuple[str, ...], before: Before
    ) -> Promotion:
        """Return what is about to be done, with an id after every event there is."""
        version = None if target is None else look.version(target)
        return Promotion(
            name=model.reply.name,
            from_version=look.seen.live,
            to_version=target,
            pointers=pointers,
            at=datetime.now(timezone.utc),
            by=self.by,
            reason=self.reason,
            event=journal.next_id(look.events),
            alias=look.seen.rule.alias,
            kind=self.kind,
            state="intended",
            sha256=version.sha256 if version else None,
            migration=before,
            after=look.last_done,
        )

    def close(self, model: Model, move: Promotion, *, done: bool) -> Promotion:
        """Write what became of an intent, and return it."""
        move = replace(move, state="done" if done else "lost")
        self._write(model, move)
        return move

    def _write(self, model: Model, event: Promotion) -> None:
        """Write one event to the version it moves to; of a move to nothing, to the version that was live."""
        number = event.from_version if event.to_version is None else event.to_version
        if number is None:
            return
        text = journal.event_text(event)
        self.registry.tag_version(event.name, number, f"{journal.EVENT_TAG}{event.event}", text)
        model.note(event, text)
