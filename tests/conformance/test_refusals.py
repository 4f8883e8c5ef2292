"""What is no registry, or does not let us in, is said to be so, and nothing is made."""

from __future__ import annotations

import socket
import sqlite3
import time
import traceback
from pathlib import Path

import pytest

import prodpointer
from prodpointer import AccessDenied, RegistryUnavailable, RegistryUnsupported, SchemaMismatch
from prodpointer.connecting import registered_model_names
from tests.conformance.conftest import Registry
from tests.proxy import Answer, Proxy, on_path


def tree(directory: Path) -> list[str]:
    """Return everything below a directory."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@pytest.mark.parametrize("form", ["file://{0}", "{0}", "file:{0}"])
def test_a_plain_file_store_is_refused(tmp_path: Path, form: str) -> None:
    """A file store raises RegistryUnsupported on every MLflow, names a database, and nothing is made."""
    with pytest.raises(RegistryUnsupported, match=r"plain file store.*sqlite:///registry\.db"):
        prodpointer.connect("news", tracking_uri=form.format(tmp_path / "mlruns"))
    assert tree(tmp_path) == []


def test_nothing_configured_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no URI anywhere and no database at hand the error names MLFLOW_TRACKING_URI, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RegistryUnsupported, match="MLFLOW_TRACKING_URI"):
        prodpointer.connect("news")
    assert tree(tmp_path) == []


def test_the_environment_configures(direct: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own environment variable names the registry."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", direct.uri)
    assert direct.uri in repr(prodpointer.connect("news"))


def test_a_database_named_by_the_environment_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SQLite file that somebody named and that does not exist yet becomes a registry."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'new.db'}")
    prodpointer.connect("news")
    assert (tmp_path / "new.db").exists()


def test_no_database_is_made_where_that_is_not_wanted(tmp_path: Path) -> None:
    """``create_database=False`` refuses a file that is not there, and makes none."""
    with pytest.raises(SchemaMismatch, match="create_database=True"):
        prodpointer.connect("news", tracking_uri=f"sqlite:///{tmp_path / 'new.db'}", create_database=False)
    assert tree(tmp_path) == []


def test_a_database_of_another_mlflow_is_not_touched(direct: Registry, tmp_path: Path) -> None:
    """A schema that is not this MLflow's raises SchemaMismatch, and the file keeps every byte."""
    file = tmp_path / "other.db"
    file.write_bytes(Path(direct.uri.removeprefix("sqlite:///")).read_bytes())
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    connection.close()
    before = file.read_bytes()
    for upgrade in (False, True):
        with pytest.raises(SchemaMismatch, match="ffffffffffff"):
            prodpointer.connect("news", tracking_uri=f"sqlite:///{file}", upgrade_database=upgrade)
    assert file.read_bytes() == before
    assert tree(tmp_path) == ["other.db"]


def test_an_older_database_is_upgraded_only_when_told(tmp_path: Path, forgetful: None) -> None:
    """An older schema is left alone unless ``upgrade_database=True``, which upgrades it and keeps its models."""
    file = older_database(tmp_path)
    before = file.read_bytes()
    with pytest.raises(SchemaMismatch, match="upgrade_database=True"):
        prodpointer.connect("kept", tracking_uri=f"sqlite:///{file}")
    assert file.read_bytes() == before
    news = prodpointer.connect("kept", tracking_uri=f"sqlite:///{file}", upgrade_database=True)
    assert news.production() is None


def older_database(directory: Path) -> Path:
    """Return an MLflow database that stands one migration before the newest, with the registered model ``kept``."""
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    file = directory / "older.db"
    engine = create_engine(f"sqlite:///{file}")
    Base.metadata.create_all(engine)
    engine.dispose()
    config = _get_alembic_config(f"sqlite:///{file}")
    scripts = ScriptDirectory.from_config(config)
    command.upgrade(config, str(scripts.get_revision("head").down_revision))
    with sqlite3.connect(file) as connection:
        connection.execute("INSERT INTO registered_models (name, creation_time) VALUES ('kept', 1)")
    connection.close()
    return file


def test_a_dead_server_is_said_to_be_within_the_timeout(forgetful: None) -> None:
    """Nothing listens there: RegistryUnavailable, in seconds and not in MLflow's minutes."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody else can take it
        started = time.monotonic()
        with pytest.raises(RegistryUnavailable, match="no connection"):
            prodpointer.connect("news", tracking_uri=f"http://127.0.0.1:{taken.getsockname()[1]}", timeout=5)
    assert time.monotonic() - started < 10


def test_a_hanging_server_is_said_to_be_within_the_timeout(forgetful: None) -> None:
    """A server that accepts and never answers: RegistryUnavailable within the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(RegistryUnavailable):
            prodpointer.connect("news", tracking_uri=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=2)
    assert time.monotonic() - started < 6


