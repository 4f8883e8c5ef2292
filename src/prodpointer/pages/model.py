"""One model as one HTML page: what was live when, who moved the pointer and why, and what the gates measured.

The page comes from two values of the API, the status of the pointers and the history. It needs nothing but itself, has
no script, and its template is ``model.html.jinja``.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from prodpointer._telemetry import library_version
from prodpointer.pages.html import code, file_of, policy, render, style_of
from prodpointer.pages.periods import Part, Period, Timeline, grouped, lengths, periods_of, timeline_of
from prodpointer.types import PointerStatus, Promotion, Verdict, called

_HERE = "prodpointer.pages"
_OPEN_ROWS = 20  # versions that are seen without a click
_CHART_HEIGHT = 100
_WIDTHS = {"narrow": 290, "middle": 600, "wide": 1100}
"""Pixels that a row of the timeline has at least, in windows of three sizes."""
_LETTER, _MARGIN = 7.5, 10  # pixels
_KINDS = {
    "promote": ("↑", "promotion"),
    "rollback": ("↩", "rollback"),
    "withdraw": ("∅", "withdrawal"),
    "unrecorded": ("?", "unrecorded move"),
}
_OTHER_KIND = ("⇄", "migration")
_STATES = {"intended": "not finished"}
_PLURALS = {"promotion": "promotions", "rollback": "rollbacks", "withdrawal": "withdrawals", "migration": "migrations"}


def model_page(
    status: PointerStatus,
    moves: Sequence[Promotion],
    *,
    alias: str,
    stage: str | None,
    registry: str,
    at: datetime,
) -> str:
    """Return the text of the page.

    Parameters
    ----------
    status
        What the pointers of the model say.
    moves
        Its history, oldest first.
    alias, stage
        The names of the pointers; ``stage`` is None for an alias that stands for no stage.
    registry
        Where both come from, fit to be shown.
    at
        When they were read.

    Raises
    ------
    ProdpointerError
        Jinja2 is not installed.
    """
    style = style_of(_HERE, "model.css")
    periods = periods_of(moves, at)
    timeline = timeline_of(periods, len(moves), at) if periods else None
    metrics = _metrics(moves)
    groups = grouped(moves, timeline.rows if timeline else ())
    return render(
        file_of(_HERE, "model.html.jinja"),
        style=style,
        policy=policy(style=style),
        status=status,
        alias=alias,
        stage=stage,
        registry=registry,
        made=_time(at),
        version=library_version(),
        live=_live(status, periods),
        problems=_problems(status),
        repair=code(shlex.join(["prodpointer", "repair", status.name])),
        summary=_summary(moves),
        before=_before(moves),
        timeline=_picture(timeline, periods, status) if timeline else None,
        metrics=metrics,
        versions=_versions(status, moves, periods, metrics),
        open_rows=_OPEN_ROWS,
        charts=[chart for name, readings in metrics.items() if (chart := _chart(name, readings))],
        groups=[_group(name, those) for name, those in reversed(groups)],
        events=len(moves),
    )


# Texts


@dataclass(frozen=True)
class _Time:
    """A moment, for machines and for people."""

    machine: str
    shown: str


def _time(at: datetime) -> _Time:
    """Return a moment in UTC."""
    moment = at.astimezone(timezone.utc)
    return _Time(f"{moment:%Y-%m-%dT%H:%M:%SZ}", f"{moment:%Y-%m-%d %H:%M:%S}")


def _minute(at: datetime) -> str:
    """Return a moment in UTC without its seconds."""
    return f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M}"


def _duration(seconds: float) -> str:
    """Return how long something was, in its two largest units."""
    minutes = int(seconds // 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    units = [f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if count]
    return " ".join(units[:2]) or f"{seconds:.0f} s"


def _count(number: int, one: str, many: str) -> str:
    """Return a number of things in words."""
    return f"{number:,} {one if number == 1 else many}"


def _kind(move: Promotion) -> tuple[str, str]:
    """Return the sign of a move, and what it is called."""
    return _KINDS.get(move.kind, _OTHER_KIND)


def _number(value: float) -> str:
    """Return a metric's value as a table shows it."""
    return f"{value:.6g}"


