"""Events as tags: order, ids, length limits, lossless RECORD_TAG, record_text, and the history they describe."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from prodpointer.history import record
from prodpointer.history.events import event_from
from prodpointer.history.log import add_unrecorded, deciding, in_order, live_at, next_id, settled, stack
from prodpointer.history.record import EVENT_TAG, LONGEST_EVENT, PACK_TAG, RECORD_TAG, event_text, events, record_text
from prodpointer.types import Before, Kind, ModelVersion, Promotion, State, Verdict

NOON = datetime(2026, 11, 3, 12, tzinfo=timezone.utc)

MOVE = Promotion(
    name="news",
    from_version=1,
    to_version=None,
    pointers=("alias",),
    at=NOON,
    by="ada",
    reason="bad predictions",
)


def version(number: int, *identifiers: str, **tags: str) -> ModelVersion:
    """Return a version with events of these ids, and other tags."""
    own = {f"{EVENT_TAG}{each}": event_text(replace(MOVE, from_version=number)) for each in identifiers}
    return ModelVersion("news", number, None, "READY", "", None, None, None, {**tags, **own})


def test_no_versions_have_no_events() -> None:
    """A model without versions has no events."""
    assert events([]) == []


def test_events_come_oldest_first() -> None:
    """Events are ordered by their ids, whatever their version and the order of the tags."""
    found = events([version(2, "000000000003-aaaaaaaa", "000000000001-aaaaaaaa"), version(1, "000000000002-aaaaaaaa")])
    assert [each.event for each in found] == ["000000000001-aaaaaaaa", "000000000002-aaaaaaaa", "000000000003-aaaaaaaa"]


def test_the_last_event_is_the_newest() -> None:
    """Of events on several versions the one with the highest id is the last."""
    last = events([version(1, "000000000009-aaaaaaaa"), version(2, "000000000010-aaaaaaaa")])[-1]
    assert last is not None
    assert last.event == "000000000010-aaaaaaaa"


def test_an_event_is_the_move_that_was_written() -> None:
    """Reading the tag gives the move back, with its id."""
    assert events([version(1, "000000000001-aaaaaaaa")]) == [replace(MOVE, event="000000000001-aaaaaaaa")]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (f"{EVENT_TAG}000000000001-00000000", "not json"),
        (f"{EVENT_TAG}000000000001-00000000", "{}"),
        (f"{EVENT_TAG}000000000001-00000000", ""),
        ("prodpointer.sha256", "ab"),
        ("event.1", event_text(MOVE)),
        ("prodpointer.events", event_text(MOVE)),
        (f"{PACK_TAG}1-2-abc", event_text(MOVE)),
        (f"{PACK_TAG}1-2-abc", ""),
    ],
    ids=["text", "other json", "empty", "other tag", "other prefix", "longer key", "no pack", "empty pack"],
)
def test_invalid_event_tags_are_ignored(key: str, value: str) -> None:
    """A tag of another tool hides no event and breaks nothing."""
    carrier = version(1, "000000000002-aaaaaaaa")
    assert len(events([replace(carrier, tags={**carrier.tags, key: value})])) == 1


def test_the_first_id_counts_from_one() -> None:
    """The first event of a model has the count one."""
    assert next_id([]).startswith("000000000001-")


@pytest.mark.parametrize("count", [1, 9, 10, 99, 999_999, 10**11])
def test_an_id_sorts_after_the_last(count: int) -> None:
    """As text an id comes after the one before it, also where the number of digits changes."""
    last = replace(MOVE, event=f"{count:012d}-ffffffff")
    assert last.event is not None
    assert next_id([last]) > last.event


@pytest.mark.parametrize("event", [None, "", "soon", "-1"])
def test_an_id_after_an_unreadable_one_starts_again(event: str | None) -> None:
    """An id that has no count is no reason to fail."""
    assert next_id([replace(MOVE, event=event)]).startswith("000000000001-")


def test_two_ids_made_at_once_differ() -> None:
    """Two processes that saw the same last event write two events."""
    assert len({next_id([]) for _ in range(50)}) == 50


def test_an_id_can_be_part_of_a_tag() -> None:
    """The id holds only characters that every MLflow takes in a tag's key."""
    assert next_id([]).replace("-", "").isalnum()


@pytest.mark.parametrize(
    "reason",
    ["x" * 900, "x" * 5000, '"' * 5000, "\n" * 5000, "\x01" * 5000, "\u00fc" * 5000, "\U0001f680" * 5000],
    ids=["just too long", "long", "quotes", "lines", "control", "umlauts", "emoji"],
)
def test_a_long_reason_is_cut_so_that_the_event_fits(reason: str) -> None:
    """Whatever the reason holds, an event has at most 1,000 characters and can be read back."""
    text = event_text(replace(MOVE, reason=reason))
    assert len(text.split("\n")[1]) <= LONGEST_EVENT
    assert event_from("news", "1", text).reason.endswith("...")


