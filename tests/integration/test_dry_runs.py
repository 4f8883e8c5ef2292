"""``dry_run``: every read and check of the real verb, and not one write."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

import prodpointer
from prodpointer.errors import ExpectationFailed, GateFailed, NothingToRollBack, VersionNotFound
from tests.integration.conftest import HAS_ALIASES, NEW_POINTER, Lab

TABLES = ("registered_models", "registered_model_tags", "model_versions", "model_version_tags")


def content(lab: Lab) -> list[tuple[object, ...]]:
    """Return all that a registry keeps of models, versions, their tags and aliases."""
    tables = (*TABLES, *(("registered_model_aliases",) if HAS_ALIASES else ()))
    with closing(sqlite3.connect(lab.file)) as database:
        return [row for table in tables for row in database.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3")]


@pytest.fixture
def model(lab: Lab, name: str) -> prodpointer.RegisteredModel:
    """Return a model of three versions, of which the second is live and the first was."""
    model = lab.model(name, 3)
    model.promote(1)
    model.promote(2)
    return model


def test_a_dry_promotion_says_what_would_move(lab: Lab, model: prodpointer.RegisteredModel) -> None:
    """The move has both ends, who and why, is intended, and has no event."""
    before = content(lab)
    move = model.promote(3, reason="weekly", by="ada", dry_run=True)
    assert (move.from_version, move.to_version, move.pointers) == (2, 3, (NEW_POINTER,))
    assert (move.state, move.event, move.reason, move.by) == ("intended", None, "weekly", "ada")
    assert content(lab) == before


def test_a_dry_rollback_says_where_it_would_go(lab: Lab, model: prodpointer.RegisteredModel) -> None:
    """It is the version that was live before."""
    before = content(lab)
    assert model.rollback(dry_run=True).to_version == 1
    assert content(lab) == before


def test_a_dry_withdrawal_says_what_would_be_unset(lab: Lab, model: prodpointer.RegisteredModel) -> None:
    """Nothing is withdrawn."""
    before = content(lab)
    move = model.withdraw(dry_run=True)
    assert (move.from_version, move.to_version, move.event) == (2, None, None)
    assert content(lab) == before


def test_a_dry_repair_says_what_it_would_mend(lab: Lab, model: prodpointer.RegisteredModel) -> None:
    """What it names is what the repair then mends."""
    lab.to_stage(model.name, 1, "Production")
    lab.to_stage(model.name, 3, "Production")
    before = content(lab)
    found = model.repair(dry_run=True)
    assert (found.agreed, content(lab)) == (False, before)
    assert found.mended
    assert model.repair().mended == found.mended


@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        (lambda model: model.promote(3, expected=1, dry_run=True), ExpectationFailed),
        (lambda model: model.promote(3, gates=["auc >= 0.9"], dry_run=True), GateFailed),
        (lambda model: model.promote(9, dry_run=True), VersionNotFound),
        (lambda model: model.rollback(to=9, dry_run=True), NothingToRollBack),
    ],
    ids=["expectation", "gate", "version", "rollback"],
)
def test_a_dry_run_is_refused_as_the_real_one(
    model: prodpointer.RegisteredModel,
    attempt: Callable[[prodpointer.RegisteredModel], object],
    error: type[Exception],
) -> None:
    """Every check is made."""
    with pytest.raises(error):
        attempt(model)


def test_a_version_that_never_was_does_not_exist(model: prodpointer.RegisteredModel) -> None:
    """A rollback tells it from one that was deleted."""
    with pytest.raises(NothingToRollBack, match=r"Version 9 of .* does not exist"):
        model.rollback(to=9)


def test_a_version_that_was_deleted_was_deleted(lab: Lab, model: prodpointer.RegisteredModel) -> None:
    """A rollback to it says so."""
    lab.client.delete_model_version(model.name, "1")
    with pytest.raises(NothingToRollBack, match=r"Version 1 of .* was deleted"):
        model.rollback(to=1)
