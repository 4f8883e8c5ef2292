"""Two teams on one server with workspaces: neither reads, moves or keeps models of the other."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.utils.workspace_context import WorkspaceContext

import prodpointer
from prodpointer import AccessDenied, RegistryUnsupported, WorkspaceNotFound
from prodpointer.cli.main import main
from prodpointer.connection import registered_model_names
from prodpointer.diagnostics.conformance import check_registry
from prodpointer.migration.migration import Migration
from prodpointer.testing.environments import Release, environment
from tests import mlflow_table
from tests.majors.basic_auth import ADMIN, READER, guarded
from tests.servers import Server, serve

NEWEST = mlflow_table.newest_of_major(3).version
FIRST = Release("3.10.0", "3.11", "2026-05-20", ())  # with workspaces
CLIENTS = (mlflow_table.newest_of_major(2).version, "3.9.0", NEWEST)
TEAMS = ("team-a", "team-b")
NAME = "churn"
VERBS = ("status churn", "history churn", "doctor")


def bundle(team: str, number: int) -> dict[str, Any]:
    """Return what one version of one team loads as."""
    return {"team": team, "number": number}


def make_workspace(server: Server, name: str) -> None:
    """Make a workspace, as its administrator does."""
    administer(server, "POST", "", {"name": name})


def delete_workspace(server: Server, name: str) -> None:
    """Delete a workspace with all in it."""
    administer(server, "DELETE", f"/{name}?mode=CASCADE")


def administer(server: Server, method: str, path: str, document: dict[str, str] | None = None) -> None:
    """Send one call about workspaces."""
    request = urllib.request.Request(
        f"{server.uri}/api/3.0/mlflow/workspaces{path}",
        data=None if document is None else json.dumps(document).encode(),
        headers={"Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as reply:
        assert reply.status in (200, 201, 204)


def logged(server: Server, team: str, *numbers: int) -> list[str]:
    """Log bundles in runs of one workspace with plain MLflow and return the runs' ids."""
    runs = []
    with WorkspaceContext(team), tempfile.TemporaryDirectory() as scratch:
        plain = MlflowClient(server.uri)
        experiment = plain.create_experiment("news")
        for number in numbers:
            Path(scratch, "model.pkl").write_bytes(pickle.dumps(bundle(team, number)))
            runs.append(str(plain.create_run(experiment).info.run_id))
            plain.log_artifacts(runs[-1], scratch, "bundle")
    return runs


@contextmanager
def shared(python: Path, version: str, directory: Path) -> Iterator[tuple[Server, dict[str, str]]]:
    """Run a server on which two teams have a model each: of one name, one age and with the same numbers."""
    with serve(python, directory, version=version, extra_args=("--enable-workspaces",)) as server:
        runs = {}
        for team in TEAMS:
            make_workspace(server, team)
            first, second, runs[team] = logged(server, team, 1, 2, 3)
            model = prodpointer.connect(NAME, tracking_uri=server.uri, workspace=team)
            for run_id in (first, second):
                model.register(run_id, "bundle")
            model.promote(1)
        with closing(sqlite3.connect(directory / "mlflow.db", timeout=20)) as database, database:
            database.execute("UPDATE registered_models SET creation_time = 1700000000000")
        yield server, runs


@dataclass(frozen=True)
class Observed:
    """What the service of each client version found while the server ran, and after it was stopped."""

    uri: str
    live: Mapping[str, Mapping[str, Any]]
    down: Mapping[str, Mapping[str, Any]]


