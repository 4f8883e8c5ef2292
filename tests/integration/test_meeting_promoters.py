"""Concurrent promoters: a loser's version was never live, and a suspended promoter moves nothing afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from prodpointer import PromotionLost, RegisteredModel
from prodpointer.history.log import add_unrecorded, settled, stack
from prodpointer.history.record import EVENT_TAG, event_text
from prodpointer.mlflow_client.registry import Registry
from prodpointer.types import Promotion, State
from tests.integration.conftest import HAS_ALIASES, Lab

NOON = datetime(2026, 11, 3, 12, tzinfo=timezone.utc)
POINTERS = ["alias", "stage", "both"] if HAS_ALIASES else ["stage"]
Moment = Callable[[], object]


def identifier(count: int) -> str:
    """Return the id of an event."""
    return f"{count:012d}-00000000"


def moved(
    count: int,
    frm: int | None,
    to: int,
    state: State = "done",
    *,
    after: str | None = None,
    passing: str | None = None,
) -> Promotion:
    """Return an event; what it knew of others is given by their ids."""
    at, event = NOON + timedelta(hours=count), identifier(count)
    return Promotion("news", frm, to, ("alias",), at, "ada", event=event, state=state, after=after, passing=passing)


def lived(*recorded: Promotion) -> list[int | None]:
    """Return what was live one after the other."""
    live = recorded[-1].to_version
    return stack(add_unrecorded(settled(recorded, live), live, NOON))


def test_who_lost_with_a_lower_id_than_what_was_done_was_not_live() -> None:
    """It was decided before that was done, was live for a moment after it, and who found it there says so."""
    lost = moved(2, 1, 2, "lost", after=identifier(1), passing="")
    found = moved(4, 2, 4, after=identifier(3), passing=identifier(2))
    assert lived(moved(1, None, 1), lost, moved(3, 1, 3, after=identifier(1), passing=""), found) == [None, 1, 3, 4]


def test_who_lost_with_a_lower_id_was_not_live_in_earlier_records_either() -> None:
    """Records without that word tell what was decided when."""
    lost = moved(2, 1, 2, "lost", after=identifier(1))
    found = moved(4, 2, 4, after=identifier(3))
    assert lived(moved(1, None, 1), lost, moved(3, 1, 3, after=identifier(1)), found) == [None, 1, 3, 4]


def test_who_lost_again_and_again_was_not_live() -> None:
    """Each event is looked at, not the last one of its version."""
    lost = [moved(2, 1, 5, "lost"), moved(3, 5, 6, "lost"), moved(4, 6, 5, "lost")]
    assert lived(moved(1, None, 1), *lost, moved(5, 5, 7)) == [None, 1, 7]


def test_what_replaced_the_first_who_lost_replaced_nothing() -> None:
    """Where nothing was live before, nothing is what they replaced."""
    lost = [
        moved(1, None, 5, "lost", after="", passing=""),
        moved(2, 5, 6, "lost", after="", passing=identifier(1)),
    ]
    assert lived(*lost, moved(3, 6, 7, after="", passing=identifier(2))) == [None, 7]


def test_a_move_by_others_past_who_lost_is_still_one() -> None:
    """Who lost had found what another tool moved there, which was live."""
    lost = moved(2, 9, 2, "lost", after=identifier(1), passing="")
    assert lived(moved(1, None, 1), lost, moved(3, 2, 3, after=identifier(1), passing=identifier(2))) == [None, 1, 9, 3]


def test_a_move_by_others_to_who_had_lost_is_still_one() -> None:
    """Nobody was on the way to that version when it was found."""
    lost = moved(2, 1, 2, "lost", after=identifier(1), passing="")
    assert lived(moved(1, None, 1), lost, moved(3, 2, 3, after=identifier(1), passing="")) == [None, 1, 2, 3]


def test_events_that_name_each_other_end() -> None:
    """Tags written by other tools may form a circle."""
    circle = [moved(2, 3, 2, "lost", passing=identifier(3)), moved(3, 2, 3, "lost", passing=identifier(2))]
    assert lived(moved(1, None, 1), *circle, moved(4, 3, 4, after=identifier(1), passing=identifier(3))) == [None, 1, 4]


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Moment, Moment], None]:
    """Return a function that lets something happen before and after the next call of a method of the registry."""

    def arrange(method: str, before: Moment, after: Moment) -> None:
        real = getattr(Registry, method)

        def called(*arguments: object) -> None:
            setattr(Registry, method, real)
            before()
            real(*arguments)
            after()

        monkeypatch.setattr(Registry, method, called)

    return arrange


def promoted(model: RegisteredModel, version: int) -> Moment:
    """Return a promotion to come."""
    return lambda: model.promote(version)


def nothing() -> None:
    """Let nothing happen."""


@pytest.mark.skipif(not HAS_ALIASES, reason="an alias is moved by one request")
def test_a_rollback_goes_past_who_was_told_to_have_lost(
    lab: Lab, name: str, between: Callable[[str, Moment, Moment], None]
) -> None:
    """Its alias came after what was done before, and was there for a moment until the next one's."""
    model = lab.model(name, 4, pointer="alias")
    model.promote(1)
    between("set_alias", promoted(model, 3), promoted(model, 4))
    with pytest.raises(PromotionLost):
        model.promote(2)
    assert [event.kind for event in model.history()] == ["promote"] * 4
    assert model.rollback().to_version == 3


