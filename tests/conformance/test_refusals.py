"""Servers that are not a registry or refuse access raise the right error, and nothing is created."""

from __future__ import annotations

import socket
import time
import traceback
from pathlib import Path

import pytest

import prodpointer
from prodpointer import AccessDenied, RegistryUnavailable, RegistryUnsupported
from prodpointer.connection import registered_model_names
from tests.conformance.conftest import Registry, tree
from tests.proxy import Answer, Proxy, on_path


@pytest.mark.parametrize("form", ["file://{0}", "{0}", "file:{0}"])
def test_a_plain_file_store_is_refused(tmp_path: Path, form: str) -> None:
    """A file store raises RegistryUnsupported on every MLflow, names a database, and nothing is made."""
    with pytest.raises(RegistryUnsupported, match=r"plain file store.*sqlite:///registry\.db"):
        prodpointer.connect("news", tracking_uri=form.format(tmp_path / "mlruns"))
    assert tree(tmp_path) == []


def test_a_missing_configuration_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no URI anywhere and no database at hand the error names MLFLOW_TRACKING_URI, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RegistryUnsupported, match="MLFLOW_TRACKING_URI"):
        prodpointer.connect("news")
    assert tree(tmp_path) == []


def test_a_dead_server_is_reported_within_the_timeout(forgetful: None) -> None:
    """Nothing listens there: RegistryUnavailable, in seconds and not in MLflow's minutes."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody else can take it
        started = time.monotonic()
        with pytest.raises(RegistryUnavailable, match="no connection"):
            prodpointer.connect("news", tracking_uri=f"http://127.0.0.1:{taken.getsockname()[1]}", timeout=5)
    assert time.monotonic() - started < 10


def test_a_hanging_server_is_reported_within_the_timeout(forgetful: None) -> None:
    """A server that accepts and never answers: RegistryUnavailable within the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(RegistryUnavailable):
            prodpointer.connect("news", tracking_uri=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=2)
    assert time.monotonic() - started < 6


def test_an_unknown_host_is_unreachable(forgetful: None) -> None:
    """An unknown host name: RegistryUnavailable."""
    with pytest.raises(RegistryUnavailable):
        prodpointer.connect("news", tracking_uri="http://registry.invalid:5000", timeout=5)


@pytest.mark.parametrize(
    "uri", ["htp://localhost:1", "http:///x", "http://localhost:99999", "http://[::1", "azureml://x"]
)
def test_an_invalid_address_is_refused(forgetful: None, uri: str) -> None:
    """A URI that names nothing this client can reach: RegistryUnsupported."""
    with pytest.raises(RegistryUnsupported):
        prodpointer.connect("news", tracking_uri=uri)


def test_a_wrong_path_is_not_an_old_server(served: Registry, forgetful: None) -> None:
    """A URL whose path is wrong, as after a moved static prefix, is no server without aliases: RegistryUnsupported."""
    with pytest.raises(RegistryUnsupported, match="static-prefix"):
        prodpointer.connect("news", tracking_uri=f"{served.uri}/wrong")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>Welcome</html>", "text/html"),
        (b'{"hello": "world"}', "application/json"),
        (b"[]", "application/json"),
        (b"", "text/plain"),
    ],
)
def test_another_web_server_is_not_a_registry(between: Proxy, body: bytes, kind: str) -> None:
    """A server that answers everything with its own page is refused: RegistryUnsupported."""
    between.when(lambda method, path: True, Answer(200, body, kind))
    with pytest.raises(RegistryUnsupported, match="not a model registry"):
        prodpointer.connect("news", tracking_uri=between.uri)


def test_a_registry_without_a_version_is_probed(between: Proxy, served: Registry) -> None:
    """Without a version endpoint the capabilities decide, as the version would have."""
    told = prodpointer.connect("news", tracking_uri=served.uri).selection
    between.when(on_path("/version"), Answer(404, b"<!doctype html>Not Found", "text/html"))
    found = prodpointer.connect("news", tracking_uri=between.uri).selection
    assert found.registry_version is None
    assert found.pointer == told.pointer
    assert "does not report its version" in found.reason


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("path", ["/", "/api/"])
def test_a_server_that_refuses_access_is_reported(between: Proxy, status: int, path: str) -> None:
    """401 and 403, of everything or (as for a refused Host header) of all but the version: AccessDenied."""
    between.when(
        on_path(path), Answer(status, b"Invalid Host header - possible DNS rebinding attack detected", "text/plain")
    )
    with pytest.raises(AccessDenied, match="start it with --allowed-hosts"):
        prodpointer.connect("news", tracking_uri=between.uri).production()


