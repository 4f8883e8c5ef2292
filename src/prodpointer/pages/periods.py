"""What was live when, as periods, and the periods as rows of a picture: functions of values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from itertools import groupby

from prodpointer.types import Promotion

MOVES_IN_A_ROW = 12
MOST_ROWS = 16
_NARROWEST = 0.9  # percent of a row: anything narrower is drawn together with what is beside it


@dataclass(frozen=True)
class Period:
    """A time in which one version was live, nothing was, or one of two versions was.

    ``moves`` are the moves at its begin and, where they moved to the same version, within it. ``or_version`` says that
    ``version`` was replaced by that one at an unknown moment, where ``is_unsure``.
    """

    start: datetime
    end: datetime
    version: int | None
    moves: tuple[Promotion, ...]
    or_version: int | None = None
    is_unsure: bool = False

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True)
class Part:
    """One or more periods as a row shows them, from ``left`` on, ``width`` wide, in percent of the row."""

    left: float
    width: float
    periods: tuple[Period, ...]


@dataclass(frozen=True)
class Row:
    """A span of time: what it is called, and what is drawn in it."""

    name: str
    start: datetime
    end: datetime
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Timeline:
    """The rows of a picture, oldest first, with marks in percent that are the same for each row."""

    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]


def periods_of(moves: Sequence[Promotion], now: datetime) -> list[Period]:
    """Return what was live when, oldest first: what the moves that were done, and unrecorded ones, tell.

    Clocks of other machines may be wrong, and the order of the moves is not: no period begins before the one before it.
    """
    found: list[Period] = []
    for move in moves:
        if move.state != "done":
            continue
        at = min(max(move.at, found[-1].start), now) if found else min(move.at, now)
        if found and move.kind == "unrecorded":
            found[-1] = replace(found[-1], end=at, or_version=move.to_version, is_unsure=True)
        elif found and not found[-1].is_unsure and move.to_version == found[-1].version:
            found[-1] = replace(found[-1], moves=(*found[-1].moves, move))
            continue
        elif found:
            found[-1] = replace(found[-1], end=at)
        found.append(Period(at, now, move.to_version, (move,)))
    return [each for each in found if each.seconds > 0]


# Rows of a calendar


@dataclass(frozen=True)
class _Unit:
    """One way to cut time into rows: where a row begins, where the next one does, its name, how long the longest is."""

    begin: Callable[[datetime], datetime]
    after: Callable[[datetime], datetime]
    name: str
    longest: timedelta
    ticks: tuple[tuple[timedelta, str], ...]


def _midnight(at: datetime) -> datetime:
    """Return the begin of a day."""
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _months_on(at: datetime, count: int) -> datetime:
    """Return the begin of a month some months later."""
    months = at.year * 12 + at.month - 1 + count
    return at.replace(year=months // 12, month=months % 12 + 1)


_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_UNITS = (
    _Unit(
        lambda at: _midnight(at).replace(month=1, day=1),
        lambda at: at.replace(year=at.year + 1),
        "%Y",
        366 * _DAY,
        tuple((round(number * 30.5) * _DAY, name) for number, name in enumerate(_MONTHS)),
    ),
    _Unit(
        lambda at: _midnight(at).replace(day=1),
        lambda at: _months_on(at, 1),
        "%B %Y",
        31 * _DAY,
        tuple(((day - 1) * _DAY, str(day)) for day in (1, 8, 15, 22, 29)),
    ),
    _Unit(
        lambda at: _midnight(at) - at.weekday() * _DAY,
        lambda at: at + 7 * _DAY,
        "week of %Y-%m-%d",
        7 * _DAY,
        tuple((day * _DAY, name) for day, name in enumerate(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"])),
    ),
    _Unit(
        _midnight,
        lambda at: at + _DAY,
        "%Y-%m-%d",
        _DAY,
        tuple((hour * _HOUR, f"{hour:02}:00") for hour in (0, 6, 12, 18)),
    ),
    _Unit(
        lambda at: at.replace(minute=0, second=0, microsecond=0),
        lambda at: at + _HOUR,
        "%Y-%m-%d %H:00",
        _HOUR,
        tuple((timedelta(minutes=minute), f":{minute:02}") for minute in (0, 15, 30, 45)),
    ),
)


def timeline_of(periods: Sequence[Period], count: int, now: datetime) -> Timeline:
    """Return the periods in as many rows as that count of moves needs.

    Parameters
    ----------
    periods
        What :func:`periods_of` returned, at least one.
    count
        How many moves there are: a dozen fit one row, more get rows of a calendar.
    now
        Where the last row ends, if it is the only one.
    """
    begin = periods[0].start
    found = _rows_of_calendar(begin, now, -(-count // MOVES_IN_A_ROW))
    if found is None:
        span = now - begin
        row = Row("", begin, now)
        return Timeline((_filled(row, periods, span),), tuple(_ticks_between(begin, now)))
    unit, rows = found
    ticks = tuple((100 * since / unit.longest, name) for since, name in unit.ticks)
    return Timeline(tuple(_filled(row, periods, unit.longest) for row in rows), ticks)


def _rows_of_calendar(begin: datetime, now: datetime, wanted: int) -> tuple[_Unit, list[Row]] | None:
    """Return the coarsest unit with the number of rows that is wanted, else the finest that is not too long."""
    if wanted < 2:
        return None
    best = None
    for unit in _UNITS:
        rows = _rows(unit, begin, now)
        if len(rows) > MOST_ROWS:
            break
        if len(rows) > 1:
            best = unit, rows
        if len(rows) >= wanted:
            break
    return best


def _rows(unit: _Unit, begin: datetime, now: datetime) -> list[Row]:
    """Return the rows of a unit, one more than is of use at most."""
    found: list[Row] = []
    start = unit.begin(begin.astimezone(timezone.utc))
    while start < now and len(found) <= MOST_ROWS:
        end = unit.after(start)
        found.append(Row(start.strftime(unit.name), start, end))
        start = end
    return found


def _ticks_between(begin: datetime, now: datetime) -> Iterator[tuple[float, str]]:
    """Yield four times of a row that begins anywhere."""
    span = now - begin
    shape = "%Y-%m-%d" if span > 6 * _DAY else "%m-%d %H:%M" if span > _DAY else "%H:%M" if span > _HOUR else "%H:%M:%S"
    for quarter in range(4):
        yield 25.0 * quarter, (begin + span * quarter / 4).astimezone(timezone.utc).strftime(shape)


def _filled(row: Row, periods: Sequence[Period], scale: timedelta) -> Row:
    """Return a row with the periods that lie in it; narrow neighbours share a part."""
    pieces = [
        Part(
            100 * (max(each.start, row.start) - row.start) / scale,
            100 * (min(each.end, row.end) - max(each.start, row.start)) / scale,
            (each,),
        )
        for each in periods
        if each.start < row.end and each.end > row.start
    ]
    parts: list[Part] = []
    for is_narrow, some in groupby(pieces, key=lambda part: part.width < _NARROWEST and part.periods[0] != periods[-1]):
        group = list(some)
        parts += _merged(group) if is_narrow else group
    return replace(row, parts=tuple(_kept_apart(parts)))


def _merged(narrow: Sequence[Part]) -> list[Part]:
    """Return narrow neighbours as one part, in a list."""
    width = sum(part.width for part in narrow)
    return [Part(narrow[0].left, width, tuple(period for part in narrow for period in part.periods))]


def _kept_apart(parts: Sequence[Part]) -> Iterator[Part]:
    """Yield the parts side by side, none too narrow to be seen: the wider ones give what the narrow ones lack."""
    total = sum(part.width for part in parts)
    narrowest = min(_NARROWEST, total / len(parts)) if parts else 0.0
    spare = [max(part.width - narrowest, 0.0) for part in parts]
    scale = (total - narrowest * len(parts)) / sum(spare) if any(spare) else 0.0
    left = parts[0].left if parts else 0.0
    for part, more in zip(parts, spare, strict=True):
        width = narrowest + more * scale
        yield replace(part, left=left, width=width)
        left += width


def lengths(periods: Sequence[Period]) -> dict[int, float]:
    """Return for how many seconds each version is known to have been live."""
    found: dict[int, float] = {}
    for each in periods:
        if each.version is not None and not each.is_unsure:
            found[each.version] = found.get(each.version, 0.0) + each.seconds
    return found


def grouped(moves: Sequence[Promotion], rows: Sequence[Row]) -> list[tuple[str, list[Promotion]]]:
    """Return the moves of each row of a picture, under its name; rows without any are left out."""
    if len(rows) < 2:
        return [("", list(moves))]
    ends = [row.start for row in rows[1:]]
    found: list[list[Promotion]] = [[] for _ in rows]
    reached = 0
    for move in moves:
        reached = max(reached, sum(move.at >= end for end in ends))
        found[reached].append(move)
    return [(row.name, those) for row, those in zip(rows, found, strict=True) if those]