def test_a_cut_reason_keeps_its_beginning() -> None:
    """What is left of a reason is its first words."""
    kept = event_from("news", "1", event_text(replace(MOVE, reason="first words " + "x" * 2000))).reason
    assert kept.startswith("first words xxx")


@pytest.mark.parametrize("reason", ["a line\n" * 700, '"' * 5000, "\x01" * 5000], ids=["lines", "quotes", "control"])
def test_a_reason_is_kept_as_long_as_it_fits(reason: str) -> None:
    """Text that JSON escapes still uses the whole length."""
    assert len(event_text(replace(MOVE, reason=reason)).split("\n")[1]) > LONGEST_EVENT - 6


def test_only_the_reason_is_cut() -> None:
    """Everything else in an event survives a long reason."""
    back = event_from("news", "1", event_text(replace(MOVE, reason="x" * 2000)))
    assert replace(back, reason="", event=None) == replace(MOVE, reason="")


def test_a_long_user_name_fits_too() -> None:
    """An event has at most 1,000 characters also where it is the user's name that is long."""
    assert len(event_text(replace(MOVE, by="u" * 2000)).split("\n")[1]) <= LONGEST_EVENT


def test_the_prefix_is_the_one_of_the_contract() -> None:
    """Other programs find the events under this prefix."""
    assert record.EVENT_TAG == "prodpointer.event."


def test_evidence_is_cut_only_where_the_reason_is_not_enough() -> None:
    """Of many gates as many as fit are kept, and the event can be read back."""
    gates = tuple(
        Verdict(f"metric_{number} >= production + 0.002", f"metric_{number}", 0.5, 0.4, None, True)
        for number in range(40)
    )
    text = event_text(replace(MOVE, gates=gates, reason="why"))
    assert len(text.split("\n")[1]) <= LONGEST_EVENT
    back = event_from("news", "1", text)
    assert 3 < len(back.gates) < 40
    assert back.gates == gates[: len(back.gates)]
    assert back.omitted_gates == 40 - len(back.gates)


def test_a_long_name_of_a_model_takes_no_room_from_the_evidence() -> None:
    """When the version was created says to which one the event belongs."""
    gates = tuple(Verdict(f"metric_{number} >= 0.5", f"metric_{number}", 0.75, None, None, True) for number in range(6))
    event = replace(MOVE, name="x" * 256, by="u" * 200, gates=gates, reason="why", holder_created_at=NOON)
    text = event_text(event)
    assert len(text.split("\n")[1]) <= LONGEST_EVENT
    assert event_from("news", "1", text).gates == gates


@pytest.mark.parametrize("text", ["[]", "1", '{"kind": "promote"}', "soon", ""])
def test_an_invalid_event_is_a_value_error(text: str) -> None:
    """Reading back anything else raises ValueError."""
    with pytest.raises(ValueError, match=r"event|Expecting"):
        event_from("news", "1", text)


def moved(
    count: int,
    to: int | None,
    *,
    frm: int | None = None,
    kind: Kind = "promote",
    state: State = "done",
    alias: str = "production",
) -> Promotion:
    """Return the event number ``count``, an hour after the one before it."""
    at = NOON + timedelta(hours=count)
    event = f"{count:012d}-00000000"
    return Promotion("news", frm, to, ("alias",), at, "ada", event=event, kind=kind, state=state, alias=alias)


def carrying(number: int, *recorded: Promotion, stage: str | None = None) -> ModelVersion:
    """Return a version with these events as tags."""
    tags = {f"{EVENT_TAG}{each.event}": event_text(each) for each in recorded}
    return ModelVersion("news", number, stage, "READY", "", None, None, None, tags)


def test_events_of_another_pointer_are_apart() -> None:
    """The events of one alias do not hold those of another."""
    found = carrying(1, moved(1, 1), moved(2, 1, alias="staging"))
    assert [each.alias for each in events([found], "staging")] == ["staging"]
    assert len(events([found])) == 2


def test_only_done_events_count() -> None:
    """Intents that name something else, and losses, are no moves."""
    recorded = [moved(1, 1), moved(2, 2, state="lost"), moved(3, 3, state="intended")]
    assert [each.to_version for each in settled(recorded, live=1)] == [1]


def test_an_intent_that_names_the_live_version_counts() -> None:
    """A promoter that was stopped after the pointer had moved has moved it."""
    found = settled([moved(1, 1), moved(2, 2, state="intended")], live=2)
    assert [(each.to_version, each.state) for each in found] == [(1, "done"), (2, "done")]


