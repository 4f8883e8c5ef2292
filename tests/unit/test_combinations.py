"""Which combinations of store and pointer the conformance suite tries."""

from __future__ import annotations

from itertools import product

import pytest

from tests import mlflow_table
from tests.conformance.combinations import chosen, select, spread

STORES, POINTERS = ("direct", "served"), ("alias", "auto", "both", "stage")
TESTS = [f"test_{number}" for number in range(40)]
EVERY = {(test, *pair): (test, *pair) for test in TESTS for pair in product(STORES, POINTERS)}


@pytest.mark.parametrize("stores", [("",), STORES])
@pytest.mark.parametrize("pointers", [("",), ("auto", "stage"), ("alias", "auto", "stage"), POINTERS])
def test_each_pair_is_there_once(stores: tuple[str, ...], pointers: tuple[str, ...]) -> None:
    """However many of each there are."""
    assert sorted(spread(stores, pointers)) == sorted(product(stores, pointers))


def test_one_combination_runs_for_each_test() -> None:
    """And in each row together they cover every combination."""
    for row in range(len(mlflow_table.all_rows())):
        running = select(EVERY, row, "one")
        assert sorted(test for test, _, _ in running) == sorted(TESTS)
        assert {each[1:] for each in running} == {*product(STORES, POINTERS)}


def test_over_the_rows_each_test_runs_in_every_combination() -> None:
    """No combination of a test is left out everywhere."""
    rows = len(mlflow_table.all_rows())
    for test in TESTS:
        assert {chosen(test, row, STORES, POINTERS) for row in range(rows)} == {*product(STORES, POINTERS)}


def test_the_others_are_the_rest() -> None:
    """What one run leaves out the other tries."""
    one, others = select(EVERY, 3, "one"), select(EVERY, 3, "others")
    assert one | others == select(EVERY, 3, "all") == set(EVERY)
    assert not one & others


def test_a_test_without_combinations_runs() -> None:
    """It is its own only combination."""
    assert select({"item": ("test", "", "")}, 0, "one") == {"item"}
