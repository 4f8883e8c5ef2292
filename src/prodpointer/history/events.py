"""One event as a document: what is written, and what a document must be to be read as an event.

Any client that may tag a version can write anything under an event's key. So every value is checked before it is used;
what is not exactly an event is a ``ValueError``, whatever it holds.
"""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, get_args

from prodpointer.gates.gate import recorded
from prodpointer.types import Before, Kind, Promotion, State, Verdict, utc_from_millis
from prodpointer.validation import version_number


class NoEvent(ValueError):
    """What was read is not exactly an event."""


_ID = re.compile(r"[0-9]{12}-[0-9a-f]{8}")

_LONGEST_TEXT = 5000  # characters; MLflow 2 holds no longer tags
_LONGEST_EVIDENCE = 500  # characters of an event that the gates may take, so that the reason has room too
_LARGEST_PACK = 1024 * 1024  # bytes of a pack's text once it is decompressed
_DEEPEST = 6  # an event is four levels deep
_KINDS = frozenset(get_args(Kind)) - {"unrecorded"}
_LAST_MILLIS = 10**14

_KEYS = ("kind", "state", "alias", "from_version", "to_version", "pointers", "at", "by", "reason", "gates", "sha256")
# In the order in which a pack keeps them; events written before there was one do not have it.
_KEYS_OF_SOME = ("after", "migration", "model", "holder_created", "passing", "workspace")


def document_of(event: Promotion) -> dict[str, Any]:
    """Return what an event's tag says; the tag's key says the id."""
    values = {**vars(event), "at": event.at.astimezone(timezone.utc).isoformat(), "model": event.name or None}
    values["gates"] = list(recorded(event.gates, longest=_LONGEST_EVIDENCE, omitted=event.omitted_gates))
    values["migration"] = event.migration.as_json() if event.migration else None
    values["holder_created"] = millis(event.holder_created_at)
    return {key: values[key] for key in _KEYS} | {key: values[key] for key in _KEYS_OF_SOME if values[key] is not None}


def dumped(document: object) -> str:
    """Return a document as compact JSON."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def event_from(name: str, event: str, text: str) -> Promotion:
    """Read back an event; raise ValueError for anything else.

    Parameters
    ----------
    name
        The registered model that holds it: the event's own, where the text names none.
    event
        The id in the tag's key.
    text
        The tag's value: JSON, after a line for people.
    """
    if len(text) > _LONGEST_TEXT:
        raise NoEvent(f"longer than {_LONGEST_TEXT} characters: {text[:80]!r}")
    line = text if text.startswith("{") else text.partition("\n")[2]  # early events are JSON alone
    return _event(name, event, _loaded(line))


def event_of_line(line: str) -> Promotion:
    """Read back an event that names its id itself; raise ValueError for anything else."""
    document = _loaded(line)
    event = document.get("event") if isinstance(document, dict) else None
    if not is_id(event):
        raise NoEvent(f"not the id of an event: {str(event)[:80]!r}")
    return _event("", str(event), document)


def packed(events: Sequence[Promotion]) -> str:
    """Return events as one compressed text."""
    rows = [[event.event, *_row(event)] for event in events]
    return base64.b85encode(zlib.compress(dumped(rows).encode(), 9)).decode()


def unpacked(text: str) -> tuple[list[Promotion], bool]:
    """Return the events of a pack, and whether there was anything in it that is none; some have no name."""
    try:
        rows = _loaded(_decompressed(text))
    except ValueError:
        return [], True
    if not isinstance(rows, list):
        return [], True
    found = [event for row in rows if (event := _unrowed(row)) is not None]
    return found, len(found) < len(rows)


def millis(at: datetime | None) -> int | None:
    """Return a time as MLflow keeps it, in milliseconds since 1970, or None."""
    return None if at is None else round(at.timestamp() * 1000)


def _row(event: Promotion) -> list[Any]:
    """Return the values of an event's document, up to the last that it has."""
    document = document_of(event)
    row = [document.get(key) for key in (*_KEYS, *_KEYS_OF_SOME)]
    while len(row) > len(_KEYS) and row[-1] is None:
        row.pop()
    return row


def _unrowed(row: Any) -> Promotion | None:
    """Return the event that a pack keeps the values of, what only some events have last; None for what is none."""
    if not isinstance(row, list) or not row or not is_id(row[0]):
        return None
    try:
        return _event("", row[0], dict(zip((*_KEYS, *_KEYS_OF_SOME), row[1:], strict=False)))
    except ValueError:
        return None


def _decompressed(text: str) -> str:
    """Return the text of a pack, or raise ValueError for what is none or has no reasonable size."""
    if len(text) > _LONGEST_TEXT:
        raise NoEvent("longer than a pack is made")
    unzip = zlib.decompressobj()
    try:
        content = unzip.decompress(base64.b85decode(text), _LARGEST_PACK)
    except zlib.error as error:
        raise NoEvent("not compressed") from error
    if not unzip.eof:
        raise NoEvent("larger than a pack is made, or cut")
    return content.decode()