# Now


def _live(status: PointerStatus, periods: Sequence[Period]) -> dict[str, Any]:
    """Return what is live, since when, and the move that made it so."""
    last = periods[-1] if periods else None
    known = last if last and not last.is_unsure and last.version == status.live else None
    unknown_since = last if last and last.is_unsure else None
    return {
        "text": "Nothing is live" if status.live is None else f"Version {status.live} is live",
        "since": _time(known.start) if known else None,
        "for": _duration(known.seconds) if known else "",
        "move": known.moves[0] if known else None,
        "kind": _kind(known.moves[0])[1] if known else "",
        "after": _time(unknown_since.start) if unknown_since else None,
    }


def _problems(status: PointerStatus) -> list[str]:
    """Return in sentences how the pointers differ now; nothing where they agree."""
    if status.agreed:
        return []
    found = []
    if status.dangling:
        found.append(f"The alias names version {status.alias}, which was deleted.")
    if len(status.in_stage) > 1:
        found.append(f"The stage holds several versions: {', '.join(map(str, status.in_stage))}.")
    if status.mismatch:
        found.append(f"{status.mismatch[:1].upper()}{status.mismatch[1:].rstrip('.')}.")
    return found or [f"The alias names {called(status.alias)}, the stage holds {called(status.stage)}."]


def _summary(moves: Sequence[Promotion]) -> str:
    """Return in one sentence what the record holds."""
    if not moves:
        return ""
    kinds = Counter(_kind(move)[1] for move in moves if move.state == "done")
    states = Counter(_STATES.get(move.state, move.state) for move in moves if move.state != "done")
    parts = [_count(number, kind, _PLURALS.get(kind, f"{kind}s")) for kind, number in kinds.items()]
    parts += [f"{number:,} {state}" for state, number in states.items()]
    return f"{_count(len(moves), 'event', 'events')} since {_minute(moves[0].at)} UTC: {', '.join(parts)}."


def _before(moves: Sequence[Promotion]) -> str:
    """Return what was live before the record begins, where it tells."""
    first = next((move for move in moves if move.state == "done"), None)
    if first is None or first.from_version in (None, first.to_version):
        return ""
    return f"Version {first.from_version} was live before the record begins."


# The timeline


def _picture(timeline: Timeline, periods: Sequence[Period], status: PointerStatus) -> dict[str, Any]:
    """Return the rows with everything that the template draws."""
    order = {id(period): number for number, period in enumerate(periods)}
    last = periods[-1]
    now = last if last.version == status.live and not last.is_unsure else None
    rows: list[dict[str, Any]] = [
        {
            "name": row.name,
            "label": f"{row.name or 'The whole record'}: {'; '.join(_said(part) for part in row.parts)}",
            "parts": [_drawn(part, order, now) for part in row.parts],
        }
        for row in timeline.rows
    ]
    shown = {part["css"] for row in rows for part in row["parts"]} | {
        "rollback" for each in periods if each.moves[0].kind == "rollback"
    }
    return {"rows": rows, "ticks": timeline.ticks, "shown": shown}


def _drawn(part: Part, order: Mapping[int, int], now: Period | None) -> dict[str, Any]:
    """Return one part of a row: where it is, how it looks, what is written in it."""
    labels = _labels(part.periods)
    texts: dict[str, list[str]] = {}
    for size, pixels in _WIDTHS.items():
        room = part.width / 100 * pixels - _MARGIN
        if fitting := next((text for text in labels if len(text) * _LETTER <= room), None):
            texts.setdefault(fitting, []).append(size)
    return {
        "left": part.left,
        "width": part.width,
        "css": _look(part.periods, order, now),
        "texts": [(text, " ".join(sizes)) for text, sizes in texts.items()],
        "title": _said(part),
    }


