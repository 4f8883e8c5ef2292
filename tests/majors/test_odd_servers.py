"""Unusual servers: very old, moved, partly hidden, strict about names, or behind a login."""

from __future__ import annotations

import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient
from mlflow.store.model_registry.rest_store import RestStore
from mlflow.tracking._model_registry.utils import _get_store_registry
from mlflow.utils.rest_utils import MlflowHostCreds
from packaging.version import Version

import prodpointer
from prodpointer import AccessDenied, InvalidName, RegisteredModel, RegistryUnsupported
from prodpointer.connection import registered_model_names
from prodpointer.testing import servers
from tests import mlflow_table
from tests.majors.conftest import Job
from tests.proxy import Answer, Proxy, on_path, proxy
from tests.servers import Server, environment, serve

OLD = "2.9.2"
TWO = mlflow_table.newest_of_major(2).version
THREE = mlflow_table.newest_of_major(3).version
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
NOT_FOUND = Answer(404, b"<!doctype html>Not Found", "text/html")
LOGIN_PAGE = Answer(200, b"<!doctype html><title>Sign in</title>", "text/html")

pytestmark = pytest.mark.usefixtures("forgetful")


def python_with(version: str) -> Path:
    """Return a Python with that MLflow and without this package."""
    return environment(replace(mlflow_table.row(version), python=HERE))


def served(version: str, tmp_path_factory: pytest.TempPathFactory, *options: str) -> Iterator[Server]:
    """Run a server of that version with some options more."""
    directory = tmp_path_factory.mktemp("odd")
    with serve(python_with(version), directory, version=version, extra_args=options) as found:
        yield found


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server from before the list of models left out prompts, with five models and a prompt."""
    for server in served(OLD, tmp_path_factory):
        for name in "edcba":
            MlflowClient(server.uri).create_registered_model(name)
        make_a_prompt(server.uri, "greeting")
        yield server


def make_a_prompt(uri: str, name: str) -> None:
    """Make a prompt: a registered model with a tag that newer clients refuse to set."""
    body = {"name": name, "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]}
    requests.post(f"{uri}/api/2.0/mlflow/registered-models/create", json=body, timeout=30).raise_for_status()


@pytest.fixture
def between(server: Server) -> Iterator[Proxy]:
    """A real proxy in front of a server of each major in turn."""
    with proxy(server.uri) as found:
        yield found


@pytest.fixture
def before_old(old: Server) -> Iterator[Proxy]:
    """A real proxy in front of the old server."""
    with proxy(old.uri) as found:
        yield found


def searches(found: Proxy) -> list[str]:
    """Return the questions for a list of models."""
    return [path for _, path in found.requests if "registered-models/search" in path]


def test_plain_mlflow_lists_nothing_there(old: Server) -> None:
    """The silence that the next tests are about: this client lists no model of the old server, though there are."""
    assert MlflowClient(old.uri).search_registered_models() == []


def test_a_list_from_an_old_server_is_whole(before_old: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """All models of a server that the client's own search finds nothing on, page by page, prompts left out."""
    monkeypatch.setattr("prodpointer.mlflow_client.calls.MODELS_PAGE", 2)
    assert registered_model_names(tracking_uri=before_old.uri) == ["a", "b", "c", "d", "e"]
    assert ["page_token" in path for path in searches(before_old)] == [False, True, True]


def test_a_list_from_an_old_server_that_hides_its_version_is_whole(before_old: Proxy) -> None:
    """The list is complete also if the version of an MLflow 2 server is unknown."""
    before_old.when(on_path("/version"), NOT_FOUND)
    assert registered_model_names(tracking_uri=before_old.uri) == ["a", "b", "c", "d", "e"]


def test_a_list_from_a_newer_server_has_no_prompts(between: Proxy, server: Server, name: str) -> None:
    """MLflow keeps prompts as registered models; a list of models leaves them out."""
    MlflowClient(server.uri).create_registered_model(name)
    make_a_prompt(server.uri, f"{name}-greeting")
    found = registered_model_names(tracking_uri=between.uri)
    assert name in found
    assert f"{name}-greeting" not in found


@contextmanager
def under_a_prefix(version: str, directory: Path) -> Iterator[Server]:
    """Run a server with ``--static-prefix /ml``, whose first questions are asked where that version answers them."""
    asked = servers._get  # noqa: SLF001 (where those questions are asked)
    prefix = "/ml" if Version(version) >= Version("3.7") else ""

    def under(url: str, credentials: tuple[str, str] | None) -> tuple[int, str]:
        base, _, endpoint = url.rpartition("/")
        return asked(f"{base}{prefix}/{endpoint}", credentials)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers, "_get", under)
        with serve(python_with(version), directory, version=version, extra_args=["--static-prefix", "/ml"]) as found:
            yield found


