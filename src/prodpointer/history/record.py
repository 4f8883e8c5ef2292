"""The record of moves as it is kept: tags of the versions that went live (a withdrawal: of the version withdrawn).

``prodpointer.record`` is on every version that holds events, so that a search finds those versions among thousands. It
begins with a sentence for people; then come the newest event and the older ones, packed. What is under way has a key of
its own, ``prodpointer.event.`` and an id that sorts in the order of the events, so that promoters that race overwrite
nothing of each other. The first event of a version is under way in ``prodpointer.record`` itself.

``prodpointer.record`` is rewritten where an event ends, from a read that is later than the event's beginning: only by a
promoter that finds its own event there and no other one under way. Of two promoters at least one sees the other and
keeps its event under its own key. What stands in ``prodpointer.record`` since before a promotion began is removed from
where it stood before. What is read twice counts once.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

from prodpointer.history.events import document_of, dumped, event_from, event_of_line, is_id, millis, packed, unpacked
from prodpointer.types import ModelVersion, Promotion

RECORD_TAG = "prodpointer.record"
"""The tag of every version that holds events."""
EVENT_TAG = "prodpointer.event."
PACK_TAG = "prodpointer.events."
REFUSED_TAG = "prodpointer.refused"
"""Promotions that gates refused, on a version with other events: rewritten by whichever promoter is refused."""
LONGEST_EVENT = 1000
"""Characters of one event as JSON, whatever reason was given."""
RAISED = "raised to "
"""How the text begins that is left under an event's old id."""
MOST_SKIPPED = 10**8
"""Ids that may be missing between two events: so many promotions take years, even one a second."""
HIGHEST = 10**11
"""The highest count of an id: the next ones still have as many digits."""
LARGEST_RECORD = 64 * 1024
"""Characters that the record of one version may add to a reply, however often it goes live."""
UNDER_WAY = timedelta(seconds=60)
"""How long an open intent counts as a promotion under way; after that its promoter was stopped half way."""

_LONGEST_NAME = 200
_LONGEST_TAG = 5000  # MLflow 2 refuses longer tags
_LONGEST_SENTENCE = 200
_LONGEST_WHY = 100
_KEPT_BESIDE = 2  # tags beside prodpointer.record
_KEPT_UNPACKED = 4  # events beside the newest where older ones move to a tag of their own
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
class Changes:
    """The tags of one version that an event writes, in this order, and then removes."""

    write: Mapping[str, str]
    remove: tuple[str, ...] = ()

    def applied_to(self, version: ModelVersion) -> ModelVersion:
        """Return the version as it is after them."""
        kept = {key: text for key, text in version.tags.items() if key not in self.remove}
        return replace(version, tags={**kept, **self.write})


@dataclass(frozen=True)
class _Tag:
    """One tag of the record as it was read: the events in it, and whether there is something in it that is none.

    An event that does not say to which model it belongs has no name yet.
    """

    version: ModelVersion
    key: str
    events: Sequence[Promotion]
    faulty: bool = False

    @property
    def is_alone(self) -> bool:
        """Whether it is the tag of one event."""
        return self.key.startswith(EVENT_TAG)


def read_record(versions: Iterable[ModelVersion]) -> Record:
    """Return what is recorded with these versions."""
    tags = [tag for version in versions for tag in _tags(version)]
    found: dict[str, Promotion] = {}
    foreign: dict[tuple[int, str], tuple[ModelVersion, Promotion]] = {}
    for tag in sorted(tags, key=lambda tag: tag.is_alone):  # a tag may be newer than a pack of it
        for event in tag.events:
            if belongs(event, tag.version):
                _keep_newest(found, replace(event, name=tag.version.name))  # a model may be renamed
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
    return [event for event in read_record(versions).events if alias in (None, event.alias)]


def holds_events(version: ModelVersion) -> bool:
    """Tell whether a version has any tag of the record."""
    return any(_is_of_record(key) for key in version.tags)


def has_many_tags(version: ModelVersion) -> bool:
    """Tell whether a version has more tags of the record than one that was promoted a few times."""
    return sum(map(_is_of_record, version.tags)) > 1 + _KEPT_BESIDE


def is_found(version: ModelVersion) -> bool:
    """Tell whether a search for :data:`RECORD_TAG` finds all that a version holds; not if it was written before."""
    return RECORD_TAG in version.tags or not holds_events(version)


