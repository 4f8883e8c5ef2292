"""The drop-in functions with the signatures that many projects write by hand, configured by MLflow's variables."""

from __future__ import annotations

import uuid

import pytest

import prodpointer
from prodpointer import ModelNotFound
from tests.conformance.conftest import Registry


@pytest.fixture
def name(registry: Registry, forgetful: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new registered model, in the registry that the environment names."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.uri)
    return f"news-{uuid.uuid4().hex[:12]}"


def test_the_hand_written_functions_work(registry: Registry, name: str) -> None:
    """Register, promote, load, and promote the one before: the four lines of the page."""
    first, second = (prodpointer.register(run_id, "newsreco.pkl", name) for run_id in registry.runs[:2])
    prodpointer.promote(second, name)
    assert prodpointer.load_production(name) == {"recommender": "r2", "ranker": 2}
    assert prodpointer.promote(first, name).to_version == first
    assert prodpointer.load_production(name) == {"recommender": "r1", "ranker": 1}


def test_a_rollback_goes_to_the_previous_version(registry: Registry, name: str) -> None:
    """What the page did by promoting the previous version."""
    for run_id in registry.runs[:2]:
        prodpointer.promote(prodpointer.register(run_id, "newsreco.pkl", name), name)
    assert prodpointer.rollback(name).to_version == 1
    assert prodpointer.load_production(name) == {"recommender": "r1", "ranker": 1}


def test_no_live_version_is_none(registry: Registry, name: str) -> None:
    """None for a model with nothing live, and for one never registered."""
    assert prodpointer.load_production(name) is None
    prodpointer.register(registry.runs[0], "newsreco.pkl", name)
    assert prodpointer.load_production(name) is None


def test_another_pointer_has_its_own_live_version(registry: Registry, name: str) -> None:
    """The alias ``staging`` is another pointer than ``production``."""
    for run_id in registry.runs[:2]:
        prodpointer.register(run_id, "newsreco.pkl", name)
    prodpointer.promote(1, name)
    prodpointer.promote(2, name, alias="staging")
    assert prodpointer.load_production(name) == {"recommender": "r1", "ranker": 1}
    assert prodpointer.load_production(name, "staging") == {"recommender": "r2", "ranker": 2}


def test_promoting_in_a_missing_model_is_an_error(name: str) -> None:
    """Only loading takes a missing model for nothing live: a promotion says so."""
    with pytest.raises(ModelNotFound):
        prodpointer.promote(1, name)
