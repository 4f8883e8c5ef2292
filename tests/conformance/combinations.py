"""The combinations of store and pointer that a run of the conformance suite tests.

A test that takes the fixtures ``registry`` and ``pointer`` exists once for each store (a database opened directly, a
server) and each pointer (auto, stage, alias, both). ``--combinations=all`` tries every one, ``half`` half of them: each
pointer once, and each store for two of them. ``one`` tries one for each test. ``rest`` is a half without that one: it
runs where ``one`` has run before. Which ones depends on the test and on the row of the table of MLflow versions: within
a row the tests cover all combinations; from row to row each test moves on. The halves of two rows whose numbers differ
by four are the whole.
"""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import TypeVar

from tests import mlflow_table

CHOICES = ("all", "half", "rest", "one")

Item = TypeVar("Item", bound=Hashable)


def row_of(installed: tuple[str, str]) -> int:
    """Return the number of a row: ``4 * major + 1`` for the newest MLflow of a major, else its place in the table."""
    for major in (2, 3):
        if installed == (mlflow_table.FULL, mlflow_table.newest_of_major(major).version):
            return 4 * major + 1
    rows = [(each.distribution, each.version) for each in mlflow_table.all_rows()]
    return rows.index(installed) if installed in rows else len(rows)  # the nightly workflow: no row yet


def spread(stores: Sequence[str], pointers: Sequence[str]) -> list[tuple[str, str]]:
    """Return every pair once, in an order in which neighbours differ in both where that is possible."""
    around = math.lcm(len(stores), len(pointers))
    return [
        (stores[step % len(stores)], pointers[(step + step // around) % len(pointers)])
        for step in range(len(stores) * len(pointers))
    ]


def chosen(test: str, row: int, stores: Sequence[str], pointers: Sequence[str], choice: str) -> list[tuple[str, str]]:
    """Return the combinations in which a test runs in a row of the table, by its number."""
    pairs = spread(stores, pointers)
    if choice == "all":
        return pairs
    one = (zlib.crc32(test.encode()) + row) % len(pairs)
    if choice == "one":
        return pairs[one : one + 1]
    size = math.lcm(len(stores), len(pointers))
    first = one - one % size
    half = pairs[first : first + size]
    return half if choice == "half" or len(half) == 1 else [pair for pair in half if pair != pairs[one]]


def select(items: dict[Item, tuple[str, str, str]], row: int, choice: str) -> set[Item]:
    """Return the items that run.

    Parameters
    ----------
    items
        For each item its test with its other parameters, its store and its pointer; empty texts where it has none.
    row
        The number of the installed MLflow's row; see ``row_of``.
    choice
        One of ``CHOICES``.
    """
    tests: dict[str, list[Item]] = defaultdict(list)
    for item, (test, _, _) in items.items():
        tests[test].append(item)
    running: set[Item] = set()
    for test, group in tests.items():
        stores, pointers = (sorted({items[each][part] for each in group}) for part in (1, 2))
        pairs = chosen(test, row, stores, pointers, choice)
        running.update(each for each in group if items[each][1:] in pairs)
    return running