def join_found(found: Sequence[ModelVersion], shown: Sequence[ModelVersion]) -> list[ModelVersion] | None:
    """Return the versions that a search for :data:`RECORD_TAG` found and those shown elsewhere, lowest number first.

    None where the search cannot have found all events: it missed a version that has the tag, or some were written
    before there was the tag.
    """
    searched = {each.version for each in found}
    missed = any(RECORD_TAG in each.tags and each.version not in searched for each in shown)
    known = {each.version: each for each in (*shown, *found)}
    return None if missed or not all(map(is_found, known.values())) else [known[number] for number in sorted(known)]


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


def changes(event: Promotion, holder: ModelVersion, now: datetime) -> Changes:
    """Return how an event is written to the version that holds it.

    Parameters
    ----------
    event
        The event in its new state.
    holder
        The version as it was read: for an event that ends, after its beginning was written.
    now
        The time by the clock that events are written by.
    """
    own = f"{EVENT_TAG}{event.event}"
    if event.state == "intended":
        is_first = RECORD_TAG not in holder.tags
        return Changes({RECORD_TAG: record_text([event])} if is_first else {own: event_text(event)})
    held = _Held.of(holder)
    if event.state == "refused" and RECORD_TAG in holder.tags:
        return Changes(_texts([*held.refused.values(), event], REFUSED_TAG))
    is_known = RECORD_TAG not in holder.tags or event.event in held.record or own in held.alone
    if not is_known or held.others_under_way(event, now):
        return Changes({own: event_text(event)})
    return held.rewritten(event, now)


def changes_to_find(version: ModelVersion) -> Changes:
    """Return how a version whose events were written before there was :data:`RECORD_TAG` gets one."""
    held = _Held.of(version)
    every = sorted(held.every().values(), key=lambda event: event.event or "")
    return Changes({RECORD_TAG: record_text(every[-1:])} if every else {})


def tidied(version: ModelVersion, now: datetime) -> Changes:
    """Return how a version with more tags than it needs has fewer, with nothing under way.

    What stands beside the record joins it first, and is removed by a second call for the version as it is then.
    """
    held = _Held.of(version)
    under_way = any(held.is_under_way(each, now) for each in held.every().values())
    if RECORD_TAG not in version.tags or under_way or held.beside <= _KEPT_BESIDE:
        return Changes({})
    if removable := held.in_record():
        return Changes({}, removable)
    return held.folded(now)


def raising(event: Promotion, raised: Promotion, holder: ModelVersion) -> Changes:
    """Return how an intent is written again under a higher id.

    The old tag is overwritten and not deleted: MLflow's basic-auth asks for a right of its own for that.
    """
    held = _Held.of(holder).record
    if event.event in held:
        others = [each for key, each in sorted(held.items()) if key != event.event]
        return Changes(_texts([*others, raised], RECORD_TAG))
    texts = {raised: event_text(raised), event: f"{RAISED}{raised.event}"}
    return Changes({f"{EVENT_TAG}{each.event}": text for each, text in texts.items()})


