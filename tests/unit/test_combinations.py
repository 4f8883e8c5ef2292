"""Which combinations of store and pointer the conformance suite tries."""

from __future__ import annotations

from itertools import product

import pytest

from tests import mlflow_table
from tests.conformance.combinations import CHOICES, chosen, row_of, select, spread

STORES, POINTERS = ("direct", "served"), ("alias", "auto", "both", "stage")
NEWEST = [row_of((mlflow_table.FULL, mlflow_table.newest_of_major(major).version)) for major in (2, 3)]
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


def test_half_of_them_have_each_pointer_once() -> None:
    """And each store as often as the other."""
    for test in TESTS:
        pairs = chosen(test, 3, STORES, POINTERS, "half")
        assert sorted(pointer for _, pointer in pairs) == sorted(POINTERS)
        assert sorted(store for store, _ in pairs) == ["direct", "direct", "served", "served"]


def test_the_halves_of_the_newest_rows_are_a_whole() -> None:
    """Each test runs in every combination with the newest MLflow of one major or of the other."""
    for test in TESTS:
        pairs = [pair for row in NEWEST for pair in chosen(test, row, STORES, POINTERS, "half")]
        assert sorted(pairs) == sorted(product(STORES, POINTERS))


def test_the_rest_is_a_half_without_the_one() -> None:
    """What plain ``tox`` runs of a test need not run again."""
    for test, row in product(TESTS, NEWEST):
        half, one, rest = (chosen(test, row, STORES, POINTERS, choice) for choice in ("half", "one", "rest"))
        assert sorted(one + rest) == sorted(half)


def test_over_the_rows_each_test_runs_in_every_combination() -> None:
    """No combination of a test is left out everywhere."""
    rows = {row_of((each.distribution, each.version)) for each in mlflow_table.all_rows()}
    for test in TESTS:
        pairs = {pair for row in rows for pair in chosen(test, row, STORES, POINTERS, "one")}
        assert pairs == {*product(STORES, POINTERS)}


def test_every_one_can_be_asked_for() -> None:
    """That is the default."""
    assert select(EVERY, 3, "all") == set(EVERY)


def test_a_test_without_combinations_runs() -> None:
    """It is its own only combination."""
    for choice in CHOICES:
        assert select({"item": ("test", "", "")}, 0, choice) == {"item"}
