"""What the record of a fleet says of runs: which there were, which were undone, and which came after which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

from prodpointer.history import record
from prodpointer.types import WINDOW_TAG, ModelReply, Promotion

RunState = Literal["done", "undone", "partly undone", "interrupted", "open"]


@dataclass(frozen=True)
class RunSummary:
    """What is recorded of one run: its kind, how many models it moved, when it began and ended, by whom, and its state.

    Of a window no time and no user is known: its only trace are the tags of the models, and its state is ``open``.
    ``interrupted`` says that something was left half done, which the next run of that kind completes.
    """

    name: str
    kind: str
    models: int
    first: datetime | None
    last: datetime | None
    by: tuple[str, ...] = ()
    state: RunState = "done"

    def as_json(self) -> dict[str, Any]:
        """Return what ``migrate runs --json`` prints for one run."""
        times = {key: at.isoformat() if (at := getattr(self, key)) else None for key in ("first", "last")}
        return {**vars(self), **times, "by": list(self.by)}


@dataclass(frozen=True)
class _Part:
    """What one run did to one alias of one model: its moves, whether they were undone, or left half done."""

    model: str
    events: tuple[Promotion, ...]
    undone: bool
    interrupted: bool

    @property
    def alias(self) -> str:
        """The alias that the run moved."""
        return self.events[0].alias

    @property
    def last(self) -> str:
        """The id of the last event."""
        return _newest(self.events)


def summarise_runs(fleet: Iterable[ModelReply]) -> list[RunSummary]:
    """Return the recorded runs, the oldest first; windows, of which no time is known, before all others."""
    parts: dict[str, list[_Part]] = {}
    marked: Counter[str] = Counter()
    for reply in fleet:
        if window := reply.tags.get(WINDOW_TAG):
            marked[window] += 1
        for name, part in _parts(reply):
            parts.setdefault(name, []).append(part)
    windows = [
        RunSummary(name, "start", count, None, None, state="open")
        for name, count in marked.items()
        if name not in parts
    ]
    recorded = [_summary(name, each) for name, each in parts.items()]
    return windows + sorted(recorded, key=lambda run: run.first or datetime.max.replace(tzinfo=timezone.utc))


def took_part(reply: ModelReply, run: str) -> bool:
    """Tell whether the record of a model, or its tag, names a run."""
    return reply.tags.get(WINDOW_TAG) == run or any(name == run for name, _ in _parts(reply))


def is_recorded(reply: ModelReply, run: str) -> bool:
    """Tell whether a model knows a run: also a window that a later run ended."""
    windows = (event.migration.window for event in _events(reply) if event.migration is not None)
    return took_part(reply, run) or run in windows


def later_runs(fleet: Iterable[ModelReply], run: str) -> dict[str, int]:
    """Return the runs that changed models of a run after it and stand, the oldest first, and how many of its models."""
    ends: dict[str, dict[str, str]] = {}
    for reply in fleet:
        parts = list(_parts(reply))
        own = {part.alias: part.last for name, part in parts if name == run and not part.undone}
        for name, part in parts:
            if name != run and not part.undone and part.alias in own and part.last > own[part.alias]:
                of_models = ends.setdefault(name, {})
                of_models[reply.name] = max(part.last, of_models.get(reply.name, ""))
    in_order = sorted(ends.items(), key=lambda item: max(item[1].values()))
    return {name: len(of_models) for name, of_models in in_order}


def _events(reply: ModelReply) -> list[Promotion]:
    """Return the events of a model."""
    return list(record.events(reply.versions or ()))


def _parts(reply: ModelReply) -> Iterator[tuple[str, _Part]]:
    """Yield what each run did to each alias of a model, by the name of the run."""
    events = _events(reply)
    aliases = {event.alias for event in events}
    done = {alias: _newest(each for each in events if (each.alias, each.state) == (alias, "done")) for alias in aliases}
    grouped: dict[tuple[str, str], list[Promotion]] = {}
    for event in events:
        if event.migration is not None:
            grouped.setdefault((event.migration.run, event.alias), []).append(event)
    for (run, alias), each in grouped.items():
        moves = tuple(event for event in each if event.kind != "undo" and event.state != "lost")
        if moves:
            undone = _newest(event for event in each if event.kind == "undo" and event.state == "done")
            interrupted = any(event.state == "intended" and (event.event or "") > done[alias] for event in each)
            yield run, _Part(reply.name, moves, undone > _newest(moves), interrupted)


def _newest(events: Iterable[Promotion]) -> str:
    """Return the highest id of events, the empty text for none."""
    return max((event.event or "" for event in events), default="")


def _summary(name: str, parts: Sequence[_Part]) -> RunSummary:
    """Return the summary of one run."""
    events = [event for part in parts for event in part.events]
    undone = sum(part.undone for part in parts)
    state: RunState = "undone" if undone == len(parts) else "partly undone" if undone else "done"
    if any(part.interrupted for part in parts):
        state = "interrupted"
    return RunSummary(
        name,
        events[0].kind,
        len({part.model for part in parts}),
        min(event.at for event in events),
        max(event.at for event in events),
        tuple(sorted({event.by for event in events if event.by})),
        state,
    )
