"""The tables of ``docs/costs.md``: what each verb costs in requests and time, made of the results of the benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from benchmarks.benchmark_tables import duration
from benchmarks.measurements import (
    FILE_COLD,
    FILE_WARM,
    FIRST,
    HANGING,
    HELP,
    HISTORY,
    IMPORT,
    LIVE_MODEL,
    MODEL_COLD,
    MODEL_WARM,
    OURS,
    PAGE,
    PROMOTE,
    READ,
    READ_TAGS,
    REFUSED,
    ROLLBACK,
    Measurement,
    Results,
)
from benchmarks.pages import fill, table

COSTS = PAGE.with_name("costs.md")
PLAIN = "MLflow"
POINTERS = ("alias", "stage", "both")
VERBS = (
    (READ, ""),
    (READ_TAGS, ""),
    (HISTORY, ""),
    (PROMOTE, ""),
    (ROLLBACK, ""),
    (FILE_COLD, "5 MB"),
    (FILE_WARM, "5 MB"),
    (MODEL_COLD, "5 MB"),
    (MODEL_WARM, "5 MB"),
    (FILE_COLD, "500 MB"),
    (FILE_WARM, "500 MB"),
    (LIVE_MODEL, ""),
)
PROCESSES = (IMPORT, HELP, FIRST, REFUSED, HANGING)


def costs_page(results: Results) -> str:
    """Return the page with the tables of these results."""
    made = results.made
    conditions = (
        f"Measured on {made['day']} with {made['cores']} cores; client and server run MLflow "
        f"{' or '.join(results.versions)}. A range covers both, and all databases."
    )
    parts = {
        "conditions": conditions,
        "requests": table(["requests", *POINTERS, "plain MLflow, alias"], _rows(results, _requests)),
        "times": table(["median time", *POINTERS, "plain MLflow, alias"], _rows(results, _times)),
        "processes": table(["a process of its own", OURS, "plain MLflow"], _processes(results)),
    }
    return fill(COSTS.read_text(encoding="utf-8"), parts)


def _rows(results: Results, cell: Callable[[Iterable[Measurement]], str]) -> list[list[object]]:
    """Return a row for each verb that has anything to show."""
    rows: list[list[object]] = []
    for operation, size in VERBS:
        found = [each for each in results if (each.operation, each.size) == (operation, size) and each.store]
        cells = [cell(each for each in found if each.by == OURS and each.pointer == pointer) for pointer in POINTERS]
        plain = cell(each for each in found if each.by == PLAIN and each.pointer == "alias")
        if any(cells):
            rows.append([f"{operation}, {size}" if size else operation, *cells, plain])
    return rows


def _requests(found: Iterable[Measurement]) -> str:
    """Return the numbers of requests; the empty text where none were counted."""
    counted = sorted({each.requests for each in found if each.requests is not None})
    return " or ".join(map(str, counted))


def _times(found: Iterable[Measurement]) -> str:
    """Return the range of the medians; the empty text where nothing was measured."""
    medians = [each.seconds.median for each in found]
    if not medians:
        return ""
    low, high = duration(min(medians)), duration(max(medians))
    return low if low == high else f"{low} to {high}"


def _processes(results: Results) -> list[list[object]]:
    """Return a row for each thing that a process of its own does."""
    rows: list[list[object]] = []
    for operation in PROCESSES:
        found = [each for each in results if each.operation == operation and not each.store]
        ours = _times(each for each in found if each.by == OURS)
        plain = [each for each in found if each.by == PLAIN]
        ended = " or ".join(sorted({each.ended for each in plain if each.ended}))
        rows.append([operation, ours, f"{ended} after {_times(plain)}" if ended else _times(plain)])
    return rows