def tenant(python: Path, cache: Path, *arguments: str) -> Mapping[str, Any]:
    """Run ``tenant.py`` with one client and return what it found."""
    ended = subprocess.run(
        [str(python), str(Path(__file__).with_name("tenant.py")), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PRODPOINTER_CACHE_DIR": str(cache)},
        cwd=cache,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    found: Mapping[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module", params=["3.10.0", NEWEST])
def observed(
    request: pytest.FixtureRequest, python_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Observed:
    """What happened on one server with each client in turn."""
    version = request.param
    python = environment(FIRST) if version == FIRST.version else python_of(version)
    caches = {client: tmp_path_factory.mktemp(f"cache-{client}") for client in CLIENTS}
    with shared(python, version, tmp_path_factory.mktemp("shared")) as (server, runs):
        live = {
            client: tenant(python_of(client), caches[client], "live", server.uri, runs["team-a"]) for client in CLIENTS
        }
    down = {client: tenant(python_of(client), caches[client], "down", server.uri) for client in CLIENTS}
    return Observed(server.uri, live, down)


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    """Each client version in turn."""
    return str(request.param)


BOTH_FIRST = [bundle("team-a", 1), bundle("team-b", 1)]


def test_each_handle_loads_what_is_live_in_its_workspace(observed: Observed, client: str) -> None:
    """Two models of one name, one age and the same version numbers are two, also in the cache."""
    assert observed.live[client]["loaded"] == BOTH_FIRST


def test_a_handle_shows_its_workspace(observed: Observed, client: str) -> None:
    """``repr`` names it."""
    shown = [f"<RegisteredModel 'churn' in {observed.uri}, workspace {team}>" for team in TEAMS]
    assert observed.live[client]["shown"] == shown


def test_settings_changed_later_change_no_handle(observed: Observed, client: str) -> None:
    """Another active workspace, tracking URI, registry URI or environment does not reach a handle."""
    assert observed.live[client]["after"] == BOTH_FIRST


def test_a_promotion_moves_the_pointer_of_its_workspace_alone(observed: Observed, client: str) -> None:
    """Another team's model of that name stays where it is."""
    found = observed.live[client]
    assert (found["promoted"], found["pointers"], found["history"]) == (2, [2, 1], [True, 1])


def test_a_follower_stays_in_its_workspace(observed: Observed, client: str) -> None:
    """It takes on its own team's promotion while another workspace is active, and the other team's follower nothing."""
    found = observed.live[client]
    assert found["ready"] == [True, True]
    assert found["followed"] == [bundle("team-a", 2), bundle("team-b", 1)]
    assert found["states"] == ["READY", "READY"]


def test_the_context_of_a_thread_changes_no_handle(observed: Observed, client: str) -> None:
    """A workspace that is active on a thread is not the handle's."""
    assert observed.live[client]["in_thread"] == [bundle("team-a", 2), bundle("team-b", 1)]


def test_a_version_is_registered_in_the_handles_workspace(observed: Observed, client: str) -> None:
    """From a run of that workspace, and nothing appears in the other one."""
    assert observed.live[client]["registered"] == [True, "VersionNotFound"]


def test_the_active_workspace_counts_when_none_is_given(observed: Observed, client: str) -> None:
    """At the moment of ``connect``; the empty text names none, which is the default workspace on such a server."""
    found = observed.live[client]
    assert found["active"].endswith(", workspace team-b>")
    assert found["none"] == "ModelNotFound"


def test_a_workspace_that_does_not_exist_is_refused(observed: Observed, client: str) -> None:
    """It is neither an empty registry nor a missing model."""
    found = observed.live[client]
    assert (found["never"], found["odd"]) == ("WorkspaceNotFound", "InvalidName")


def test_last_known_good_is_the_workspaces_own(observed: Observed, client: str) -> None:
    """With the server dead each handle gets what was last live in its workspace, and the warning names that."""
    found = observed.down[client]
    assert observed.live[client]["rolled_back"] == 1
    assert found["known"] == observed.live[client]["last"] == BOTH_FIRST
    assert [team in text for team, text in zip(TEAMS, found["told"], strict=True)] == [True, True]


def test_last_known_good_is_of_no_other_workspace(observed: Observed, client: str) -> None:
    """With the server dead a workspace that never existed has nothing, nor has a handle without one."""
    found = observed.down[client]
    assert (found["never"], found["none"]) == ("RegistryUnavailable", "RegistryUnavailable")


@pytest.fixture(scope="module")
def two_teams(python_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the newest MLflow on which two teams have a model each."""
    with shared(python_of(NEWEST), NEWEST, tmp_path_factory.mktemp("two-teams")) as (server, _):
        yield server


def test_commands_take_the_workspace(two_teams: Server) -> None:
    """``--workspace`` chooses it, and each JSON document of a model or a registry names it."""
    chosen = ["--tracking-uri", two_teams.uri, "--workspace", "team-a", "--json"]
    promoted = CliRunner().invoke(main, [*chosen, "promote", NAME, "2"])
    assert promoted.exit_code == 0, promoted.output
    other = prodpointer.connect(NAME, tracking_uri=two_teams.uri, workspace="team-b")
    assert other.live_version() == 1
    documents = {verb: json.loads(CliRunner().invoke(main, [*chosen, *verb.split()]).stdout) for verb in VERBS}
    assert documents["status churn"]["models"][0]["workspace"] == "team-a"
    assert [event["workspace"] for event in documents["history churn"]["events"]] == ["team-a", "team-a"]
    assert documents["doctor"]["workspace"] == "team-a"
    refused = CliRunner().invoke(main, ["--tracking-uri", two_teams.uri, "--workspace", "never-was", "status"])
    assert refused.exit_code == 1
    assert "The workspace does not exist." in refused.output


def test_a_migration_is_of_one_workspace(two_teams: Server) -> None:
    """Its plan, its marks and its moves name the models of that workspace."""
    solo = prodpointer.connect("solo", tracking_uri=two_teams.uri, workspace="team-b")
    with WorkspaceContext("team-b"):
        run_id = (
            MlflowClient(two_teams.uri)
            .search_runs([MlflowClient(two_teams.uri).get_experiment_by_name("news").experiment_id])[0]
            .info.run_id
        )
    solo.register(run_id, "bundle")
    names = {
        team: {each.name for each in Migration(tracking_uri=two_teams.uri, workspace=team).plan().models}
        for team in TEAMS
    }
    assert names == {"team-a": {NAME}, "team-b": {NAME, "solo"}}
    assert registered_model_names(tracking_uri=two_teams.uri, workspace="team-a") == [NAME]


def test_a_deleted_workspace_ends_last_known_good(two_teams: Server) -> None:
    """That it does not exist is an answer, as that a model does not exist is one."""
    make_workspace(two_teams, "team-c")
    (run_id,) = logged(two_teams, "team-c", 1)
    model = prodpointer.connect(NAME, tracking_uri=two_teams.uri, workspace="team-c")
    model.promote(model.register(run_id, "bundle"))
    assert model.load_production() == bundle("team-c", 1)
    delete_workspace(two_teams, "team-c")
    with pytest.raises(WorkspaceNotFound):
        model.load_production(on_unavailable="last-known-good")
    assert not model.has_last_known_good


def test_conformance_tries_one_workspace(two_teams: Server) -> None:
    """The models and runs that it makes are in that workspace, and gone afterwards."""
    found = check_registry(tracking_uri=two_teams.uri, workspace="team-b", pointers=("alias",), timeout=30)
    assert ([each for each in found.findings if each.outcome == "failed"], found.left) == ([], ())
    assert found.registry.endswith("workspace team-b")


@pytest.mark.parametrize("workspace", ["team-a", "default"])
def test_a_server_without_workspaces_refuses_a_named_one(server: Server, workspace: str) -> None:
    """Older servers ignore the header; the model of their one registry is not what was asked for."""
    with pytest.raises(RegistryUnsupported, match="no workspaces"):
        prodpointer.connect(NAME, tracking_uri=server.uri, workspace=workspace)


def test_a_workspace_that_may_not_be_read_is_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of models, which such a server answers with nothing, included."""
    with guarded(NEWEST, tmp_path, default_permission="READ", extra_args=("--enable-workspaces",)) as login:
        login.make_workspace("team-a")
        for who, expected in ((READER, AccessDenied), (ADMIN, None)):
            monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", who.name)
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", who.password)
            model = prodpointer.connect(NAME, tracking_uri=login.uri, workspace="team-a")
            if expected is None:
                assert registered_model_names(tracking_uri=login.uri, workspace="team-a") == []
                continue
            for verb in (model.live_version, model.status, model.load_production):
                with pytest.raises(expected):
                    verb()
            with pytest.raises(expected):
                registered_model_names(tracking_uri=login.uri, workspace="team-a")


def test_a_database_has_workspaces_where_mlflow_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named one without them, none with them, and one that does not exist are refused; nothing reads as empty."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with pytest.raises(RegistryUnsupported, match="no workspaces"):
        prodpointer.connect(NAME, tracking_uri=uri, workspace="team-a")
    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
    other = f"sqlite:///{tmp_path / 'other.db'}"
    with pytest.raises(RegistryUnsupported, match="none is named"):
        prodpointer.connect(NAME, tracking_uri=other)
    with pytest.raises(RegistryUnsupported, match="does not exist"):
        prodpointer.connect(NAME, tracking_uri=other, workspace="team-a")
    MlflowClient(other).create_workspace("team-a")
    assert repr(prodpointer.connect(NAME, tracking_uri=other, workspace="team-a")).endswith("workspace team-a>")
