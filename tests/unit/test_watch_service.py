"""Sweeps and deliveries in turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prodpointer.watch.cursor import Cursor, Known, open_cursor
from prodpointer.watch.delivery import Delivery
from prodpointer.watch.receivers import Lines
from prodpointer.watch.service import run
from prodpointer.watch.sweep import Sweeper, Swept


class Slow(Sweeper):
    """Sweeps nothing, and takes its time for it."""

    def __init__(self, sweeps: int, stop: Callable[[], object]) -> None:
        self.left = sweeps
        self._stop = stop

    def sweep(self, stopped: Callable[[], bool] = lambda: False) -> Swept:
        """Take longer than there is between two sweeps."""
        self.left -= 1
        if not self.left:
            self._stop()
        time.sleep(0.02)
        return Swept()


@pytest.fixture
def cursor(tmp_path: Path) -> Any:
    """Return a cursor with one event to send."""
    with open_cursor(tmp_path / "cursor", {}) as opened:
        opened.keep(Known("news", None), [{"id": "one"}])
        yield opened


def test_events_are_sent_where_a_sweep_takes_longer_than_the_pause(cursor: Cursor) -> None:
    """A large fleet, and few seconds between two sweeps."""
    stopped, lines = threading.Event(), list[Any]()
    delivery = Delivery(cursor, Lines(lines.append), failed=lambda _: None)
    sweeper = Slow(3, stopped.set)
    run(sweeper, delivery, stopped, every=0.01, swept=lambda _: None, failed=lambda _: None)
    assert lines == [{"id": "one"}]
