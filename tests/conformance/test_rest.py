"""The REST calls made for clients from before aliases say and do what MLflow's own client says and does."""

from __future__ import annotations

import pytest

from prodpointer import ModelNotFound
from prodpointer.mlflow_border import entities
from prodpointer.mlflow_border.addresses import Addresses
from prodpointer.mlflow_border.registry import Registry as Border
from prodpointer.mlflow_border.rest import Rest
from tests.conformance.conftest import HAS_ALIASES, Registry


@pytest.fixture
def rest(served: Registry) -> Rest:
    """Direct questions to this row's server."""
    return Rest(Addresses(served.uri, served.uri, chosen=True), timeout=10)


def test_the_json_reply_says_what_the_entity_says(served: Registry, rest: Rest) -> None:
    """Aliases, stages, versions and tags are the same, read from the JSON or from the client's entity."""
    name = "rest-reply"
    served.plain.create_registered_model(name, tags={"team": "news"})
    for run_id in served.runs:
        source = f"{served.plain.get_run(run_id).info.artifact_uri}/bundle"
        served.plain.create_model_version(name, source, run_id, tags={"dataset": "clicks"})
    served.move_stage(name, 1, "Production")
    if HAS_ALIASES:
        served.set_alias(name, "Production", 2)
    assert entities.reply_from_json(rest.get_model(name)) == entities.reply(served.plain.get_registered_model(name))


def test_an_alias_set_and_deleted_over_rest_is_mlflows_own(served: Registry, rest: Rest) -> None:
    """What REST sets, the client sees; where the server has no aliases the call is an error and no silence."""
    from mlflow.exceptions import MlflowException

    name = "rest-alias"
    served.plain.create_registered_model(name)
    run = served.plain.get_run(served.runs[0])
    served.plain.create_model_version(name, f"{run.info.artifact_uri}/bundle", run.info.run_id)
    if not HAS_ALIASES:
        with pytest.raises(MlflowException, match="404"):
            rest.set_alias(name, "production", "1")
        return
    rest.set_alias(name, "production", "1")
    assert served.aliases(name) == {"production": 1}
    rest.delete_alias(name, "production")
    assert served.aliases(name) == {}


def test_the_list_over_rest_is_the_clients_own(
    served: Registry, forgetful: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small the pages, a list without the client's filter has the same models in the same order."""
    for number in range(5):
        served.plain.create_registered_model(f"rest-list-{number}")
    border = Border(Addresses(served.uri, served.uri, chosen=True), timeout=10)
    told = border.names()
    assert {f"rest-list-{number}" for number in range(5)} <= set(told)
    monkeypatch.setattr("prodpointer.mlflow_border.rest.MODELS_PAGE", 2)
    assert border.names(unfiltered=True) == told


def test_a_border_without_alias_methods_uses_rest(served: Registry, forgetful: None) -> None:
    """The border of an old client finds a missing model by REST as by the client."""
    border = Border(Addresses(served.uri, served.uri, chosen=True), timeout=10)
    border.client_has_aliases = False
    with pytest.raises(ModelNotFound, match="no-such-model"):
        border.model("no-such-model")
