"""Parallel work: a limit, patience with a busy server, a failure budget, and a stop that leaves nothing unfinished."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from prodpointer.errors import AccessDenied, RegistryError, RegistryUnavailable
from prodpointer.migration.fleet import each_of


class Busy:
    """Work that fails a number of times for each item before it is done, and notes how many are in flight."""

    def __init__(self, failures: int = 0, error: Exception | None = None) -> None:
        """Bind how often it fails, and how."""
        self.calls: Counter[int] = Counter()
        self.most = 0
        self._flying = 0
        self._failures = failures
        self._error = error or RegistryUnavailable("busy")
        self._lock = threading.Lock()

    def __call__(self, item: int) -> int:
        """Do the work for one item."""
        with self._lock:
            self.calls[item] += 1
            self._flying += 1
            self.most = max(self.most, self._flying)
        time.sleep(0.01)
        with self._lock:
            self._flying -= 1
        if self.calls[item] <= self._failures:
            raise self._error
        return item * item


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for less than people would."""
    monkeypatch.setattr("prodpointer.migration.fleet._FIRST_PAUSE", 0.01)
    monkeypatch.setattr("prodpointer.migration.fleet._A_CHECK", 0.01)


def test_each_has_its_result() -> None:
    """What comes is what the work returned for each item."""
    found = {result.item: result.value for result in each_of(range(20), Busy())}
    assert found == {number: number * number for number in range(20)}


def test_nothing_has_no_result() -> None:
    """No items are no results."""
    assert list(each_of([], Busy())) == []


@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_no_more_than_the_limit_run_at_once(at_once: int) -> None:
    """The bound is reached and kept."""
    work = Busy()
    list(each_of(range(30), work, at_once=at_once))
    assert work.most == at_once


def test_a_busy_server_is_retried() -> None:
    """A server that does not answer for a moment fails no item."""
    work = Busy(failures=2)
    assert [result.error for result in each_of(range(4), work, at_once=2)] == [None] * 4
    assert set(work.calls.values()) == {3}


def test_a_server_error_is_retried() -> None:
    """A 500 may be over in a moment too."""
    error = RegistryError("500")
    error.code = "INTERNAL_ERROR"
    work = Busy(failures=1, error=error)
    assert [result.error for result in each_of([1], work)] == [None]


@pytest.mark.parametrize("error", [AccessDenied("no"), RegistryError("BAD_REQUEST")])
def test_a_permanent_failure_is_not_retried(error: Exception) -> None:
    """Another answer would be the same."""
    work = Busy(failures=1, error=error)
    assert [result.error for result in each_of([1], work)] == [error]
    assert work.calls[1] == 1


def test_patience_ends() -> None:
    """What stays busy fails in the end."""
    work = Busy(failures=100)
    (result,) = each_of([1], work)
    assert isinstance(result.error, RegistryUnavailable)
    assert 1 < work.calls[1] < 20


def test_a_run_stops_at_its_budget() -> None:
    """One failure more than allowed, and nothing new is begun; what is in flight still comes."""
    found = list(each_of(range(100), Busy(failures=1, error=AccessDenied("no")), at_once=4, most_failures=5))
    assert 6 <= len(found) <= 6 + 4


def test_a_run_within_its_budget_goes_on() -> None:
    """As many failures as allowed stop nothing."""
    assert len(list(each_of(range(5), Busy(failures=1, error=AccessDenied("no")), most_failures=5))) == 5


def test_a_stop_begins_nothing_new() -> None:
    """What is in flight ends, and no other item is begun."""
    stopped, seen = threading.Event(), 0
    for _ in each_of(range(100), Busy(), at_once=4, stopped=stopped):
        seen += 1
        stopped.set()
    assert seen <= 1 + 2 * 4


def test_a_mistake_is_raised() -> None:
    """An exception that is not an error of a registry is not counted as a failure."""
    with pytest.raises(ZeroDivisionError):
        list(each_of([0], lambda number: 1 // number))