@dataclass(frozen=True)
class _Held:
    """The events that one version holds and that belong to it, by id and by where they stand."""

    version: ModelVersion
    record: Mapping[str, Promotion]
    refused: Mapping[str, Promotion]
    alone: Mapping[str, Promotion | None] = field(default_factory=dict)  # by key; None where an id was raised
    packs: Mapping[str, Sequence[Promotion]] = field(default_factory=dict)  # by key

    @classmethod
    def of(cls, version: ModelVersion) -> _Held:
        """Return what a version holds."""
        tags = {tag.key: [event for event in tag.events if belongs(event, version)] for tag in _tags(version)}
        alone: dict[str, Promotion | None] = {}
        for key, found in tags.items():
            if key.startswith(EVENT_TAG) and (found or version.tags[key].startswith(RAISED)):
                alone[key] = found[0] if found else None
        by_id = {key: {each.event or "": each for each in tags.get(key, ())} for key in (RECORD_TAG, REFUSED_TAG)}
        packs = {key: found for key, found in tags.items() if key.startswith(PACK_TAG)}
        return cls(version, by_id[RECORD_TAG], by_id[REFUSED_TAG], alone, packs)

    def every(self) -> dict[str, Promotion]:
        """Return the events but the refused ones, in the newest state that is known of each."""
        found = dict(self.record)
        for event in [*self.alone.values(), *(each for pack in self.packs.values() for each in pack)]:
            if event is not None:
                _keep_newest(found, event)
        return found

    def others_under_way(self, event: Promotion, now: datetime) -> bool:
        """Tell whether another promotion to this version has begun and not ended."""
        return any(self.is_under_way(each, now) for each in self.every().values() if each.event != event.event)

    def rewritten(self, event: Promotion, now: datetime) -> Changes:
        """Return the record with an event that has ended, and what stood in it before and elsewhere."""
        folded = self.folded(now, event)
        if self.beside <= _KEPT_BESIDE:
            return folded
        own = f"{EVENT_TAG}{event.event}"
        return replace(folded, remove=(*(key for key in self.in_record() if key != own), *folded.remove))

    def folded(self, now: datetime, event: Promotion | None = None) -> Changes:
        """Return the record with what stands beside it and is not under way, and with an event that has ended."""
        found = dict(self.record)
        for each in self.alone.values():
            if each is not None and not self.is_under_way(each, now):
                _keep_newest(found, each)
        if event is not None:
            found[event.event or ""] = event
        packs = _smaller_packs(self)
        texts = _texts([each for _, each in sorted(found.items())], RECORD_TAG)
        return Changes({**packs.write, **texts}, packs.remove)

    @property
    def beside(self) -> int:
        """How many tags stand beside the record."""
        return len(self.alone) + len(self.packs) + bool(self.refused)

    def in_record(self) -> tuple[str, ...]:
        """Return the tags of events that stand in the record already, and those of ids that were raised."""
        return tuple(key for key, each in self.alone.items() if each is None or self._is_in_record(each))

    def _is_in_record(self, event: Promotion) -> bool:
        """Tell whether the record says all that the tag of an event says."""
        known = self.record.get(event.event or "")
        return known is not None and (known.state != "intended" or event.state == "intended")

    @staticmethod
    def is_under_way(event: Promotion, now: datetime) -> bool:
        """Tell whether a promotion may be about to end."""
        return event.state == "intended" and now - event.at < UNDER_WAY


def _keep_newest(found: dict[str, Promotion], event: Promotion) -> None:
    """Keep an event, unless the same event is known to have ended and this one has not."""
    known = found.get(event.event or "")
    if known is None or known.state == "intended" or event.state != "intended":
        found[event.event or ""] = event


def _is_of_record(key: str) -> bool:
    """Tell whether a tag belongs to the record."""
    return key in (RECORD_TAG, REFUSED_TAG) or key.startswith((EVENT_TAG, PACK_TAG))


def _tags(version: ModelVersion) -> Iterator[_Tag]:
    """Yield the tags of a version's record."""
    for key, text in version.tags.items():
        if not _is_of_record(key):
            continue
        if key.startswith(PACK_TAG):
            yield _Tag(version, key, *unpacked(text))
        elif key.startswith(EVENT_TAG):
            event = _of_tag(key.removeprefix(EVENT_TAG), text)
            yield _Tag(version, key, [event] if event else [], event is None and not text.startswith(RAISED))
        else:
            yield _Tag(version, key, *_of_record(text))


def _of_tag(event: str, text: str) -> Promotion | None:
    """Return the event of one tag, None where it holds none."""
    try:
        return event_from("", event, text) if is_id(event) else None
    except ValueError:
        return None


def _of_record(text: str) -> tuple[list[Promotion], bool]:
    """Return the events of a record, and whether there was anything in it that is none."""
    _, *lines = text[: _LONGEST_TAG + 1].split("\n")
    try:
        newest = event_of_line(lines[0] if lines else "")
    except ValueError:
        return [], True
    older, faulty = unpacked(lines[1]) if len(lines) > 1 else ([], False)
    return [*older, newest], faulty or len(lines) > 2


def _has_impossible_id(tag: _Tag) -> bool:
    """Tell whether a tag is under the key of an event with an id that none can have."""
    return tag.is_alone and not is_id(tag.key.removeprefix(EVENT_TAG))


def _possible(ids: Iterable[str]) -> set[str]:
    """Return the ids before the first that no promotion can have reached, since hardly any would be left after it."""
    found: set[str] = set()
    highest = 0
    for each in ids:
        count = int(each.partition("-")[0])
        if count - highest > MOST_SKIPPED or count > HIGHEST:
            break
        found.add(each)
        highest = count
    return found