def test_a_host_that_does_not_exist_is_said_to_be_unreachable(forgetful: None) -> None:
    """A host name that nobody has: RegistryUnavailable."""
    with pytest.raises(RegistryUnavailable):
        prodpointer.connect("news", tracking_uri="http://registry.invalid:5000", timeout=5)


@pytest.mark.parametrize(
    "uri", ["htp://localhost:1", "http:///x", "http://localhost:99999", "http://[::1", "azureml://x"]
)
def test_what_is_no_address_is_no_registry(forgetful: None, uri: str) -> None:
    """A URI that names nothing this client can reach: RegistryUnsupported."""
    with pytest.raises(RegistryUnsupported):
        prodpointer.connect("news", tracking_uri=uri)


def test_a_wrong_path_is_no_old_server(served: Registry, forgetful: None) -> None:
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
def test_another_web_server_is_no_registry(between: Proxy, body: bytes, kind: str) -> None:
    """A server that answers everything with its own page is refused: RegistryUnsupported."""
    between.when(lambda method, path: True, Answer(200, body, kind))
    with pytest.raises(RegistryUnsupported, match="not a model registry"):
        prodpointer.connect("news", tracking_uri=between.uri)


def test_a_registry_that_hides_its_version_is_found_out_by_what_it_can_do(between: Proxy, served: Registry) -> None:
    """Without a version endpoint the capabilities decide, as the version would have."""
    told = prodpointer.connect("news", tracking_uri=served.uri).selection
    between.when(on_path("/version"), Answer(404, b"<!doctype html>Not Found", "text/html"))
    found = prodpointer.connect("news", tracking_uri=between.uri).selection
    assert found.registry_version is None
    assert found.pointer == told.pointer
    assert "does not tell its version" in found.reason


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("path", ["/", "/api/"])
def test_a_server_that_refuses_access_is_said_to(between: Proxy, status: int, path: str) -> None:
    """401 and 403, of everything or (as for a refused Host header) of all but the version: AccessDenied."""
    between.when(
        on_path(path), Answer(status, b"Invalid Host header - possible DNS rebinding attack detected", "text/plain")
    )
    with pytest.raises(AccessDenied, match="MLFLOW_TRACKING_USERNAME"):
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
    """A proxy that says nobody is behind it: RegistryUnavailable."""
    model = prodpointer.connect("news", tracking_uri=between.uri)
    between.when(on_path("/api/"), Answer(status, b"Bad Gateway", "text/plain"))
    with pytest.raises(RegistryUnavailable):
        model.production()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_gateway_without_a_server_is_no_wrong_address(between: Proxy, status: int) -> None:
    """While connecting too, a gateway with nobody behind it is RegistryUnavailable, and no missing registry."""
    between.when(lambda method, path: True, Answer(status, b"<html>Bad Gateway</html>", "text/html"))
    with pytest.raises(RegistryUnavailable, match=f"HTTP {status}"):
        prodpointer.connect("news", tracking_uri=between.uri)


def test_a_server_that_fails_is_no_wrong_address(between: Proxy) -> None:
    """A server that answers 500 to everything is a RegistryError, and no missing registry."""
    between.when(lambda method, path: True, Answer(500, b"<html>boom</html>", "text/html"))
    with pytest.raises(prodpointer.RegistryError, match="HTTP 500"):
        prodpointer.connect("news", tracking_uri=between.uri)


def test_a_registry_given_alone_makes_no_other_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``registry_uri`` alone runs are looked for there too, and not in MLflow's default, which would be made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "given").mkdir()
    prodpointer.connect("news", registry_uri=f"sqlite:///{tmp_path / 'given' / 'models.db'}")
    assert "mlflow.db" not in tree(tmp_path)
    assert "given/models.db" in tree(tmp_path)


def test_an_empty_registry_holds_no_such_model(tmp_path: Path) -> None:
    """A registry without any model answers: this model does not exist."""
    with pytest.raises(prodpointer.ModelNotFound):
        prodpointer.connect("news", tracking_uri=f"sqlite:///{tmp_path / 'empty.db'}").production()


def test_a_list_from_a_registry_of_unknown_age_is_asked_for_without_a_filter(between: Proxy) -> None:
    """Clients from 2.21 on add a filter that servers up to 2.20.4 answer with nothing: not where that may be so."""
    between.when(on_path("/version"), Answer(404, b"", "text/html"))
    between.when(on_path("/alias"), Answer(404, b"", "text/html"))
    registered_model_names(tracking_uri=between.uri)
    searches = [path for _, path in between.requests if "registered-models/search" in path]
    assert len(searches) == 1
    assert "filter" not in searches[0]