@pytest.mark.skipif(not HAS_ALIASES, reason="plain MLflow moves an alias here")
@pytest.mark.parametrize("state", ["lost", "intended"])
def test_a_move_by_another_tool_to_who_had_lost_or_stopped_is_one(lab: Lab, name: str, state: State) -> None:
    """An earlier, unfinished promotion to that version no longer counts, and a rollback can go there."""
    model = lab.model(name, 4, pointer="alias")
    long_ago = datetime.now(timezone.utc) - timedelta(hours=1)
    stopped = replace(model.promote(1), from_version=1, to_version=2, at=long_ago, state=state, event=identifier(2))
    stopped = replace(stopped, holder_created_at=model.version(2).created_at, after="")
    lab.client.set_model_version_tag(name, "2", f"{EVENT_TAG}{stopped.event}", event_text(stopped))
    for version in (3, 1):
        model.promote(version)
    lab.client.set_registered_model_alias(name, "production", "2")
    model.promote(4)
    assert model.history()[-2].kind == "unrecorded"
    assert model.rollback().to_version == 2


@pytest.mark.parametrize("pointer", POINTERS)
def test_a_suspended_promoter_overtakes_no_other(
    lab: Lab, name: str, pointer: str, between: Callable[[str, Moment, Moment], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks again before it moves anything, and what was promoted meanwhile stays live."""
    model = lab.model(name, 3, pointer=pointer)
    model.promote(1)
    monkeypatch.setattr("prodpointer.promotion.promoter.SNAPSHOT_LASTS", 0.0)
    between("tag_version", nothing, promoted(model, 3))
    with pytest.raises(PromotionLost) as caught:
        model.promote(2)
    assert (caught.value.winner, model.live_version()) == (3, 3)
    assert [event.state for event in model.history()] == ["done", "lost", "done"]


def test_who_was_stopped_for_long_withdraws_nothing(
    lab: Lab, name: str, between: Callable[[str, Moment, Moment], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was promoted meanwhile was not what is to be withdrawn."""
    model = lab.model(name, 2)
    model.promote(1)
    monkeypatch.setattr("prodpointer.promotion.promoter.SNAPSHOT_LASTS", 0.0)
    between("tag_version", nothing, promoted(model, 2))
    with pytest.raises(PromotionLost):
        model.withdraw()
    assert model.live_version() == 2


def test_who_was_stopped_for_long_goes_on_where_nothing_changed(
    lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow registry is no other promotion."""
    model = lab.model(name, 2)
    model.promote(1)
    monkeypatch.setattr("prodpointer.promotion.promoter.SNAPSHOT_LASTS", 0.0)
    assert model.promote(2).to_version == model.live_version() == 2
