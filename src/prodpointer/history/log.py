"""The record of moves, kept as tags of the versions that went live (a withdrawal: of the version withdrawn).

An event's key is ``prodpointer.event.`` and an id that sorts in the order of the events. MLflow sends a version's tags
with every reply that names it, so a version that goes live often keeps its last events as they are and the older ones
packed together: ``prodpointer.events.`` and the ids of the first and the last. A pack is never changed, and what is in
it is removed as a tag only after the pack is there, so that concurrent writers lose nothing; what is read twice
counts once.
"""

from __future__ import annotations

import hashlib
import secrets
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from prodpointer.history.events import document_of, dumped, event_from, is_id, millis, packed, unpacked
from prodpointer.types import MIGRATING, ModelVersion, Promotion

EVENT_TAG = "prodpointer.event."
PACK_TAG = "prodpointer.events."
LONGEST_EVENT = 1000
"""Characters of one event, whatever reason was given."""
RAISED = "raised to "
"""How the text begins that is left under an event's old id."""
MOST_SKIPPED = 10**8
"""Ids that may be missing between two events: so many promotions take years, even one a second."""
LARGEST_RECORD = 64 * 1024
"""Characters that the record of one version may add to a reply, however often it goes live."""

_LONGEST_NAME = 200
_LONGEST_PACK = 5000  # MLflow 2 refuses longer tags
_DIGITS = 12
_KEPT_AS_TAGS = 8
_PACKED_FROM = 24  # events as tags
_PACKED_AT_MOST = 40 * 1024  # characters of packs before they are made smaller


@dataclass(frozen=True)
class Record:
    """What the tags of some versions hold.

    ``events`` are the events of these versions, oldest first. ``foreign`` are events that were copied here with the
    tags of another version, each with the version that holds it; they count nowhere. ``faulty`` are the tags that are
    no events, ``impossible`` those of them that no promotion can have written: each a version and the tag's key.
    """

    events: tuple[Promotion, ...]
    foreign: tuple[tuple[ModelVersion, Promotion], ...]
    faulty: tuple[tuple[int, str], ...]
    impossible: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class _Tag:
    """One tag of the record as it was read: the events in it, and whether there is something in it that is none.

    An event that does not say to which model it belongs has no name yet.
    """

    version: ModelVersion
    key: str
    events: Sequence[Promotion]
    faulty: bool


def record(versions: Iterable[ModelVersion]) -> Record:
    """Return what is recorded with these versions."""
    tags = [tag for version in versions for tag in _tags(version)]
    found: dict[str, Promotion] = {}
    foreign: dict[tuple[int, str], tuple[ModelVersion, Promotion]] = {}
    for tag in sorted(tags, key=lambda tag: tag.key.startswith(EVENT_TAG)):  # a tag may be newer than a pack of it
        for event in tag.events:
            if belongs(event, tag.version):
                found[event.event or ""] = replace(event, name=tag.version.name)  # a model may be renamed
            else:
                foreign[tag.version.version, event.event or ""] = (tag.version, event)
    ids = _possible(sorted(found))
    impossible = {
        (tag.version.version, tag.key)
        for tag in tags
        if _has_impossible_id(tag)
        or (tag.events and all(each.event in found and each.event not in ids for each in tag.events))
    }
    faulty = impossible | {(tag.version.version, tag.key) for tag in tags if tag.faulty}
    in_order = tuple(found[event] for event in sorted(ids))
    return Record(in_order, tuple(foreign.values()), tuple(sorted(faulty)), tuple(sorted(impossible)))


def events(versions: Iterable[ModelVersion], alias: str | None = None) -> list[Promotion]:
    """Return every event of these versions, or those of one alias, oldest first; other tags are passed over."""
    return [event for event in record(versions).events if alias in (None, event.alias)]


