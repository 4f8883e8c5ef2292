"""What a migration has to do about one alias and its stage: judged from a snapshot, without a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Literal

from prodpointer.history.record import UNDER_WAY
from prodpointer.pointers.rule import Rule
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.promotion.sync import Side, describe_sides, open_intents, side_moved
from prodpointer.types import MIGRATING, ModelReply, Pointers, Promotion, called

Prefer = Literal["alias", "stage", "journal"]

MOST_IN_STAGE = 30
"""Versions of one stage that a migration moves at most: the event has to hold what each of them was in."""


class Class(Enum):
    """What kind of work a model is."""

    SAFE = "SAFE"
    DECISION = "NEEDS A DECISION"
    NOTHING = "NOTHING TO DO"


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


def judge(snapshot: ModelSnapshot, agreed: int | None = None) -> Judgement:
    """Return what there is to do so that both pointers name what is live, and why.

    Parameters
    ----------
    snapshot, agreed
        As for :func:`side_moved`.
    """
    found = _judge_pointers(snapshot, agreed)
    return _if_ready(snapshot, found) if found.target is not None or found.choices else found


def _judge_pointers(snapshot: ModelSnapshot, agreed: int | None) -> Judgement:
    """Return the judgement before the versions themselves are checked."""
    intents = open_intents(snapshot)
    moving = [event for event in intents if event.kind not in MIGRATING]
    if moving and not _agree(snapshot):
        if snapshot.now - moving[-1].at < UNDER_WAY:
            what = f"a {moving[-1].kind} to {called(moving[-1].to_version)}"
            return Judgement(Class.SAFE, f"{what} is under way", under_way=True)
        if len(moving[-1].pointers) > 1:
            return _half_done(snapshot, moving[-1])
    if snapshot.requested in ("alias", "stage"):
        return _overridden(snapshot)
    migrated = [event for event in intents if event.kind in ("migrate", "bridge")]
    if migrated and not _agree(snapshot) and left_by(snapshot, migrated[-1]):
        target = migrated[-1].to_version
        return Judgement(
            Class.SAFE, f"an interrupted run had begun to move the pointers to version {target}", target=target
        )
    found = _of_pointers(snapshot, agreed)
    if found.kind is Class.NOTHING and len(moving) < len(intents):
        return Judgement(Class.SAFE, "an interrupted run left an open record; apply closes it")
    return found


@dataclass(frozen=True)
class Foreseen:
    """What a migration would do about one alias and its stage: the version both get, and the pointers it moves."""

    snapshot: ModelSnapshot
    judgement: Judgement
    target: int | None
    pointers: Pointers


def foresee(
    reply: ModelReply,
    rules: Iterable[Rule],
    read: Callable[[ModelReply, Rule], ModelSnapshot],
    prefer: Prefer | None = None,
) -> Iterator[Foreseen]:
    """Yield what a migration would do about each rule of a model, in its order, without a request.

    A version has one stage, so each rule is judged on what the moves of those before it leave.

    Parameters
    ----------
    reply
        The model with its versions.
    rules
        The aliases with their stages.
    read
        Returns what was read of one model, by one rule.
    prefer
        Which side counts where a decision is needed.
    """
    for rule in rules:
        snapshot = read(reply, rule)
        judged = judge(snapshot)
        target = judged.choices.get(prefer or "") if judged.kind is Class.DECISION else judged.target
        pointers = Pointers.NONE if target is None else pointers_apart(snapshot, target)
        yield Foreseen(snapshot, judged, target, pointers)
        if target is not None:
            reply = _after(snapshot, target, pointers)


def pointers_apart(snapshot: ModelSnapshot, target: int) -> Pointers:
    """Return the pointers that have to move so that both name a version."""
    return Pointers.where(alias=snapshot.alias != target, stage=uses_stage(snapshot) and snapshot.in_stage != (target,))


def uses_stage(snapshot: ModelSnapshot) -> bool:
    """Tell whether the stage has to name what the alias names."""
    return bool(snapshot.in_stage) or snapshot.requested == "both"


def stages_ended(snapshots: Iterable[ModelSnapshot]) -> bool:
    """Tell whether a ``finish`` ended the stages of a model and nothing has used them since."""
    return any(_is_ended(snapshot) for snapshot in snapshots)


def _is_ended(snapshot: ModelSnapshot) -> bool:
    """Tell whether the stage of one rule was ended."""
    ended = False
    for event in snapshot.recorded:
        if event.state == "done":
            ended = event.kind == "finish" or (ended and event.kind != "undo" and "stage" not in event.pointers)
    return ended


def _after(snapshot: ModelSnapshot, target: int, pointers: Pointers) -> ModelReply:
    """Return the model as the move of these pointers leaves it."""
    reply, stage = snapshot.reply, snapshot.rule.stage
    aliases = {**reply.aliases, snapshot.spelling: target} if Pointers.ALIAS in pointers else reply.aliases
    if Pointers.STAGE not in pointers:
        return replace(reply, aliases=aliases)
    versions = tuple(
        replace(each, stage=stage if each.version == target else "Archived")
        if each.version == target or each.stage == stage
        else each
        for each in snapshot.versions
    )
    newest = {each.stage: each for each in sorted(versions, key=lambda each: each.version)}
    return replace(reply, aliases=aliases, versions=versions, newest=newest)


def left_by(snapshot: ModelSnapshot, event: Promotion) -> bool:
    """Tell whether the pointers are somewhere between what they were before a move of a migration and what it makes."""
    before = event.migration
    if before is None:
        return False
    # A move of the alias alone notes no stages: the stage held its target, or nothing.
    known = {event.to_version, *before.stages}
    return snapshot.alias in (before.alias, event.to_version) and known.issuperset(snapshot.in_stage)


def _of_pointers(snapshot: ModelSnapshot, agreed: int | None) -> Judgement:
    """Return the judgement by which pointers there are."""
    held = len(snapshot.in_stage)
    if snapshot.dangling:
        choices = {"stage": snapshot.in_stage[0]} if held == 1 else {}
        reason = f"the alias names version {snapshot.alias}, which was deleted (dangling)"
        return Judgement(Class.DECISION, reason, choices=choices)
    if held > 1:
        return _many(snapshot, agreed)
    if snapshot.alias is None:
        return _stage_alone(snapshot, agreed) if held else Judgement(Class.NOTHING, "nothing is live")
    return _both(snapshot, agreed) if held else _alias_alone(snapshot, agreed)


def _agree(snapshot: ModelSnapshot) -> bool:
    """Tell whether both pointers name one version and the stage no other."""
    return not snapshot.dangling and snapshot.in_stage == (snapshot.alias,)


def _half_done(snapshot: ModelSnapshot, intent: Promotion) -> Judgement:
    """Return what to do about a promotion of both pointers that was stopped half way: the alias is moved first."""
    live = snapshot.live
    if intent.to_version is None:
        choices = {} if snapshot.stage is None else {"stage": snapshot.stage}
    else:
        choices = {} if live is None else {"alias": live, "journal": live}
    what = f"a {intent.kind} to {called(intent.to_version)}"
    return Judgement(Class.DECISION, f"{what} was stopped half way (event {intent.event})", choices=choices)


def _overridden(snapshot: ModelSnapshot) -> Judgement:
    """Return what to do about a model whose tag names one pointer alone."""
    other = snapshot.in_stage if snapshot.requested == "alias" else () if snapshot.alias is None else (snapshot.alias,)
    if not other or _agree(snapshot):
        return Judgement(Class.NOTHING, f"{snapshot.source} says {snapshot.requested}")
    why = f"{snapshot.source} says {snapshot.requested}"
    return Judgement(Class.DECISION, f"{why}, and the other pointer is set: change the tag first")


def _many(snapshot: ModelSnapshot, agreed: int | None) -> Judgement:
    """Return what to do about several versions in one stage; plain MLflow loads the highest."""
    stage, count = snapshot.rule.stage, len(snapshot.in_stage)
    if count > MOST_IN_STAGE:
        return Judgement(Class.DECISION, f"the stage {stage} holds {count} versions: archive some of them first")
    reason = f"the stage {stage} holds versions {snapshot.held}"
    return Judgement(Class.DECISION, reason, choices=_choices(snapshot, side_moved(snapshot, agreed)))


def _stage_alone(snapshot: ModelSnapshot, agreed: int | None) -> Judgement:
    """Return what to do about a model with a stage and no alias."""
    (version,) = snapshot.in_stage
    if Pointers.ALIAS not in snapshot.last_moved and (snapshot.last is not None or agreed is None):
        return Judgement(Class.SAFE, f"the alias {snapshot.rule.alias!r} is not set", target=version)
    return Judgement(Class.DECISION, f"the alias was removed, {_since(snapshot)}", choices={"stage": version})


def _alias_alone(snapshot: ModelSnapshot, agreed: int | None) -> Judgement:
    """Return what to do about a model with an alias and no stage: it gets one in the window alone."""
    version = snapshot.version(snapshot.alias or 0)
    if snapshot.rule.stage == "Staging" and version is not None and version.stage == "Production":
        return Judgement(Class.NOTHING, f"the version in staging, {snapshot.alias}, was promoted to production")
    if Pointers.STAGE in snapshot.last_moved or (snapshot.last is None and agreed is not None):
        choices = {} if snapshot.alias is None else {"alias": snapshot.alias}
        reason = f"the stage {snapshot.rule.stage} was emptied, {_since(snapshot)}"
        return Judgement(Class.DECISION, reason, choices=choices)
    if snapshot.requested != "both":
        return Judgement(Class.NOTHING, "the model has an alias alone")
    return Judgement(
        Class.SAFE, f"the stage {snapshot.rule.stage} is empty, and {snapshot.source} says both", target=snapshot.alias
    )


def _both(snapshot: ModelSnapshot, agreed: int | None) -> Judgement:
    """Return what to do about a model with both pointers."""
    if snapshot.alias == snapshot.stage:
        return Judgement(Class.NOTHING, "both pointers agree")
    side = side_moved(snapshot, agreed)
    return Judgement(Class.DECISION, describe_sides(snapshot, side, agreed), choices=_choices(snapshot, side))


def _choices(snapshot: ModelSnapshot, side: Side) -> dict[str, int]:
    """Return what each side would make live; the record follows the side that moved."""
    found = {name: at for name, at in (("alias", snapshot.alias), ("stage", snapshot.stage)) if at is not None}
    last, live = snapshot.last, snapshot.live
    journal = {Side.ALIAS: snapshot.alias, Side.STAGE: snapshot.stage, Side.NONE: live, Side.SAME: live}.get(side)
    ended = last is not None and last.kind == "finish"  # a tool that goes on with stages is a person's decision
    return found if journal is None or ended else {**found, "journal": journal}


def _if_ready(snapshot: ModelSnapshot, found: Judgement) -> Judgement:
    """Return a judgement without the versions that may not go live: gone, not READY, or needed in another stage."""
    bad = {}
    for number in {found.target, *found.choices.values()} - {None}:
        if why := _unfit(snapshot, number or 0):
            bad[number] = why
    if not bad:
        return found
    choices = {prefer: version for prefer, version in found.choices.items() if version not in bad}
    why = "; ".join(bad.values())
    if found.target in bad:
        return Judgement(Class.DECISION, why)
    return Judgement(found.kind, f"{found.reason}; {why}", found.target, choices)


def _unfit(snapshot: ModelSnapshot, number: int) -> str:
    """Return why a version may not be what both pointers name, the empty text where it may."""
    version = snapshot.version(number)
    if version is None:
        return f"version {number} was deleted"
    if version.status != "READY":
        return f"version {number} is {version.status}, not READY"
    if snapshot.rule.stage == "Staging" and version.stage == "Production":
        return f"version {number} is in Production, and a version has one stage"
    return ""


def _since(snapshot: ModelSnapshot) -> str:
    """Return since when."""
    return f"since event {snapshot.last.event}" if snapshot.last else "since it was last seen"