def event_text(event: Promotion) -> str:
    """Return the tag of one event: a sentence for people, and the event, cut so that it fits."""
    event = _cut(event)
    return f"{describe(event)}\n{dumped(document_of(event))}"


def record_text(in_order: Sequence[Promotion]) -> str:
    """Return the text of a record, with its newest event as it is and the older ones packed."""
    newest = _cut(in_order[-1])
    lines = [describe(newest), dumped({"event": newest.event, **document_of(newest)})]
    return "\n".join(lines + ([packed(in_order[:-1])] if len(in_order) > 1 else []))


def describe(event: Promotion) -> str:
    """Return one sentence on an event: what happened, when, by whom, what was live before, and why."""
    under = "" if event.alias == "production" else f" as {event.alias}"
    before = "no version" if event.from_version is None else f"version {event.from_version}"
    when = f"{event.at.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC{f' by {event.by}' if event.by else ''}"
    if event.state == "refused":
        said = f"promotion{under} refused {when}"
    elif event.state != "done":
        said = f"promotion{under} {'started' if event.state == 'intended' else 'lost to another one'} {when}"
    elif event.kind in ("finish", "undo"):
        said = f"migration {'finished' if event.kind == 'finish' else 'undone'} {when}"
    elif event.to_version is None:
        said = f"withdrawn{under} {when}, was {before}"
    else:
        said = f"live{under} since {when}, was {before}"
    failed = ", ".join(gate.gate for gate in event.gates if not gate.passed) if event.state == "refused" else ""
    why = " ".join((f"not {failed}" if failed else event.reason).split())
    said = " ".join(said.split())[:_LONGEST_SENTENCE]
    return f"{said}: {_shortened(why, _LONGEST_WHY)}" if why else said


def _shortened(text: str, longest: int) -> str:
    """Return a text, or its beginning where it is too long."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _cut(event: Promotion) -> Promotion:
    """Return an event, cut so that it fits: the reason first, then the evidence of the gates.

    A long name of the model goes before the evidence, where it is known when the version was created.
    """
    event = replace(event, by=event.by[:_LONGEST_NAME])
    room = _room_for_reason(event)
    if room < 0 and event.holder_created_at is not None:
        event = replace(event, name="")
        room = _room_for_reason(event)
    event = replace(event, reason=_fitting(event.reason, max(0, room)))
    while event.gates and len(dumped(document_of(event))) > LONGEST_EVENT:
        event = replace(event, gates=event.gates[:-1], omitted_gates=event.omitted_gates + 1)
    return event


def _room_for_reason(event: Promotion) -> int:
    """Return how many characters the reason of an event may have in JSON."""
    return LONGEST_EVENT - len(dumped(document_of(replace(event, reason=""))))


def _texts(in_order: Sequence[Promotion], key: str) -> dict[str, str]:
    """Return the tags that hold these events: the older ones in tags of their own where one is too short."""
    text = record_text(in_order)
    if len(text) <= _LONGEST_TAG:
        return {key: text}
    kept = next(
        count for count in range(_KEPT_UNPACKED, -1, -1) if len(record_text(in_order[-1 - count :])) <= _LONGEST_TAG
    )
    old, new = in_order[: -1 - kept], in_order[-1 - kept :]
    return {**dict(_packs([_cut(each) for each in old])), key: record_text(new)}


def _smaller_packs(held: _Held) -> Changes:
    """Return how packs become fewer and smaller where they are large: old reasons and gates go, no event does."""
    packs = held.packs
    if sum(len(held.version.tags[key]) for key in packs) <= _PACKED_AT_MOST:
        return Changes({})
    every = {each.event or "": each for pack in packs.values() for each in pack}
    plain = [replace(event, reason="", gates=(), omitted_gates=0, sha256=None) for _, event in sorted(every.items())]
    made = dict(_packs(plain)) if plain else {}
    return Changes(made, tuple(key for key in packs if key not in made))


def _packs(old: Sequence[Promotion]) -> Iterator[tuple[str, str]]:
    """Yield as few tags as hold these events."""
    text = packed(old)
    if len(text) > _LONGEST_TAG and len(old) > 1:
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
