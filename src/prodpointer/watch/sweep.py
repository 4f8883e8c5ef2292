"""One look at all models: what changed since the last look goes into the cursor's outbox.

While nothing changes a sweep costs one request for each page of models. A page shows every pointer, when a stage moved
last, and the tags of each model and of the newest version in each stage. Only a model of which one of these changed is
read with its record, from which every move since is taken. What does not show there, such as a promotion that lost, or
a move there and back, is found when the model changes next, or by the full sweep that reads all records now and then.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from prodpointer.errors import ModelNotFound, ProdpointerError
from prodpointer.history import record
from prodpointer.mlflow_client import ask_again_after, probe_capabilities
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.types import ModelReply
from prodpointer.watch.changes import Change, News, PointerRecord, Position, begin, find_news
from prodpointer.watch.cursor import Cursor, Known
from prodpointer.watch.documents import document_of, event_id, source_of
from prodpointer.watch.listing import OF_ONE_MODEL, Watched, slim

FULL_EVERY = 600.0
"""Seconds after which a sweep reads the records of all models."""

_READS = 3  # of a model whose pointer moved without a record, until two of them agree


@dataclass(frozen=True)
class Swept:
    """What one sweep did: how many models it saw and read, how many events it found, and models it could not read."""

    models: int = 0
    read: int = 0
    events: int = 0
    failed: Mapping[str, ProdpointerError] = field(default_factory=dict)


class Sweeper:
    """Looks at all models and puts their new events into the outbox of a cursor.

    Parameters
    ----------
    watched
        The registry, the models and the pointers.
    cursor
        Where it goes on, and where it puts what it finds.
    since
        With a new cursor, the time from which on events are sent; None for now. It holds too for a model that was there
        then and can be read only later.
    """

    def __init__(self, watched: Watched, cursor: Cursor, *, since: datetime | None = None) -> None:
        self._watched = watched
        self._cursor = cursor
        self._since = since
        self._addresses = watched.registry.addresses
        self._unreadable: dict[str, str] = {}
        self.source: str = source_of(self._addresses.identity, self._addresses.workspace)
        """The CloudEvents source of the events."""

    def sweep(self, stopped: Callable[[], bool] = lambda: False) -> Swept:
        """Look at all models once.

        Parameters
        ----------
        stopped
            Asked before each model; where it says so the sweep ends, and the next one goes on.

        Raises
        ------
        RegistryUnavailable, AccessDenied, RegistryUnsupported, RegistryError
            The models cannot be listed or read; what was found until then is kept.
        InvalidName
            With a new cursor: a name or a pattern matches no model.
        """
        probe_capabilities(self._watched.registry, max_age=ask_again_after(self._watched.registry))
        if self._cursor.about("begun") is None:
            return self._begin(stopped)
        full = self._is_full_due()
        swept = Swept()
        replies: dict[str, ModelReply] = {}
        for page in self._watched.replies():
            swept = replace(swept, models=swept.models + len(page))
            for reply in page:
                if stopped():
                    return swept
                mark = _mark(reply)
                if self._is_changed(reply, mark):
                    swept = self._look(swept, reply, mark)
            if full:
                replies |= {reply.name: slim(reply) for reply in page}
        return self._look_at_records(replies, swept, stopped) if full else swept

    def _begin(self, stopped: Callable[[], bool]) -> Swept:
        """Read all records, and note as reported what is older than the first event to send."""
        replies: dict[str, ModelReply] = {}
        marks: dict[str, str] = {}
        started = time.monotonic()
        for page in self._watched.replies():
            if stopped():
                return Swept()
            replies |= {reply.name: slim(reply) for reply in page}
            marks |= {reply.name: _mark(reply) for reply in page}
        self._watched.check_names(replies)
        # The registry tells its time by an answer, and a model that is made while they are listed is a new one.
        begun = self._watched.registry.now() - timedelta(seconds=time.monotonic() - started)
        swept = Swept(len(replies))
        for reply in self._watched.records(replies):
            if stopped():
                return swept
            if self._cursor.mark(reply.name) is None:  # else a process that began was stopped after this model
                swept = self._look(swept, reply, marks[reply.name])
        self._cursor.note("begun", (self._since or begun).isoformat())
        self._note_full()
        return swept

    def _is_changed(self, reply: ModelReply, mark: str) -> bool:
        """Tell whether a model is new, made anew or looks different, or a promotion of it is under way."""
        if self._cursor.mark(reply.name) == (reply.created_at, mark, False):
            return False
        return self._unreadable.get(reply.name) != mark

    def _is_full_due(self) -> bool:
        """Tell whether the last full sweep is long ago; by the wall clock, since another process may have made it."""
        return not 0 <= time.time() - float(self._cursor.about("full") or 0) < FULL_EVERY

    def _note_full(self) -> None:
        """Note that all records were read."""
        self._cursor.note("full", str(time.time()))
        self._unreadable.clear()

    def _look_at_records(self, replies: Mapping[str, ModelReply], swept: Swept, stopped: Callable[[], bool]) -> Swept:
        """Read the models of which a record holds something that was not reported."""
        for reply in self._watched.records(replies, found_by_tag=True):
            if stopped():
                return swept
            reported = self._cursor.reported(reply.name)
            events = record.events(reply.versions or (), self._watched.alias)
            new = any(reported.get(each.event or "") != each.state for each in events if each.state != "intended")
            if new or reply.versions is None:
                known = self._cursor.mark(reply.name)
                swept = self._look(swept, replies[reply.name], known[1] if known else "")
        self._note_full()
        return swept

    def _look(self, swept: Swept, reply: ModelReply, mark: str) -> Swept:
        """Report what is new of one model; one that cannot be read holds up no other."""
        try:
            count = self._report(reply, mark)
        except ModelNotFound:  # deleted meanwhile
            return swept
        except OF_ONE_MODEL as error:
            self._unreadable[reply.name] = mark
            return replace(swept, failed={**swept.failed, reply.name: error})
        return replace(swept, read=swept.read + 1, events=swept.events + count)

    def _report(self, reply: ModelReply, mark: str) -> int:
        """Put the new events of one model into the outbox, with the new positions, and return how many they are."""
        known = self._cursor.known(reply.name)
        if known is not None and known.created_at != reply.created_at:
            self._cursor.forget(reply.name)
            known = None
        found, agreed = self._find(reply, known)
        if known is None:
            if not agreed:  # nor is it known where to begin
                return 0
            known = Known(reply.name, reply.created_at)
        if not agreed:
            found = {alias: news.certain or news for alias, news in found.items()}
        waiting = {event: at for news in found.values() for event, at in news.waiting.items()}
        changes = sorted((each for news in found.values() for each in news.changes), key=attrgetter("order"))
        documents = [self._document(change, reply) for change in changes]
        now_known = Known(
            reply.name,
            reply.created_at,
            mark,
            not agreed or any(news.under_way for news in found.values()),
            {**known.positions, **{alias: news.position for alias, news in found.items()}},
            {event: state for news in found.values() for event, state in news.closed.items()},
            waiting,
        )
        self._cursor.keep(now_known, documents)
        return len(documents)

    def _find(self, reply: ModelReply, known: Known | None) -> tuple[dict[str, News], bool]:
        """Return what is new of each pointer of a model, and whether two reads agree on it.

        The pointers are not read at the same moment as the record. So a move that is not recorded counts once two reads
        agree on it; where they do not, it is left to the next sweep.
        """
        positions = known.positions if known else {}
        before: dict[str, Position] | None = None
        found: dict[str, News] = {}
        for attempt in range(_READS):
            if attempt == 0 and reply.versions is not None:
                capabilities = probe_capabilities(
                    self._watched.registry, max_age=ask_again_after(self._watched.registry)
                )
                snapshots = self._watched.snapshots(reply, capabilities, positions)
            else:
                snapshots = self._watched.read(reply.name, positions)
            found = {each.rule.alias: self._find_in(each, known) for each in snapshots}
            doubts = {alias: news.position for alias, news in found.items() if news.doubtful}
            if not doubts or doubts == before:
                return found, True
            before = doubts
        return found, False

    def _find_in(self, snapshot: ModelSnapshot, known: Known | None) -> News:
        """Return what is new of one pointer as it was read."""
        now = snapshot.now
        pointer = PointerRecord.of(snapshot, self._addresses.workspace)
        if known is not None:
            position = known.positions.get(pointer.alias, Position())
            return find_news(pointer, position, known.reported, known.waiting, now)
        begun = self._cursor.about("begun")
        since = datetime.fromisoformat(begun) if begun else self._since
        created_at = snapshot.reply.created_at
        if begun and (created_at is None or (since and created_at >= since)):
            return find_news(pointer, Position(), {}, {}, now)
        position, reported = begin(pointer, since, now)
        news = find_news(pointer, position, reported, {}, now)
        return replace(news, closed={**reported, **news.closed}, doubtful=news.doubtful or not pointer.explains_live)

    def _document(self, change: Change, reply: ModelReply) -> dict[str, Any]:
        """Return an event as it is sent."""
        own_id = event_id(self.source, change.event, reply.created_at, change.key)
        return document_of(change.event, own_id, self._addresses.shown)


def _mark(reply: ModelReply) -> str:
    """Return what tells whether a model on a page changed: a digest of what it shows of pointers and record."""
    newest = [
        (str(stage), each.version, str(each.updated_at), sorted(each.tags.items()))
        for stage, each in reply.newest.items()
    ]
    shown = [sorted(reply.aliases.items()), sorted(newest), str(reply.updated_at), sorted(reply.tags.items())]
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:32]
