"""What is new of one pointer, from values alone."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from prodpointer.history import log
from prodpointer.history.record import UNDER_WAY
from prodpointer.types import Promotion
from prodpointer.watch.changes import Change, News, PointerRecord, Position, begin, find_news

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def event(count: int, before: int | None, to: int | None, *, state: Any = "done", **given: Any) -> Promotion:
    """Return the event with this count, decided once the one before it was done."""
    return Promotion(
        "news",
        before,
        to,
        ("alias",),
        given.pop("at", NOW - HOUR),
        "ada",
        event=f"{count:012d}-00000000",
        state=state,
        after=f"{count - 1:012d}-00000000" if count > 1 else "",
        passing="",
        **given,
    )


def pointer(*events: Promotion, live: int | None) -> PointerRecord:
    """Return the pointer with these events of which a version is live."""
    return PointerRecord("news", "production", None, events, log.settled(events, live), live)


def news(found: PointerRecord, position: Position | None = None, **given: Any) -> News:
    """Return what is new of a pointer."""
    values: dict[str, Any] = {"reported": {}, "waiting": {}, "now": NOW, **given}
    return find_news(found, position or Position(), values["reported"], values["waiting"], values["now"])


def shown(changes: tuple[Change, ...]) -> list[tuple[str, str, int | None, int | None]]:
    """Return of each change what it is and what it moved."""
    return [(each.event.kind, each.event.state, each.event.from_version, each.event.to_version) for each in changes]


FIRST, SECOND = event(1, None, 1), event(2, 1, 2)
DONE = {"reported": {FIRST.event: "done"}}
AT_FIRST = Position(1, FIRST.event or "")


def test_every_move_since_is_found_in_order() -> None:
    """Two moves between two looks are two events."""
    found = news(pointer(FIRST, SECOND, event(3, 2, 1, kind="rollback"), live=1), AT_FIRST, **DONE)
    assert shown(found.changes) == [("promote", "done", 1, 2), ("rollback", "done", 2, 1)]


def test_what_was_reported_is_found_no_more() -> None:
    """A look at the new position finds nothing."""
    record = pointer(FIRST, SECOND, live=2)
    found = news(record, AT_FIRST, **DONE)
    again = news(record, found.position, reported={**DONE["reported"], **found.closed})
    assert again.changes == ()


def test_a_move_by_another_tool_is_unrecorded() -> None:
    """What is live and was not promoted was moved by another tool; it may also have been moved meanwhile."""
    found = news(pointer(FIRST, live=3), AT_FIRST, **DONE)
    assert shown(found.changes) == [("unrecorded", "done", 1, 3)]
    assert found.doubtful


def test_a_move_by_another_tool_is_found_once() -> None:
    """The promotion after it says what it replaced, which was reported before."""
    found = news(pointer(FIRST, live=3), AT_FIRST, **DONE)
    later = news(pointer(FIRST, event(2, 3, 4), live=4), found.position, **DONE)
    assert shown(later.changes) == [("promote", "done", 3, 4)]


def test_a_move_by_another_tool_shows_between_two_promotions() -> None:
    """One that nobody saw while it was the last move stands before the promotion that replaced it."""
    found = news(pointer(FIRST, event(2, 3, 4), live=4), AT_FIRST, **DONE)
    assert shown(found.changes) == [("unrecorded", "done", 1, 3), ("promote", "done", 3, 4)]
    assert not found.doubtful


def test_moves_by_other_tools_have_keys_of_their_own() -> None:
    """The same move there and back and there again is three events."""
    position, keys = AT_FIRST, []
    for live in (3, 1, 3):
        found = news(pointer(FIRST, live=live), position, **DONE)
        position = found.position
        keys.append(found.changes[0].key)
    assert len(set(keys)) == 3


def test_a_key_does_not_depend_on_when_a_move_is_found() -> None:
    """An hour later the same change has the same key."""
    once, later = (news(pointer(FIRST, live=3), AT_FIRST, now=now, **DONE) for now in (NOW, NOW + HOUR))
    assert once.changes[0].key == later.changes[0].key


def test_a_promotion_under_way_is_waited_for() -> None:
    """Neither it nor what came after it is found, and what it made live is not taken for another tool's move."""
    under_way = event(2, 1, 2, state="intended")
    found = news(pointer(FIRST, under_way, event(3, 2, 3), live=3), AT_FIRST, **DONE)
    assert (found.changes, found.under_way, found.doubtful) == ((), True, False)
    assert found.waiting == {under_way.event: NOW}


