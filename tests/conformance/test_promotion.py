"""Promotion: the same behaviour in every combination."""

from __future__ import annotations

import re
import sqlite3
from functools import partial

import pytest

import prodpointer
from prodpointer import (
    ExpectationFailed,
    InvalidName,
    ModelNotFound,
    PromotionRefused,
    RegisteredModel,
    VersionNotFound,
)
from tests.conformance.conftest import RELEASE, Connect, Registry


def again(news: RegisteredModel, registry: Registry, pointer: str) -> RegisteredModel:
    """Return the same model through a new connection."""
    return prodpointer.connect(news.name, tracking_uri=registry.uri, pointer=pointer)  # type: ignore[arg-type]


def test_a_registered_version_is_not_live(news: RegisteredModel, registry: Registry) -> None:
    """Registering makes nothing live."""
    news.register(registry.runs[0], "bundle", sha256=registry.digests[0])
    assert (news.live_version(), news.production(), news.load_production()) == (None, None, None)
    assert news.status().agreed


def test_a_promoted_version_is_live(news: RegisteredModel, registry: Registry, pointer: str) -> None:
    """What was promoted is what another connection loads."""
    news.promote(2)
    other = again(news, registry, pointer)
    version = other.production()
    assert version is not None
    assert (version.version, other.live_version()) == (2, 2)
    assert other.load_production() == {"recommender": "r2", "ranker": 2}


def test_a_promotion_returns_its_event(news: RegisteredModel) -> None:
    """The move names both versions, the pointers moved, who and why."""
    news.promote(1)
    move = news.promote(3, reason="weekly retrain", by="carol")
    assert (move.name, move.from_version, move.to_version) == (news.name, 1, 3)
    assert (move.reason, move.by) == ("weekly retrain", "carol")
    assert move.pointers
    assert move.at.utcoffset() is not None


def test_an_older_version_can_be_promoted(news: RegisteredModel, registry: Registry) -> None:
    """An older version promoted is live, and plain MLflow sees it and no other."""
    for version in (1, 3, 2, 1):
        news.promote(version)
        assert registry.pointers(news.name) == {version}
    assert news.load_production() == {"recommender": "r1", "ranker": 1}


def test_promoting_the_live_version_moves_nothing(news: RegisteredModel, registry: Registry) -> None:
    """A promotion of the live version changes nothing and says so."""
    news.promote(2)
    before = registry.picture(news.name)
    move = news.promote(2)
    assert (move.from_version, move.to_version, move.pointers) == (2, 2, ())
    assert registry.picture(news.name) == before


def test_a_version_may_be_an_mlflow_string(news: RegisteredModel) -> None:
    """The text of a number, as MLflow's REST client has it, is that number."""
    assert news.promote("2").to_version == 2


@pytest.mark.parametrize("expected", [None, 1])
def test_a_promotion_with_the_right_expectation_succeeds(news: RegisteredModel, expected: int | None) -> None:
    """The expectation may be a version or None for nothing."""
    if expected is not None:
        news.promote(expected)
    assert news.promote(3, expected=expected).from_version == expected


@pytest.mark.parametrize("expected", [None, 2])
def test_a_promotion_with_a_wrong_expectation_is_refused(
    news: RegisteredModel, registry: Registry, expected: int | None
) -> None:
    """Another live version than expected refuses the promotion, and nothing moves."""
    news.promote(1)
    before = registry.picture(news.name)
    with pytest.raises(ExpectationFailed) as refusal:
        news.promote(3, expected=expected)
    assert (refusal.value.expected, refusal.value.live) == (expected, 1)
    assert registry.picture(news.name) == before


@pytest.mark.parametrize("version", [4, 999_999])
def test_a_version_that_does_not_exist_is_refused(news: RegisteredModel, registry: Registry, version: int) -> None:
    """An unknown version raises VersionNotFound, and nothing moves."""
    news.promote(1)
    before = registry.picture(news.name)
    with pytest.raises(VersionNotFound, match=f"Version {version} of '{news.name}'"):
        news.promote(version)
    assert registry.picture(news.name) == before


def test_a_deleted_version_is_refused(news: RegisteredModel, registry: Registry) -> None:
    """A deleted version raises VersionNotFound, and nothing moves."""
    news.promote(1)
    registry.plain.delete_model_version(news.name, "3")
    before = registry.picture(news.name)
    with pytest.raises(VersionNotFound):
        news.promote(3)
    assert registry.picture(news.name) == before


