"""What was live when, from a history: periods, and the rows that a picture has for them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from prodpointer.pages.periods import Period, grouped, lengths, periods_of, timeline_of
from prodpointer.types import Promotion

NOON = datetime(2026, 11, 28, 12, tzinfo=timezone.utc)
NOW = NOON + timedelta(days=10)


def move(before: int | None, after: int | None, days: float, **fields: Any) -> Promotion:
    """Return a move so many days after noon."""
    fields.setdefault("kind", "withdraw" if after is None else "promote")
    return Promotion("m", before, after, ("alias",), NOON + timedelta(days=days), "ada", **fields)


def shown(*moves: Promotion) -> list[tuple[float, float, int | None]]:
    """Return begin and end in days after noon, and the version, of each period."""
    days = timedelta(days=1)
    return [((each.start - NOON) / days, (each.end - NOON) / days, each.version) for each in periods_of(moves, NOW)]


def every(days: float, number: int) -> list[Period]:
    """Return the periods of so many promotions, one after the other."""
    moves = [move(each or None, each + 1, each * days) for each in range(number)]
    return periods_of(moves, NOON + timedelta(days=days * number))


def test_a_version_is_live_until_the_next() -> None:
    """Each move ends what was before it, and the last version is live still."""
    assert shown(move(None, 1, 0), move(1, 2, 3)) == [(0, 3, 1), (3, 10, 2)]


def test_nothing_is_live_after_a_withdrawal() -> None:
    """The gap is a period too."""
    assert shown(move(None, 1, 0), move(1, None, 2), move(None, 1, 5)) == [(0, 2, 1), (2, 5, None), (5, 10, 1)]


def test_a_move_to_what_is_live_begins_no_period() -> None:
    """It is one of the moves of the period that it confirms."""
    (period,) = periods_of([move(None, 1, 0), move(1, 1, 2, kind="migrate")], NOW)
    assert (period.version, len(period.moves)) == (1, 2)


@pytest.mark.parametrize("state", ["intended", "lost", "refused"])
def test_what_was_not_done_makes_nothing_live(state: Any) -> None:
    """A move that was refused, lost or not finished is no period."""
    assert shown(move(None, 1, 0), move(1, 2, 3, state=state)) == [(0, 10, 1)]


def test_an_unrecorded_move_leaves_its_moment_open() -> None:
    """Between the move before it and the time by which it had happened either version may have been live."""
    found = periods_of([move(None, 1, 0), move(1, 2, 4, kind="unrecorded"), move(2, 3, 4)], NOW)
    assert [(each.version, each.or_version, each.is_unsure) for each in found] == [(1, 2, True), (3, None, False)]


def test_what_another_tool_moved_now_is_open_until_now() -> None:
    """The last move was not recorded: since when its version is live is not known."""
    (period,) = periods_of([move(None, 1, 0), move(1, 2, 10, kind="unrecorded")], NOW)
    assert (period.is_unsure, period.end) == (True, NOW)


def test_a_clock_that_is_slow_turns_no_period_around() -> None:
    """The order of the moves counts, not the times that machines gave them."""
    assert shown(move(None, 1, 3), move(1, 2, 1), move(2, 3, 5)) == [(3, 5, 2), (5, 10, 3)]


def test_a_clock_that_is_fast_ends_now() -> None:
    """No period begins in the future."""
    assert shown(move(None, 1, 3), move(1, 2, 20)) == [(3, 10, 1)]


def test_the_time_of_each_version_is_added_up() -> None:
    """Both times that a version was live count, and none in which that is not known."""
    moves = [move(None, 1, 0), move(1, 2, 2), move(2, 1, 3), move(1, 3, 5, kind="unrecorded"), move(3, 4, 5)]
    day = 24 * 60 * 60
    assert lengths(periods_of(moves, NOW)) == {1: 2 * day, 2: day, 4: 5 * day}


def test_a_few_moves_are_one_row() -> None:
    """It begins with the first move, ends now, and is full."""
    periods = every(3, 5)
    (row,) = timeline_of(periods, 5, periods[-1].end).rows
    assert [round(part.left) for part in row.parts] == [0, 20, 40, 60, 80]
    assert sum(part.width for part in row.parts) == pytest.approx(100)


def test_many_moves_are_rows_of_a_calendar() -> None:
    """Two hundred in seven months are a row for each month."""
    periods = every(1, 200)
    rows = timeline_of(periods, 200, periods[-1].end).rows
    assert [row.name for row in rows][:2] == ["November 2026", "December 2026"]
    assert [row.start.day for row in rows] == [1] * 8


@pytest.mark.parametrize("hours", [0.01, 0.1, 1, 5, 24, 24 * 7, 24 * 30, 24 * 365])
def test_rows_hold_each_period_whatever_the_pace(hours: float) -> None:
    """There are not too many, nothing lies outside, and no period is missing."""
    periods = every(hours / 24, 200)
    rows = timeline_of(periods, 200, periods[-1].end).rows
    assert len(rows) <= 16
    assert {each.start for row in rows for part in row.parts for each in part.periods} == {
        each.start for each in periods
    }
    assert all(part.left > -0.01 and part.left + part.width < 101 for row in rows for part in row.parts)


def test_short_periods_share_a_part() -> None:
    """What is too narrow to be seen is drawn together, and says of how many it is."""
    moves = [move(None, 1, 0), *(move(each, each + 1, 5 + each / 1000) for each in range(1, 8)), move(8, 9, 8)]
    periods = periods_of(moves, NOW)
    (row,) = timeline_of(periods, len(moves), NOW).rows
    assert [len(part.periods) for part in row.parts] == [1, 6, 1, 1]
    assert min(part.width for part in row.parts) >= 0.9


def test_what_is_live_now_is_seen() -> None:
    """However short the last period is, it has a part of its own that can be seen."""
    moves = [move(None, 1, 0), *(move(each, each + 1, 9.99 + each / 1000) for each in range(1, 9))]
    (row,) = timeline_of(periods_of(moves, NOW), len(moves), NOW).rows
    assert ([each.version for each in row.parts[-1].periods], row.parts[-1].width >= 0.9) == ([9], True)


def test_moves_are_grouped_by_row() -> None:
    """Each move is in one group; one with a slow clock stays with the move before it."""
    periods = every(1, 200)
    rows = timeline_of(periods, 200, periods[-1].end).rows
    moves = [each.moves[0] for each in periods]
    late = Promotion("m", 1, 2, (), NOON, "ada", state="lost")
    groups = grouped([*moves, late], rows)
    assert [each for _, those in groups for each in those] == [*moves, late]
    assert groups[-1][1][-1] is late
