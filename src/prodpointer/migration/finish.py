"""The end of the stages of one model, and the way back from a run: what it recorded is put back where it still stands.

Both are recorded like any other move, and a model that was promoted since is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from prodpointer.migration.apply import Carrier, Found, Model, Step
from prodpointer.pointers.selection import Rule, pointer_for
from prodpointer.promotion.snapshot import Look
from prodpointer.promotion.sync import left_by, open_intents
from prodpointer.types import MIGRATING, POINTER_TAG, WINDOW_TAG, Before, ModelReply, Promotion, called

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
    marks = (model.reply.tags.get(POINTER_TAG), model.reply.tags.get(WINDOW_TAG))
    steps = [_end_stage(carrier, model, rule, marks) for rule in carrier.rules]
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


def _end_stage(carrier: Carrier, model: Model, rule: Rule, marks: tuple[str | None, str | None]) -> Step:
    """Empty the stage of one rule, again where a promotion that had begun before fills it meanwhile.

    The window ends once the intent says that it was one, and before the stage is emptied, so that no bridge fills it.
    """
    look = carrier.look(model, rule)
    if not look.in_stage and (marks[0] is None or look.seen.live is None):
        carrier.close_open(model, look)
        return Step(model.reply.name, rule.alias, "nothing", f"the stage {rule.stage} is empty")
    for _ in range(_TRIES):
        if why := _obstacle(look):
            return Step(model.reply.name, rule.alias, "left", why)
        live = look.seen.live
        before = Before(carrier.run, rule.stage, look.seen.alias, dict.fromkeys(look.in_stage, rule.stage), *marks)
        move = carrier.intend(model, look, live, ("stage",), before)
        _end_window(carrier, model.reply)
        for version in look.in_stage:
            carrier.registry.move_to_stage(move.name, version, _NO_STAGE)
        carrier.read_back(model)
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
        marked = model.reply.tags.get(WINDOW_TAG) == self.run
        steps = [self._undo(model, rule) for rule in self.carrier.rules]
        if marked:
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
        standing, why = self._standing(look, mine)
        if not standing:
            return replace(step, outcome="nothing" if why == _UNDONE else "left", reason=why)
        move = self._put_back(model, look, _together(standing), standing[-1])
        if move.state == "lost":
            return replace(step, outcome="left", reason="it was promoted meanwhile: look at its history")
        reason = f"as it was before the run {self.run}"
        return Step(
            move.name, rule.alias, "moved", reason, move.from_version, move.to_version, move.pointers, move.event
        )

    def _is_mine(self, event: Promotion) -> bool:
        """Tell whether an event belongs to the run."""
        return event.migration is not None and event.migration.run == self.run

    def _standing(self, look: Look, mine: Sequence[Promotion]) -> tuple[list[Promotion], str]:
        """Return the events of the run that still stand, or none and why: undone, or moved by somebody else since."""
        undone = [each for each in look.recorded if each.kind == "undo" and each.state == "done"]
        ended = max((each.event or "" for each in undone if self._is_mine(each)), default="")
        # What another run did after this one and what took that back cancel out.
        gone = {each.migration.run for each in undone if each.migration is not None} - {self.run}
        others = [
            each
            for each in look.recorded
            if each.state == "done" and not self._is_mine(each)
            if each.migration is None or each.migration.run not in gone
        ]
        moved = max((each.event or "" for each in others), default="")
        standing = [each for each in mine if (each.event or "") > max(ended, moved)]
        if not standing:
            live = called(others[-1].to_version) if others else ""
            why = f"{live} is live since, by the event {moved}" if moved > ended else _UNDONE
            return [], why
        return (standing, "") if self._is_as_left(look, standing[-1]) else ([], f"{_ANOTHER_TOOL}: {_named(look)}")

    def _is_as_left(self, look: Look, last: Promotion) -> bool:
        """Tell whether the pointers are as the run left them, or on the way where it or its undoing was interrupted."""
        if last.state == "intended" or any(each.kind == "undo" for each in open_intents(look) if self._is_mine(each)):
            return left_by(look, last)
        held = () if last.kind == "finish" else (last.to_version,)
        return (look.seen.alias, look.in_stage) == (last.to_version, held)

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
        move = self.carrier.intend(model, look, live, pointers, Before(self.run, stage))
        for version, was in stages:
            registry.move_to_stage(move.name, version, was or _NO_STAGE)
        if changes["alias"]:
            pointer = pointer_for(("alias",), look.seen, registry, move.name)
            pointer.clear() if alias is None else pointer.set(alias)
        for key, was in ((WINDOW_TAG, before.window), (POINTER_TAG, before.tag)):
            if last.kind == "finish" and was is not None:
                registry.tag_model(move.name, key, was)
        self.carrier.read_back(model)
        after = self.carrier.look(model, look.seen.rule)
        now = {version.version: version.stage for version in after.versions}
        done = after.seen.alias == alias and all(now.get(version) == was for version, was in stages)
        return self.carrier.close(model, move, done=done)

    def _exists(self, look: Look, number: int | None) -> bool:
        """Tell whether a version is still there; a look at a fleet has only those that matter."""
        if number is None or look.version(number) is not None:
            return number is not None
        return self.carrier.registry.existing_version(look.versions[0].name, number) is not None


_UNDONE = "undone already"
_ANOTHER_TOOL = "another tool moved the pointers since"


def _named(look: Look) -> str:
    """Return what both pointers name."""
    held = " and ".join(map(str, look.in_stage)) or "nothing"
    return f"the alias names {called(look.seen.alias)}, the stage holds {held}"


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
        carrier.registry.tag_model(reply.name, POINTER_TAG, None)
    if WINDOW_TAG in reply.tags:
        carrier.registry.tag_model(reply.name, WINDOW_TAG, None)
