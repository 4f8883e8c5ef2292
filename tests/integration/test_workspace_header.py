"""Each request of a handle names only its workspace, and servers without workspaces are detected."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import prodpointer
from prodpointer import InvalidName, RegisteredModel, RegistryUnsupported, WorkspaceNotFound
from prodpointer.mlflow_client import capabilities
from tests.integration.stub import Request, Stub, document, registry, stub

MODEL = {"name": "churn", "aliases": [{"alias": "production", "version": "1"}]}
VERSION = {"model_version": {"name": "churn", "version": "1", "status": "READY", "source": "s3://bucket/a"}}
HEADER = "x-mlflow-workspace"


@pytest.fixture
def has_workspaces() -> list[bool]:
    """Whether the server has workspaces now."""
    return [True]


@pytest.fixture
def server(has_workspaces: list[bool], forgetful: None) -> Iterator[Stub]:
    """A server with a workspace ``team-a``, until it is exchanged for one from before workspaces."""

    def answers(_: Stub, request: Request) -> Iterator[bytes]:
        info = {"server_info": {"workspaces_enabled": True}} if has_workspaces[0] else {}
        known = registry(MODEL, get=VERSION, **info)
        missing = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Workspace 'never-was' not found"}
        if has_workspaces[0] and request.headers.get(HEADER) == "never-was" and "server-info" not in request.path:
            yield document(missing, status=404)
        else:
            yield from known(request)

    with stub(answers) as running:
        yield running


def connected(server: Stub, workspace: str | None = "team-a") -> RegisteredModel:
    """Return a handle of one workspace."""
    return prodpointer.connect("churn", tracking_uri=server.uri, workspace=workspace, timeout=5)


def test_each_request_names_the_workspace(server: Stub) -> None:
    """From the first question to the last."""
    connected(server).live_version()
    assert {request.headers.get(HEADER) for request in server.requests} == {"team-a"}


def test_without_a_workspace_no_request_names_one(server: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where one becomes active in the process afterwards."""
    model = connected(server, "")
    monkeypatch.setenv("MLFLOW_WORKSPACE", "team-b")
    model.live_version()
    assert {request.headers.get(HEADER) for request in server.requests} == {None}


def test_the_environment_counts_at_connect(server: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """As MLflow 3.10 and later read it, with every client."""
    monkeypatch.setenv("MLFLOW_WORKSPACE", "team-a")
    model = connected(server, None)
    monkeypatch.setenv("MLFLOW_WORKSPACE", "team-b")
    model.live_version()
    assert {request.headers.get(HEADER) for request in server.requests} == {"team-a"}


def test_a_workspace_that_does_not_exist_is_refused(server: Stub) -> None:
    """It is no missing model."""
    with pytest.raises(WorkspaceNotFound, match="workspace never-was"):
        connected(server, "never-was")


def test_a_server_from_before_workspaces_is_refused(server: Stub, has_workspaces: list[bool]) -> None:
    """It would ignore the header and answer for its one registry."""
    has_workspaces[0] = False
    with pytest.raises(RegistryUnsupported, match="no workspaces, and 'team-a' is named"):
        connected(server)


@pytest.mark.parametrize("verb", [RegisteredModel.live_version, lambda model: model.version(1)])
def test_a_server_that_is_exchanged_is_noticed(
    server: Stub, has_workspaces: list[bool], monkeypatch: pytest.MonkeyPatch, verb: object
) -> None:
    """A handle asks again after a while whether its workspace is there."""
    model = connected(server)
    has_workspaces[0] = False
    monkeypatch.setattr(capabilities, "_ASK_FOR_WORKSPACE_AFTER", 0.0)
    assert callable(verb)
    with pytest.raises(RegistryUnsupported, match="no workspaces"):
        verb(model)


@pytest.mark.parametrize("workspace", ["Team-A", "team a", "-a", "a-", "é", "a\nb", "a" * 3 + "/", 5])
def test_an_odd_name_is_refused_before_anything_is_asked(server: Stub, workspace: str) -> None:
    """MLflow has no workspaces of such names."""
    with pytest.raises(InvalidName, match="Invalid workspace"):
        connected(server, workspace)
    assert server.requests == []
