"""The tables of ``docs/benchmarks.md``, made of the results and of nothing else."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.benchmark_tables import process_tables, ratio, requests_table, slower_tables, times_table
from benchmarks.measurements import (
    FILE_RESTED,
    FILE_WARM,
    LARGE,
    MODEL_RESTED,
    MODEL_WARM,
    OURS,
    PAGE,
    READ,
    READ_TAGS,
    STORES,
    Measurement,
    Place,
    Results,
    World,
)
from benchmarks.pages import fill, table
from benchmarks.slower import slower_places

FASTER = 5.0
FASTER_AT = "5 MB"


class Target(NamedTuple):
    """One target, and what was measured; ``held`` is None where nothing was."""

    what: str
    wanted: str
    measured: str
    held: bool | None


def targets(results: Results) -> list[Target]:
    """Return every target."""
    return [
        _reading(results),
        _warm(results, "a file", FILE_WARM, FILE_RESTED),
        _warm(results, "a model", MODEL_WARM, MODEL_RESTED),
        _explained(results),
    ]


def missed(results: Results) -> list[str]:
    """Return the targets that were missed."""
    return [
        f"missed: {each.what}: {each.measured}; wanted: {each.wanted}"
        for each in targets(results)
        if each.held is False
    ]


def _reading(results: Results) -> Target:
    """Judge the requests of reading."""
    more = {}
    for world in results.worlds:
        for place in results.places():
            there = results.at(world, place)
            if place.operation in (READ, READ_TAGS) and OURS in there and "MLflow" in there:
                more[world, place] = (there[OURS].requests or 0) - (there["MLflow"].requests or 0)
    most = max(more.values(), default=0)
    costly = sorted({str(place) for (_, place), extra in more.items() if extra == most > 0})
    return Target(
        "requests of a read, more than plain MLflow",
        "at most 1",
        f"{most}: {'; '.join(costly)}" if costly else str(most),
        most <= 1 if more else None,
    )


def _warm(results: Results, what: str, warm: str, rested: str) -> Target:
    """Judge the warm load of a file or of a model, against MLflow's load of the model that holds the same bundle."""
    target = f"warm load of {what} of {FASTER_AT}, times faster than `pyfunc.load_model`"
    wanted = f"at least {FASTER:.0f}"
    ratios = _times_faster(results, warm, MODEL_WARM)
    if not ratios:
        return Target(target, wanted, "not measured", None)
    slowest, world = ratios[min(ratios)]
    measured = f"{ratio(min(ratios))} to {ratio(max(ratios))}; lowest on {world}, {slowest.pointer}"
    if after := _times_faster(results, rested, MODEL_RESTED):
        measured += f"; after a pause {ratio(min(after))} to {ratio(max(after))} (no target)"
    return Target(target, wanted, measured, min(ratios) >= FASTER)


def _times_faster(results: Results, operation: str, theirs: str) -> dict[float, tuple[Measurement, World]]:
    """Return how many times as long MLflow's load takes as one of ours, in every world and by each pointer."""
    ratios = {}
    for world in results.worlds:
        for pointer in dict.fromkeys(place.pointer for place in results.places()):
            ours = results.at(world, Place(operation, pointer, FASTER_AT)).get(OURS)
            plain = results.at(world, Place(theirs, pointer, FASTER_AT)).get("MLflow")
            if ours and plain:
                ratios[plain.seconds.median / ours.seconds.median] = (ours, world)
    return ratios


def _explained(results: Results) -> Target:
    """Judge that every slower place has its reason, without which there is no page."""
    found = slower_places(results)
    return Target(
        "places where prodpointer is slower, without a reason",
        "none",
        str(sum(not each.reason for each in found)),
        all(each.reason for each in found),
    )


def page(results: Results) -> str:
    """Return the page with the tables of these results."""
    words = {True: "yes", False: "**no**", None: "not measured"}
    judged = [(each.what, each.wanted, each.measured, words[each.held]) for each in targets(results)]
    times = [f"### MLflow {world}\n\n{times_table(results, world)}" for world in results.worlds]
    parts = {
        "conditions": table(["condition", "value"], conditions(results)),
        "targets": table(["target", "wanted", "measured", "held"], judged),
        "requests": "\n\n".join(requests_table(results, version) for version in results.versions),
        "times": "\n\n".join(times),
        "processes": process_tables(results),
        "slower": slower_tables(results),
    }
    return fill(PAGE.read_text(encoding="utf-8"), parts)


def conditions(results: Results) -> list[tuple[str, object]]:
    """Return what holds for every number of the page."""
    made = results.made
    left_out = [("modelctl left out", f"`{made['without_modelctl']}`")] if made["without_modelctl"] else []
    return [
        ("measured on", made["day"]),
        ("cores", made["cores"]),
        ("MLflow, client and server", ", ".join(results.versions)),
        ("databases", ", ".join(STORES[store] for store in made["stores"])),
        ("sizes of the bundle", ", ".join(made["sizes"])),
        ("runs of each", made["runs"]),
        (f"runs with {LARGE}", made["large_runs"]),
        ("runs of a process of its own", made["process_runs"]),
        ("time limit for a dead registry", f"{made['limit']:.0f} s"),
        ("modelctl-mlflow", made["modelctl"]),
        *left_out,
    ]
