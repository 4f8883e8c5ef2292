"""History: every move is an event, history is a stack, and a rollback pops it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

import prodpointer
from prodpointer import ExpectationFailed, InvalidName, NothingToRollBack, RegisteredModel, VersionNotFound
from prodpointer.history.record import EVENT_TAG, PACK_TAG, RECORD_TAG, event_text, events
from tests.conformance.conftest import HAS_ALIASES, Connect, Registry


def kinds(model: RegisteredModel) -> list[tuple[str, int | None, int | None]]:
    """Return kind, from and to of each event."""
    return [(event.kind, event.from_version, event.to_version) for event in model.history()]


def test_each_move_is_an_event(news: RegisteredModel) -> None:
    """Promotions, rollbacks and withdrawals are recorded with who, why, when and what was moved."""
    before = datetime.now(timezone.utc)
    moves = [
        news.promote(1, reason="first", by="ada"),
        news.promote(2, reason="better", by="bob"),
        news.rollback(reason="worse", by="eve"),
        news.withdraw(reason="gone", by="dan"),
    ]
    assert news.history() == moves
    assert kinds(news) == [("promote", None, 1), ("promote", 1, 2), ("rollback", 2, 1), ("withdraw", 1, None)]
    assert [move.by for move in moves] == ["ada", "bob", "eve", "dan"]
    assert all(before <= move.at <= datetime.now(timezone.utc) and move.state == "done" for move in moves)
    assert moves[0].sha256 == news.version(1).sha256


def test_an_event_belongs_to_the_version_that_went_live(news: RegisteredModel) -> None:
    """The record of a promotion is a tag of the version promoted, that of a withdrawal of the version withdrawn."""
    news.promote(2)
    news.withdraw()
    recorded = {number: [event.kind for event in events([news.version(number)])] for number in (1, 2)}
    assert recorded == {1: [], 2: ["promote", "withdraw"]}


def test_promoting_the_live_version_is_no_event(news: RegisteredModel) -> None:
    """Where nothing had to move nothing is recorded."""
    news.promote(1)
    news.promote(1)
    assert len(news.history()) == 1


def test_a_model_without_promotions_has_no_history(news: RegisteredModel) -> None:
    """No move, no event, and nothing was live at any time."""
    assert news.history() == []
    assert news.live_at(datetime.now(timezone.utc)) is None


def test_a_rollback_goes_to_the_version_live_before(news: RegisteredModel) -> None:
    """Not the number below: the version that was really live."""
    for version in (1, 3, 2):
        news.promote(version)
    assert news.rollback().to_version == 3
    assert (news.live_version(), news.load_production()) == (3, {"recommender": "r3", "ranker": 3})


def test_rolling_back_twice_goes_two_back(news: RegisteredModel) -> None:
    """Going back pops: the second time starts from where the first one ended."""
    for version in (1, 2, 3):
        news.promote(version)
    assert [news.rollback().to_version for _ in range(2)] == [2, 1]
    with pytest.raises(NothingToRollBack):
        news.rollback()
    assert news.live_version() == 1


def test_rolling_back_moves_the_same_pointers(news: RegisteredModel) -> None:
    """What a promotion moved a rollback moves back, and both kinds of reader see it."""
    news.promote(1)
    moved = news.promote(2).pointers
    assert news.rollback().pointers == moved
    assert news.status().agreed


def test_rolling_back_a_withdrawal_restores(news: RegisteredModel) -> None:
    """After a withdrawal the version withdrawn is live again, by the same pointers."""
    news.promote(1)
    moved = news.promote(2).pointers
    news.withdraw()
    assert (news.rollback().to_version, news.live_version()) == (2, 2)
    assert news.history()[-1].pointers == moved
    assert news.rollback().to_version == 1


def test_a_promotion_after_a_rollback_is_the_new_end(news: RegisteredModel) -> None:
    """What was rolled back does not come back when a later promotion is rolled back."""
    for version in (1, 2):
        news.promote(version)
    news.rollback()
    news.promote(3)
    assert news.rollback().to_version == 1


def test_a_rollback_can_name_a_version(news: RegisteredModel) -> None:
    """``to=`` goes to any version that can go live, and pops what came after it."""
    for version in (1, 2, 3):
        news.promote(version)
    assert news.rollback(to=1).to_version == 1
    with pytest.raises(NothingToRollBack):
        news.rollback()


def test_a_move_by_others_is_shown_as_unrecorded(news: RegisteredModel, registry: Registry) -> None:
    """A move by plain MLflow is in the history as what it is, and a rollback takes it back."""
    pointers = news.promote(1).pointers
    registry.promoted_by_jobs(news, alias=3 if "alias" in pointers else None, stage=3 if "stage" in pointers else None)
    last = news.history()[-1]
    assert (last.kind, last.from_version, last.to_version, last.event) == ("unrecorded", 1, 3, None)
    assert news.rollback().to_version == 1
    assert kinds(news)[1:] == [("unrecorded", 1, 3), ("rollback", 3, 1)]


def test_a_rollback_without_a_record_is_refused(fresh: Connect, registry: Registry, pointer: str) -> None:
    """Without a record the previous version is unknown: the error names the versions to choose from."""
    news = fresh(3, pointer="auto" if pointer == "both" else pointer)
    if HAS_ALIASES and pointer == "alias":
        registry.promoted_by_jobs(news, alias=2)
        with pytest.raises(NothingToRollBack, match=r"no promotion was recorded; other versions: 1, 3"):
            news.rollback()
        return
    for version in (1, 2):
        registry.move_stage(news.name, version, "Production")
    registry.move_stage(news.name, 1, "Archived")
    with pytest.raises(NothingToRollBack, match=r"no promotion was recorded; archived versions: 1\b"):
        news.rollback()
    assert news.rollback(to=1).to_version == 1


def test_a_deleted_predecessor_is_refused_with_the_next_candidate(news: RegisteredModel, registry: Registry) -> None:
    """What was live before cannot go live again where it was deleted: the one before it is named, and nothing moves."""
    for version in (1, 2, 3):
        news.promote(version)
    registry.plain.delete_model_version(news.name, "2")
    with pytest.raises(NothingToRollBack, match=r"Version 2 .* was deleted.*version 1: name it with to="):
        news.rollback()
    assert news.live_version() == 3
    assert news.rollback(to=1).to_version == 1


def test_a_predecessor_without_its_artifact_is_refused(fresh: Connect, registry: Registry) -> None:
    """A version whose bytes are gone is no way back."""
    news = fresh()
    run_id = registry.run_with({"bundle/newsreco.pkl": b"bytes"})
    for run in (run_id, registry.runs[0]):
        news.promote(news.register(run, "bundle"))
    shutil.rmtree(registry.stored(run_id, "bundle/newsreco.pkl").parent)
    with pytest.raises(NothingToRollBack, match=r"Version 1 .* has lost its artifact"):
        news.rollback()
    assert news.live_version() == 2


def test_a_rollback_to_a_missing_version_is_refused(news: RegisteredModel) -> None:
    """``to=`` a missing version, or something that is no version, moves nothing."""
    news.promote(1)
    with pytest.raises(NothingToRollBack, match="Version 9"):
        news.rollback(to=9)
    with pytest.raises(InvalidName):
        news.rollback(to="latest")
    assert news.live_version() == 1


def test_a_rollback_with_another_expectation_is_refused(news: RegisteredModel) -> None:
    """A rollback with a wrong expectation moves nothing."""
    for version in (1, 2):
        news.promote(version)
    with pytest.raises(ExpectationFailed):
        news.rollback(expected=1)
    assert news.live_version() == 2


def test_live_at_returns_the_version_live_at_a_time(news: RegisteredModel) -> None:
    """Between two moves the first one's version was live, before the first nothing, and now the last one's."""
    first, second = news.promote(1), news.promote(3)
    long_ago, between = first.at - timedelta(hours=1), first.at + (second.at - first.at) / 2
    found = [news.live_at(when) for when in (long_ago, between, datetime.now(timezone.utc))]
    assert [version and version.version for version in found] == [None, 1, 3]


def test_a_deleted_version_that_was_live_is_reported(news: RegisteredModel, registry: Registry) -> None:
    """The record outlives the version in the events of those after it; the version itself is not there any more."""
    first, _ = news.promote(1), news.promote(2)
    registry.plain.delete_model_version(news.name, "1")
    assert kinds(news) == [("promote", 1, 2)]
    with pytest.raises(VersionNotFound):
        news.live_at(first.at)


def test_a_version_that_goes_live_often_keeps_its_record_small(news: RegisteredModel, registry: Registry) -> None:
    """At most three tags of the version hold its record, the first of which a person can read, and no event is lost."""
    first = news.promote(1)
    ids = [f"{number:012d}-00000000" for number in range(100, 130)]
    for event in ids:
        key, text = f"{EVENT_TAG}{event}", event_text(replace(first, event=event))
        registry.plain.set_model_version_tag(news.name, "1", key, text)
    again = [news.promote(version).event for version in (2, 1) * 3][1::2]
    tags = news.version(1).tags
    assert len([key for key in tags if key == RECORD_TAG or key.startswith((EVENT_TAG, PACK_TAG))]) <= 3
    assert tags[RECORD_TAG].startswith("live since ")
    recorded = [event.event for event in news.history() if event.event and event.to_version == 1]
    assert recorded == [first.event, *ids, *again]


def test_two_pointers_have_two_histories(news: RegisteredModel) -> None:
    """The record of another alias is another one, and so is its way back."""
    for version in (1, 2):
        news.promote(version)
    uri = news._registry.addresses.registry_uri  # noqa: SLF001  # the same registry again
    staging = prodpointer.connect(news.name, tracking_uri=uri, alias="staging")
    staging.promote(3)
    assert kinds(staging) == [("promote", None, 3)]
    assert news.rollback().to_version == 1
    assert staging.live_version() == 3


def test_a_stopped_promotion_leaves_its_intent(news: RegisteredModel, registry: Registry) -> None:
    """A promoter that dies before the pointer moves leaves an intent that is seen, and no move; a repair closes it."""
    news.promote(1)
    event = news.promote(2).event
    news.promote(1)
    key = f"{EVENT_TAG}{event}"
    text = news.version(2).tags[RECORD_TAG].replace('"done"', '"intended"')
    registry.plain.set_model_version_tag(news.name, "2", key.replace("00000000000", "00000009000"), text)
    assert [found.state for found in news.history()][-1] == "intended"
    assert news.live_version() == 1
    assert any("intended → lost" in text for text in news.repair().mended)
    assert [found.state for found in news.history()][-1] == "lost"


def test_a_repair_sets_the_stage_to_the_alias(fresh: Connect, registry: Registry) -> None:
    """What is live stays live, and the rest follows: two versions in the stage, or a stage behind its alias."""
    news = fresh(3, pointer="auto")
    if HAS_ALIASES:
        registry.promoted_by_jobs(news, alias=1, stage=3)
    else:
        registry.promoted_by_jobs(news, stage=1)
    registry.promoted_by_jobs(news, stage=2)
    live = news.status().live
    status = news.repair()
    assert (status.live, status.agreed, status.in_stage) == (live, True, (live,))
    assert status.mended
    assert news.repair().mended == ()


def test_a_repair_moves_an_alias_off_a_deleted_version(fresh: Connect, registry: Registry) -> None:
    """An alias that names a deleted version follows the stage that is live."""
    news = fresh(2, pointer="auto")
    registry.promoted_by_jobs(news, stage=2)
    if HAS_ALIASES:
        registry.set_alias(news.name, "production", 1)
        registry.plain.delete_model_version(news.name, "1")
    status = news.repair()
    assert (status.live, status.stage, status.agreed) == (2, 2, True)
    assert status.alias in (None, 2)
