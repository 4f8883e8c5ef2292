"""The record as tags of one version: few of them, readable, and lossless whatever promoters do at the same time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from prodpointer.history.record import (
    EVENT_TAG,
    HIGHEST,
    LARGEST_RECORD,
    LONGEST_EVENT,
    PACK_TAG,
    RECORD_TAG,
    UNDER_WAY,
    Changes,
    _possible,
    changes,
    changes_to_find,
    describe,
    event_text,
    events,
    is_found,
    raising,
    tidied,
)
from prodpointer.types import Kind, ModelVersion, Promotion, State, Verdict

NOON = datetime(2026, 11, 30, 12, 4, tzinfo=timezone.utc)
EMPTY = ModelVersion("news", 1, None, "READY", "", None, None, None)


def moved(count: int, state: State = "done", **details: Any) -> Promotion:
    """Return the event number ``count`` of version 1, an hour after the one before it."""
    at = NOON + timedelta(hours=count)
    event = f"{count:012d}-0000000{count % 10}"
    given = {"by": "ada", "reason": "weekly retrain", "from_version": 3, "to_version": 1, **details}
    return Promotion(name="news", pointers=("alias",), at=at, event=event, state=state, **given)


def promoted(version: ModelVersion, count: int, **details: Any) -> ModelVersion:
    """Return a version after one more promotion."""
    move = moved(count, "intended", **details)
    version = changes(move, version, now=move.at).applied_to(version)
    return changes(replace(move, state="done"), version, now=move.at).applied_to(version)


def test_the_first_promotion_is_one_tag() -> None:
    """Its beginning and its end are written to the same tag."""
    assert list(promoted(EMPTY, 1).tags) == [RECORD_TAG]


@pytest.mark.parametrize("count", [2, 3, 4, 5, 10, 20])
def test_at_most_three_tags_hold_the_record(count: int) -> None:
    """However often a version goes live, its page does not fill with tags."""
    version = EMPTY
    for each in range(1, count + 1):
        version = promoted(version, each)
    assert len(version.tags) <= 3
    assert [each.state for each in events([version])] == ["done"] * count


def test_the_record_begins_with_a_sentence() -> None:
    """A person who opens the version in MLflow reads what happened to it last."""
    text = promoted(promoted(EMPTY, 1), 2).tags[RECORD_TAG]
    assert text.splitlines()[0] == "live since 2026-11-30 14:04 UTC by ada, was version 3: weekly retrain"


@pytest.mark.parametrize(
    ("kind", "details", "sentence"),
    [
        ("promote", {"from_version": None}, "live since 2026-11-30 13:04 UTC by ada, was no version: weekly retrain"),
        ("rollback", {"reason": ""}, "live since 2026-11-30 13:04 UTC by ada, was version 3"),
        (
            "promote",
            {"alias": "champion", "by": ""},
            "live as champion since 2026-11-30 13:04 UTC, was version 3: weekly retrain",
        ),
        (
            "withdraw",
            {"to_version": None, "reason": "bad\npredictions"},
            "withdrawn 2026-11-30 13:04 UTC by ada, was version 3: bad predictions",
        ),
        ("finish", {"reason": ""}, "migration finished 2026-11-30 13:04 UTC by ada"),
        ("undo", {"reason": ""}, "migration undone 2026-11-30 13:04 UTC by ada"),
    ],
)
def test_a_sentence_says_what_happened(kind: Kind, details: dict[str, Any], sentence: str) -> None:
    """Who, when, what before and why, on one line."""
    assert describe(moved(1, kind=kind, **details)) == sentence


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("intended", "promotion started 2026-11-30 13:04 UTC by ada: weekly retrain"),
        ("lost", "promotion lost to another one 2026-11-30 13:04 UTC by ada: weekly retrain"),
        ("refused", "promotion refused 2026-11-30 13:04 UTC by ada: weekly retrain"),
    ],
)
def test_a_sentence_says_what_did_not_happen(state: State, sentence: str) -> None:
    """A promotion that has not moved the pointer does not read as if it had."""
    assert describe(moved(1, state)) == sentence


def test_the_sentence_of_a_refusal_names_the_gate() -> None:
    """It says what the version did not reach."""
    gates = (
        Verdict("auc >= 0.5", "auc", 0.4, None, 0.5, passed=False),
        Verdict("loss <= 1", "loss", 0.4, None, 1, passed=True),
    )
    assert describe(moved(1, "refused", gates=gates)) == (
        "promotion refused 2026-11-30 13:04 UTC by ada: not auc >= 0.5"
    )


def test_a_long_reason_is_short_in_the_sentence_and_whole_in_the_event() -> None:
    """The sentence is for a table; the event keeps the reason."""
    text = event_text(moved(1, reason="why " * 100))
    sentence, event = text.split("\n")
    assert len(sentence) < 250
    assert "why " * 100 in event


@pytest.mark.parametrize(
    "text", ["", "live since yesterday", "live\n{}", "live\n[]", 'live\n{"event": "x"}', "a\nb\nc\nd"]
)
def test_a_record_that_is_none_holds_nothing(text: str) -> None:
    """What another tool wrote there is passed over, and replaced by the next promotion."""
    version = replace(EMPTY, tags={RECORD_TAG: text})
    assert events([version]) == []
    assert len(events([promoted(version, 1)])) == 1


def test_events_written_before_there_was_a_record_are_read() -> None:
    """Their tags are JSON alone, without a sentence."""
    early = {f"{EVENT_TAG}{each.event}": event_text(each).split("\n")[1] for each in (moved(1), moved(2))}
    version = replace(EMPTY, tags=early)
    assert events([version]) == [moved(1), moved(2)]
    assert not is_found(version)
    found = changes_to_find(version).applied_to(version)
    assert is_found(found)
    assert events([found]) == [moved(1), moved(2)]


def test_an_intent_of_a_stopped_promoter_stays_one() -> None:
    """What came after it is recorded beside it."""
    begun = moved(1, "intended")
    version = changes(begun, EMPTY, now=begun.at).applied_to(EMPTY)
    assert [each.state for each in events([promoted(version, 2)])] == ["intended", "done"]


def test_an_id_is_raised_where_the_event_stands() -> None:
    """The event has one id and one state whichever tag held its beginning."""
    for before in (EMPTY, promoted(EMPTY, 1)):
        begun, raised = moved(2, "intended"), moved(5, "intended")
        version = changes(begun, before, now=begun.at).applied_to(before)
        version = raising(begun, raised, version).applied_to(version)
        version = changes(replace(raised, state="done"), version, now=raised.at).applied_to(version)
        assert [each.event for each in events([version])][-1] == raised.event
        assert begun.event not in [each.event for each in events([version])]


def test_raising_an_id_keeps_what_was_recorded_meanwhile() -> None:
    """A promoter that was stopped for minutes finds in the record what others have done to the version since."""
    begun = moved(1, "intended")
    version = changes(begun, EMPTY, now=begun.at).applied_to(EMPTY)
    version = promoted(promoted(version, 2), 3)
    raised = moved(5, "intended")
    version = raising(begun, raised, version).applied_to(version)
    version = changes(replace(raised, state="done"), version, now=raised.at).applied_to(version)
    assert [(each.event, each.state) for each in events([version])] == [
        (moved(count).event, "done") for count in (2, 3, 5)
    ]


def test_refusals_are_kept_in_one_tag_beside_the_record() -> None:
    """A job that is refused every night does not fill the page of a version."""
    version = promoted(EMPTY, 1)
    for count in range(2, 12):
        version = changes(moved(count, "refused"), version, NOON).applied_to(version)
    assert len(version.tags) == 2
    assert [each.state for each in events([version])] == ["done"] + ["refused"] * 10
    assert len(promoted(promoted(promoted(version, 12), 13), 14).tags) <= 4


def test_a_version_that_was_only_refused_is_found() -> None:
    """The history shows a refusal of a version that never went live."""
    assert list(changes(moved(1, "refused"), EMPTY, NOON).applied_to(EMPTY).tags) == [RECORD_TAG]


@pytest.mark.parametrize(
    ("count", "reason"), [(250, ""), (250, "weekly retrain"), (250, "x" * 900)], ids=["none", "short", "long"]
)
def test_a_busy_version_stays_small_and_loses_nothing(count: int, reason: str) -> None:
    """A version that goes live hundreds of times adds at most 64 KB, and each event is still there."""
    version = EMPTY
    for number in range(1, count + 1):
        version = promoted(version, number, reason=f"{reason} {number}")
    assert sum(len(key) + len(text) for key, text in version.tags.items()) <= LARGEST_RECORD
    assert [each.event for each in events([version])] == [moved(number).event for number in range(1, count + 1)]
    assert all(len(text) <= 5000 for text in version.tags.values())
    newest = events([version])[-1]
    assert newest.reason.startswith(f"{reason} {count}"[: LONGEST_EVENT // 2])


def test_many_events_take_a_tag_of_their_own() -> None:
    """What one tag cannot hold is in packs, which are never changed."""
    version, dice = EMPTY, random.Random(0)
    reasons = [dice.randbytes(40).hex() for _ in range(150)]
    for number, reason in enumerate(reasons, start=1):
        version = promoted(version, number, reason=reason)
    assert any(key.startswith(PACK_TAG) for key in version.tags)
    assert [each.reason for each in events([version])] == reasons


def steps(count: int, tags: dict[str, str]) -> Iterator[None]:
    """Promote version 1 as promoters do, and yield between any two requests."""
    version = replace(EMPTY, tags=dict(tags))
    move = moved(count, "intended")
    move = replace(move, at=NOON)
    yield
    yield from sent(changes(move, version, now=NOON), tags)
    yield
    version = replace(EMPTY, tags=dict(tags))
    yield
    yield from sent(changes(replace(move, state="done"), version, now=NOON), tags)


def sent(written: Changes, tags: dict[str, str]) -> Iterator[None]:
    """Write and remove tags one by one."""
    for key, text in written.write.items():
        tags[key] = text
        yield
    for key in written.remove:
        tags.pop(key, None)
        yield


@pytest.mark.parametrize("seed", range(200))
def test_promoters_of_one_version_lose_no_event(seed: int) -> None:
    """In whatever order their requests arrive, each finds its own event ended."""
    dice = random.Random(seed)
    tags = dict(promoted(promoted(EMPTY, 1), 2).tags)
    running = {count: steps(count, tags) for count in range(3, 3 + dice.randrange(2, 7))}
    expected = {1, 2, *running}
    while running:
        count = dice.choice(list(running))
        if next(running[count], "ended") == "ended":
            del running[count]
    found = {int((each.event or "").split("-")[0]): each.state for each in events([replace(EMPTY, tags=tags)])}
    assert found == dict.fromkeys(expected, "done")


@pytest.mark.parametrize("seed", range(200))
def test_two_first_promoters_lose_no_event(seed: int) -> None:
    """Where the second begins before the first has written, one of them finds its event overwritten and notices."""
    dice = random.Random(seed)
    tags: dict[str, str] = {}
    first, second = steps(1, tags), steps(2, tags)
    order = [first] * 2 + [second] * 2  # both have read
    dice.shuffle(order)
    rest = [first] * 2 + [second] * 2  # both write their beginning, then read
    dice.shuffle(rest)
    for each in [*order, *rest]:
        next(each, None)
    for each in dice.sample([first, second], 2):
        list(each)
    assert sorted(each.state for each in events([replace(EMPTY, tags=tags)])) == ["done", "done"]


def test_what_racing_promoters_left_is_tidied() -> None:
    """Their tags join the record first and are removed when they stand in it; nothing is lost."""
    version = promoted(EMPTY, 1)
    for count in range(2, 9):
        text = event_text(moved(count))
        version = replace(version, tags={**version.tags, f"{EVENT_TAG}{moved(count).event}": text})
    once = tidied(version, NOON).applied_to(version)
    assert set(version.tags) <= set(once.tags)
    twice = tidied(once, NOON).applied_to(once)
    assert len(twice.tags) == 1
    assert events([twice]) == events([version])


def test_nothing_is_tidied_while_a_promotion_is_under_way() -> None:
    """Its promoter may be about to rewrite the record."""
    version = promoted(EMPTY, 1)
    for count in range(2, 9):
        begun = moved(count, "intended")
        version = replace(version, tags={**version.tags, f"{EVENT_TAG}{begun.event}": event_text(begun)})
    assert tidied(version, NOON) == Changes({})


def test_an_id_near_the_end_is_impossible() -> None:
    """However the gaps before it are filled, the next id has as many digits."""
    forged = [f"{count:012d}-00000000" for count in range(1, 10**12, 10**8)]
    assert max(_possible(forged)) < f"{HIGHEST + 10**8:012d}"


def test_a_stopped_promoter_keeps_others_from_the_record_for_a_minute_only() -> None:
    """Until then they keep their events under keys of their own."""
    version = promoted(EMPTY, 1)
    begun = moved(2, "intended")
    version = changes(begun, version, now=begun.at).applied_to(version)
    other = moved(3, "intended")
    version = changes(other, version, now=begun.at).applied_to(version)
    done = replace(other, state="done")
    assert list(changes(done, version, now=begun.at + UNDER_WAY / 2).write) == [f"{EVENT_TAG}{other.event}"]
    assert list(changes(done, version, now=begun.at + 2 * UNDER_WAY).write) == [RECORD_TAG]