def belongs(event: Promotion, version: ModelVersion) -> bool:
    """Tell whether an event was written to the version that holds it, and did not come there with copied tags.

    A copy is another version: it has another number, or was created at another time. An event that does not say when
    its version was created names the model; earlier ones do not, and were written to a version that was there by then.
    """
    if event.held_by != version.version:
        return False
    if event.holder_created_at is not None and version.created_at is not None:
        return millis(event.holder_created_at) == millis(version.created_at)
    if event.name:
        return event.name.lower() == version.name.lower()  # Unity Catalog folds names
    return version.created_at is None or version.created_at <= event.at


def _tags(version: ModelVersion, prefixes: tuple[str, ...] = (EVENT_TAG, PACK_TAG)) -> Iterator[_Tag]:
    """Yield the tags of a version's record, or those of one kind."""
    for key, text in version.tags.items():
        if not key.startswith(prefixes):
            continue
        if key.startswith(PACK_TAG):
            yield _Tag(version, key, *unpacked(text))
        else:
            event = _of_tag(key.removeprefix(EVENT_TAG), text)
            yield _Tag(version, key, [event] if event else [], event is None and not text.startswith(RAISED))


def _of_tag(event: str, text: str) -> Promotion | None:
    """Return the event of one tag, None where it holds none."""
    try:
        return event_from("", event, text) if is_id(event) else None
    except ValueError:
        return None


def _has_impossible_id(tag: _Tag) -> bool:
    """Tell whether a tag is under the key of an event with an id that none can have."""
    return tag.key.startswith(EVENT_TAG) and not is_id(tag.key.removeprefix(EVENT_TAG))


def _possible(ids: Iterable[str]) -> set[str]:
    """Return the ids before the first that no promotion can have reached, since hardly any would be left after it."""
    found: set[str] = set()
    highest = 0
    for each in ids:
        count = int(each.partition("-")[0])
        if count - highest > MOST_SKIPPED:
            break
        found.add(each)
        highest = count
    return found


def next_id(recorded: Sequence[Promotion]) -> str:
    """Return an id that sorts after every event: the highest count plus one, then something random. Not a clock."""
    seen = recorded[-1].event or "" if recorded else ""
    count = int(seen.partition("-")[0]) if seen.partition("-")[0].isdecimal() else 0
    return f"{count + 1:0{_DIGITS}d}-{secrets.token_hex(4)}"


def settled(recorded: Iterable[Promotion], live: int | None) -> list[Promotion]:
    """Return the moves that happened, oldest first.

    An open intent counts where nothing was done after it and it names what is live: its promoter was stopped after the
    pointer had moved. That of a migration does not, which names what is live before it has moved anything. A move that
    lost was live for a moment at most: a move that found its version live replaced what it had replaced.
    """
    newest = list(recorded)
    done = [event for event in newest if event.state == "done"]
    after = [event for event in newest if not done or (event.event or "") > (done[-1].event or "")]
    intents = [event for event in after if event.state == "intended" and event.kind not in MIGRATING]
    finished = [event for event in intents if event.to_version == live]
    moves: list[Promotion] = []
    for move in done + [replace(event, state="done") for event in finished[-1:]]:
        moves.append(replace(move, from_version=_replaced(move, moves[-1] if moves else None, newest)))
    return moves


def _replaced(move: Promotion, before: Promotion | None, recorded: Sequence[Promotion]) -> int | None:
    """Return what a move replaced, past the moves under way between the move before it and its own snapshot."""
    done = before.event or "" if before else ""
    while True:
        if before and move.from_version == before.to_version:
            return before.to_version
        if before and move.after is not None and move.after < done:  # decided before that one was done
            return before.to_version
        if move.passing is None:
            return _passed(move, before, recorded)
        through = next((event for event in recorded if event.event == move.passing), None)
        if through is None or through.state == "done" or (through.event or "") >= (move.event or ""):
            return before.to_version if before and move.passing else move.from_version
        move = through  # it was never live for itself, so this move replaced what that one had found


