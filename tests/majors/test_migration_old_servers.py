"""Migration with old servers and clients: models are found where MLflow's own search returns nothing."""

from __future__ import annotations

import json
import subprocess
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from prodpointer import PointerUnsupported
from prodpointer.migration.migration import Migration, flatten, run_name
from tests import mlflow_table
from tests.servers import Server, serve

SILENT, BEFORE_ALIASES, NEWEST = "2.9.2", "2.2.2", mlflow_table.rows()[-1].version
NAMES = 3


@pytest.fixture(scope="module")
def served(
    python_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Server]]:
    """Return a server of a version, started once."""
    running: dict[str, Server] = {}
    with ExitStack() as stack:

        def server(version: str) -> Server:
            if version not in running:
                directory = tmp_path_factory.mktemp(f"mlflow-{version}")
                running[version] = stack.enter_context(serve(python_of(version), directory, version=version))
            return running[version]

        yield server


def fill(uri: str) -> str:
    """Make models with version 2 in Production, and return the pattern of their names."""
    prefix = f"old{uuid.uuid4().hex[:10]}"
    client = MlflowClient(uri)
    for number in range(NAMES):
        name = f"{prefix}-{number}"
        client.create_registered_model(name)
        for _ in range(2):
            client.create_model_version(name, "s3://models/bundle")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's own, that stages are deprecated
            client.transition_model_version_stage(name, "2", "Production")
    return f"{prefix}-*"


def test_a_fleet_is_found_where_the_search_is_silent(served: Callable[[str], Server]) -> None:
    """The newest client gets an empty list from such a server, and the plan has every model."""
    uri = served(SILENT).uri
    glob = fill(uri)
    assert list(MlflowClient(uri).search_registered_models()) == []
    migration = Migration(tracking_uri=uri, models=[glob])
    assert migration.plan().counts["SAFE"] == NAMES
    steps = flatten(migration.apply(migration.plan(), run_name()))
    assert [step.outcome for step in steps if step.alias == "production"] == ["moved"] * NAMES
    assert migration.plan().is_done


def test_a_server_before_aliases_is_refused(served: Callable[[str], Server]) -> None:
    """It is said what is missing, and that an upgrade comes first."""
    with pytest.raises(PointerUnsupported, match=r"no aliases here.*2\.2\.2.*Upgrade the registry"):
        Migration(tracking_uri=served(BEFORE_ALIASES).uri)


def test_a_client_before_aliases_can_migrate(served: Callable[[str], Server], python_of: Callable[[str], Path]) -> None:
    """Its own methods know no aliases; over REST it plans, applies, verifies and undoes like any other."""
    uri = served(NEWEST).uri
    glob = fill(uri)

    def command(verb: str, *more: str) -> tuple[int, Any]:
        options = ["--tracking-uri", uri, "--json", "migrate", verb, *more, "--models", glob]
        python = str(python_of(BEFORE_ALIASES))
        done = subprocess.run([python, "-m", "prodpointer", *options], check=False, capture_output=True, text=True)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    assert command("plan")[1]["counts"]["SAFE"] == NAMES
    assert command("apply", "--run", "old-client")[1]["counts"]["moved"] == NAMES
    assert command("verify") == (0, {"schema_version": 1, "checked": 2 * NAMES, "problems": []})
    aliases = [dict(model.aliases) for model in MlflowClient(uri).search_registered_models() if glob[:-2] in model.name]
    assert aliases == [{"production": "2"}] * NAMES
    assert command("undo", "old-client")[0] == 0
    assert command("plan")[1]["counts"]["SAFE"] == NAMES
