"""Events as tags: order, ids, and texts that fit."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from prodpointer import journal
from prodpointer.journal import EVENT_TAG, event_text, events, last_event, next_id
from prodpointer.records import ModelVersion, Promotion

MOVE = Promotion(
    name="news",
    from_version=1,
    to_version=None,
    pointers=("alias",),
    at=datetime(2026, 11, 3, tzinfo=timezone.utc),
    by="ada",
    reason="bad predictions",
)


def version(number: int, *identifiers: str, **tags: str) -> ModelVersion:
    """Return a version that carries events of these ids, and other tags."""
    own = {f"{EVENT_TAG}{each}": MOVE.as_text() for each in identifiers}
    return ModelVersion("news", number, None, "READY", "", None, None, None, {**tags, **own})


def test_no_versions_have_no_events() -> None:
    """A model without versions has no events and no last one."""
    assert (events([]), last_event([])) == ([], None)


def test_events_come_oldest_first() -> None:
    """Events are ordered by their ids, whichever version carries them and in whatever order the tags come."""
    found = events([version(2, "000000000003-a", "000000000001-a"), version(1, "000000000002-a")])
    assert [each.event for each in found] == ["000000000001-a", "000000000002-a", "000000000003-a"]


def test_the_last_event_is_the_newest() -> None:
    """Of events on several versions the one with the highest id is the last."""
    last = last_event([version(1, "000000000009-a"), version(2, "000000000010-a")])
    assert last is not None
    assert last.event == "000000000010-a"


def test_an_event_is_the_move_that_was_written() -> None:
    """Reading the tag gives the move back, with its id."""
    assert events([version(1, "000000000001-a")]) == [replace(MOVE, event="000000000001-a")]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (f"{EVENT_TAG}1", "not json"),
        (f"{EVENT_TAG}1", "{}"),
        (f"{EVENT_TAG}1", ""),
        ("prodpointer.sha256", "ab"),
        ("event.1", MOVE.as_text()),
        ("prodpointer.events", MOVE.as_text()),
    ],
    ids=["text", "other json", "empty", "other tag", "other prefix", "longer key"],
)
def test_tags_that_are_no_events_are_passed_over(key: str, value: str) -> None:
    """A tag of somebody else's hides no event and breaks nothing."""
    carrier = version(1, "000000000002-a")
    assert len(events([replace(carrier, tags={**carrier.tags, key: value})])) == 1


def test_the_first_id_counts_from_one() -> None:
    """The first event of a model has the count one."""
    assert next_id(None).startswith("000000000001-")


@pytest.mark.parametrize("count", [1, 9, 10, 99, 999_999, 10**11])
def test_an_id_sorts_after_the_last(count: int) -> None:
    """As text an id comes after the one before it, also where the number of digits changes."""
    last = replace(MOVE, event=f"{count:012d}-ffffffff")
    assert last.event is not None
    assert next_id(last) > last.event


@pytest.mark.parametrize("event", [None, "", "soon", "-1"])
def test_an_id_after_an_unreadable_one_starts_again(event: str | None) -> None:
    """An id that has no count is no reason to fail."""
    assert next_id(replace(MOVE, event=event)).startswith("000000000001-")


def test_two_ids_made_at_once_differ() -> None:
    """Two processes that saw the same last event write two events."""
    assert len({next_id(None) for _ in range(50)}) == 50


def test_an_id_can_be_part_of_a_tag() -> None:
    """The id holds only characters that every MLflow takes in a tag's key."""
    assert next_id(None).replace("-", "").isalnum()


def test_a_short_event_is_written_whole() -> None:
    """An event that fits is not changed."""
    assert event_text(MOVE) == MOVE.as_text()


@pytest.mark.parametrize(
    "reason",
    ["x" * 900, "x" * 5000, '"' * 5000, "\n" * 5000, "\x01" * 5000, "\u00fc" * 5000, "\U0001f680" * 5000],
    ids=["just too long", "long", "quotes", "lines", "control", "umlauts", "emoji"],
)
def test_a_long_reason_is_cut_so_that_the_event_fits(reason: str) -> None:
    """Whatever the reason holds, an event has at most 1,000 characters and can be read back."""
    text = event_text(replace(MOVE, reason=reason))
    assert len(text) <= 1000
    assert Promotion.from_text("news", "1", text).reason.endswith("...")


def test_a_cut_reason_keeps_its_beginning() -> None:
    """What is left of a reason is its first words."""
    kept = Promotion.from_text("news", "1", event_text(replace(MOVE, reason="first words " + "x" * 2000))).reason
    assert kept.startswith("first words xxx")


def test_only_the_reason_is_cut() -> None:
    """Everything else in an event survives a long reason."""
    back = Promotion.from_text("news", "1", event_text(replace(MOVE, reason="x" * 2000)))
    assert replace(back, reason="", event=None) == replace(MOVE, reason="")


def test_a_long_user_name_fits_too() -> None:
    """An event has at most 1,000 characters also where it is the user's name that is long."""
    assert len(event_text(replace(MOVE, by="u" * 2000))) <= 1000


def test_the_prefix_is_the_one_of_the_contract() -> None:
    """Other programs find the events under this prefix."""
    assert journal.EVENT_TAG == "prodpointer.event."