def test_a_prefix_that_moved_with_the_upgrade_is_said(tmp_path: Path, name: str) -> None:
    """The address that was right before the upgrade is refused after it, with the new one to try, which works."""
    with under_a_prefix(TWO, tmp_path) as server:
        prodpointer.connect(name, tracking_uri=server.uri)
        with pytest.raises(RegistryUnsupported) as early:
            prodpointer.connect(name, tracking_uri=f"{server.uri}/ml")
        assert f"There is a registry at {server.uri}: use that address." in str(early.value)
    prodpointer.mlflow_client.capabilities.forget()
    with under_a_prefix(THREE, tmp_path) as server:
        with pytest.raises(RegistryUnsupported) as late:
            prodpointer.connect(name, tracking_uri=server.uri)
        assert "--static-prefix" in str(late.value)
        assert f"try {server.uri}/PREFIX" in str(late.value)
        told = prodpointer.connect(name, tracking_uri=f"{server.uri}/ml").selection.registry_version
        assert told == THREE


def test_a_service_meets_a_moved_prefix_as_no_registry(tmp_path: Path, between: Proxy, name: str) -> None:
    """A model connected before the move is told of the prefix by its next verb, and never that nothing is live."""
    MlflowClient(between.uri).create_registered_model(name)
    model = prodpointer.connect(name, tracking_uri=between.uri)
    with under_a_prefix(THREE, tmp_path) as moved, pytest.MonkeyPatch.context() as patch:
        patch.setattr(between, "upstream", ("127.0.0.1", int(moved.uri.rsplit(":", 1)[1])))
        with pytest.raises(RegistryUnsupported, match="--static-prefix"):
            model.live_version()


@pytest.fixture(scope="module")
def picky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that accepts another host name than the one it is asked by."""
    yield from served(THREE, tmp_path_factory, "--allowed-hosts", "registry.example")


VERBS: dict[str, Callable[[RegisteredModel], object]] = {
    "live_version": lambda model: model.live_version(),
    "production": lambda model: model.production(),
    "load_production": lambda model: model.load_production(),
    "pull": lambda model: model.pull("nowhere"),
    "status": lambda model: model.status(),
    "promote": lambda model: model.promote(1),
    "withdraw": lambda model: model.withdraw(),
    "version": lambda model: model.version(1),
    "register": lambda model: model.register("0" * 32, "bundle"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_refused_host_name_is_access_denied(picky: Server, name: str, verb: str) -> None:
    """A server that tells its version and refuses the Host header is AccessDenied by every verb, with the next step."""
    model = prodpointer.connect(name, tracking_uri=picky.uri)
    with pytest.raises(AccessDenied, match="start it with --allowed-hosts"):
        VERBS[verb](model)


def test_a_refused_host_name_lists_no_models(picky: Server) -> None:
    """The list of models is refused by the same name."""
    with pytest.raises(AccessDenied, match="start it with --allowed-hosts"):
        registered_model_names(tracking_uri=picky.uri)


def test_a_refused_host_name_is_no_old_server(picky: Server, name: str) -> None:
    """Where such a server hides its version as well, connecting is AccessDenied and never a server without aliases."""
    with proxy(picky.uri) as found:
        found.when(on_path("/version"), NOT_FOUND)
        with pytest.raises(AccessDenied, match="start it with --allowed-hosts"):
            prodpointer.connect(name, tracking_uri=found.uri)


@pytest.fixture(scope="module", params=[TWO, THREE])
def without_artifacts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of each major that serves no artifacts: clients read and write the files themselves."""
    directory = tmp_path_factory.mktemp("direct")
    version = str(request.param)
    with serve(python_with(version), directory, version=version, artifacts="direct") as found:
        yield found


BOTH_CLIENTS = pytest.mark.parametrize("client", [TWO, THREE])


@BOTH_CLIENTS
def test_artifacts_that_no_server_serves_work(
    job: Job, without_artifacts: Server, name: str, client: str, tmp_path: Path
) -> None:
    """A directory is registered, promoted, loaded and pulled where the clients reach the files themselves."""
    uri = without_artifacts.uri
    assert [job(client, uri, name, "register", payload) for payload in ("first", "second")] == [1, 2]
    job(client, uri, name, "promote", 2)
    assert job(client, uri, name, "load_production") == {"payload": "second"}
    assert job(client, uri, name, "pull", tmp_path / "copy")["version"] == 2
    assert (tmp_path / "copy" / "bundle" / "newsreco.pkl").is_file()


