"""Credentials are sent only to the tracking server and the registry, whatever a version's source says."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import prodpointer
from prodpointer import InvalidName, RegisteredModel, UnsafeModel
from prodpointer.mlflow_client.artifact_store import ArtifactStore
from prodpointer.mlflow_client.open import open_registry
from prodpointer.mlflow_client.registry import Registry
from prodpointer.mlflow_client.rest import Rest
from prodpointer.mlflow_client.uris import Addresses, has_same_origin, read_allowed_hosts
from tests.integration.conftest import quiet
from tests.integration.stub import Request, Stub, body, document, registry, stub

pytestmark = pytest.mark.usefixtures("forgetful")

MODEL = "/api/2.0/mlflow/registered-models/get?name=news"
PATH = "/api/2.0/mlflow-artifacts/artifacts/1"
SECRET = "open-sesame"
BYTES = pickle.dumps({"n": 1})


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give MLflow a credential."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", SECRET)


@pytest.fixture
def foreign() -> Iterator[Stub]:
    """Another server, which hands out an artifact to who asks."""

    def answer(_: Stub, request: Request) -> Iterable[bytes]:
        if "?" in request.path:
            return [document({"files": [{"path": "model.pkl", "is_dir": False, "file_size": len(BYTES)}]})]
        return [body(BYTES)]

    with stub(answer) as server:
        yield server


@pytest.fixture
def own(foreign: Stub) -> Iterator[Stub]:
    """The registry, in which a version and a run have their bytes on the other server."""
    located = f"{foreign.uri}{PATH}"
    version = {"name": "news", "version": "1", "status": "READY", "source": f"{located}/model.pkl", "run_id": "1"}
    other = {**version, "version": "2", "current_stage": "Production"}
    model = {"name": "news", "latest_versions": [other], "aliases": [{"alias": "production", "version": "2"}]}
    run = {"info": {"run_id": "1", "experiment_id": "1", "artifact_uri": located, "lifecycle_stage": "active"}}

    def answer(_: Stub, request: Request) -> Iterable[bytes]:
        path = urlsplit(request.path).path
        if path.endswith("runs/get"):
            return [document({"run": run})]
        if path.endswith("model-versions/get"):
            return [document({"model_version": other if "version=2" in request.path else version})]
        return registry(
            model,
            get_download_uri={"artifact_uri": f"{located}/model.pkl"},
            search={"model_versions": [version, other]},
        )(request)

    with stub(answer) as server:
        yield server


def connected(own: Stub, **options: object) -> RegisteredModel:
    """Return the model."""
    with quiet():
        return prodpointer.connect("news", tracking_uri=own.uri, timeout=5, **options)  # type: ignore[arg-type]


VERBS: dict[str, Callable[[RegisteredModel, Path], object]] = {
    "load": lambda news, _: news.load_production(),
    "pull": lambda news, there: news.pull(there),
    "adopt": lambda news, _: news.adopt(2),
    "register": lambda news, _: news.register("1", "model.pkl"),
    "rollback": lambda news, _: news.rollback(to=1),
}


@pytest.mark.parametrize("verb", VERBS)
def test_no_request_goes_to_a_host_that_a_version_names(verb: str, own: Stub, foreign: Stub, tmp_path: Path) -> None:
    """Nothing is sent there, neither a credential nor a question."""
    news = connected(own)
    with quiet(), pytest.raises(UnsafeModel, match="allowed_hosts") as refused:
        VERBS[verb](news, tmp_path / "there")
    assert foreign.requests == []
    assert "127.0.0.1" in refused.value.what
    assert own.requests[0].headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("way", ["argument", "environment"])
def test_an_allowed_host_is_asked_without_credentials(
    way: str, own: Stub, foreign: Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The caller's word lets the bytes be read, and no credential is sent for them."""
    host = foreign.uri.removeprefix("http://")
    if way == "environment":
        monkeypatch.setenv("PRODPOINTER_ALLOWED_HOSTS", f"elsewhere, {host}")
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login ada password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    news = connected(own, **({"allowed_hosts": [host]} if way == "argument" else {}))
    with quiet():
        assert news.load_production() == {"n": 1}
    assert len(foreign.requests) == 2
    assert not any("authorization" in request.headers for request in foreign.requests)
    assert not any(name.startswith("x-mlflow") for request in foreign.requests for name in request.headers)


@pytest.mark.parametrize("scheme", ["http", "https", "mlflow-artifacts"])
def test_each_scheme_that_names_a_host_is_refused(scheme: str, own: Stub, foreign: Stub) -> None:
    """Whichever way a source names a host, it is refused before anything is sent."""
    asked = open_registry(own.uri, None, timeout=5, create_database=None, upgrade_database=False)
    store = ArtifactStore(asked)
    path = "/1" if scheme == "mlflow-artifacts" else PATH
    uri = foreign.uri.replace("http", scheme) + f"{path}/model.pkl"
    with pytest.raises(UnsafeModel):
        store.exists(store.locate(uri))
    with pytest.raises(UnsafeModel):
        store.upload(Path(), store.locate(uri))
    assert foreign.requests == []


def test_nothing_is_uploaded_with_credentials_to_an_allowed_host(own: Stub, foreign: Stub) -> None:
    """Reading is what is allowed; MLflow would send credentials with the files."""
    hosts = [foreign.uri.removeprefix("http://")]
    asked = open_registry(own.uri, None, timeout=5, create_database=None, upgrade_database=False, hosts=hosts)
    with pytest.raises(UnsafeModel):
        ArtifactStore(asked).upload(Path(), f"{foreign.uri}{PATH}")


