"""The end of the stages of one model, and the way back from a run: what it recorded is put back where it still stands.

Both are recorded like any other move, and a model that was promoted since is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from prodpointer.carrying import Carrier, Found, Model, Step
from prodpointer.drift import MIGRATING, called, open_intents
from prodpointer.mlflow_border.fleet_pages import tag_model
from prodpointer.promotion import Look
from prodpointer.records import POINTER_TAG, WINDOW_TAG, Before, ModelReply, Promotion
from prodpointer.selection import Rule, pointer_for

_TRIES = 4
_NO_STAGE = "None"  # what MLflow calls it


def end_stages(carrier: Carrier, found: Found) -> list[Step]:
    """Empty the stages of one model that follow its aliases and end its window: ``auto`` then follows the alias alone.

    A model whose pointers do not agree, or that has no alias, is left as it is: readers of its stage would lose what
    they have.
    """
    model = carrier.read_again(found)
    looks = [carrier.look(model, rule) for rule in carrier.rules]
    obstacles = [why for look in looks if (why := _obstacle(look))]
    if obstacles:
        return [Step(found.name, look.seen.rule.alias, "left", "; ".join(obstacles)) for look in looks]
    steps = [_end_stage(carrier, model, rule) for rule in carrier.rules]
    if all(step.outcome != "left" for step in steps):
        _end_window(carrier, model.reply)
    return steps


def _obstacle(look: Look) -> str:
    """Return why the stage of a look cannot end, the empty text where it can."""
    seen = look.seen
    if any(intent.kind not in MIGRATING for intent in open_intents(look)):
        return "a promotion is under way, or was stopped half way"
    if not look.in_stage:
        return ""
    if seen.requested == "stage":
        return f"{seen.source} says stage"
    held = " and ".join(map(str, look.in_stage))
    if seen.alias is None or seen.dangling:
        return (
            f"the stage {seen.rule.stage} holds version {held}, the alias {seen.rule.alias!r} names none: apply first"
        )
    if look.in_stage != (seen.alias,):
        return f"the alias {seen.spelling!r} names version {seen.alias}, the stage {seen.rule.stage} holds {held}"
    return ""


def _end_stage(carrier: Carrier, model: Model, rule: Rule) -> Step:
    """Empty the stage of one rule, again where a promotion that had begun before fills it meanwhile."""
    look = carrier.look(model, rule)
    tag = model.reply.tags.get(POINTER_TAG)
    if not look.in_stage and (tag is None or look.seen.live is None):
        carrier.close_open(model, look)
        return Step(model.reply.name, rule.alias, "nothing", f"the stage {rule.stage} is empty")
    for _ in range(_TRIES):
        if why := _obstacle(look):
            return Step(model.reply.name, rule.alias, "left", why)
        live = look.seen.live
        window = model.reply.tags.get(WINDOW_TAG)
        before = Before(carrier.run, look.seen.alias, dict.fromkeys(look.in_stage, rule.stage), tag, window)
        move = carrier.intend(model, look, live, ("stage",), before)
        for version in look.in_stage:
            carrier.registry.move_to_stage(move.name, version, _NO_STAGE)
        carrier.refresh(model)
        look = carrier.look(model, rule)
        done = not look.in_stage and look.seen.alias is not None
        move = carrier.close(model, move, done=done)
        if done:
            reason = f"the stage {rule.stage} is empty, the alias {look.seen.spelling!r} alone says what is live"
            return Step(move.name, rule.alias, "moved", reason, live, live, ("stage",), move.event)
    return Step(model.reply.name, rule.alias, "left", "it is promoted all the time: try again")


@dataclass(frozen=True)
class Undoing:
    """Puts back what one run did, model by model."""

    carrier: Carrier
    run: str

    def undo(self, found: Found) -> list[Step]:
        """Put the pointers of one model back to what they were before the run, where they are as the run left them."""
        model = self.carrier.read_again(found)
        steps = [self._undo(model, rule) for rule in self.carrier.rules]
        if model.reply.tags.get(WINDOW_TAG) == self.run:
            _end_window(self.carrier, model.reply)
            steps.append(Step(found.name, "", "moved", "the window that the run had begun has ended"))
        return steps

    def _undo(self, model: Model, rule: Rule) -> Step:
        """Put one rule back."""
        look = self.carrier.look(model, rule)
        step = Step(model.reply.name, rule.alias, "nothing", "the run did nothing here")
        mine = [each for each in look.recorded if self._is_mine(each) and each.kind != "undo" and each.state != "lost"]
        if not mine:
            return step
        if why := self._moved_since(look, mine[-1]):
            return replace(step, outcome="nothing" if why == _UNDONE else "left", reason=why)
        before = _together(mine)
        move = self._put_back(model, look, before, mine[-1])
        reason = f"as it was before the run {self.run}"
        return replace(
            step,
            outcome="moved",
            reason=reason,
            from_version=move.from_version,
            to_version=move.to_version,
            pointers=move.pointers,
            event=move.event,
        )

    def _is_mine(self, event: Promotion) -> bool:
        """Tell whether an event belongs to the run."""
        return event.migration is not None and event.migration.run == self.run

    def _moved_since(self, look: Look, last: Promotion) -> str:
        """Return who moved the pointers after the run, the empty text where nobody did."""
        since = [each for each in look.recorded if (each.event or "") > (last.event or "") and each.state != "lost"]
        if any(each.kind == "undo" and self._is_mine(each) and each.state == "done" for each in since):
            return _UNDONE
        # What another run did after this one and what took that back cancel out.
        undone = {each.migration.run for each in since if each.kind == "undo" and each.migration is not None}
        others = [each for each in since if each.migration is None or each.migration.run not in {*undone, self.run}]
        if others:
            live = called(others[-1].to_version)
            return f"{live} is live since, by the event {others[-1].event}"
        if last.state == "intended" or since:  # the run or its undoing was interrupted: wherever it stands is its own
            return ""
        held = () if last.kind == "finish" else (last.to_version,)
        if (look.seen.alias, look.in_stage) != (last.to_version, held):
            return f"another tool moved the pointers since: {called(look.seen.live)} is live"
        return ""

    def _put_back(self, model: Model, look: Look, before: Before, last: Promotion) -> Promotion:
        """Write the intent, then the stages, then the alias, so that there is something live at each moment."""
        registry, stage = self.carrier.registry, look.seen.rule.stage
        alias = before.alias if self._exists(look, before.alias) else None
        # What goes into the stage goes first.
        stages = sorted(before.stages.items(), key=lambda each: each[1] != stage)
        stages = [(version, was) for version, was in stages if self._exists(look, version)]
        held = [version for version, was in stages if was == stage]
        held += [version for version in look.in_stage if version not in before.stages]
        live = max(held, default=None) if alias is None else alias
        changes = {"alias": look.seen.alias != alias, "stage": bool(stages)}
        pointers = tuple(pointer for pointer, changed in changes.items() if changed)
        move = self.carrier.intend(model, look, live, pointers, Before(self.run))
        for version, was in stages:
            registry.move_to_stage(move.name, version, was or _NO_STAGE)
        if changes["alias"]:
            pointer = pointer_for(("alias",), look.seen, registry, move.name)
            pointer.clear() if alias is None else pointer.set(alias)
        if last.kind == "finish" and before.tag is not None:
            tag_model(registry, move.name, WINDOW_TAG, before.window or self.run)
            tag_model(registry, move.name, POINTER_TAG, before.tag)
        self.carrier.refresh(model)
        return self.carrier.close(model, move, done=True)

    def _exists(self, look: Look, number: int | None) -> bool:
        """Tell whether a version is still there; a look at a fleet has only those that matter."""
        if number is None or look.version(number) is not None:
            return number is not None
        return self.carrier.registry.existing_version(look.versions[0].name, number) is not None


_UNDONE = "undone already"


def _together(mine: Sequence[Promotion]) -> Before:
    """Return what the pointers were before the first event of a run, whatever the later ones found."""
    found = [each.migration for each in mine if each.migration is not None]
    stages: dict[int, str | None] = {}
    for each in reversed(found):
        stages |= each.stages
    return replace(found[0], stages=stages)


def _end_window(carrier: Carrier, reply: ModelReply) -> None:
    """Take the tags away that say that both pointers are kept; what somebody else said of them stays."""
    if reply.tags.get(POINTER_TAG) == "both":
        tag_model(carrier.registry, reply.name, POINTER_TAG, None)
    if WINDOW_TAG in reply.tags:
        tag_model(carrier.registry, reply.name, WINDOW_TAG, None)
