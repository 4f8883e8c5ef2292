"""Requests use MLflow's own settings for logins, plugins, TLS and retries."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.tracking.request_header import registry as header_registry
from mlflow.version import VERSION

import prodpointer
from prodpointer import RegisteredModel, RegistryUnavailable
from prodpointer.mlflow_client import capabilities
from tests.integration.conftest import quiet
from tests.proxy import Answer, Drop, Hang, Proxy, first, on_path, proxy
from tests.servers import Server, serve

SOURCE = "s3://bucket/model"
IS_OLD = tuple(map(int, VERSION.split(".")[:2])) < (2, 3)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server of this MLflow."""
    with serve(sys.executable, tmp_path_factory.mktemp("served"), version=VERSION) as running:
        yield running


@pytest.fixture
def between(server: Server, forgetful: None) -> Iterator[Proxy]:
    """A proxy in front of it."""
    with proxy(server.uri) as running:
        yield running


@pytest.fixture
def name(server: Server) -> str:
    """A model with two versions."""
    name = f"news-{uuid.uuid4().hex[:12]}"
    plain = MlflowClient(server.uri)
    with quiet():
        plain.create_registered_model(name)
        for _ in range(2):
            plain.create_model_version(name, SOURCE)
    return name


def connected(name: str, uri: str, timeout: float = 10.0) -> RegisteredModel:
    """Return the model, with nothing known of the registry."""
    capabilities.forget()
    return prodpointer.connect(name, tracking_uri=uri, timeout=timeout)


def sent(between: Proxy, part: str, method: str) -> int:
    """Return how many requests came."""
    return sum(on_path(part, method)(*request) for request in between.requests)


@pytest.mark.skipif(IS_OLD, reason="these plugins came with MLflow 2.3")
def test_a_plugin_signs_each_request(name: str, between: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """``MLFLOW_TRACKING_AUTH`` names what signs; reads and writes alike are signed."""
    from mlflow.tracking.request_auth import registry as auth_registry

    class Signer:
        """Signs with a header."""

        def get_name(self) -> str:
            """Return what MLFLOW_TRACKING_AUTH names."""
            return "signer"

        def get_auth(self) -> Callable[[object], object]:
            """Return what signs a request."""

            def sign(request: object) -> object:
                request.headers["X-Signed"] = "yes"  # type: ignore[attr-defined]
                return request

            return sign

    signers = auth_registry._request_auth_provider_registry  # noqa: SLF001  # where MLflow keeps the plugins
    monkeypatch.setattr(signers, "_registry", [*signers._registry, Signer()])  # noqa: SLF001
    monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "signer")
    connected(name, between.uri).promote(1)
    assert {headers.get("x-signed") for headers in between.headers} == {"yes"}


