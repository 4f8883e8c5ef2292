"""MLflow's exceptions become prodpointer errors: real exceptions of real clients."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from prodpointer.errors import (
    AccessDenied,
    InvalidName,
    ModelNotFound,
    ProdpointerError,
    RegistryError,
    RegistryUnavailable,
    RegistryUnsupported,
)
from prodpointer.mlflow_client.exceptions import error_code, translate
from tests.integration.conftest import Lab, quiet

SECRET = "s3cr3t"
Gateway = Callable[[int, str], str]


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """Return a function that starts a web server which gives one answer to everything, and returns its URL."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, body: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            do_POST = do_GET  # noqa: N815 (the base class looks for this name)

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(uri: str) -> None:
    """Ask a registry for a model with plain MLflow, translated as this library does."""
    with quiet(), translate("read the model", "there"):
        MlflowClient(uri).get_registered_model("news")


def test_what_succeeds_is_left_alone() -> None:
    """Nothing is translated where nothing failed."""
    with translate("do nothing", "here"):
        result = 1
    assert result == 1


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("x"), RuntimeError("x"), OSError("x"), ModelNotFound("x")], ids=repr
)
def test_what_is_not_mlflow_s_passes(error: Exception) -> None:
    """A bug of ours, or an error of ours, is not dressed up as an answer of the registry."""
    with pytest.raises(type(error)) as caught, translate("do it", "here"):
        raise error
    assert caught.value is error


def test_an_interrupt_passes() -> None:
    """Ctrl-C is no answer of the registry."""
    with pytest.raises(KeyboardInterrupt), translate("do it", "here"):
        raise KeyboardInterrupt


def test_what_is_missing_is_what_the_caller_says(lab: Lab, name: str) -> None:
    """``RESOURCE_DOES_NOT_EXIST`` becomes the error that the call means by it."""
    with (
        pytest.raises(ModelNotFound, match=r"^Mine$"),
        translate("read", "here", missing=lambda: ModelNotFound("Mine")),
    ):
        lab.client.get_registered_model(name)


def test_what_is_missing_unexpectedly_keeps_its_code(lab: Lab, name: str) -> None:
    """Where a call means nothing by it, the code says what MLflow said."""
    with (
        pytest.raises(RegistryError, match=f"Could not read the model: .*{name}.*here") as caught,
        translate("read the model", "here"),
    ):
        lab.client.get_registered_model(name)
    assert caught.value.code == "RESOURCE_DOES_NOT_EXIST"


def test_the_error_for_the_missing_is_made_only_when_needed(lab: Lab) -> None:
    """Making that error may ask the registry a second question, so it is not made for nothing."""
    made: list[ProdpointerError] = []

    def missing() -> ProdpointerError:
        made.append(ModelNotFound("x"))
        return made[-1]

    with translate("list", "here", missing=missing):
        lab.client.search_model_versions("name='x'")
    assert made == []


def test_an_invalid_value_keeps_its_code(lab: Lab, name: str) -> None:
    """``INVALID_PARAMETER_VALUE`` means many things, so it stays a ``RegistryError`` unless the call knows better."""
    lab.model(name)
    with pytest.raises(RegistryError) as caught, translate("move", "here"):
        lab.to_stage(name, 1, "Nowhere")
    assert caught.value.code == "INVALID_PARAMETER_VALUE"


def test_an_invalid_value_is_what_the_caller_says(lab: Lab, name: str) -> None:
    """Where the call knows that a name is what MLflow refuses, the error says so."""
    lab.model(name)
    with pytest.raises(InvalidName, match="Nowhere"), translate("move", "here", invalid=InvalidName):
        lab.to_stage(name, 1, "Nowhere")


def test_what_exists_already_keeps_its_code(lab: Lab, name: str) -> None:
    """A duplicate is a ``RegistryError`` with MLflow's code."""
    lab.client.create_registered_model(name)
    with pytest.raises(RegistryError) as caught, translate("create", "here"):
        lab.client.create_registered_model(name)
    assert caught.value.code == "RESOURCE_ALREADY_EXISTS"


def test_the_cause_is_kept(lab: Lab, name: str) -> None:
    """MLflow's exception is the cause, so that nothing is lost for who debugs."""
    with pytest.raises(RegistryError) as caught, translate("read", "here"):
        lab.client.get_registered_model(name)
    assert isinstance(caught.value.__cause__, MlflowException)


