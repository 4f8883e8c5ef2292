"""The tables of ``docs/benchmarks.md``: requests, times, processes, and where this library is slower."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.measurements import (
    CONTENDERS,
    FIRST,
    HANGING,
    HELP,
    IMPORT,
    NO_STORE,
    OURS,
    REFUSED,
    Measurement,
    Place,
    Results,
    World,
)
from benchmarks.pages import table
from benchmarks.slower import Slower, slower_places


def duration(seconds: float) -> str:
    """Return a time with its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)):
        if seconds >= size * 0.9995:
            return f"{_three_digits(seconds / size)} {unit}"
    return "0"


def _three_digits(number: float) -> str:
    """Return a number with three digits."""
    return f"{number:.0f}" if number >= 99.95 else f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"


def ratio(number: float) -> str:
    """Return how many times as long; two digits where it is near one."""
    return f"{_three_digits(number)}x" if number < 10 else f"{number:.0f}x"


def cell(each: Measurement | None, ours: Measurement) -> str:
    """Return one contender's time, its quartiles and how many times as long as this library's it is."""
    if each is None:
        return ""
    low, median, high = each.seconds
    text = duration(median)
    if each.runs > 1:
        text += f" ({duration(low)} to {duration(high)})"
    if each.ended == "no end":
        return f"no end after {text}"
    if each.ended:
        text = f"{each.ended} after {text}"
    times = median / ours.seconds.median
    return text if each is ours else f"{text}, {ratio(times) if times > 1 else f'**{ratio(times)}**'}"


def rows(results: Results, world: World, places: Iterable[Place]) -> list[list[object]]:
    """Return a row for each place that was measured in a world."""
    lines: list[list[object]] = []
    for place in places:
        there = results.at(world, place)
        if OURS in there:
            lines.append([place, *(cell(there.get(by), there[OURS]) for by in CONTENDERS)])
    return lines


def times_table(results: Results, world: World) -> str:
    """Return the times of one world."""
    return table(["", *CONTENDERS], rows(results, world, results.places()))


def requests_table(results: Results, version: str) -> str:
    """Return the requests with one MLflow, which no database has a part in; several where they differ by size."""
    counts: dict[Place, dict[str, set[int]]] = {}
    for each in results:
        if each.version == version and each.store and each.requests is not None:
            there = counts.setdefault(each.place._replace(size=""), {})
            there.setdefault(each.by, set()).add(each.requests)
    lines = [
        [place, *(" or ".join(map(str, sorted(by.get(contender, ())))) for contender in CONTENDERS)]
        for place, by in counts.items()
    ]
    return table([f"requests to MLflow {version}", *CONTENDERS], lines)


def process_tables(results: Results) -> str:
    """Return what processes of their own took, with each MLflow."""
    places = [Place(operation) for operation in (IMPORT, HELP, FIRST, REFUSED, HANGING)]
    tables = [
        table([f"MLflow {version}", *CONTENDERS], rows(results, World(version, NO_STORE), places))
        for version in results.versions
    ]
    return "\n\n".join(tables)


def slower_tables(results: Results) -> str:
    """Return every place where this library is slower, with the reasons."""
    found = slower_places(results)
    if not found:
        return "None."
    reasons = list(dict.fromkeys(each.reason for each in found))
    parts = []
    for title, of_process in (("", False), ("in a process of its own", True)):
        some = [each for each in found if of_process is all(not world.store for world in each.times)]
        if some:
            worlds = list(dict.fromkeys(world for each in some for world in each.times))
            parts.append(_slower(title, some, sorted(worlds), reasons))
    parts.append("\n".join(f"{number}. {reason}" for number, reason in enumerate(reasons, 1)))
    return "\n\n".join(parts)


def _slower(title: str, found: list[Slower], worlds: list[World], reasons: list[str]) -> str:
    """Return a table of slower places."""
    lines = [
        [
            each.place,
            each.by,
            *(ratio(each.times[world]) if world in each.times else "" for world in worlds),
            reasons.index(each.reason) + 1,
        ]
        for each in found
    ]
    return table([title, "than", *worlds, "reason"], lines)