def test_a_version_that_is_not_ready_is_refused(news: RegisteredModel, registry: Registry) -> None:
    """A version whose registration is not finished raises PromotionRefused, and nothing moves."""
    with sqlite3.connect(registry.database, timeout=20) as database:
        half_done = "UPDATE model_versions SET status = 'PENDING_REGISTRATION' WHERE name = ? AND version = 2"
        database.execute(half_done, (news.name,))
    database.close()
    before = registry.picture(news.name)
    with pytest.raises(PromotionRefused, match="PENDING_REGISTRATION, not READY"):
        news.promote(2)
    assert registry.picture(news.name) == before


def test_an_invalid_version_is_refused(news: RegisteredModel, registry: Registry) -> None:
    """What cannot be a version raises InvalidName, and nothing moves."""
    before = registry.picture(news.name)
    for version in ("abc", "v1", "1.0", "01", 0, -1, True, 1.0, None, ""):
        with pytest.raises(InvalidName, match=re.escape(repr(version))):
            news.promote(version)  # type: ignore[arg-type]
    assert registry.picture(news.name) == before


def test_withdrawing_leaves_nothing_live(news: RegisteredModel, registry: Registry) -> None:
    """After a withdrawal nothing is live, for plain MLflow neither, and every version is still there."""
    news.promote(1)
    news.promote(2)
    move = news.withdraw(reason="bad recall")
    assert (move.from_version, move.to_version, move.reason) == (2, None, "bad recall")
    assert (news.live_version(), news.production(), news.load_production()) == (None, None, None)
    assert registry.pointers(news.name) == set()
    assert sorted(registry.stages(news.name)) == [1, 2, 3]


def test_a_withdrawal_is_the_last_event(news: RegisteredModel) -> None:
    """The status shows the withdrawal as it was returned."""
    news.promote(1)
    move = news.withdraw(reason="bad recall", by="carol")
    assert news.status().last_event == move


def test_withdrawing_nothing_moves_nothing(news: RegisteredModel, registry: Registry) -> None:
    """A withdrawal where nothing is live changes nothing."""
    before = registry.picture(news.name)
    move = news.withdraw()
    assert (move.from_version, move.to_version, move.pointers, move.event) == (None, None, (), None)
    assert registry.picture(news.name) == before


def test_a_promotion_after_a_withdrawal_moves_the_same_pointers(news: RegisteredModel) -> None:
    """What a withdrawal cleared, the next promotion sets."""
    news.promote(1)
    cleared = news.withdraw().pointers
    assert news.promote(2).pointers == cleared
    assert news.live_version() == 2


def test_the_status_shows_what_is_live(news: RegisteredModel) -> None:
    """The status names the live version by each pointer in use, and that they agree."""
    news.promote(3)
    status = news.status()
    assert status.live == 3
    assert {status.alias, status.stage} <= {3, None}
    assert status.agreed
    assert not status.dangling


def test_the_selection_has_a_reason(news: RegisteredModel) -> None:
    """The selection says what a promotion then moves, and why."""
    selection = news.selection
    moved = news.promote(1).pointers
    assert selection.pointer == ("both" if len(moved) == 2 else moved[0])
    assert selection.reason
    tells = RELEASE >= (2, 1, 0) or "sqlite" in repr(news)  # the server of 2.0.1 has no /version
    assert selection.registry_version == (selection.client_version if tells else None)


def test_a_missing_model_is_an_error(fresh: Connect, registry: Registry, pointer: str) -> None:
    """A typo in the name raises ModelNotFound from every verb but register, and makes no model."""
    model = fresh(0, pointer=pointer)
    verbs = (model.live_version, model.production, model.load_production, model.status, model.withdraw)
    for verb in (*verbs, partial(model.promote, 1), partial(model.version, 1), partial(model.pull, "nowhere")):
        with pytest.raises(ModelNotFound, match=model.name):
            verb()
    assert model.name not in registry.names()


def test_a_model_without_versions_has_nothing_live(fresh: Connect, registry: Registry, pointer: str) -> None:
    """An empty registered model has nothing live, and no version to promote."""
    model = fresh(0, pointer=pointer)
    registry.plain.create_registered_model(model.name)
    assert (model.production(), model.load_production()) == (None, None)
    with pytest.raises(VersionNotFound):
        model.promote(1)