def test_an_intent_before_a_done_event_does_not_count() -> None:
    """An old intent for a version that went live later by another event stays an intent."""
    assert len(settled([moved(1, 2, state="intended"), moved(2, 2)], live=2)) == 1


def test_a_lost_version_was_not_live_before_the_next_move() -> None:
    """A move that found the version of a loser live for a moment replaced what the loser had replaced."""
    recorded = [moved(1, 1), moved(2, 2, frm=1, state="lost"), moved(3, 3, frm=2)]
    assert [(each.from_version, each.to_version) for each in settled(recorded, live=3)] == [(None, 1), (1, 3)]
    assert stack(add_unrecorded(settled(recorded, live=3), 3, NOON)) == [None, 1, 3]


def test_who_lost_with_a_raised_id_was_not_live_before_either() -> None:
    """Its id was raised past that of the move that overtook it, and it was begun before."""
    lost = replace(moved(3, 7, frm=1, state="lost"), at=NOON + timedelta(hours=1, minutes=30))
    moves = add_unrecorded(settled([moved(1, 1), moved(2, 2, frm=7), lost], 2), 2, NOON)
    assert [(move.kind, move.from_version, move.to_version) for move in moves] == [
        ("promote", None, 1),
        ("promote", 1, 2),
    ]


def test_concurrent_promotions_are_no_unrecorded_move() -> None:
    """The second was decided before the first was done, so that it could not see what that left."""
    second = replace(moved(3, 2, frm=1), after="000000000001-00000000")
    moves = add_unrecorded(settled([moved(1, 1), moved(2, 2, frm=1), second], 2), 2, NOON)
    assert [(move.kind, move.from_version) for move in moves] == [("promote", None), ("promote", 1), ("promote", 2)]


def test_a_move_by_others_after_what_was_done_is_still_one() -> None:
    """The second had seen that the first was done, and found another version live."""
    second = replace(moved(3, 2, frm=1), after="000000000002-00000000")
    moves = add_unrecorded(settled([moved(1, 1), moved(2, 2, frm=1), second], 2), 2, NOON)
    assert [move.kind for move in moves] == ["promote", "promote", "unrecorded", "promote"]


def test_what_met_a_promotion_with_a_raised_id_is_no_move_by_others() -> None:
    """It found the version live that another one had just set, whose id was raised past its own."""
    found = replace(moved(2, 3, frm=3), at=NOON + timedelta(hours=2))
    raised = replace(moved(3, 3, frm=1), at=NOON + timedelta(hours=1), after="000000000001-00000000")
    moves = add_unrecorded(settled([moved(1, 1), found, raised], 3), 3, NOON)
    assert [(move.kind, move.from_version) for move in moves] == [("promote", None), ("promote", 1), ("promote", 3)]


@pytest.mark.parametrize(
    "migration", [None, Before("run", "Production", 2, {3: "Production", 1: None}, "both", "window")]
)
def test_what_only_some_events_have_is_kept_and_packed(migration: Before | None) -> None:
    """The text of a tag and a pack give back what a migration found before it, and what an event came after."""
    event = replace(moved(1, 1), migration=migration, after="000000000000-00000000")
    assert event_from("news", event.event or "", event_text(event)) == event
    recorded = [replace(moved(count, 1), migration=migration) for count in range(1, 20)]
    assert events([replace(carrying(1), tags={RECORD_TAG: record_text(recorded)})]) == recorded


def test_a_move_by_others_to_what_had_lost_is_still_one() -> None:
    """A loss before the last move hides nothing that happened after it."""
    recorded = [moved(1, 2, frm=1, state="lost"), moved(2, 1), moved(3, 3, frm=2)]
    assert ("unrecorded", 1, 2) in [
        (each.kind, each.from_version, each.to_version) for each in add_unrecorded(settled(recorded, live=3), 3, NOON)
    ]


def test_a_move_by_others_shows_between_two_events() -> None:
    """If an event starts from another version than the last one set, another tool moved the pointer between."""
    found = add_unrecorded([moved(1, 1), moved(2, 3, frm=2)], 3, NOON)
    assert [(each.kind, each.from_version, each.to_version) for each in found] == [
        ("promote", None, 1),
        ("unrecorded", 1, 2),
        ("promote", 2, 3),
    ]
    assert found[1].at == found[2].at


def test_a_move_by_others_shows_after_the_last_event() -> None:
    """If another version is live than the last event set, another tool moved the pointer since."""
    now = NOON + timedelta(days=1)
    found = add_unrecorded([moved(1, 1)], None, now)
    assert [(each.kind, each.to_version, each.at) for each in found[1:]] == [("unrecorded", None, now)]
    assert found[1].event is None