def test_what_is_no_artifact_of_a_server_is_refused(own: Stub) -> None:
    """An address that MLflow's servers do not have is no artifact, also on the tracking server."""
    asked = open_registry(own.uri, None, timeout=5, create_database=None, upgrade_database=False)
    with pytest.raises(UnsafeModel, match="not that of an artifact"):
        ArtifactStore(asked).exists(f"{own.uri}/some/model.pkl")


@pytest.mark.parametrize("place", ["registry", "artifact"])
def test_a_redirect_to_another_host_carries_nothing(place: str, foreign: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the token nor a header of a plugin follows a redirect to another origin."""
    monkeypatch.setattr("prodpointer.mlflow_client.workspaces._active", lambda: None)

    def answer(_: Stub, request: Request) -> Iterable[bytes]:
        return [document({}, status=307, headers={"Location": f"{foreign.uri}{request.path}"})]

    with stub(answer) as server, quiet():
        addresses = Addresses(server.uri, server.uri, chosen=True, workspace="team-a")
        if place == "registry":
            Rest(addresses, timeout=5).once("GET", MODEL)
        else:
            asked = open_registry(server.uri, None, timeout=5, create_database=None, upgrade_database=False)
            assert ArtifactStore(asked).exists(f"{server.uri}{PATH}/model.pkl")
        assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert [sorted(request.headers) for request in foreign.requests] == [
        ["accept", "accept-encoding", "connection", "host", "user-agent"]
    ]


WRITES: dict[str, Callable[[Registry], object]] = {
    "tag": lambda asked: asked.tag_version("news", 1, "key", "value"),
    "no tag": lambda asked: asked.untag_version("news", 1, "key"),
    "alias": lambda asked: asked.set_alias("news", "production", 1),
    "no alias": lambda asked: asked.delete_alias("news", "production"),
    "stage": lambda asked: asked.move_to_stage("news", 1, "Production"),
    "version": lambda asked: asked.create_version("news", "s3://a/b", run_id=None, model_id=None, tags={}),
    "model": lambda asked: asked.create_model("news"),
}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("verb", WRITES)
def test_a_write_is_not_sent_on_to_another_host(status: int, verb: str, foreign: Stub) -> None:
    """Neither what was written nor that something was."""

    def answer(_: Stub, request: Request) -> Iterable[bytes]:
        return [document({}, status=status, headers={"Location": f"{foreign.uri}{request.path}"})]

    with stub(answer) as server, quiet(), pytest.raises(UnsafeModel, match="redirects a write") as refused:
        WRITES[verb](Registry(Addresses(server.uri, server.uri, chosen=True), timeout=5))
    assert foreign.requests == []
    assert foreign.uri in refused.value.where


@pytest.mark.parametrize("status", [307, 308])
def test_a_write_is_sent_on_by_the_same_host(status: int) -> None:
    """A server may move its calls about."""

    def answer(_: Stub, request: Request) -> Iterable[bytes]:
        if request.path.startswith("/moved"):
            return [document({})]
        return [document({}, status=status, headers={"Location": f"/moved{request.path}"})]

    with stub(answer) as server, quiet():
        Registry(Addresses(server.uri, server.uri, chosen=True), timeout=5).set_alias("news", "production", 1)
        assert [request.method for request in server.requests] == ["POST", "POST"]


def test_a_redirect_on_the_same_host_keeps_the_credentials() -> None:
    """A server may move its calls about."""

    def answer(_: Stub, request: Request) -> Iterable[bytes]:
        if request.path.startswith("/moved"):
            return [document({"a": 1})]
        return [document({}, status=307, headers={"Location": f"/moved{request.path}"})]

    with stub(answer) as server, quiet():
        Rest(Addresses(server.uri, server.uri, chosen=True), timeout=5).once("GET", MODEL)
        assert [request.headers["authorization"] for request in server.requests] == [f"Bearer {SECRET}"] * 2


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://a", "http://A:80/x", True),
        ("http://a", "https://a", True),
        ("https://a", "http://a", False),
        ("http://a:5000", "https://a", False),
        ("http://a", "http://a.b", False),
        ("http://a", "http://a@b/", False),
        ("http://a", "http://a:5000", False),
        ("http://a", "http://a:x", False),
        ("sqlite:///a", "sqlite:///a", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    """Credentials for one address are for another of the same origin, or for its secure form."""
    assert has_same_origin(one, other) is same


@pytest.mark.parametrize("hosts", [["http://a"], ["a/b"], ["a b"], [""], ["a:b"], "a,http://b"])
def test_a_host_is_a_name(hosts: list[str] | str) -> None:
    """What is no host would allow nothing without a word."""
    with pytest.raises(InvalidName, match="Invalid host"):
        read_allowed_hosts(hosts)


def test_hosts_are_names_with_or_without_a_port() -> None:
    """A host without a port is allowed on each of its ports."""
    addresses = Addresses("http://own", "http://own", chosen=True, allowed_hosts=read_allowed_hosts("A, b:5000,, ::1"))
    reachable = ["http://a/x", "https://a:7/x", "http://b:5000/", "http://[::1]:9/", "http://own/"]
    assert all(addresses.allows(uri) for uri in reachable)
    assert not any(addresses.allows(uri) for uri in ["http://b/", "http://c/", "ftp://a/", "http://a.b/"])