def _look(periods: Sequence[Period], order: Mapping[int, int], now: Period | None) -> str:
    """Return the class of a part."""
    if len(periods) > 1:
        return "several"
    (period,) = periods
    if period.is_unsure:
        return "unsure"
    if period.version is None:
        return "nothing"
    return "now" if period is now else ("even", "odd")[order[id(period)] % 2]


def _labels(periods: Sequence[Period]) -> list[str]:
    """Return what may be written in a part, the longest first."""
    if len(periods) > 1:
        return [f"{len(periods)} short periods", f"{len(periods)}x"]
    (period,) = periods
    if period.is_unsure:
        one, other = _short(period.version), _short(period.or_version)
        return [f"{one}, then {other}: unrecorded", f"{one} → {other} ?", "?"]
    if period.version is None:
        return ["nothing live", "none", "∅"]
    if period.moves[0].kind == "rollback":
        return [f"↩ version {period.version}", f"↩ v{period.version}", f"↩{period.version}", "↩"]
    return [f"version {period.version}", f"v{period.version}", f"{period.version}"]


def _short(version: int | None) -> str:
    """Return a version as a label shows it."""
    return "none" if version is None else f"v{version}"


def _said(part: Part) -> str:
    """Return a part in words."""
    first, last = part.periods[0], part.periods[-1]
    times = f"{_minute(first.start)} to {_minute(last.end)} UTC"
    if len(part.periods) > 1:
        versions = dict.fromkeys(called(each.version) for each in part.periods)
        return f"{len(part.periods)} short periods, {times} ({', '.join(versions)})"
    if first.is_unsure:
        return f"{called(first.version)}, then {called(first.or_version)} by an unrecorded move, {times}"
    move = first.moves[0]
    who = f"{_kind(move)[1]} by {move.by}" if move.by else _kind(move)[1]
    why = f": {move.reason}" if move.reason and move.kind != "unrecorded" else ""
    return f"{called(first.version)}, {times} ({_duration(first.seconds)}), {who}{why}"


# The moves


def _group(name: str, moves: Sequence[Promotion]) -> dict[str, Any]:
    """Return the moves of one row of the timeline, newest first."""
    rows = [_row(move) for move in reversed(moves)]
    return {"name": name, "count": _count(len(rows), "event", "events"), "rows": rows}


def _row(move: Promotion) -> dict[str, Any]:
    """Return one move as the template shows it."""
    sign, kind = _kind(move)
    is_done = move.state == "done"
    return {
        "time": _time(move.at),
        "is_bound": move.kind == "unrecorded",
        "sign": sign if is_done else "✕",
        "kind": kind if is_done else f"{kind}, {_STATES.get(move.state, move.state)}",
        "css": move.kind if is_done else "undone",
        "versions": f"{_name(move.from_version)} → {_name(move.to_version)}",
        "by": move.by,
        "reason": move.reason,
        "verdicts": _verdicts(move),
        "pointers": " and ".join(move.pointers) if is_done else "",
        "event": move.event or "",
    }


def _name(version: int | None) -> str:
    """Return a version in a move."""
    return "nothing" if version is None else str(version)


def _verdicts(move: Promotion) -> list[dict[str, Any]]:
    """Return the verdicts of the gates of a move in words."""
    more = {"css": "omitted", "mark": "…", "word": "", "gate": f"{move.omitted_gates} more, not recorded", "detail": ""}
    return [_verdict(gate) for gate in move.gates] + ([more] if move.omitted_gates else [])


def _verdict(gate: Verdict) -> dict[str, Any]:
    """Return the verdict of one gate in words."""
    values = {"candidate": gate.candidate, "production": gate.production}
    numbers = ", ".join(f"{name} {_number(value)}" for name, value in values.items() if value is not None)
    detail = "; ".join(filter(None, [numbers, gate.reason])) if gate.passed else gate.reason or numbers
    return {
        "css": "passed" if gate.passed else "failed",
        "mark": "✓" if gate.passed else "✕",
        "word": "passed" if gate.passed else "refused",
        "gate": gate.gate,
        "detail": detail,
    }


