"""Repair what a promoter that was stopped half way left behind: the rest follows what is live, which never moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from prodpointer.history import record
from prodpointer.pointers.selection import pointer_for
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.promotion.promoter import Promoter
from prodpointer.promotion.recording import apply_changes, make_findable, remove_impossible, write_event
from prodpointer.types import Pointers, Promotion


@dataclass(frozen=True)
class _Step:
    """One thing to put right: what is shown of it, and what does it."""

    text: str
    take: Callable[[], object]


def repair(promoter: Promoter, *, dry_run: bool = False) -> tuple[ModelSnapshot, tuple[str, ...]]:
    """Make the rest follow what is live, and return the model as it is then, with one text for each change.

    ``dry_run`` changes nothing: the texts are those of the changes to come, the model is as it is.
    """
    snapshot = promoter.take_snapshot(complete=True)
    steps = [*_alias_steps(promoter, snapshot), *_stage_steps(promoter, snapshot), *_event_steps(promoter, snapshot)]
    impossible: Sequence[tuple[int, str]] = record.read_record(snapshot.versions).impossible
    if not dry_run:
        make_findable(promoter.registry, snapshot.versions)
        for step in steps:
            step.take()
        impossible = remove_impossible(promoter.registry, snapshot.versions)
        _tidy(promoter, snapshot)
    mended = [step.text for step in steps]
    mended += [f"the tag {key} of version {number}: not an event → removed" for number, key in impossible]
    return (promoter.take_snapshot(complete=True) if mended and not dry_run else snapshot), tuple(mended)


def _alias_steps(promoter: Promoter, snapshot: ModelSnapshot) -> Iterator[_Step]:
    """Make an alias that is in use name what is live: it names a deleted version, or a move of both stopped."""
    uses = snapshot.dangling or _uses(snapshot, Pointers.ALIAS)
    if snapshot.live is None or not uses or (snapshot.alias == snapshot.live and not snapshot.dangling):
        return
    was = "none" if snapshot.alias is None else snapshot.alias
    yield _Step(
        f"the alias {snapshot.spelling!r}: {was} → {snapshot.live}",
        partial(pointer_for(Pointers.ALIAS, snapshot, promoter.registry, promoter.name).set, snapshot.live),
    )


def _stage_steps(promoter: Promoter, snapshot: ModelSnapshot) -> Iterator[_Step]:
    """Make the stage hold what is live and nothing else, where it is in use."""
    live, stage = snapshot.live, snapshot.rule.stage
    if live is None or not (snapshot.in_stage or _uses(snapshot, Pointers.STAGE)) or snapshot.in_stage == (live,):
        return
    if stage is None or snapshot.requested == "alias":
        return
    was = snapshot.held if snapshot.in_stage else "none"
    yield _Step(
        f"the stage {stage}: {was} → {live}",
        partial(pointer_for(Pointers.STAGE, snapshot, promoter.registry, promoter.name).set, live),
    )


def _uses(snapshot: ModelSnapshot, pointer: Pointers) -> bool:
    """Tell whether a pointer belongs to the model though it may not be set now."""
    return snapshot.requested == "both" or pointer in snapshot.last_moved


def _event_steps(promoter: Promoter, snapshot: ModelSnapshot) -> Iterator[_Step]:
    """Close the intents that were left open."""
    done = {move.event for move in snapshot.moves}
    for event in snapshot.recorded:
        if event.state == "intended":
            closed = replace(event, state="done" if event.event in done else "lost")
            yield _Step(f"the event {event.event}: intended → {closed.state}", partial(_close, promoter, closed))


def _close(promoter: Promoter, closed: Promotion) -> None:
    """Close an intent, unless its promoter has done so since it was read."""
    holder = promoter.registry.version(promoter.name, closed.held_by or 0)
    now = {event.event: event.state for event in record.events([holder])}
    if now.get(closed.event) == "intended":
        write_event(promoter.registry, closed, holder)


def _tidy(promoter: Promoter, snapshot: ModelSnapshot) -> None:
    """Leave as few tags as hold the record of each version, where racing promoters left more."""
    for version in filter(record.has_many_tags, snapshot.versions):
        for _ in range(2):
            found = promoter.registry.version(promoter.name, version.version)
            apply_changes(promoter.registry, record.tidied(found, promoter.registry.now()), found)
