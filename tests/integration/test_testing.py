"""The pytest plugin, used as in a user's project."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

import prodpointer
from prodpointer import MemoryPointer, ModelNotFound, PointerUnsupported, RegisteredModel, VersionNotFound
from prodpointer.testing import ScratchRegistry
from prodpointer.testing.fixtures import LIVE_BUNDLE
from tests.integration.conftest import HAS_ALIASES

EVERYWHERE = ("alias", "stage", "both") if HAS_ALIASES else ("stage",)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory of the test's own, in which nothing may appear."""
    directory = tmp_path / "working-directory"
    directory.mkdir()
    monkeypatch.chdir(directory)
    yield directory
    assert list(directory.iterdir()) == []


@pytest.mark.pointers(*EVERYWHERE)
def test_a_marked_test_runs_under_its_pointer(production_pointer: str, live_model: RegisteredModel) -> None:
    """The pointer of the marker is the one that a promotion has moved."""
    status = live_model.status()
    assert live_model.selection.pointer == production_pointer
    assert status.alias == (2 if production_pointer != "stage" else None)
    assert status.stage == (2 if production_pointer != "alias" else None)


@pytest.mark.pointers(*EVERYWHERE)
def test_a_marked_test_need_not_ask_for_the_pointer(embedded_registry: ScratchRegistry) -> None:
    """The marker alone sets what ``connect`` takes for the pointer."""
    assert os.environ["PRODPOINTER_POINTER"] in EVERYWHERE


@pytest.mark.pointers
def test_a_pointer_is_held_or_refused_by_name(production_pointer: str, embedded_registry: ScratchRegistry) -> None:
    """Without names the marker means all three; an unsupported combination is refused, not skipped."""
    if production_pointer in EVERYWHERE:
        assert embedded_registry.make_live("news", {}).live_version() == 1
    else:
        with pytest.raises(PointerUnsupported, match="alias"):
            embedded_registry.make_live("news", {})


def test_the_live_model_is_live(live_model: RegisteredModel) -> None:
    """The second of two versions is live, and there is one to go back to."""
    assert live_model.load_production() == LIVE_BUNDLE
    assert live_model.rollback().to_version == 1
    assert live_model.load_production() != LIVE_BUNDLE


def test_code_finds_the_embedded_registry_by_the_environment(embedded_registry: ScratchRegistry) -> None:
    """Code that knows no fixture logs, registers and promotes in the test's registry."""
    mlflow.set_experiment("news")
    with mlflow.start_run() as run:
        mlflow.log_metric("auc", 0.9)
        mlflow.log_text("popular", "bundle/recommender.txt")
    version = prodpointer.register(run.info.run_id, "bundle", "news")
    assert prodpointer.promote(version, "news").to_version == 1
    assert list(embedded_registry.artifacts.rglob("recommender.txt")) != []


def test_metrics_of_a_logged_bundle_reach_the_gates(embedded_registry: ScratchRegistry) -> None:
    """A bundle logged with metrics can be judged by them."""
    news = embedded_registry.make_live("news", "first", metrics={"auc": 0.8})
    worse = news.register(embedded_registry.log("second", metrics={"auc": 0.7}), "bundle")
    with pytest.raises(prodpointer.GateFailed, match=r"0\.7"):
        news.promote(worse, gates=["auc >= production"])


@pytest.mark.parametrize("_turn", [1, 2])
def test_every_test_begins_with_an_empty_registry(_turn: int, embedded_registry: ScratchRegistry) -> None:
    """What one test registers, sets on MLflow or leaves running, the next one does not see."""
    with pytest.raises(ModelNotFound):
        prodpointer.connect("news").production()
    assert mlflow.active_run() is None
    assert mlflow.get_tracking_uri() == embedded_registry.uri
    embedded_registry.make_live("news", "bundle")
    mlflow.set_experiment("left set")
    mlflow.start_run()


def test_a_server_of_the_installed_mlflow(mlflow_server: ScratchRegistry, live_model: RegisteredModel) -> None:
    """The live model is on the real server, where code finds it by the environment."""
    assert mlflow_server.uri.startswith("http://127.0.0.1:")
    assert mlflow_server.version == mlflow.__version__
    assert os.environ["MLFLOW_TRACKING_URI"] == mlflow_server.uri
    assert prodpointer.load_production("live-model") == LIVE_BUNDLE
    assert list(mlflow_server.artifacts.rglob("bundle.pkl")) != []


@pytest.mark.parametrize("_turn", [1, 2])
def test_a_server_is_empty_for_each_test(_turn: int, mlflow_server: ScratchRegistry) -> None:
    """The models of one test are gone from the server when the next begins."""
    with pytest.raises(ModelNotFound):
        prodpointer.connect("news").production()
    assert mlflow_server.make_live("news", "bundle").live_version() == 1


def test_the_memory_pointer_needs_no_registry(memory_pointer: MemoryPointer) -> None:
    """Every version exists to it, and it moves."""
    memory_pointer.set(7)
    assert memory_pointer.get() == 7
    with pytest.raises(VersionNotFound):
        memory_pointer.set(0)