# The versions and their metrics


@dataclass(frozen=True)
class _Reading:
    """One metric of one version as a gate saw it; ``passed`` is None where it was only compared with."""

    version: int
    value: float
    passed: bool | None

    @property
    def shown(self) -> str:
        """The value as a table shows it."""
        return _number(self.value)


def _metrics(moves: Iterable[Promotion]) -> dict[str, dict[int, _Reading]]:
    """Return what the gates saw, by metric and version: of a version that was judged twice, the last."""
    found: dict[str, dict[int, _Reading]] = {}
    for move in moves:
        for metric, readings in _readings(move).items():
            known = found.setdefault(metric, {})
            for reading in readings:
                if reading.passed is not None or reading.version not in known:
                    known[reading.version] = reading
    return {metric: readings for metric, readings in found.items() if readings}


def _readings(move: Promotion) -> dict[str, list[_Reading]]:
    """Return what the gates of one move saw of both versions."""
    found: dict[str, list[_Reading]] = {}
    judged: dict[str, bool] = {}
    for gate in move.gates:
        judged[gate.metric] = judged.get(gate.metric, True) and gate.passed
        readings = found.setdefault(gate.metric, [])
        if move.from_version is not None and gate.production is not None:
            readings.append(_Reading(move.from_version, gate.production, None))
        if move.to_version is not None and gate.candidate is not None:
            readings.append(_Reading(move.to_version, gate.candidate, judged[gate.metric]))
    return found


def _versions(
    status: PointerStatus,
    moves: Sequence[Promotion],
    periods: Sequence[Period],
    metrics: Mapping[str, Mapping[int, _Reading]],
) -> list[dict[str, Any]]:
    """Return the versions that the record or a pointer names, the highest first."""
    digests = {move.to_version: move.sha256 for move in moves if move.sha256}
    was_live = {status.live} | {number for each in periods for number in (each.version, each.or_version)}
    named = {number for move in moves for number in (move.from_version, move.to_version)}
    numbers = (named | {status.alias, status.stage, status.live, *status.in_stage}) - {None}
    seconds = lengths(periods)
    return [
        {
            "number": number,
            "is_live": number == status.live,
            "live": _duration(seconds[number]) if number in seconds else "not known" if number in was_live else "never",
            "sha256": digests.get(number) or "",
            "readings": [readings.get(number) for readings in metrics.values()],
        }
        for number in sorted((number for number in numbers if number is not None), reverse=True)
    ]


def _chart(name: str, readings: Mapping[int, _Reading]) -> dict[str, Any] | None:
    """Return the picture of a metric over the versions; None where there is nothing to compare."""
    points = sorted(readings.values(), key=lambda reading: reading.version)
    if len(points) < 2:
        return None
    low, high = min(point.value for point in points), max(point.value for point in points)
    places = list(_places(points, low, high))
    return {
        "name": name,
        "label": f"{name} of {len(points)} versions: {_number(points[0].value)} (version {points[0].version}) to "
        f"{_number(points[-1].value)} (version {points[-1].version}), lowest {_number(low)}, highest {_number(high)}",
        "line": " ".join(f"{x:.2f},{y:.2f}" for x, y, _ in places),
        "points": [
            {"x": x, "y": y, "css": _verdict_class(point), "title": f"version {point.version}: {point.shown}"}
            for x, y, point in places
        ],
        "low": _number(low),
        "high": _number(high),
        "first": points[0].version,
        "last": points[-1].version,
    }


def _places(points: Sequence[_Reading], low: float, high: float) -> Iterator[tuple[float, float, _Reading]]:
    """Yield where each point is, in percent of the width and the height; the lowest is at the bottom."""
    for number, point in enumerate(points):
        share = (point.value - low) / (high - low) if high > low else 0.5
        yield 1 + 98 * number / (len(points) - 1), 92 - 84 * share, point


def _verdict_class(reading: _Reading) -> str:
    """Return the class of a point."""
    return "compared" if reading.passed is None else "passed" if reading.passed else "failed"
