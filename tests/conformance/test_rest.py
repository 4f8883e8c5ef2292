"""The REST requests to a server behave like MLflow's own client."""

from __future__ import annotations

import pytest

from prodpointer import ModelNotFound, RegistryUnsupported
from prodpointer.mlflow_client import converters
from prodpointer.mlflow_client.registry import Registry as Border
from prodpointer.mlflow_client.uris import Addresses
from tests.conformance.conftest import HAS_ALIASES, Registry


@pytest.fixture
def border(served: Registry, forgetful: None) -> Border:
    """The server of a row, called by REST."""
    return Border(Addresses(served.uri, served.uri, chosen=True), timeout=10)


def test_the_json_reply_says_what_the_entity_says(served: Registry, border: Border) -> None:
    """Aliases, stages, versions and tags are the same, read from the JSON or from the client's entity."""
    name = "rest-reply"
    served.plain.create_registered_model(name, tags={"team": "news"})
    for run_id in served.runs:
        source = f"{served.plain.get_run(run_id).info.artifact_uri}/bundle"
        served.plain.create_model_version(name, source, run_id, tags={"dataset": "clicks"})
    served.move_stage(name, 1, "Production")
    if HAS_ALIASES:
        served.set_alias(name, "Production", 2)
    assert border.model(name) == converters.reply(served.plain.get_registered_model(name))


def test_an_alias_set_and_deleted_over_rest_is_mlflows_own(served: Registry, border: Border) -> None:
    """What REST sets, the client sees; where the server has no aliases the call is an error and no silence."""
    name = "rest-alias"
    served.plain.create_registered_model(name)
    run = served.plain.get_run(served.runs[0])
    served.plain.create_model_version(name, f"{run.info.artifact_uri}/bundle", run.info.run_id)
    if not HAS_ALIASES:
        with pytest.raises(RegistryUnsupported, match="no such call"):
            border.set_alias(name, "production", 1)
        return
    border.set_alias(name, "production", 1)
    assert served.aliases(name) == {"production": 1}
    border.delete_alias(name, "production")
    assert served.aliases(name) == {}


def test_the_list_over_rest_is_the_clients_own(
    served: Registry, border: Border, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small the pages, a list without the client's filter has the same models."""
    for number in range(5):
        served.plain.create_registered_model(f"rest-list-{number}")
    told = sorted(served.names())
    assert {f"rest-list-{number}" for number in range(5)} <= set(told)
    monkeypatch.setattr("prodpointer.mlflow_client.calls.MODELS_PAGE", 2)
    assert border.names() == told


def test_a_missing_model_is_reported(border: Border) -> None:
    """It is found missing as by the client."""
    with pytest.raises(ModelNotFound, match="no-such-model"):
        border.model("no-such-model")