def _passed(move: Promotion, before: Promotion | None, recorded: Sequence[Promotion]) -> int | None:
    """Return what a move replaced that does not say what was on the way.

    They are those that lost, and those whose id was raised past this move's though they had begun before it. A version
    may be promoted again and again, so each event is judged by itself.
    """
    since, until = (before.event or "" if before else ""), move.event or ""  # an id is given after what was seen
    done = {event.to_version for event in recorded if event.state == "done"}
    passing = [
        event
        for event in recorded
        if event.from_version != event.to_version and event.event != move.event
        if (since < (event.event or "") and ((event.event or "") < until or event.at <= move.at))
        or (event.to_version not in done and _met(event, before))
    ]
    found, ways = {move.from_version}, [move]
    while more := [event for event in passing if event.to_version in found and event not in ways]:
        ways += more
        found |= {event.from_version for event in more}
    if before and (before.to_version in found or any(_met(event, before) for event in ways[1:])):
        return before.to_version
    reached = {event.to_version for event in ways[1:]}
    ends = [event for event in ways if event.from_version not in reached]
    return min(ends or ways, key=lambda event: event.event or "").from_version


def _met(event: Promotion, before: Promotion | None) -> bool:
    """Tell whether an event was decided when it could not see yet that another one was done."""
    if before is None or before.after is None or event.after is None:
        return False
    return before.after <= event.after < (before.event or "")


def add_unrecorded(moves: Sequence[Promotion], live: int | None, now: datetime) -> list[Promotion]:
    """Return the moves with unrecorded ones where they show: between two moves, and after the last.

    Parameters
    ----------
    moves
        What :func:`settled` returned.
    live
        The version that is live now.
    now
        The time by which a move after the last one had happened.
    """
    found: list[Promotion] = []
    for move in moves:
        if found and found[-1].to_version != move.from_version:
            found.append(_unrecorded(found[-1], move.from_version, move.at))
        found.append(move)
    if found and found[-1].to_version != live:
        found.append(_unrecorded(found[-1], live, now))
    return found


def in_order(moves: Sequence[Promotion], others: Iterable[Promotion]) -> list[Promotion]:
    """Return moves and the intents and losses beside them, each where its id belongs."""
    found: list[Promotion] = []
    waiting = sorted(others, key=lambda event: event.event or "")
    for move in moves:
        while waiting and move.event and (waiting[0].event or "") < move.event:
            found.append(waiting.pop(0))
        found.append(move)
    return found + waiting


def _unrecorded(last: Promotion, version: int | None, at: datetime) -> Promotion:
    """Return the move that must have happened after ``last``."""
    reason = "not recorded: moved by another tool, or the version that held the record was deleted"
    return Promotion(
        last.name,
        last.to_version,
        version,
        (),
        at,
        "",
        reason,
        alias=last.alias,
        kind="unrecorded",
        workspace=last.workspace,
    )


def stack(moves: Iterable[Promotion]) -> list[int | None]:
    """Return what was live, oldest first, with what was rolled back taken off again; None is "nothing".

    Parameters
    ----------
    moves
        What :func:`add_unrecorded` returned.
    """
    found: list[int | None] = []
    for move in moves:
        if not found:
            found.append(move.from_version)
        if move.to_version == found[-1]:  # two operators who went back at the same moment went back once
            continue
        if move.kind == "rollback" and move.to_version in found:
            while found[-1] != move.to_version:
                found.pop()
        else:
            found.append(move.to_version)
    return found


def live_at(moves: Sequence[Promotion], when: datetime) -> int | None:
    """Return the version that was live at a time, as recorded; before the first move, what that one replaced."""
    if not moves:
        return None
    before = [move for move in moves if move.at <= when]
    return before[-1].to_version if before else moves[0].from_version


