"""Which side moved, and what there is to do about it: one alias and one stage of one model, and the record of both.

The record is the common ancestor: what the last recorded move left both pointers at. The pointer that no longer names
that version is the one that another tool moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Literal

from prodpointer.promotion.snapshot import UNDER_WAY, Look
from prodpointer.types import MIGRATING, Promotion, called

Prefer = Literal["alias", "stage", "journal"]

MOST_IN_STAGE = 30
"""Versions of one stage that a migration moves at most: the event has to hold what each of them was in."""


class Class(Enum):
    """What kind of work a model is."""

    SAFE = "SAFE"
    DECISION = "NEEDS A DECISION"
    NOTHING = "NOTHING TO DO"


class Side(Enum):
    """Which pointer another tool has moved since the last recorded move."""

    NONE = "neither"
    ALIAS = "alias"
    STAGE = "stage"
    SAME = "both, to the same version"
    APART = "both, apart"
    UNKNOWN = "unknown: nothing is recorded of this model"


@dataclass(frozen=True)
class Judgement:
    """What there is to do about one alias and its stage.

    ``target`` is the version that both are to name, None where nothing is to be moved. ``choices`` maps what a person
    may prefer to the version that this would make live. ``under_way`` says that a promotion is moving the pointers.
    """

    kind: Class
    reason: str
    target: int | None = None
    choices: Mapping[str, int] = field(default_factory=dict, hash=False)
    under_way: bool = False


def side_moved(look: Look, agreed: int | None = None) -> Side:
    """Return which pointer was moved by another tool, given what the record says that both named.

    Parameters
    ----------
    look
        The model as it is.
    agreed
        What both were seen to name before, for a model of which nothing is recorded.
    """
    seen, last = look.seen, look.last
    ancestor = last.to_version if last else agreed
    if last is None and agreed is None:
        return Side.NONE if seen.alias == seen.stage else Side.UNKNOWN
    alias, stage = (None if seen.dangling else seen.alias), seen.stage
    # What the last move did not touch and nobody set since was never there.
    alias_stays = alias == ancestor or (alias is None and "alias" not in look.last_moved)
    stage_stays = stage == ancestor or (stage is None and "stage" not in look.last_moved)
    if alias_stays or stage_stays:
        moved = {(True, True): Side.NONE, (True, False): Side.STAGE, (False, True): Side.ALIAS}
        return moved[alias_stays, stage_stays]
    return Side.SAME if alias == stage else Side.APART


def drift_told(look: Look) -> str:
    """Return one sentence on which side moved where the pointers differ, the empty text where they agree."""
    if not look.seen.drifted or len(look.in_stage) > 1:
        return ""
    return _told(look, side_moved(look))


def open_intents(look: Look) -> list[Promotion]:
    """Return the intents that nobody closed and that nothing was done after."""
    done = [event.event or "" for event in look.recorded if event.state == "done"]
    after = max(done, default="")
    return [event for event in look.recorded if event.state == "intended" and (event.event or "") > after]


def judge(look: Look, agreed: int | None = None) -> Judgement:
    """Return what there is to do so that both pointers name what is live, and why; nothing is asked.

    Parameters
    ----------
    look, agreed
        As for :func:`side_moved`.
    """
    found = _judged(look, agreed)
    return _if_ready(look, found) if found.target is not None or found.choices else found


def _judged(look: Look, agreed: int | None) -> Judgement:
    """Return the judgement before the versions themselves are looked at."""
    seen = look.seen
    intents = open_intents(look)
    moving = [event for event in intents if event.kind not in MIGRATING]
    if moving and not _agree(look):
        if datetime.now(timezone.utc) - moving[-1].at < UNDER_WAY:
            what = f"a {moving[-1].kind} to {called(moving[-1].to_version)}"
            return Judgement(Class.SAFE, f"{what} is under way", under_way=True)
        if len(moving[-1].pointers) > 1:
            return _half_done(look, moving[-1])
    if seen.requested in ("alias", "stage"):
        return _overridden(look)
    carried = [event for event in intents if event.kind in ("migrate", "bridge")]
    if carried and not _agree(look) and left_by(look, carried[-1]):
        target = carried[-1].to_version
        return Judgement(Class.SAFE, f"a run was interrupted that had begun to carry version {target}", target=target)
    found = _of_pointers(look, agreed)
    if found.kind is Class.NOTHING and len(moving) < len(intents):
        return Judgement(Class.SAFE, "the record of a run that was interrupted is to be closed")
    return found


def left_by(look: Look, event: Promotion) -> bool:
    """Tell whether the pointers are somewhere between what they were before a move of a migration and what it makes."""
    before = event.migration
    if before is None:
        return False
    known = {event.to_version, *before.stages} if before.stages else {event.to_version, *look.in_stage}
    return look.seen.alias in (before.alias, event.to_version) and known.issuperset(look.in_stage)


def _of_pointers(look: Look, agreed: int | None) -> Judgement:
    """Return the judgement by which pointers there are."""
    seen, held = look.seen, len(look.in_stage)
    if seen.dangling:
        choices = {"stage": look.in_stage[0]} if held == 1 else {}
        reason = f"the alias names version {seen.alias}, which was deleted (dangling)"
        return Judgement(Class.DECISION, reason, choices=choices)
    if held > 1:
        return _many(look, agreed)
    if seen.alias is None:
        return _stage_alone(look, agreed) if held else Judgement(Class.NOTHING, "nothing is live")
    return _both(look, agreed) if held else _alias_alone(look, agreed)


def _agree(look: Look) -> bool:
    """Tell whether both pointers name one version and the stage no other."""
    return not look.seen.dangling and look.in_stage == (look.seen.alias,)


def _half_done(look: Look, intent: Promotion) -> Judgement:
    """Return what to do about a promotion of both pointers that was stopped half way: the alias is moved first."""
    live = look.seen.live
    if intent.to_version is None:
        choices = {} if look.seen.stage is None else {"stage": look.seen.stage}
    else:
        choices = {} if live is None else {"alias": live, "journal": live}
    what = f"a {intent.kind} to {called(intent.to_version)}"
    return Judgement(Class.DECISION, f"{what} was stopped half way (event {intent.event})", choices=choices)


def _overridden(look: Look) -> Judgement:
    """Return what to do about a model whose tag names one pointer alone."""
    seen = look.seen
    other = look.in_stage if seen.requested == "alias" else () if seen.alias is None else (seen.alias,)
    if not other or _agree(look):
        return Judgement(Class.NOTHING, f"{seen.source} says {seen.requested}")
    return Judgement(
        Class.DECISION, f"{seen.source} says {seen.requested}, and the other pointer is set: change the tag first"
    )


def _many(look: Look, agreed: int | None) -> Judgement:
    """Return what to do about several versions in one stage, of which plain MLflow loads the highest."""
    stage, count = look.seen.rule.stage, len(look.in_stage)
    if count > MOST_IN_STAGE:
        return Judgement(Class.DECISION, f"the stage {stage} holds {count} versions: archive some of them first")
    held = " and ".join(map(str, look.in_stage))
    reason = f"the stage {stage} holds versions {held}"
    return Judgement(Class.DECISION, reason, choices=_choices(look, side_moved(look, agreed)))


def _stage_alone(look: Look, agreed: int | None) -> Judgement:
    """Return what to do about a model with a stage and no alias."""
    (version,) = look.in_stage
    if "alias" not in look.last_moved and (look.last is not None or agreed is None):
        return Judgement(Class.SAFE, f"the alias {look.seen.rule.alias!r} is not set", target=version)
    return Judgement(Class.DECISION, f"the alias was taken away, {_since(look)}", choices={"stage": version})


def _alias_alone(look: Look, agreed: int | None) -> Judgement:
    """Return what to do about a model with an alias and no stage: it gets one in the window alone."""
    seen = look.seen
    version = look.version(seen.alias or 0)
    if seen.rule.stage == "Staging" and version is not None and version.stage == "Production":
        return Judgement(Class.NOTHING, f"the version in staging, {seen.alias}, was promoted to production")
    if "stage" in look.last_moved or (look.last is None and agreed is not None):
        choices = {} if seen.alias is None else {"alias": seen.alias}
        return Judgement(Class.DECISION, f"the stage {seen.rule.stage} was emptied, {_since(look)}", choices=choices)
    if seen.requested != "both":
        return Judgement(Class.NOTHING, "the model has an alias alone")
    return Judgement(
        Class.SAFE, f"the stage {seen.rule.stage} is empty, and {seen.source} says both", target=seen.alias
    )


def _both(look: Look, agreed: int | None) -> Judgement:
    """Return what to do about a model with both pointers."""
    if look.seen.alias == look.seen.stage:
        return Judgement(Class.NOTHING, "both pointers agree")
    side = side_moved(look, agreed)
    return Judgement(Class.DECISION, _told(look, side, agreed), choices=_choices(look, side))


def _choices(look: Look, side: Side) -> dict[str, int]:
    """Return what each side would make live; the record follows the side that moved."""
    seen = look.seen
    found = {name: at for name, at in (("alias", seen.alias), ("stage", seen.stage)) if at is not None}
    journal = {Side.ALIAS: seen.alias, Side.STAGE: seen.stage, Side.NONE: seen.live, Side.SAME: seen.live}.get(side)
    if look.last is not None and look.last.kind == "finish":
        journal = None  # its stages have ended: who goes on with them is to be told
    return found if journal is None else {**found, "journal": journal}


def _if_ready(look: Look, found: Judgement) -> Judgement:
    """Return a judgement without the versions that may not go live: gone, not READY, or needed in another stage."""
    bad = {}
    for number in {found.target, *found.choices.values()} - {None}:
        if why := _unfit(look, number or 0):
            bad[number] = why
    if not bad:
        return found
    choices = {prefer: version for prefer, version in found.choices.items() if version not in bad}
    why = "; ".join(bad.values())
    if found.target in bad:
        return Judgement(Class.DECISION, why)
    return Judgement(found.kind, f"{found.reason}; {why}", found.target, choices)


def _unfit(look: Look, number: int) -> str:
    """Return why a version may not be what both pointers name, the empty text where it may."""
    version = look.version(number)
    if version is None:
        return f"version {number} was deleted"
    if version.status != "READY":
        return f"version {number} is {version.status}, not READY"
    if look.seen.rule.stage == "Staging" and version.stage == "Production":
        return f"version {number} is in Production, and a version has one stage"
    return ""


def _told(look: Look, side: Side, agreed: int | None = None) -> str:
    """Return where the pointers are apart, and which of them moved."""
    seen = look.seen
    apart = f"the alias names version {seen.alias}, the stage version {seen.stage}"
    was = called(look.last.to_version if look.last else agreed)
    moved = {
        Side.ALIAS: f"the alias moved from {was}",
        Side.STAGE: f"the stage moved from {was}",
        Side.APART: f"both moved from {was}, apart",
    }
    return f"{apart}: {moved.get(side, 'nothing is recorded that tells which moved')}"


def _since(look: Look) -> str:
    """Return since when."""
    return f"since event {look.last.event}" if look.last else "since it was last seen"