def test_a_hidden_version_with_refused_access_is_refused(between: Proxy) -> None:
    """A refused control question is AccessDenied and no missing registry."""
    between.when(on_path("/version"), Answer(404, b"", "text/html"))
    between.when(on_path("/api/"), Answer(403, b"no", "text/plain"))
    with pytest.raises(AccessDenied):
        prodpointer.connect("news", tracking_uri=between.uri)


@pytest.mark.parametrize("password", ["s3cret-word", "p%40ss%2Fword", "a:b"])
def test_no_credential_is_shown(between: Proxy, served: Registry, password: str) -> None:
    """A password in the URI stands in no error, in no cause of one, and in no selection."""
    port = between.uri.rsplit(":", 1)[1]
    uri = f"http://carol:{password}@127.0.0.1:{port}"
    model = prodpointer.connect("no-such-model", tracking_uri=uri)
    shown = [repr(model), str(model.selection)]
    between.when(on_path("/api/"), Answer(500, b"boom", "text/plain"))
    for failing in (model.production, lambda: prodpointer.connect("n", tracking_uri=uri + "/wrong")):
        with pytest.raises(prodpointer.ProdpointerError) as caught:
            failing()
        shown.append("".join(traceback.format_exception(caught.value)))
    assert all(password not in text for text in shown)


def test_another_answer_keeps_its_code(between: Proxy) -> None:
    """An answer that has no error of its own is a RegistryError with MLflow's code."""
    model = prodpointer.connect("news", tracking_uri=between.uri)
    body = b'{"error_code": "INVALID_STATE", "message": "half way"}'
    between.when(on_path("registered-models/get"), Answer(400, body))
    with pytest.raises(prodpointer.RegistryError, match="half way") as caught:
        model.production()
    assert caught.value.code == "INVALID_STATE"


@pytest.mark.parametrize("status", [502, 503])
def test_a_gateway_without_a_server_is_an_unavailable_registry(between: Proxy, status: int) -> None:
    """A proxy without an upstream server: RegistryUnavailable."""
    model = prodpointer.connect("news", tracking_uri=between.uri)
    between.when(on_path("/api/"), Answer(status, b"Bad Gateway", "text/plain"))
    with pytest.raises(RegistryUnavailable):
        model.production()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_gateway_without_a_server_is_not_a_wrong_address(between: Proxy, status: int) -> None:
    """Also while connecting, a gateway without an upstream is RegistryUnavailable, not a missing registry."""
    between.when(lambda method, path: True, Answer(status, b"<html>Bad Gateway</html>", "text/html"))
    with pytest.raises(RegistryUnavailable, match=f"HTTP {status}"):
        prodpointer.connect("news", tracking_uri=between.uri)


def test_a_failing_server_is_not_a_wrong_address(between: Proxy) -> None:
    """A server that answers 500 to everything is a RegistryError, and no missing registry."""
    between.when(lambda method, path: True, Answer(500, b"<html>boom</html>", "text/html"))
    with pytest.raises(prodpointer.RegistryError, match="HTTP 500"):
        prodpointer.connect("news", tracking_uri=between.uri)


def test_a_list_from_a_registry_of_unknown_age_is_asked_for_without_a_filter(between: Proxy) -> None:
    """Clients from 2.21 on add a filter that servers up to 2.20.4 answer with nothing: not where that may be so."""
    between.when(on_path("/version"), Answer(404, b"", "text/html"))
    between.when(on_path("/alias"), Answer(404, b"", "text/html"))
    registered_model_names(tracking_uri=between.uri)
    searches = [path for _, path in between.requests if "registered-models/search" in path]
    assert len(searches) == 1
    assert "filter" not in searches[0]