def test_a_plugin_adds_a_header_to_each_request(name: str, between: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a request header provider adds is sent with reads and writes."""

    class Team:
        """Says who asks."""

        def in_context(self) -> bool:
            """Tell that it applies."""
            return True

        def request_headers(self) -> dict[str, str]:
            """Return the header."""
            return {"X-Team": "news"}

    providers = header_registry._request_header_provider_registry  # noqa: SLF001  # where MLflow keeps the plugins
    monkeypatch.setattr(providers, "_registry", [*providers._registry, Team()])  # noqa: SLF001
    connected(name, between.uri).promote(1)
    assert {headers.get("x-team") for headers in between.headers} == {"news"}


LOGINS = {
    "a token": ({"MLFLOW_TRACKING_TOKEN": "open-sesame"}, "Bearer open-sesame"),
    "a password": ({"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "p"}, "Basic YWRhOnA="),
    ".netrc": ({}, "Basic YWRhOnA="),
}


@pytest.mark.parametrize("login", LOGINS)
def test_a_login_goes_with_each_request(
    login: str, name: str, between: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Reads and writes both contain it."""
    variables, expected = LOGINS[login]
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    if not variables:
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ada password p\n")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    connected(name, between.uri).promote(1)
    assert {headers.get("authorization") for headers in between.headers} == {expected}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes the certificate")
def test_tls_is_as_mlflow_is_told(
    name: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgetful: None
) -> None:
    """A certificate of one's own is refused, trusted where MLflow trusts it, and passed over where MLflow does."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    made = ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run([*command, *made], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with proxy(server.uri, tls) as between, quiet():
        with pytest.raises(RegistryUnavailable, match="certificate"):
            connected(name, between.uri)
        with monkeypatch.context() as told:
            told.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
            assert connected(name, between.uri).promote(1).to_version == 1
        with monkeypatch.context() as told:
            told.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
            assert connected(name, between.uri).promote(2).to_version == 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_when_it_says(name: str, between: Proxy, status: int) -> None:
    """A write waits for as long as ``Retry-After`` says, where the timeout allows it."""
    model = connected(name, between.uri)
    busy = Answer(status, b"{}", headers=(("Retry-After", "1"),))
    between.when(first(1, on_path("set-tag", "POST")), busy)
    began = time.monotonic()
    assert model.promote(1).state == "done"
    assert time.monotonic() - began > 1
    assert [event.state for event in model.history()] == ["done"]


def test_a_server_that_stays_busy_is_not_waited_for(name: str, between: Proxy) -> None:
    """Where it says to wait for longer than the timeout, the error comes at once."""
    model = connected(name, between.uri)
    between.when(on_path("set-tag", "POST"), Answer(429, b"{}", headers=(("Retry-After", "60"),)))
    began = time.monotonic()
    with pytest.raises(RegistryUnavailable, match="HTTP 429, too many requests"):
        model.promote(1)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("path", ["set-tag", "registered-models/get", "model-versions/search"])
def test_a_broken_connection_is_tried_again(
    name: str, between: Proxy, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as ``MLFLOW_HTTP_REQUEST_MAX_RETRIES`` says, after pauses by ``MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR``."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    model = connected(name, between.uri)
    between.when(first(3, on_path(path)), Drop())
    assert model.promote(1).state == "done"


def test_without_retries_a_write_is_sent_once(name: str, between: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """``MLFLOW_HTTP_REQUEST_MAX_RETRIES=0`` is obeyed; up to 2.2.2 MLflow itself retries once at least."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    model = connected(name, between.uri)
    between.when(on_path("set-tag"), Drop())
    with pytest.raises(RegistryUnavailable):
        model.promote(1)
    assert sent(between, "set-tag", "POST") == (2 if IS_OLD else 1)


def test_a_server_that_restarts_is_waited_for(name: str, between: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that is refused is sent again when the server is back."""
    model = connected(name, between.uri)
    monkeypatch.setattr("prodpointer.mlflow_client.rest._pauses", lambda: iter([0.2, 0.2, 0.2]))

    moves = first(1, lambda _, path: "/alias" in path or "/transition-stage" in path)

    def restart() -> None:
        between.refuse()
        time.sleep(0.2)
        between.listen()

    def restarts(method: str, path: str) -> bool:
        if found := moves(method, path):
            threading.Thread(target=restart).start()
        return found

    between.when(restarts, Hang(5))
    assert model.promote(1).state == "done"


def test_the_timeout_of_mlflow_holds_too(name: str, between: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """``MLFLOW_HTTP_REQUEST_TIMEOUT`` is obeyed where it is shorter, and what may have been done is not done again."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    model = connected(name, between.uri)
    between.when(on_path("set-tag"), Hang(5))
    began = time.monotonic()
    with pytest.raises(RegistryUnavailable):
        model.promote(1)
    assert time.monotonic() - began < 3
    assert sent(between, "set-tag", "POST") == (2 if IS_OLD else 1)


@pytest.mark.skipif(IS_OLD, reason="up to 2.2.2 MLflow's http_request cannot be kept from a retry")
def test_a_version_that_may_be_made_is_not_made_again(name: str, between: Proxy, server: Server) -> None:
    """A creation whose answer is lost is an error and no second version; plain MLflow would make two."""
    model = connected(name, between.uri)
    between.when(first(1, on_path("model-versions/create")), Drop(delivered=True))
    with pytest.raises(RegistryUnavailable):
        made(model)
    with quiet():
        assert len(MlflowClient(server.uri).search_model_versions(f"name='{name}'")) == 3


def test_a_version_that_was_refused_is_made(name: str, between: Proxy) -> None:
    """A server that is too busy has made nothing yet."""
    model = connected(name, between.uri)
    between.when(first(1, on_path("model-versions/create")), Answer(503, b"{}"))
    assert made(model) == 3


def made(model: RegisteredModel) -> int:
    """Create a version of a source, without its run."""
    return model._registry.create_version(model.name, SOURCE, run_id=None, model_id=None, tags={})  # noqa: SLF001
