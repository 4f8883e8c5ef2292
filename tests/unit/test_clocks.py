"""Times of events: by the server's clock, and never back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from prodpointer.history.log import in_time, live_at
from prodpointer.mlflow_client.rest import _clock_ahead
from prodpointer.types import Promotion

NOON = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)
MOVE = Promotion("news", None, 1, ("alias",), NOON, "ada", event="000000000001-00000000")
HOUR = timedelta(hours=1)


def test_times_never_go_back_along_the_order() -> None:
    """A promoter whose clock is behind moved no earlier than the one before it."""
    behind = replace(MOVE, from_version=1, to_version=2, at=NOON - HOUR, event="000000000002-00000000")
    later = replace(MOVE, from_version=2, to_version=3, at=NOON + HOUR, event="000000000003-00000000")
    moves = in_time([MOVE, behind, later], NOON + HOUR)
    assert [move.at for move in moves] == [NOON, NOON, NOON + HOUR]
    assert live_at(moves, NOON) == 2


def test_a_time_to_come_moves_no_other() -> None:
    """An event that was written by a clock far ahead, or forged, is as old as the one before it."""
    ahead = replace(MOVE, from_version=1, to_version=2, at=NOON + 1000 * HOUR, event="000000000002-00000000")
    later = replace(MOVE, from_version=2, to_version=3, at=NOON + HOUR, event="000000000003-00000000")
    assert [move.at for move in in_time([MOVE, ahead, later], NOON + HOUR)] == [NOON, NOON, NOON + HOUR]
    assert in_time([ahead], NOON)[0].at == NOON


@pytest.mark.parametrize("ahead", [HOUR, -HOUR, timedelta(seconds=30)])
def test_a_server_whose_clock_differs_is_noticed(ahead: timedelta) -> None:
    """Its ``Date`` says how far it is ahead."""
    date = format_datetime(NOON + ahead, usegmt=True)
    assert _clock_ahead(date, NOON, NOON) == ahead


@pytest.mark.parametrize("date", [None, "", "soon", format_datetime(NOON - timedelta(seconds=1), usegmt=True)])
def test_a_date_that_tells_nothing_changes_nothing(date: str | None) -> None:
    """A missing one, and one of the same second or nearly."""
    assert _clock_ahead(date, NOON, NOON) == timedelta(0)