@BOTH_CLIENTS
@pytest.mark.parametrize("path", ["bundle", "bundle/newsreco.pkl"])
@pytest.mark.parametrize("root", ["runs:/{run}", "{artifact_uri}"])
def test_sources_that_no_server_serves_are_read(
    job: Job, without_artifacts: Server, client: str, root: str, path: str
) -> None:
    """Versions that plain MLflow made of a directory or a file, by run or by path, are loaded and pulled there."""
    uri, name = without_artifacts.uri, f"plain-{uuid.uuid4().hex[:12]}"
    job(THREE, uri, name, "register", "by-us")
    plain = MlflowClient(uri)
    run = plain.get_run(str(plain.get_model_version(name, "1").run_id)).info
    source = f"{root.format(run=run.run_id, artifact_uri=run.artifact_uri)}/{path}"
    made = plain.create_model_version(name, source, run_id=run.run_id).version
    job(client, uri, name, "promote", made)
    assert job(client, uri, name, "load_production") == {"payload": "by-us"}
    copy = without_artifacts.directory / f"{name}-{client}"
    assert job(client, uri, name, "pull", copy)["version"] == int(made)


@pytest.mark.parametrize("refusal", [401, 403])
def test_a_refused_version_is_no_refused_registry(between: Proxy, server: Server, name: str, refusal: int) -> None:
    """A gateway that refuses ``/version`` alone stands before a registry: what it can do decides, and that is said."""
    told = prodpointer.connect(name, tracking_uri=server.uri).selection
    between.when(on_path("/version"), Answer(refusal, b"forbidden", "text/plain"))
    found = prodpointer.connect(name, tracking_uri=between.uri).selection
    assert found.registry_version is None
    assert found.pointer == told.pointer
    assert f"refuses to report its version (HTTP {refusal})" in found.reason


@pytest.mark.parametrize("refused", ["/get", "/alias", "/logged-models"])
def test_a_refused_question_is_no_answer(between: Proxy, name: str, refused: str) -> None:
    """Where a gateway hides the version and refuses a question, connecting is AccessDenied and nothing is guessed."""
    between.when(on_path("/version"), NOT_FOUND)
    between.when(on_path(refused), Answer(403, b"forbidden", "text/plain"))
    with pytest.raises(AccessDenied, match="MLFLOW_TRACKING_USERNAME"):
        prodpointer.connect(name, tracking_uri=between.uri)