def _loaded(text: str) -> Any:
    """Return the JSON of a text; raise ValueError for what is none or nested deeper than any event."""
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise NoEvent("nested too deeply") from error
    _check_content(document, _DEEPEST)
    return document


def _check_content(value: Any, left: int) -> None:
    """Raise ValueError for more levels than are left, and for what could not be written as JSON again."""
    if isinstance(value, float) and not math.isfinite(value):
        raise NoEvent("not a number of JSON")
    if isinstance(value, str):
        value.encode()  # half a character, which a JSON text may hold, is a ValueError
    inside = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    if inside and left == 0:
        raise NoEvent("nested too deeply")
    for each in inside:
        _check_content(each, left - 1)


def is_id(event: object) -> bool:
    """Tell whether something is the id of an event."""
    return isinstance(event, str) and bool(_ID.fullmatch(event))


def _event(name: str, event: str, values: Any) -> Promotion:
    """Return the event that a document describes, or raise ValueError."""
    if not isinstance(values, Mapping) or not set(_KEYS) <= set(values):
        raise NoEvent(f"not the text of an event: {str(values)[:80]!r}")
    given = {key: _CHECKED[key](values.get(key)) for key in (*_KEYS, *_KEYS_OF_SOME)}
    given["gates"], given["omitted_gates"] = given["gates"]
    return Promotion(
        name=given.pop("model") or name, event=event, holder_created_at=given.pop("holder_created"), **given
    )


def _text(value: Any) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise NoEvent(f"not a text: {value!r}")
    return value


def _version(value: Any) -> int:
    """Return the number of a version; True is none, though Python counts it as 1."""
    if not isinstance(value, int):
        raise NoEvent(f"not a version: {value!r}")
    return version_number(value)


def _time(value: Any) -> datetime:
    """Return an aware time."""
    try:
        at = datetime.fromisoformat(_text(value))
        if at.tzinfo is not None:
            return at.astimezone(timezone.utc)
    except OverflowError:
        pass
    raise NoEvent(f"not a time with its zone: {value!r}")


def _created(value: Any) -> datetime | None:
    """Return a time of MLflow's."""
    if type(value) is not int or not 0 < value < _LAST_MILLIS:
        raise NoEvent(f"not a time in milliseconds: {value!r}")
    return utc_from_millis(value)


def _one_of(known: frozenset[str]) -> Callable[[Any], str]:
    """Return a function that returns one of the texts that are known."""

    def checked(value: Any) -> str:
        if _text(value) not in known:
            raise NoEvent(f"{value!r} is none of {', '.join(sorted(known))}")
        return str(value)

    return checked


def _or_none(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that checks what is there."""
    return lambda value: None if value is None else check(value)


def _pointers(value: Any) -> tuple[str, ...]:
    """Return the pointers that were moved."""
    if value not in ([], ["alias"], ["stage"], ["alias", "stage"]):  # compared, since it may hold what has no hash
        raise NoEvent(f"no pointers: {value!r}")
    return tuple(value)


def _gates(value: Any) -> tuple[tuple[Verdict, ...], int]:
    """Return the verdicts of gates, and how many more there were."""
    if not isinstance(value, list) or not all(isinstance(gate, dict) for gate in value):
        raise NoEvent(f"no verdicts: {value!r}")
    omitted = [gate["omitted"] for gate in value if type(gate.get("omitted")) is int]
    return tuple(Verdict.from_json(gate) for gate in value if "omitted" not in gate), max(0, sum(omitted))


def _earlier(value: Any) -> str:
    """Return the id of an earlier event, or the empty text."""
    return str(value) if is_id(value) else ""


def _before(value: Any) -> Before:
    """Return what a migration found before a move."""
    if not isinstance(value, dict) or not isinstance(value.get("stages"), dict):
        raise NoEvent(f"no state before a move: {value!r}")
    text = _or_none(_text)
    return Before(
        run=_text(value.get("run")),
        stage=text(value.get("stage")),
        alias=_or_none(_version)(value.get("alias")),
        stages={version_number(version): text(stage) for version, stage in value["stages"].items()},
        tag=text(value.get("tag")),
        window=text(value.get("window")),
    )


_CHECKED: Mapping[str, Callable[[Any], Any]] = {
    "kind": _one_of(_KINDS),
    "state": _one_of(frozenset(get_args(State))),
    "alias": _text,
    "from_version": _or_none(_version),
    "to_version": _or_none(_version),
    "pointers": _pointers,
    "at": _time,
    "by": _text,
    "reason": _text,
    "gates": _gates,
    "sha256": _or_none(_text),
    "after": _or_none(_earlier),
    "migration": _or_none(_before),
    "model": _or_none(_text),
    "holder_created": _or_none(_created),
    "passing": _or_none(_earlier),
    "workspace": _or_none(_text),
}