def deciding(version: int | None, event: str, alias: str, versions: Iterable[ModelVersion], stage: str) -> int | None:
    """Return which version a stage should hold, so that every promoter decides the same.

    Of the versions in the stage, and of this move, the one with the highest event counts; versions that other tools
    put there have none. A withdrawal counts like a version. Where nothing is in the stage, the highest of all events
    counts.

    Parameters
    ----------
    version, event
        The version of this move (None: a withdrawal) and the id of its event.
    alias
        The pointer.
    versions
        Every version, as read after this move's own last write.
    stage
        The stage that stands for the alias.
    """
    every = list(versions)
    in_stage = {each.version for each in every if each.stage == stage}
    ids: dict[int | None, str] = dict.fromkeys(in_stage, "")
    for move in events(every, alias):
        if move.state == "lost" and move.event != event:
            continue
        if move.to_version is None or move.to_version in in_stage or not in_stage:
            ids[move.to_version] = max(ids.get(move.to_version, ""), move.event or "")
    if version is None or version in in_stage or not in_stage:
        ids[version] = max(ids.get(version, ""), event)
    return max(ids, key=lambda each: (ids[each], each or 0))


def event_text(event: Promotion) -> str:
    """Return an event as the text of a tag, cut so that it fits: the reason first, then the evidence of the gates.

    A long name of the model goes before the evidence, where it is known when the version was created.
    """
    event = replace(event, by=event.by[:_LONGEST_NAME])
    room = _room_for_reason(event)
    if room < 0 and event.holder_created_at is not None:
        event = replace(event, name="")
        room = _room_for_reason(event)
    event = replace(event, reason=_fitting(event.reason, max(0, room)))
    text = dumped(document_of(event))
    while len(text) > LONGEST_EVENT and event.gates:
        event = replace(event, gates=event.gates[:-1])
        text = dumped(document_of(event))
    return text


def _room_for_reason(event: Promotion) -> int:
    """Return how many characters the reason of an event may have in JSON."""
    return LONGEST_EVENT - len(dumped(document_of(replace(event, reason=""))))


@dataclass(frozen=True)
class Packing:
    """What makes the record of one version smaller: tags to write, then tags that they replace."""

    write: Mapping[str, str]
    remove: tuple[str, ...]


def packing(version: ModelVersion) -> Packing | None:
    """Return how to pack the older events of a version, None where there are few."""
    loose = {event.event or "": event for tag in _tags(version, (EVENT_TAG,)) for event in tag.events}
    own = [event for _, event in sorted(loose.items()) if event.state != "intended" and belongs(event, version)]
    old = own[:-_KEPT_AS_TAGS]
    packs = [tag for tag in _tags(version, (PACK_TAG,)) if not tag.faulty]
    if sum(len(version.tags[tag.key]) for tag in packs) > _PACKED_AT_MOST:
        return _repacked(packs)
    if len(old) <= _PACKED_FROM - _KEPT_AS_TAGS:
        return None
    return Packing(dict(_packs(old)), tuple(f"{EVENT_TAG}{event.event}" for event in old))


def _repacked(packs: Sequence[_Tag]) -> Packing:
    """Return packs in fewer and smaller ones: reasons and gates of what is old are left out, no event is."""
    every = {event.event or "": event for tag in packs for event in tag.events if belongs(event, tag.version)}
    plain = [replace(event, reason="", gates=(), sha256=None) for _, event in sorted(every.items())]
    made = dict(_packs(plain)) if plain else {}
    return Packing(made, tuple(tag.key for tag in packs if tag.key not in made))


def _packs(old: Sequence[Promotion]) -> Iterator[tuple[str, str]]:
    """Yield as few tags as hold these events."""
    text = packed(old)
    if len(text) > _LONGEST_PACK and len(old) > 1:
        middle = len(old) // 2
        yield from _packs(old[:middle])
        yield from _packs(old[middle:])
        return
    ids = [event.event or "" for event in old]
    content = hashlib.sha256(" ".join(ids).encode()).hexdigest()[:8]  # a pack with other events has another key
    yield f"{PACK_TAG}{ids[0].partition('-')[0]}-{ids[-1].partition('-')[0]}-{content}", text


def _fitting(text: str, room: int) -> str:
    """Return ``text``, or as much of its beginning as has at most ``room`` characters in JSON, which codes some."""
    quotes = 2
    if len(dumped(text)) - quotes <= room:
        return text
    kept = bisect_right(range(len(text)), room, key=lambda count: len(dumped(f"{text[:count]}...")) - quotes)
    return f"{text[: kept - 1]}..." if kept else ""