@pytest.mark.parametrize(
    "everything",
    [
        LOGIN_PAGE,
        NOT_FOUND,
        Answer(404, b'{"error": "not found"}'),
        Answer(404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such thing"}'),
        Answer(404, b'{"error_code": "ENDPOINT_NOT_FOUND", "message": "no such thing"}'),
        Answer(200, b"{}"),
    ],
    ids=["login-page", "page-404", "json-404", "code-404", "endpoint-404", "empty-json"],
)
def test_one_answer_for_everything_is_no_registry(between: Proxy, name: str, everything: Answer) -> None:
    """A server with one answer for everything is no registry, however much that answer looks like one of MLflow's."""
    between.when(lambda method, path: True, everything)
    with pytest.raises(RegistryUnsupported, match="not a model registry"):
        prodpointer.connect(name, tracking_uri=between.uri)


def test_a_page_for_the_unknown_is_no_lack_of_aliases(between: Proxy, name: str) -> None:
    """A gateway that answers one call with its page hides what there is: refused, and no server without aliases."""
    between.when(on_path("/version"), NOT_FOUND)
    between.when(on_path("registered-models/alias"), LOGIN_PAGE)
    with pytest.raises(RegistryUnsupported, match="login"):
        prodpointer.connect(name, tracking_uri=between.uri)


def test_a_gateway_with_its_own_answer_to_the_unknown_hides_no_registry(
    between: Proxy, server: Server, name: str
) -> None:
    """A gateway may say in its own code that it knows no such call: what the registry does answer decides."""
    told = prodpointer.connect(name, tracking_uri=server.uri).selection
    unknown = Answer(404, b'{"error_code": "ROUTE_UNKNOWN", "message": "no route"}')
    between.when(on_path("/version"), unknown)
    if server.version == TWO:
        between.when(on_path("/logged-models"), unknown)
    between.when(lambda method, path: path.endswith("/mlflow/prodpointer-control-question"), unknown)
    assert prodpointer.connect(name, tracking_uri=between.uri).selection.pointer == told.pointer


@pytest.fixture
def login() -> Iterator[str]:
    """A web server that sends everybody to its login page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here = self.path.startswith("/login")
            page = b"<!doctype html><title>Sign in</title>"
            self.send_response(200 if here else 302)
            if not here:
                self.send_header("Location", "/login?next=/")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


@pytest.mark.parametrize("follow", ["true", "false"])
def test_a_redirect_to_a_login_is_no_registry(
    login: str, name: str, follow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether MLflow follows the redirect or not, a login is named and no registry is made out of it."""
    monkeypatch.setenv("MLFLOW_ALLOW_HTTP_REDIRECTS", follow)
    with pytest.raises(RegistryUnsupported, match="login"):
        prodpointer.connect(name, tracking_uri=login)


@pytest.fixture(scope="module")
def slashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which a server of MLflow 2 left models whose names newer versions refuse."""
    directory = tmp_path_factory.mktemp("slashed")
    with serve(python_with(TWO), directory, version=TWO) as server:
        for name in ("a/b", "a:b"):
            make_by_rest(server.uri, name)
    return directory


def make_by_rest(uri: str, name: str) -> None:
    """Make a model with a version in Production as an older client does, whose own checks know nothing of names."""
    api = f"{uri}/api/2.0/mlflow"
    move = {"name": name, "version": "1", "stage": "Production", "archive_existing_versions": True}
    for call, body in (
        ("registered-models/create", {"name": name}),
        ("model-versions/create", {"name": name, "source": "s3://models/newsreco.pkl"}),
        ("model-versions/transition-stage", move),
    ):
        requests.post(f"{api}/{call}", json=body, timeout=30).raise_for_status()


@pytest.fixture(scope="module")
def slashed_before(slashed: Path) -> Iterator[Server]:
    """The server of MLflow 2 that made such models."""
    with serve(python_with(TWO), slashed, version=TWO) as found:
        yield found


@BOTH_CLIENTS
@pytest.mark.parametrize("refused", ["a/b", "a:b"])
def test_names_that_newer_versions_refuse_are_read_on_older_servers(
    job: Job, slashed_before: Server, client: str, refused: str
) -> None:
    """Clients of both majors read such a model while its server is old, and move its pointer."""
    assert job(client, slashed_before.uri, refused, "live_version") == 1
    assert job(client, slashed_before.uri, refused, "status")["live"] == 1
    assert job(client, slashed_before.uri, refused, "promote", 1)["to_version"] == 1
    assert refused in registered_model_names(tracking_uri=slashed_before.uri)


@pytest.fixture(scope="module")
def slashed_after(slashed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The newest server on a copy of the database with such models, upgraded."""
    directory = tmp_path_factory.mktemp("upgraded")
    (directory / "mlflow.db").write_bytes((slashed / "mlflow.db").read_bytes())
    with serve(python_with(THREE), directory, version=THREE) as found:
        yield found


@pytest.mark.parametrize("refused", ["a/b", "a:b"])
@pytest.mark.parametrize("verb", VERBS)
def test_names_that_newer_versions_refuse_are_invalid_after_the_upgrade(
    slashed_after: Server, refused: str, verb: str
) -> None:
    """After the upgrade every verb says that the name is refused, and to rename the model before the upgrade."""
    model = prodpointer.connect(refused, tracking_uri=slashed_after.uri)
    with pytest.raises(InvalidName, match="rename_registered_model"):
        VERBS[verb](model)


@BOTH_CLIENTS
def test_a_name_refused_after_the_upgrade_is_invalid_for_every_client(
    job: Job, slashed_after: Server, client: str
) -> None:
    """The server refuses the host name for every user."""
    assert job(client, slashed_after.uri, "a/b", "live_version") == "InvalidName"


@pytest.mark.parametrize("hidden", [False, True])
def test_a_plugin_that_speaks_rest_is_asked_as_a_server_is(
    between: Proxy, server: Server, name: str, hidden: bool
) -> None:
    """A plugin's store that is MLflow's own REST client, as for Azure ML and SageMaker, is known by what answers."""
    told = prodpointer.connect(name, tracking_uri=server.uri).selection
    scheme = f"managed-{uuid.uuid4().hex}"
    _get_store_registry().register(scheme, lambda *_, **__: RestStore(partial(MlflowHostCreds, between.uri)))
    if hidden:
        between.when(on_path("/version"), NOT_FOUND)
    model = prodpointer.connect(name, tracking_uri=server.uri, registry_uri=f"{scheme}://registry")
    assert model.selection.pointer == told.pointer
    assert model.selection.registry_version == (None if hidden else server.version)
    MlflowClient(server.uri).create_registered_model(name)
    assert name in registered_model_names(tracking_uri=server.uri, registry_uri=f"{scheme}://registry")
