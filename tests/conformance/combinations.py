"""Which combinations of store and pointer a run of the conformance suite tries.

A test that takes the fixtures ``registry`` and ``pointer`` exists once for each store (a database opened directly, a
server) and each pointer (auto, stage, alias, both). ``--combinations=all`` tries every one, ``half`` half of them: each
pointer once, and each store for two of them. ``one`` tries one for each test. Which ones depends on the test and on the
row of the table of MLflow versions: within a row the tests cover all combinations; from row to row each test moves on.
"""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import TypeVar

CHOICES = ("all", "half", "one")

Item = TypeVar("Item", bound=Hashable)


def spread(stores: Sequence[str], pointers: Sequence[str]) -> list[tuple[str, str]]:
    """Return every pair once, in an order in which neighbours differ in both where that is possible."""
    around = math.lcm(len(stores), len(pointers))
    return [
        (stores[step % len(stores)], pointers[(step + step // around) % len(pointers)])
        for step in range(len(stores) * len(pointers))
    ]


def chosen(test: str, row: int, stores: Sequence[str], pointers: Sequence[str], choice: str) -> list[tuple[str, str]]:
    """Return the combinations in which a test runs in a row of the table, by the row's position there."""
    pairs = spread(stores, pointers)
    size = {"all": len(pairs), "half": math.lcm(len(stores), len(pointers)), "one": 1}[choice]
    first = (zlib.crc32(test.encode()) + row) * size % len(pairs)
    return pairs[first : first + size]


def select(items: dict[Item, tuple[str, str, str]], row: int, choice: str) -> set[Item]:
    """Return the items that run.

    Parameters
    ----------
    items
        For each item its test with its other parameters, its store and its pointer; empty texts where it has none.
    row
        The position of the installed MLflow in the table.
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
