"""Undo a run: what it recorded is put back where it still stands; a model that was promoted since is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from prodpointer.migration.apply import MigratingModel, Migrator, PairResult
from prodpointer.migration.assess import left_by
from prodpointer.migration.finish import NO_STAGE, end_window
from prodpointer.pointers.rule import Rule
from prodpointer.pointers.selection import pointer_for
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.promotion.sync import open_intents
from prodpointer.types import POINTER_TAG, WINDOW_TAG, Before, ModelReply, Pointers, Promotion, called

_UNDONE = "undone already"


def undo_run(migrator: Migrator, listed: ModelReply) -> list[PairResult]:
    """Put the pointers of one model back to what they were before the run, where they are as the run left them."""
    model = migrator.read_again(listed)
    marked = model.reply.tags.get(WINDOW_TAG) == migrator.run
    steps = [_undo_rule(migrator, model, rule) for rule in migrator.rules]
    if marked:
        end_window(migrator, model.reply)
        steps.append(PairResult(listed.name, "", "moved", "promotions move both pointers no longer"))
    return steps


def _undo_rule(migrator: Migrator, model: MigratingModel, rule: Rule) -> PairResult:
    """Put one rule back."""
    snapshot = migrator.take_snapshot(model, rule)
    step = PairResult(model.reply.name, rule.alias, "nothing", "the run changed nothing here")
    mine = [each for each in snapshot.recorded if _is_mine(migrator, each)]
    mine = [each for each in mine if each.kind != "undo" and each.state != "lost"]
    if not mine:
        return step
    standing, why = _standing(migrator, snapshot, mine)
    if not standing:
        return replace(step, outcome="nothing" if why == _UNDONE else "left", reason=why)
    back = _way_back(migrator, snapshot, _together(standing))
    reason = f"as it was before the run {migrator.run}"
    if migrator.dry_run:
        return PairResult(step.name, rule.alias, "moved", reason, snapshot.live, back.live, back.pointers.names)
    move = _put_back(migrator, model, snapshot, back, standing[-1])
    if move.state == "lost":
        return replace(step, outcome="left", reason="it was promoted meanwhile: see `prodpointer history`")
    moved = (move.from_version, move.to_version, move.pointers, move.event)
    return PairResult(move.name, rule.alias, "moved", reason, *moved)


def _is_mine(migrator: Migrator, event: Promotion) -> bool:
    """Tell whether an event belongs to the run that is undone."""
    return event.migration is not None and event.migration.run == migrator.run


def _standing(migrator: Migrator, snapshot: ModelSnapshot, mine: Sequence[Promotion]) -> tuple[list[Promotion], str]:
    """Return the events of the run that still stand, or none and why: undone, or moved by another client since."""
    undone = [each for each in snapshot.recorded if each.kind == "undo" and each.state == "done"]
    ended = max((each.event or "" for each in undone if _is_mine(migrator, each)), default="")
    # What another run did after this one and what took that back cancel out.
    gone = {each.migration.run for each in undone if each.migration is not None} - {migrator.run}
    others = [
        each
        for each in snapshot.recorded
        if each.state == "done" and not _is_mine(migrator, each)
        if each.migration is None or each.migration.run not in gone
    ]
    moved = max((each.event or "" for each in others), default="")
    standing = [each for each in mine if (each.event or "") > max(ended, moved)]
    if not standing:
        return [], _since(others[-1]) if moved > ended else _UNDONE
    if not _is_as_left(migrator, snapshot, standing[-1]):
        return [], f"another tool moved the pointers since: {_describe(snapshot)}"
    return standing, ""


def _since(event: Promotion) -> str:
    """Return what was done after the run: by another run, which is to be undone first, or by a promotion."""
    if event.migration is not None:
        return f"the run {event.migration.run} changed it later (event {event.event}): undo that run first"
    return f"{called(event.to_version)} is live since, by the event {event.event}"


def _is_as_left(migrator: Migrator, snapshot: ModelSnapshot, last: Promotion) -> bool:
    """Tell whether the pointers are as the run left them, or on the way where it or its undoing was interrupted."""
    undoing = [each for each in open_intents(snapshot) if each.kind == "undo" and _is_mine(migrator, each)]
    if last.state == "intended" or undoing:
        return left_by(snapshot, last)
    held = () if last.kind == "finish" else (last.to_version,)
    return (snapshot.alias, snapshot.in_stage) == (last.to_version, held)


@dataclass(frozen=True)
class _Back:
    """What undoing makes of one rule: the alias, the stage of each version, what is live then, and what moves."""

    before: Before
    alias: int | None
    stages: Sequence[tuple[int, str | None]]
    live: int | None
    pointers: Pointers


def _way_back(migrator: Migrator, snapshot: ModelSnapshot, before: Before) -> _Back:
    """Return what undoing makes of one rule, without versions that were deleted."""
    stage = snapshot.rule.stage
    alias = before.alias if _exists(migrator, snapshot, before.alias) else None
    # What goes into the stage goes first.
    stages = sorted(before.stages.items(), key=lambda each: each[1] != stage)
    stages = [(version, was) for version, was in stages if _exists(migrator, snapshot, version)]
    held = [version for version, was in stages if was == stage]
    held += [version for version in snapshot.in_stage if version not in before.stages]
    live = max(held, default=None) if alias is None else alias
    return _Back(before, alias, stages, live, Pointers.where(alias=snapshot.alias != alias, stage=bool(stages)))


def _put_back(
    migrator: Migrator, model: MigratingModel, snapshot: ModelSnapshot, back: _Back, last: Promotion
) -> Promotion:
    """Write the intent, then the stages, then the alias, so that there is something live at each moment."""
    registry, before, alias = migrator.registry, back.before, back.alias
    move = migrator.intend(model, snapshot, back.live, back.pointers, Before(migrator.run, snapshot.rule.stage))
    for version, was in back.stages:
        registry.move_to_stage(move.name, version, was or NO_STAGE)
    if Pointers.ALIAS in back.pointers:
        pointer = pointer_for(Pointers.ALIAS, snapshot, registry, move.name)
        pointer.clear() if alias is None else pointer.set(alias)
    for key, was in ((WINDOW_TAG, before.window), (POINTER_TAG, before.tag)):
        if last.kind == "finish" and was is not None:
            registry.tag_model(move.name, key, was)
    migrator.read_back(model)
    after = migrator.take_snapshot(model, snapshot.rule)
    now = {version.version: version.stage for version in after.versions}
    done = after.alias == alias and all(now.get(version) == was for version, was in back.stages)
    return migrator.close(model, move, done=done)


def _exists(migrator: Migrator, snapshot: ModelSnapshot, number: int | None) -> bool:
    """Tell whether a version still exists; a listed model has only the versions that matter."""
    if number is None or snapshot.version(number) is not None:
        return number is not None
    return migrator.registry.existing_version(snapshot.versions[0].name, number) is not None


def _describe(snapshot: ModelSnapshot) -> str:
    """Return what both pointers name."""
    return f"the alias names {called(snapshot.alias)}, the stage holds {snapshot.held}"


def _together(mine: Sequence[Promotion]) -> Before:
    """Return what the pointers were before the first event of a run, whatever the later ones found."""
    found = [each.migration for each in mine if each.migration is not None]
    stages: dict[int, str | None] = {}
    for each in reversed(found):
        stages |= each.stages
    return replace(found[0], stages=stages)
