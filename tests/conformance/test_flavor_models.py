"""Models saved by MLflow, which it loads with numpy and pandas; tests/skinny has the cases without them."""

from __future__ import annotations

import shutil
from pathlib import Path

import mlflow
import pytest
from sklearn.dummy import DummyClassifier

import prodpointer
from prodpointer import ArtifactNotFound, UnverifiedWarning
from tests.conformance.conftest import IS_THREE, Connect, Registry


def log_flavor_model(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Log a scikit-learn model as plain MLflow does and return its run and its URI."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.uri)
    classifier = DummyClassifier(strategy="constant", constant=7).fit([[0], [1]], [7, 8])
    named = {"name": "model"} if IS_THREE else {"artifact_path": "model"}
    with mlflow.start_run(experiment_id=registry.experiment) as run:
        logged = mlflow.sklearn.log_model(classifier, pip_requirements=["scikit-learn"], **named)
    return str(run.info.run_id), str(logged.model_uri)


@pytest.mark.filterwarnings("ignore::UserWarning")  # MLflow's own, about signatures and integer columns
def test_a_model_logged_with_a_flavor_loads(
    fresh: Connect, registry: Registry, monkeypatch: pytest.MonkeyPatch, cache_directory: Path
) -> None:
    """A flavor model is registered by the name it was logged under, and loads by pyfunc or by its flavor."""
    run_id, _ = log_flavor_model(registry, monkeypatch)
    model = fresh()
    model.promote(model.register(run_id, "model"))
    assert list(model.load_production().predict([[1]])) == [7]
    assert isinstance(model.load_production(flavor="sklearn"), DummyClassifier)
    assert mlflow.pyfunc.load_model(f"models:/{model.name}/1").predict([[1]]).tolist() == [7]
    # Plain MLflow has written a file of its own beside a model on a local store by now; another machine downloads it.
    shutil.rmtree(cache_directory)
    assert list(model.load_production().predict([[1]])) == [7]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_logged_model_is_registered_by_its_uri(
    fresh: Connect, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On MLflow 3 ``models:/m-…`` is registered as what it is; a client of MLflow 2 says that there is none."""
    run_id, uri = log_flavor_model(registry, monkeypatch)
    model = fresh()
    if IS_THREE:
        model.promote(model.register(run_id, uri))
        assert model.version(1).source == uri
        assert list(model.load_production().predict([[1]])) == [7]
    with pytest.raises(ArtifactNotFound, match="logged model"):
        model.register(run_id, "models:/m-" + "0" * 32)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_with_two_servers_a_flavor_model_is_named_by_its_run(
    direct: Registry, served: Registry, forgetful: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry cannot look up the id of another server's logged model: the run and the name are its source."""
    run_id, _ = log_flavor_model(direct, monkeypatch)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    model = prodpointer.connect("flavor-apart", tracking_uri=direct.uri, registry_uri=served.uri)
    model.promote(model.register(run_id, "model"))
    assert model.version(1).source == f"runs:/{run_id}/model"
    assert list(model.load_production().predict([[1]])) == [7]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_flavor_model_registered_as_a_runs_uri_loads(
    fresh: Connect, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flavor model that plain MLflow registered as ``runs:/…/model`` loads, wherever its files are."""
    run_id, _ = log_flavor_model(registry, monkeypatch)
    model = fresh()
    registry.plain.create_registered_model(model.name)
    registry.plain.create_model_version(model.name, f"runs:/{run_id}/model", run_id)
    model.promote(1)
    with pytest.warns(UnverifiedWarning):
        assert list(model.load_production().predict([[1]])) == [7]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_model_of_another_run_is_refused(fresh: Connect, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model belongs to the run that logged it, whatever MLflow calls it."""
    _, uri = log_flavor_model(registry, monkeypatch)
    model = fresh()
    with pytest.raises(
        ArtifactNotFound, match="belongs to the run" if IS_THREE else "no artifact of a run|has no artifact"
    ):
        model.register(registry.runs[0], uri if IS_THREE else "model")
    assert model.name not in registry.names()
