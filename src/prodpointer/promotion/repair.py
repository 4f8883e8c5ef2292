"""Repair what a promoter that was stopped half way left behind: the rest follows what is live, which never moves."""

from __future__ import annotations

from dataclasses import replace

from prodpointer.pointers.selection import pointer_for
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.promotion.promoter import Promoter
from prodpointer.promotion.recording import remove_impossible
from prodpointer.types import Pointers, called


def repair(promoter: Promoter) -> tuple[ModelSnapshot, tuple[str, ...]]:
    """Make the rest follow what is live, and return the model as it is then, with one sentence for each change."""
    snapshot = promoter.take_snapshot()
    mended = _mend_alias(promoter, snapshot) + _mend_stage(promoter, snapshot) + _mend_events(promoter, snapshot)
    mended += [
        f"the tag {key} of version {number} was no event and is removed"
        for number, key in remove_impossible(promoter.registry, snapshot.versions)
    ]
    return (promoter.take_snapshot() if mended else snapshot), tuple(mended)


def _mend_alias(promoter: Promoter, snapshot: ModelSnapshot) -> list[str]:
    """Make an alias that is in use name what is live: it names a deleted version, or a move of both stopped."""
    uses = snapshot.dangling or _uses(snapshot, Pointers.ALIAS)
    if snapshot.live is None or not uses or (snapshot.alias == snapshot.live and not snapshot.dangling):
        return []
    pointer_for(Pointers.ALIAS, snapshot, promoter.registry, promoter.name).set(snapshot.live)
    return [f"the alias {snapshot.spelling!r} named {called(snapshot.alias)} and names version {snapshot.live}"]


def _mend_stage(promoter: Promoter, snapshot: ModelSnapshot) -> list[str]:
    """Make the stage hold what is live and nothing else, where it is in use."""
    live, stage = snapshot.live, snapshot.rule.stage
    if live is None or not (snapshot.in_stage or _uses(snapshot, Pointers.STAGE)) or snapshot.in_stage == (live,):
        return []
    if stage is None or snapshot.requested == "alias":
        return []
    pointer_for(Pointers.STAGE, snapshot, promoter.registry, promoter.name).set(live)
    return [f"the stage {stage} held {snapshot.held} and holds version {live}"]


def _uses(snapshot: ModelSnapshot, pointer: Pointers) -> bool:
    """Tell whether a pointer belongs to the model though it may not be set now."""
    return snapshot.requested == "both" or pointer in snapshot.last_moved


def _mend_events(promoter: Promoter, snapshot: ModelSnapshot) -> list[str]:
    """Close the intents that were left open."""
    mended = []
    done = {move.event for move in snapshot.moves}
    for event in snapshot.recorded:
        if event.state == "intended":
            closed = replace(event, state="done" if event.event in done else "lost")
            promoter.write(closed)
            mended.append(f"the event {event.event} was left as an intent and is {closed.state}")
    return mended
