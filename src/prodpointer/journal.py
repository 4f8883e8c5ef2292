"""The record of moves, kept as tags of the versions that went live (a withdrawal: of the version withdrawn).

An event's key is ``prodpointer.event.`` and an id that sorts in the order of the events. MLflow sends a version's tags
with every reply that names it, so a version that goes live often keeps its last events as they are and the older ones
packed together: ``prodpointer.events.`` and the ids of the first and the last. A pack is never changed, and what is in
it is removed as a tag only after the pack is there, so that writers who meet lose nothing; whatever is read twice
counts once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from prodpointer.records import MIGRATING, Before, ModelVersion, Promotion

EVENT_TAG = "prodpointer.event."
PACK_TAG = "prodpointer.events."
LONGEST_EVENT = 1000
"""Characters of one event, whatever reason was given."""
LARGEST_RECORD = 64 * 1024
"""Characters that the record of one version may add to a reply, however often it goes live."""

_LONGEST_NAME = 200
_LONGEST_PACK = 5000  # MLflow 2 refuses longer tags
_DIGITS = 12
_KEPT_AS_TAGS = 8
_PACKED_FROM = 24  # events as tags
_PACKED_AT_MOST = 40 * 1024  # characters of packs before they are made smaller


def events(versions: Iterable[ModelVersion], alias: str | None = None) -> list[Promotion]:
    """Return every event of these versions, or those of one alias, oldest first; other tags are passed over."""
    found: dict[str, Promotion] = {}
    for version in versions:
        found |= _packed(version.name, version.tags)
        found |= _as_tags(version.name, version.tags)  # which may be newer than a pack of the same event
    chosen = (event for event in found.values() if alias in (None, event.alias))
    return sorted(chosen, key=lambda event: event.event or "")


def next_id(recorded: Sequence[Promotion]) -> str:
    """Return an id that sorts after every event: the highest count plus one, then something random. Not a clock."""
    seen = recorded[-1].event or "" if recorded else ""
    count = int(seen.partition("-")[0]) if seen.partition("-")[0].isdecimal() else 0
    return f"{count + 1:0{_DIGITS}d}-{secrets.token_hex(4)}"


def settled(recorded: Iterable[Promotion], live: int | None) -> list[Promotion]:
    """Return the moves that happened, oldest first.

    An intent that nobody finished counts where nothing was done after it and it names what is live: whoever made it was
    stopped after the pointer had moved. That of a migration does not, which names what is live before it has moved
    anything. Who lost was live for a moment at most: a move that found that version live replaced what it had replaced.
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


def _replaced(move: Promotion, before: Promotion | None, recorded: Iterable[Promotion]) -> int | None:
    """Return what a move replaced, past everybody who was on the way between the move before it and its own look."""
    found = move.from_version
    if before and found == before.to_version:
        return found
    if before and move.after is not None and move.after < (before.event or ""):  # decided before that one was done
        return before.to_version
    since, until = (before.event or "" if before else ""), move.event or ""  # an id is given after what was seen
    # They are those who lost, and those whose id was raised past this move's though they had begun before it.
    passing = {
        event.to_version: event.from_version
        for event in recorded
        if since < (event.event or "") and ((event.event or "") < until or event.at <= move.at)
        if event.from_version != event.to_version and event.event != move.event
    }
    while found in passing and not (before and found == before.to_version):
        found = passing.pop(found)
    return found


