"""``docs/benchmarks.md``, made of the results and of nothing else: what was measured, the targets, what is slower."""

from __future__ import annotations

from benchmarks.benchmark_prose import BOUGHT, HEAD
from benchmarks.benchmark_tables import process_table, requests_table, slower_table, times_table
from benchmarks.measurements import (
    FILE_RESTED,
    FILE_WARM,
    LARGE,
    MODEL_RESTED,
    MODEL_WARM,
    OURS,
    PAUSE,
    READ,
    READ_TAGS,
    SIZES,
    STORES,
    Measurement,
    Place,
    Results,
    World,
)
from benchmarks.slower import slower_places

FASTER = 5.0
FASTER_AT = "5 MB"


def targets(results: Results) -> list[tuple[str, bool | None, str]]:
    """Return each target: what it is, whether it was held or could not be measured, and by what."""
    return [
        _reading(results),
        _warm(results, "a file", FILE_WARM, FILE_RESTED),
        _warm(results, "a model", MODEL_WARM, MODEL_RESTED),
        _explained(results),
    ]


def missed(results: Results) -> list[str]:
    """Return the targets that were missed."""
    return [f"missed: {what}: {how}" for what, held, how in targets(results) if held is False]


def _reading(results: Results) -> tuple[str, bool | None, str]:
    """Judge the requests of reading."""
    more = {}
    for world in results.worlds:
        for place in results.places():
            there = results.at(world, place)
            if place.operation in (READ, READ_TAGS) and OURS in there and "MLflow" in there:
                more[world, place] = (there[OURS].requests or 0) - (there["MLflow"].requests or 0)
    costly = sorted({str(place) for (_, place), extra in more.items() if extra > 0})
    how = (
        f"one more for {'; '.join(costly)}, where the one request shows both pointers and the other the version"
        if costly
        else "none takes more"
    )
    return (
        "reading takes at most one request more than plain MLflow, and only where both pointers are seen for it",
        max(more.values()) <= 1 if more else None,
        how if more and max(more.values()) <= 1 else f"{max(more.values(), default=0)} more: {'; '.join(costly)}",
    )


def _warm(results: Results, what: str, warm: str, rested: str) -> tuple[str, bool | None, str]:
    """Judge the warm load of a file or of a model, against MLflow's load of the model that holds the same bundle."""
    ratios = _times_faster(results, warm, MODEL_WARM)
    target = f"a warm load of {what} of {FASTER_AT} is at least {FASTER:.0f} times faster than `pyfunc.load_model`"
    if not ratios:
        return target, None, "not measured"
    slowest, world = ratios[min(ratios)]
    asked = results.at(world, Place(READ, slowest.pointer)).get(OURS)
    how = f"{min(ratios):.1f} to {max(ratios):.1f} times; the lowest on {world}, {slowest.pointer}"
    if asked:
        spent, request = slowest.seconds.median * 1000, asked.seconds.median * 1000
        how += f", where {request:.1f} of {spent:.1f} ms are the one request"
    if after := _times_faster(results, rested, MODEL_RESTED):
        how += f"; {min(after):.1f} to {max(after):.1f} times after a pause, for which there is no target"
    return target, min(ratios) >= FASTER, how


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


def _explained(results: Results) -> tuple[str, bool | None, str]:
    """Judge that every slower place has its reason, without which there is no page."""
    found = slower_places(results)
    return (
        "every place where prodpointer is slower is listed with its reason",
        all(each.reason for each in found),
        f"{len(found)} places, below",
    )


def page(results: Results) -> str:
    """Return the page."""
    made = results.made
    head = HEAD.format(
        day=made["day"],
        cores=made["cores"],
        modelctl=made["modelctl"],
        without_modelctl=f"\nmodelctl could not be installed: `{made['without_modelctl']}`\n"
        if made["without_modelctl"]
        else "",
        sizes=in_words([size for size in SIZES if size in made["sizes"]]),
        versions=in_words(results.versions),
        stores=in_words([STORES[store] for store in made["stores"]]),
        runs=made["runs"],
        large=LARGE,
        large_runs=made["large_runs"],
        pause=PAUSE,
    )
    words = {True: "held", False: "**missed**", None: "not measured"}
    judged = [f"- {what}: {words[held]} ({how})." for what, held, how in targets(results)]
    parts = [head.strip(), "## Targets", "\n".join(judged), "## Requests"]
    parts += [requests_table(results, version) for version in results.versions]
    parts += ["## Times"]
    for world in results.worlds:
        parts += [f"### MLflow {world}", times_table(results, world)]
    parts += ["## Processes", process_table(results), slower_table(results), BOUGHT.strip()]
    return "\n\n".join(parts) + "\n"


def in_words(parts: list[str]) -> str:
    """Return a list as prose."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
