"""The record of moves, kept as tags of the versions concerned.

For now withdrawals are recorded, since nothing else in the registry tells which pointers a model had. An event's key is
``prodpointer.event.`` and an id that sorts in the order of the events.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import replace

from prodpointer.records import ModelVersion, Promotion

EVENT_TAG = "prodpointer.event."
_LONGEST = 1000  # characters of one event, whatever reason was given
_LONGEST_NAME = 200
_DIGITS = 12


def events(versions: Iterable[ModelVersion]) -> list[Promotion]:
    """Return every event in the tags of these versions, oldest first; tags that are not events are passed over."""
    found: list[Promotion] = []
    for version in versions:
        for key, text in version.tags.items():
            if key.startswith(EVENT_TAG):
                try:
                    found.append(Promotion.from_text(version.name, key.removeprefix(EVENT_TAG), text))
                except ValueError:
                    continue
    return sorted(found, key=lambda event: event.event or "")


def last_event(versions: Iterable[ModelVersion], alias: str | None = None) -> Promotion | None:
    """Return the newest event, or the newest of one pointer; None where there is none."""
    found = [event for event in events(versions) if alias in (None, event.alias)]
    return found[-1] if found else None


def next_id(last: Promotion | None) -> str:
    """Return an id that sorts after ``last``: its count plus one, then something random for ties. Not a clock."""
    seen = last.event.partition("-")[0] if last and last.event else ""
    count = int(seen) if seen.isdecimal() else 0
    return f"{count + 1:0{_DIGITS}d}-{secrets.token_hex(4)}"


def event_text(event: Promotion) -> str:
    """Return an event as the text of a tag, name and reason cut so that it fits."""
    event = replace(event, by=event.by[:_LONGEST_NAME])
    text = event.as_text()
    if len(text) <= _LONGEST:
        return text
    kept = max(0, len(event.reason) - (len(text) - _LONGEST) - 3)
    return replace(event, reason=event.reason[:kept] + "...").as_text()
