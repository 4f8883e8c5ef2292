"""What registering prints: nothing; MLflow's client says on standard error that it waits for each new version."""

from __future__ import annotations

import logging
import pickle
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.store.model_registry.abstract_store import AbstractStore
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking._model_registry.utils import _get_store_registry

import prodpointer
from prodpointer import RegistryError
from prodpointer.mlflow_client import calls
from tests.integration.conftest import Lab, quiet
from tests.integration.stub import registry, stub


class Managed(SqlAlchemyStore):  # type: ignore[misc]
    """A plugin's registry: MLflow waits for its versions; one is made a moment after it was created, or not at all."""

    end = "READY"

    def create_model_version(self, *given: Any, **named: Any) -> Any:
        """Answer with a version that is still being made."""
        return with_status(super().create_model_version(*given, **named), "PENDING_REGISTRATION")

    def get_model_version(self, name: str, version: str) -> Any:
        """Answer with a version that has been made."""
        return with_status(super().get_model_version(name, version), self.end)

    _await_model_version_creation = getattr(AbstractStore, "_await_model_version_creation")  # noqa: B009


def with_status(version: Any, status: str) -> Any:
    """Return MLflow's own version with another status."""
    vars(version)["_status"] = status
    return version


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The messages of MLflow's loggers, whose levels are as MLflow set them."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("mlflow")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


def managed(lab: Lab, monkeypatch: pytest.MonkeyPatch, **changes: str) -> str:
    """Return the address of a plugin's registry over the database of the lab."""
    kind = type("Managed", (Managed,), changes)
    scheme = f"managed-{uuid.uuid4().hex}"
    _get_store_registry().register(scheme, lambda *_, **__: kind(lab.uri))
    monkeypatch.setattr(calls, "_LOOK_AGAIN", 0.01)
    return f"{scheme}://registry"


def test_mlflow_says_that_it_waits(lab: Lab, name: str, loud: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: MLflow's own client does."""
    client = MlflowClient(lab.uri, managed(lab, monkeypatch))
    run_id = lab.run({"model.pkl": pickle.dumps(1)})
    with quiet():
        client.create_registered_model(name)
        client.create_model_version(name, f"runs:/{run_id}/model.pkl", run_id)
    assert [text for text in loud if text.startswith("Waiting up to 300 seconds")] != []


def test_a_managed_registry_is_waited_for_quietly(
    lab: Lab, name: str, loud: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number is returned once the version is made, and nothing is said of it."""
    model = prodpointer.connect(name, tracking_uri=lab.uri, registry_uri=managed(lab, monkeypatch))
    assert model.register(lab.run({"model.pkl": pickle.dumps(1)}), "model.pkl") == 1
    assert loud == []


def test_a_version_that_cannot_be_made_is_an_error(lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that could not copy the files says so in the version's status."""
    uri = managed(lab, monkeypatch, end="FAILED_REGISTRATION")
    model = prodpointer.connect(name, tracking_uri=lab.uri, registry_uri=uri)
    with pytest.raises(RegistryError, match="version 1 is FAILED_REGISTRATION"):
        model.register(lab.run({"model.pkl": pickle.dumps(1)}), "model.pkl")


def test_a_database_is_quiet(lab: Lab, name: str, loud: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """Registering, promoting and going back print nothing."""
    model = lab.model(name, 2)
    model.promote(1)
    model.promote(2)
    model.rollback()
    assert (loud, capfd.readouterr()) == ([], ("", ""))


def test_a_server_is_quiet(lab: Lab, name: str, loud: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """A version that a server makes by and by is waited for, and nothing is printed."""
    run_id = lab.run({"model.pkl": pickle.dumps(1)})
    made = {"name": name, "version": "1", "status": "READY", "source": "x", "run_id": run_id}
    answers = registry({"name": name}, create={"model_version": made, "registered_model": {"name": name}})
    with stub(lambda _, request: answers(request)) as server:
        model = prodpointer.connect(name, tracking_uri=lab.uri, registry_uri=server.uri)
        assert model.register(run_id, "model.pkl") == 1
    assert (loud, capfd.readouterr()) == ([], ("", ""))