def test_a_closed_port_is_unavailable(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no server listens, the registry is unavailable, and the message has the innermost reason."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with pytest.raises(RegistryUnavailable, match=r"Could not read the model: no connection .*refused"):
        ask(f"http://127.0.0.1:{closed_port}")


def test_an_unknown_host_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host name that cannot be resolved is a registry out of reach."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with pytest.raises(RegistryUnavailable):
        ask("http://nobody.invalid")


def test_a_plain_answer_to_tls_is_unavailable(gateway: Gateway) -> None:
    """``https`` where the server speaks ``http`` gives no connection."""
    with pytest.raises(RegistryUnavailable):
        ask(gateway(200, "").replace("http://", "https://"))


@pytest.mark.parametrize("status", [502, 503, 504, 429])
def test_a_gateway_without_a_server_is_unavailable(status: int, gateway: Gateway) -> None:
    """A gateway that reports a server that is down or overloaded means: retry later."""
    with pytest.raises(RegistryUnavailable):
        ask(gateway(status, "<html>later</html>"))


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", ["no", "<html>no</html>", ""], ids=["text", "page", "empty"])
def test_a_refusal_is_access_denied(status: int, body: str, gateway: Gateway) -> None:
    """401 and 403 in any form name the credentials, the permissions and the host name."""
    with pytest.raises(AccessDenied, match=r"MLFLOW_TRACKING_USERNAME.*--allowed-hosts"):
        ask(gateway(status, body))


def test_a_refused_host_name_is_not_a_matter_of_rights(gateway: Gateway) -> None:
    """Where the server says that it is the host name, that comes first, however long the answer is."""
    body = " " * 500 + "Invalid Host header - possible DNS rebinding attack detected"
    with pytest.raises(AccessDenied, match=r"start it with --allowed-hosts"):
        ask(gateway(403, body))


def test_what_a_store_does_not_implement_is_no_registry() -> None:
    """What MLflow's client for the open-source Unity Catalog raises, and a plugin may, is an error of ours."""
    with (
        pytest.raises(RegistryUnsupported, match=r"does not support it.*Ask elsewhere"),
        translate("set the alias", "there", step="Ask elsewhere."),
    ):
        raise NotImplementedError("Method not implemented")


def test_the_next_step_of_the_caller_is_kept(lab: Lab, name: str) -> None:
    """What the caller says to do next stands in the error for an invalid value and for any other answer."""
    lab.model(name)
    for expected in (InvalidName, RegistryError):
        with (
            pytest.raises(expected, match=r"Do this\.$"),
            translate("move", "here", invalid=expected, step="Do this."),
        ):
            lab.to_stage(name, 1, "Nowhere")


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED"])
def test_a_refusal_by_code_is_access_denied(code: str, gateway: Gateway) -> None:
    """MLflow's own refusals come as a code in JSON."""
    with pytest.raises(AccessDenied, match="not yours"):
        ask(gateway(403, json.dumps({"error_code": code, "message": "not yours"})))


@pytest.mark.parametrize("body", ["<html>Not Found</html>", "Not Found", ""], ids=["page", "text", "empty"])
def test_a_wrong_url_is_no_registry(body: str, gateway: Gateway) -> None:
    """404 without MLflow's JSON means that the server has no such call, not that a model is missing."""
    with pytest.raises(RegistryUnsupported, match=r"no such call.*--static-prefix"):
        ask(gateway(404, body))


def test_a_code_from_the_future_is_an_error_of_ours(gateway: Gateway) -> None:
    """A newer server may answer with a code that an old client does not know, and trips over."""
    with pytest.raises(ProdpointerError, match="MADE_UP_LATER"):
        ask(gateway(400, json.dumps({"error_code": "MADE_UP_LATER", "message": "no"})))


def test_a_broken_server_keeps_its_code(gateway: Gateway) -> None:
    """500 is an answer: the server is there and fails."""
    with pytest.raises(RegistryError) as caught:
        ask(gateway(500, "<html>broken</html>"))
    assert caught.value.code == "INTERNAL_ERROR"


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize(
    "body", ["<html>" + "x" * 100_000 + "</html>", "<html>\n<body>\nmany\nlines\n"], ids=["long", "lines"]
)
def test_a_web_page_is_not_shown_whole(status: int, body: str, gateway: Gateway) -> None:
    """A page instead of an answer is cut to one line of a readable length."""
    with pytest.raises(ProdpointerError) as caught:
        ask(gateway(status, body))
    assert len(caught.value.what) < 500
    assert "\n" not in str(caught.value)


def test_a_database_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    """SQLAlchemy's own failure to open a database is a registry out of reach."""
    from sqlalchemy import create_engine

    with pytest.raises(RegistryUnavailable, match="unable to open database file"), translate("open", "here"):
        create_engine(f"sqlite:///{tmp_path.as_posix()}").connect()


@pytest.mark.parametrize("kind", [requests.ConnectionError, requests.Timeout, requests.exceptions.SSLError])
def test_what_requests_raises_is_unavailable(kind: type[Exception]) -> None:
    """Some versions let the exceptions of ``requests`` through."""
    with pytest.raises(RegistryUnavailable), translate("ask", "here"):
        raise kind("no")


def test_another_error_of_requests_keeps_its_name() -> None:
    """An exception without a code of MLflow's has its class as code."""
    with pytest.raises(RegistryError) as caught, translate("ask", "here"):
        raise requests.exceptions.TooManyRedirects("31 times")
    assert caught.value.code == "TooManyRedirects"


def test_a_wrapped_failure_is_found() -> None:
    """A broken connection counts as one however deep it is wrapped, by context too."""

    def wrapped() -> None:
        try:
            raise requests.ConnectionError("refused")  # noqa: TRY301
        except requests.ConnectionError:
            raise MlflowException("wrapped by context alone")  # noqa: B904 (older clients do just that)

    with pytest.raises(RegistryUnavailable, match="refused"), translate("ask", "here"):
        wrapped()


def test_a_password_is_not_shown_by_the_cause(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where MLflow's exception has the password in its text, it is not shown as the cause."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with pytest.raises(RegistryUnavailable) as caught:
        ask(f"http://me:{SECRET}@127.0.0.1:{closed_port}")
    assert SECRET not in "".join(traceback.format_exception(caught.type, caught.value, caught.tb, chain=True))


def test_a_failure_imports_no_database_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their imports take seconds that a call within a time limit does not have; here they would be made anew."""
    modules = ("alembic.util", "sqlalchemy.exc")
    for module in modules:
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(RegistryUnavailable), translate("ask", "here"):
        raise requests.ConnectionError("refused")
    assert not set(modules) & set(sys.modules)


def test_an_exception_without_a_code_has_none() -> None:
    """What is not MLflow's has no code."""
    assert error_code(ValueError("x")) == ""


def test_the_code_of_an_exception_is_mlflow_s(lab: Lab, name: str) -> None:
    """The code is the text that MLflow keeps with its exceptions."""
    with pytest.raises(MlflowException) as caught:
        lab.client.get_registered_model(name)
    assert error_code(caught.value) == "RESOURCE_DOES_NOT_EXIST"