def told(moves: Sequence[Promotion], live: int | None, now: datetime) -> list[Promotion]:
    """Return the moves with those that nobody recorded put where they show: between two moves, and after the last.

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
    return Promotion(last.name, last.to_version, version, (), at, "", reason, alias=last.alias, kind="unrecorded")


def stack(moves: Iterable[Promotion]) -> list[int | None]:
    """Return what was live, oldest first, with what was rolled back taken off again; None is "nothing".

    Parameters
    ----------
    moves
        What :func:`told` returned.
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
    """Return which version a stage should hold, so that everybody who looks decides the same.

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
    """Return an event as the text of a tag, cut so that it fits: the reason first, then the evidence of the gates."""
    event = replace(event, by=event.by[:_LONGEST_NAME])
    text = _dumped(_document(event))
    if len(text) > LONGEST_EVENT:
        event = replace(event, reason=_shortened(event.reason, len(text) - LONGEST_EVENT))
        text = _dumped(_document(event))
    while len(text) > LONGEST_EVENT and event.gates:
        event = replace(event, gates=event.gates[:-1])
        text = _dumped(_document(event))
    return text


def event_from(name: str, event: str, text: str) -> Promotion:
    """Read back what :func:`event_text` wrote; raise ValueError for anything else."""
    try:
        return _event(name, event, json.loads(text))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the text of an event: {text[:80]!r}") from error


@dataclass(frozen=True)
class Packing:
    """What makes the record of one version smaller: tags to write, then tags that they replace."""

    write: Mapping[str, str]
    remove: tuple[str, ...]


def packing(version: ModelVersion) -> Packing | None:
    """Return how to pack the older events of a version, None where there are few."""
    loose = sorted(_as_tags(version.name, version.tags).items())
    old = [(key, event) for key, event in loose if event.state != "intended"][:-_KEPT_AS_TAGS]
    packs = {key: value for key, value in version.tags.items() if key.startswith(PACK_TAG)}
    if sum(map(len, packs.values())) > _PACKED_AT_MOST:
        return _repacked(version.name, packs)
    if len(old) <= _PACKED_FROM - _KEPT_AS_TAGS:
        return None
    return Packing(dict(_packs([event for _, event in old])), tuple(f"{EVENT_TAG}{key}" for key, _ in old))


def _repacked(name: str, packs: Mapping[str, str]) -> Packing:
    """Return packs in fewer and smaller ones: reasons and gates of what is old are left out, no event is."""
    every = sorted(_packed(name, packs).values(), key=lambda event: event.event or "")
    plain = [replace(event, reason="", gates=(), sha256=None) for event in every]
    made = dict(_packs(plain))
    return Packing(made, tuple(key for key in packs if key not in made))


def _packs(packed: Sequence[Promotion]) -> Iterator[tuple[str, str]]:
    """Yield as few tags as hold these events."""
    text = _compressed(packed)
    if len(text) > _LONGEST_PACK and len(packed) > 1:
        middle = len(packed) // 2
        yield from _packs(packed[:middle])
        yield from _packs(packed[middle:])
        return
    ids = [event.event or "" for event in packed]
    content = hashlib.sha256(" ".join(ids).encode()).hexdigest()[:8]  # a pack with other events has another key
    yield f"{PACK_TAG}{ids[0].partition('-')[0]}-{ids[-1].partition('-')[0]}-{content}", text


def _compressed(packed: Sequence[Promotion]) -> str:
    """Return events as one compressed text."""
    rows = [[event.event, *_row(event)] for event in packed]
    return base64.b85encode(zlib.compress(_dumped(rows).encode(), 9)).decode()


def _packed(name: str, tags: Mapping[str, str]) -> dict[str, Promotion]:
    """Return the events in the packs among these tags by their id."""
    found = {}
    for key, text in tags.items():
        if key.startswith(PACK_TAG):
            try:
                rows = json.loads(zlib.decompress(base64.b85decode(text)))
                unpacked = [_event(name, row[0], _unrowed(row[1:])) for row in rows]
            except (ValueError, KeyError, TypeError, IndexError, AttributeError, zlib.error):
                continue
            found.update({event.event or "": event for event in unpacked})
    return found


def _row(event: Promotion) -> list[Any]:
    """Return the values of an event's document, up to the last that it has."""
    document = _document(event)
    row = [document.get(key) for key in (*_KEYS, *_KEYS_OF_SOME)]
    while len(row) > len(_KEYS) and row[-1] is None:
        row.pop()
    return row


def _unrowed(row: Sequence[Any]) -> dict[str, Any]:
    """Return the document of which a pack keeps the values alone; what only some events have comes last."""
    return dict(zip((*_KEYS, *_KEYS_OF_SOME), row, strict=False))


def _as_tags(name: str, tags: Mapping[str, str]) -> dict[str, Promotion]:
    """Return the events among these tags by their id."""
    found = {}
    for key, text in tags.items():
        if key.startswith(EVENT_TAG):
            event = key.removeprefix(EVENT_TAG)
            try:
                found[event] = event_from(name, event, text)
            except ValueError:
                continue
    return found


_KEYS = (
    "kind",
    "state",
    "alias",
    "from_version",
    "to_version",
    "pointers",
    "at",
    "by",
    "reason",
    "gates",
    "sha256",
)
_KEYS_OF_SOME = ("after", "migration")  # in the order in which a pack keeps them


def _document(event: Promotion) -> dict[str, Any]:
    """Return what an event's tag says; its key says the id, the version it belongs to says the model."""
    values = {**vars(event), "at": event.at.astimezone(timezone.utc).isoformat()}
    values["migration"] = event.migration.as_json() if event.migration else None
    return {key: values[key] for key in _KEYS} | {key: values[key] for key in _KEYS_OF_SOME if values[key] is not None}


def _event(name: str, event: str, values: Mapping[str, Any]) -> Promotion:
    """Return the event that a document describes."""
    fields = {key: values[key] for key in _KEYS}
    fields["at"] = datetime.fromisoformat(fields["at"])
    fields["pointers"], fields["gates"] = tuple(fields["pointers"]), tuple(fields["gates"])
    if values.get("migration"):
        fields["migration"] = Before.from_json(values["migration"])
    fields["after"] = values.get("after")
    return Promotion(name=name, event=event, **fields)


def _dumped(document: object) -> str:
    """Return a document as compact JSON."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def _shortened(text: str, excess: int) -> str:
    """Return ``text`` without its end, so that what holds it is ``excess`` shorter at least; JSON may code a letter."""
    kept = len(text) - excess - 3
    shorter = text[: max(0, kept)] + "..."
    while kept > 0 and len(_dumped(text)) - len(_dumped(shorter)) < excess:
        kept -= 1
        shorter = text[:kept] + "..."
    return shorter
