"""``docs/benchmarks.md``, made of the results and of nothing else: what was measured, the targets, what is slower."""

from __future__ import annotations

from benchmarks.benchmark_prose import BOUGHT, HEAD
from benchmarks.benchmark_tables import process_table, requests_table, slower_table, times_table
from benchmarks.measurements import LARGE, MODEL_WARM, OURS, READ, READ_TAGS, SIZES, STORES, Results
from benchmarks.slower import slower_places

FASTER = 5.0
FASTER_AT = "5 MB"


def targets(results: Results) -> list[tuple[str, bool | None, str]]:
    """Return each target: what it is, whether it was held or could not be measured, and by what."""
    return [_reading(results), _warm(results), _explained(results)]


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


def _warm(results: Results) -> tuple[str, bool | None, str]:
    """Judge the warm load."""
    times = {}
    for world in results.worlds:
        for place in results.places():
            there = results.at(world, place)
            if place.operation == MODEL_WARM and place.size == FASTER_AT:
                times[world, place.pointer] = there["MLflow"].seconds.median / there[OURS].seconds.median
    lowest = min(times, key=lambda each: times[each], default=None)
    return (
        f"a warm load of {FASTER_AT} is at least {FASTER:.0f} times faster than `pyfunc.load_model`",
        None if lowest is None else times[lowest] >= FASTER,
        "not measured"
        if lowest is None
        else f"{times[lowest]:.1f} to {max(times.values()):.1f} times; the lowest on {lowest[0]}, {lowest[1]}",
    )


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