def test_what_is_as_recorded_shows_no_other_move() -> None:
    """Events that follow one from the other hide nothing."""
    assert len(add_unrecorded([moved(1, 1), moved(2, 2, frm=1)], 2, NOON)) == 2


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([], []),
        ([moved(1, 1)], [None, 1]),
        ([moved(1, 1), moved(2, 2, frm=1), moved(3, 3, frm=2)], [None, 1, 2, 3]),
        ([moved(1, 1), moved(2, 2, frm=1), moved(3, 1, frm=2, kind="rollback")], [None, 1]),
        ([moved(1, 1), moved(2, 2, frm=1), moved(3, 1, frm=2)], [None, 1, 2, 1]),
        ([moved(1, 1), moved(2, None, frm=1, kind="withdraw")], [None, 1, None]),
        (
            [moved(1, 1), moved(2, None, frm=1, kind="withdraw"), moved(3, 1, kind="rollback")],
            [None, 1],
        ),
        (
            [moved(1, 1), moved(2, 2, frm=1), moved(3, 1, frm=2, kind="rollback"), moved(4, 1, frm=2, kind="rollback")],
            [None, 1],
        ),
        ([moved(1, 1), moved(2, 7, frm=1, kind="rollback")], [None, 1, 7]),
        ([moved(1, 2, frm=1)], [1, 2]),
    ],
    ids=[
        "nothing",
        "one",
        "three",
        "back",
        "promoted again",
        "withdrawn",
        "restored",
        "back twice at once",
        "back to what was never live",
        "something was live before",
    ],
)
def test_history_is_a_stack(moves: list[Promotion], expected: list[int | None]) -> None:
    """Promoting and withdrawing push, going back pops."""
    assert stack(moves) == expected


def test_going_back_again_and_again_goes_further_back() -> None:
    """Each way back starts from where the last one ended."""
    moves = [moved(1, 1), moved(2, 2, frm=1), moved(3, 3, frm=2)]
    for count, (frm, to) in enumerate([(3, 2), (2, 1)], start=4):
        assert [each for each in stack(moves)[:-1] if each is not None][-1] == to
        moves.append(moved(count, to, frm=frm, kind="rollback"))


def test_what_was_live_at_a_time_is_told_by_the_events() -> None:
    """The last event before the time says what was live; before the first one, what that one replaced."""
    moves = [moved(1, 2, frm=1), moved(2, None, frm=2, kind="withdraw")]
    hours = {0: 1, 1: 2, 2: None, 9: None}
    assert {hour: live_at(moves, NOON + timedelta(hours=hour, minutes=30)) for hour in hours} == hours
    assert live_at([], NOON) is None


def test_other_events_stand_where_their_id_belongs() -> None:
    """Intents and losses are shown among the moves, in the order of their ids."""
    lost = moved(2, 5, state="lost")
    found = in_order(add_unrecorded([moved(1, 1), moved(3, 3, frm=2)], 3, NOON), [lost])
    assert [each.to_version for each in found] == [1, 2, 5, 3] or [each.to_version for each in found] == [1, 5, 2, 3]
    assert in_order([], [lost]) == [lost]


def test_the_highest_event_in_the_stage_decides() -> None:
    """Of concurrent promotions the one with the highest id wins, for every reader."""
    versions = [carrying(1, moved(1, 1), stage="Production"), carrying(2, moved(2, 2), stage="Production")]
    for number, event in ((1, "000000000001-00000000"), (2, "000000000002-00000000")):
        assert deciding(number, event, "production", versions, "Production") == 2


def test_a_version_that_others_put_there_gives_way() -> None:
    """A version in the stage without an event loses against one with an event."""
    versions = [carrying(9, stage="Production"), carrying(2, moved(1, 2), stage="Production")]
    assert deciding(2, "000000000001-00000000", "production", versions, "Production") == 2


def test_a_version_that_was_pushed_out_has_lost() -> None:
    """What is no longer in the stage does not come back while another one is there."""
    versions = [carrying(1, moved(1, 1), stage="Archived"), carrying(2, moved(2, 2), stage="Production")]
    assert deciding(1, "000000000001-00000000", "production", versions, "Production") == 2


def test_an_empty_stage_gets_the_highest_event() -> None:
    """Where two archived each other, the one with the highest id is put back."""
    versions = [carrying(1, moved(1, 1), stage="Archived"), carrying(2, moved(2, 2), stage="Archived")]
    assert deciding(1, "000000000001-00000000", "production", versions, "Production") == 2


def test_a_later_withdrawal_empties_the_stage() -> None:
    """A withdrawal decides like a version: the highest id wins."""
    versions = [carrying(1, moved(1, 1), stage="Production")]
    assert deciding(None, "000000000002-00000000", "production", versions, "Production") is None
    later = [carrying(1, moved(3, 1), stage="Production")]
    assert deciding(None, "000000000002-00000000", "production", later, "Production") == 1
