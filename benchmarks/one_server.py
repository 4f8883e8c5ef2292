"""Every contender measured on one server by one client: times without anything between, requests through a proxy.

``python -m benchmarks.one_server URI DIRECTORY`` in an environment with MLflow, this package and, beside, modelctl; it
is what ``benchmarks.side_by_side`` runs, and writes ``DIRECTORY/measured.json``.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from tests.proxy import Proxy, proxy

import prodpointer
from benchmarks.contenders import MOVES, Act, Setting, acts, named, prepare
from benchmarks.measurements import LIVE_MODEL, OURS, SIZES, Place, spread
from benchmarks.payload import LOADER, weights_in

Table = dict[Place, dict[str, Act]]
Line = dict[str, object]

READS = 200_000
OFTEN = ("5 KB", "5 MB")


def table_of(setting: Setting, contenders: Sequence[str]) -> Table:
    """Return what each contender does in each place, in the order of the places of the first."""
    table: Table = {}
    for by in contenders:
        for place, act in acts(by, setting).items():
            table.setdefault(place, {})[by] = act
    return table


def groups(table: Table) -> Iterator[list[Place]]:
    """Yield the places that are taken in turns: a rollback follows its promotion, a warm load its cold one."""
    for _, places in groupby(table, key=lambda place: (place.pointer, place.size)):
        yield list(places)


def run(setting: Setting, place: Place, act: Act) -> float:
    """Do one thing and return the seconds it took; what was loaded must be as large as it should."""
    act.before()
    began = time.perf_counter()
    result = act.do()
    took = time.perf_counter() - began
    if place.size and (weights := weights_in(result)) != SIZES[place.size]:
        raise AssertionError(f"{place}: {weights} bytes were loaded")
    del result
    setting.clear_downloads()
    return took


def timed(setting: Setting, table: Table, runs: Callable[[Place], int]) -> dict[Place, dict[str, list[float]]]:
    """Measure every place in rounds, and in each round every contender, another one first each time."""
    setting.enter()
    times: dict[Place, dict[str, list[float]]] = {place: {by: [] for by in each} for place, each in table.items()}
    for group in groups(table):
        for number in range(-1, runs(group[0])):  # the first is for what a process does once
            for place in group:
                order = list(table[place])
                first = number % len(order)
                for by in order[first:] + order[:first]:
                    took = run(setting, place, table[place][by])
                    if number >= 0:
                        times[place][by].append(took)
    return times


def counted(setting: Setting, table: Table, between: Proxy) -> dict[Place, dict[str, int]]:
    """Count the requests of every place, the second time that it is done."""
    setting.enter()
    counts: dict[Place, dict[str, int]] = {}
    for group in groups(table):
        for _ in range(2):
            for place in group:
                for by, act in table[place].items():
                    act.before()
                    between.clear()
                    act.do()
                    counts.setdefault(place, {})[by] = between.count
                    setting.clear_downloads()
    return counts


def reads_of_a_handle(between: Proxy, cache: Path, runs: int) -> Line:
    """Return what one read of ``live.model`` takes, the loop around it included, and how many requests were sent."""
    news = prodpointer.connect(named(OURS, "alias", MOVES), tracking_uri=between.uri, cache_dir=cache)
    took = []
    with news.follow(3600, trusted=[LOADER]) as live:
        live.wait_ready(60)
        between.clear()
        for _ in range(runs):
            began = time.perf_counter()
            for _ in range(READS):
                live.model  # noqa: B018  # what is measured
            took.append((time.perf_counter() - began) / READS)
    return line(Place(LIVE_MODEL, "alias"), OURS, between.count, took)


def line(place: Place, by: str, requests: int | None, times: list[float]) -> Line:
    """Return one measurement as it is written."""
    return {**place._asdict(), "by": by, "requests": requests, "seconds": spread(times), "runs": len(times)}


def main(arguments: Sequence[str]) -> None:
    """Measure and write what came of it."""
    parser = argparse.ArgumentParser(prog="benchmarks.one_server", description="Every contender on one server.")
    parser.add_argument("uri")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--contenders", nargs="+", required=True)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, required=True)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--large-runs", type=int, required=True, help="runs of 500 MB, which is not counted")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    direct = Setting(options.uri, options.directory / "direct", tuple(options.sizes))
    prepare(direct, options.contenders)

    def runs(place: Place) -> int:
        return int(options.runs if place.size in ("", *OFTEN) else options.large_runs)

    times = timed(direct, table_of(direct, options.contenders), runs)
    with proxy(options.uri) as between:
        often = tuple(size for size in direct.sizes if size in OFTEN)
        proxied = Setting(between.uri, options.directory / "proxied", often)
        requests = counted(proxied, table_of(proxied, options.contenders), between)
        handle = reads_of_a_handle(between, proxied.cache("handle"), options.runs)
    lines = [
        line(place, by, requests.get(place, {}).get(by), each)
        for place, contenders in times.items()
        for by, each in contenders.items()
    ]
    (options.directory / "measured.json").write_text(json.dumps([*lines, handle]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
