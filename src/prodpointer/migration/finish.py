"""End the stages of one model whose readers use its alias by now."""

from __future__ import annotations

from prodpointer.migration.apply import MigratingModel, Migrator, PairResult
from prodpointer.pointers.rule import Rule
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.promotion.sync import open_intents
from prodpointer.types import MIGRATING, POINTER_TAG, WINDOW_TAG, Before, ModelReply, Pointers

_TRIES = 4
NO_STAGE = "None"
"""What MLflow calls the lack of a stage."""


def end_stages(migrator: Migrator, listed: ModelReply) -> list[PairResult]:
    """Empty the stages of one model that follow its aliases and end its window: ``auto`` then follows the alias alone.

    A model whose pointers do not agree, or that has no alias, is left as it is: readers of its stage would lose what
    they have.
    """
    model = migrator.read_again(listed)
    snapshots = [migrator.take_snapshot(model, rule) for rule in migrator.rules]
    obstacles = [why for snapshot in snapshots if (why := _obstacle(snapshot))]
    if obstacles:
        return [PairResult(listed.name, snapshot.rule.alias, "left", "; ".join(obstacles)) for snapshot in snapshots]
    marks = (model.reply.tags.get(POINTER_TAG), model.reply.tags.get(WINDOW_TAG))
    steps = [_end_stage(migrator, model, rule, marks) for rule in migrator.rules]
    if all(step.outcome != "left" for step in steps):
        end_window(migrator, model.reply)
    return steps


def _obstacle(snapshot: ModelSnapshot) -> str:
    """Return why a stage cannot end, the empty text where it can."""
    if any(intent.kind not in MIGRATING for intent in open_intents(snapshot)):
        return "a promotion is under way, or was stopped half way"
    if not snapshot.in_stage:
        return ""
    if snapshot.requested == "stage":
        return f"{snapshot.source} says stage"
    stage, alias, held = snapshot.rule.stage, snapshot.alias, snapshot.held
    if alias is None or snapshot.dangling:
        return f"the stage {stage} holds version {held}, the alias {snapshot.rule.alias!r} names none: apply first"
    if snapshot.in_stage != (alias,):
        return f"the alias {snapshot.spelling!r} names version {alias}, the stage {stage} holds {held}"
    return ""


def _end_stage(
    migrator: Migrator, model: MigratingModel, rule: Rule, marks: tuple[str | None, str | None]
) -> PairResult:
    """Empty the stage of one rule, again where a promotion that had begun before fills it meanwhile.

    The window ends once the intent says that it was one, and before the stage is emptied, so that no bridge fills it.
    """
    snapshot = migrator.take_snapshot(model, rule)
    if not snapshot.in_stage and (marks[0] is None or snapshot.live is None):
        if not migrator.dry_run:
            migrator.close_open(model, snapshot)
        return PairResult(model.reply.name, rule.alias, "nothing", f"the stage {rule.stage} is empty")
    for _ in range(_TRIES):
        if why := _obstacle(snapshot):
            return PairResult(model.reply.name, rule.alias, "left", why)
        live = snapshot.live
        if migrator.dry_run:
            return PairResult(model.reply.name, rule.alias, "moved", _ended(snapshot), live, live, ("stage",))
        before = Before(migrator.run, rule.stage, snapshot.alias, dict.fromkeys(snapshot.in_stage, rule.stage), *marks)
        move = migrator.intend(model, snapshot, live, Pointers.STAGE, before)
        end_window(migrator, model.reply)
        for version in snapshot.in_stage:
            migrator.registry.move_to_stage(move.name, version, NO_STAGE)
        migrator.read_back(model)
        snapshot = migrator.take_snapshot(model, rule)
        done = not snapshot.in_stage and snapshot.alias is not None
        move = migrator.close(model, move, done=done)
        if done:
            return PairResult(move.name, rule.alias, "moved", _ended(snapshot), live, live, move.pointers, move.event)
    return PairResult(model.reply.name, rule.alias, "left", "other promotions fill the stage each time: try again")


def _ended(snapshot: ModelSnapshot) -> str:
    """Return what is so once a stage has ended."""
    return f"the stage {snapshot.rule.stage} is empty, only the alias {snapshot.spelling!r} names the live version"


def end_window(migrator: Migrator, reply: ModelReply) -> None:
    """Remove the tags that say that both pointers are kept; another value of the tag stays."""
    if migrator.dry_run:
        return
    if reply.tags.get(POINTER_TAG) == "both":
        migrator.registry.tag_model(reply.name, POINTER_TAG, None)
    if WINDOW_TAG in reply.tags:
        migrator.registry.tag_model(reply.name, WINDOW_TAG, None)