def test_a_promotion_that_lost_is_found_as_lost() -> None:
    """It moved nothing, and the position stays."""
    found = news(pointer(FIRST, event(2, 1, 2, state="lost"), live=1), AT_FIRST, **DONE)
    assert shown(found.changes) == [("promote", "lost", 1, 2)]
    assert found.position.live == 1


def test_an_abandoned_promotion_holds_nothing_up_for_ever() -> None:
    """Once its promoter cannot be at work any more, what came after it is found."""
    abandoned = event(2, 1, 2, state="intended")
    seen = {abandoned.event: NOW - UNDER_WAY}
    found = news(pointer(FIRST, abandoned, event(3, 1, 3), live=3), AT_FIRST, waiting=seen, **DONE)
    assert shown(found.changes) == [("promote", "done", 1, 3)]
    assert found.waiting == seen


def test_an_abandoned_promotion_that_is_live_counts_as_done() -> None:
    """As in the history: its promoter was stopped after the pointer had moved."""
    abandoned = event(2, 1, 2, state="intended")
    found = news(pointer(FIRST, abandoned, live=2), AT_FIRST, waiting={abandoned.event: NOW - UNDER_WAY}, **DONE)
    assert shown(found.changes) == [("promote", "done", 1, 2)]
    closed = news(pointer(FIRST, SECOND, live=2), found.position, reported={**DONE["reported"], **found.closed})
    assert closed.changes == ()


def test_a_late_end_is_found_late() -> None:
    """A promotion that was passed over as abandoned and is closed after all is found then."""
    late = event(2, 1, 2, state="lost")
    reported = {**DONE["reported"], "000000000003-00000000": "done"}
    position = Position(3, "000000000003-00000000")
    found = news(pointer(FIRST, late, event(3, 1, 3), live=3), position, reported=reported)
    assert shown(found.changes) == [("promote", "lost", 1, 2)]
    assert found.position == position


def test_nothing_old_is_found_from_now_on() -> None:
    """A new cursor without a time begins behind the record, and behind what another tool moved after it."""
    record = pointer(FIRST, SECOND, live=7)
    position, reported = begin(record, None, NOW)
    assert news(record, position, reported=reported).changes == ()


def test_a_promotion_under_way_at_the_beginning_is_found_when_it_is_done() -> None:
    """It had moved the pointer when the cursor was made."""
    record = pointer(FIRST, event(2, 1, 2, state="intended", at=NOW), live=2)
    position, reported = begin(record, None, NOW)
    waited = news(record, position, reported=reported)
    assert (waited.changes, waited.under_way) == ((), True)
    done = news(pointer(FIRST, SECOND, live=2), waited.position, reported=reported)
    assert shown(done.changes) == [("promote", "done", 1, 2)]


def test_a_cursor_begins_at_a_time() -> None:
    """Events from then on are found, with the unrecorded moves between them."""
    record = pointer(event(1, None, 1, at=NOW - 3 * HOUR), event(2, 5, 2), live=2)
    position, reported = begin(record, NOW - 2 * HOUR, NOW)
    found = news(record, position, reported=reported)
    assert shown(found.changes) == [("unrecorded", "done", 1, 5), ("promote", "done", 5, 2)]


def test_an_alias_that_another_tool_set_first_is_found() -> None:
    """A model without a record had nothing live before."""
    assert shown(news(pointer(live=1)).changes) == [("unrecorded", "done", None, 1)]
