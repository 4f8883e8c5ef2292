"""The address of the registry: arguments first, then MLflow's own settings, and what a URI refers to."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from packaging.version import Version

from prodpointer.errors import ProdpointerError, RegistryUnsupported
from prodpointer.mlflow_client.open import open_registry
from prodpointer.mlflow_client.uris import (
    Addresses,
    Place,
    opening_step,
    place_of,
    resolve_addresses,
    root_of,
    sqlite_file,
)
from tests.integration.conftest import MLFLOW, quiet


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def _setters() -> Iterator[None]:
    """Undo what a test sets with MLflow's own setters, some of which also write the environment."""
    yield
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(variable, None)


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("http://host:5000", Place.SERVER),
        ("https://me:secret@host", Place.SERVER),
        ("HTTPS://host", Place.SERVER),
        ("http://[::1]:5000", Place.SERVER),
        ("sqlite:///registry.db", Place.DATABASE),
        ("sqlite+pysqlite:///registry.db", Place.DATABASE),
        ("postgresql://host/db", Place.DATABASE),
        ("postgresql+psycopg2://host/db", Place.DATABASE),
        ("mysql+pymysql://host/db", Place.DATABASE),
        ("mssql+pyodbc://host/db", Place.DATABASE),
        ("databricks", Place.WORKSPACE),
        ("databricks://profile", Place.WORKSPACE),
        ("databricks-uc", Place.UNITY_CATALOG),
        ("databricks-uc://profile", Place.UNITY_CATALOG),
        ("uc:http://host", Place.OPEN_UNITY_CATALOG),
        ("file:///x/mlruns", Place.FILES),
        ("file:mlruns", Place.FILES),
        ("./mlruns", Place.FILES),
        ("/x/mlruns", Place.FILES),
        ("mlruns", Place.FILES),
        ("C:\\mlruns", Place.FILES),
        ("azureml://host", Place.PLUGIN),
        ("arn:aws:sagemaker:x", Place.PLUGIN),
    ],
)
def test_the_place_a_uri_names(uri: str, place: Place) -> None:
    """A URI's scheme tells a server from a database, files, Databricks and a plugin."""
    assert place_of(uri) is place


@pytest.mark.parametrize(
    ("uri", "package"),
    [
        ("azureml://eastus.api.azureml.ms/mlflow/v1.0/subscriptions/x", "Install azureml-mlflow"),
        ("arn:aws:sagemaker:us-east-1:123456789012:mlflow-tracking-server/x", "Install sagemaker-mlflow"),
        ("htp://host", "install the plugin that makes MLflow know 'htp' addresses"),
    ],
)
@pytest.mark.parametrize("beside", [None, "http://host"])
def test_a_missing_plugin_is_named(uri: str, package: str, beside: str | None) -> None:
    """An address that MLflow does not know is no registry, and the error names the package that teaches it."""
    for tracking, registry in ((uri, beside), (beside or uri, uri)):
        with quiet(), pytest.raises(RegistryUnsupported, match=package):
            open_registry(tracking, registry, timeout=1, create_database=None, upgrade_database=False)


def test_nothing_is_to_be_installed_for_what_mlflow_knows() -> None:
    """A server's address needs no plugin."""
    assert opening_step("http://host", "sqlite:///registry.db") == ""


@pytest.mark.parametrize(
    ("uri", "root"),
    [
        ("http://host:5000/ml", "http://host:5000"),
        ("https://me:secret@host/a/b/?x=1", "https://me:secret@host"),
        ("http://host:5000", None),
        ("http://host:5000/", None),
    ],
)
def test_the_root_of_an_address(uri: str, root: str | None) -> None:
    """A server's address without its path, where it has one."""
    assert root_of(uri) == root


@pytest.mark.usefixtures("_setters")
@pytest.mark.parametrize("tracking", ["databricks", "databricks://profile"])
def test_the_registry_beside_databricks_is_mlflow_s_own_choice(tracking: str) -> None:
    """Runs on Databricks mean the workspace registry up to MLflow 2, Unity Catalog from MLflow 3 on, profile kept."""
    expected = tracking.replace("databricks", "databricks-uc", 1) if MLFLOW.major >= 3 else tracking
    assert resolve_addresses(tracking, None).registry_uri == expected


def test_a_uri_that_cannot_be_read_is_no_registry() -> None:
    """A malformed URI is an error of ours, not one of the parser's."""
    with pytest.raises(RegistryUnsupported):
        open_registry("http://[::1", None, timeout=1, create_database=None, upgrade_database=False)


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:///registry.db", "registry.db"),
        ("sqlite:////var/registry.db", "/var/registry.db"),
        ("sqlite+pysqlite:////var/registry.db", "/var/registry.db"),
        ("sqlite:////var/registry.db?timeout=5", "/var/registry.db"),
        ("sqlite:////var/a%20b.db", "/var/a%20b.db"),
        ("sqlite:///C:/x/registry.db", "C:/x/registry.db"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("postgresql://host/db", None),
        ("http://host", None),
    ],
)
def test_the_file_of_an_sqlite_uri(uri: str, file: str | None) -> None:
    """The file is what follows three slashes, as SQLAlchemy takes it; other databases have none."""
    assert sqlite_file(uri) == (None if file is None else Path(file))


@pytest.mark.parametrize("uri", ["sqlite:/x.db", "sqlite:x.db", "sqlite:", "sqlite+pysqlite:/x.db", "sqlite://x.db"])
@pytest.mark.usefixtures("nowhere")
def test_an_sqlite_uri_without_three_slashes_is_no_registry(uri: str) -> None:
    """The error shows how such an address is written, whether it is where the runs are or the registry."""
    for tracking, registry in ((uri, None), ("http://host", uri)):
        with pytest.raises(RegistryUnsupported, match=r"Invalid SQLite address.*sqlite:///registry\.db"):
            open_registry(tracking, registry, timeout=1, create_database=None, upgrade_database=False)


def test_the_arguments_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument counts for more than the environment."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://environment-registry")
    assert resolve_addresses("http://one", "http://two") == Addresses("http://one", "http://two", chosen=True)


def test_the_environment_is_mlflow_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments MLflow's two variables count."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://one")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://two")
    assert resolve_addresses(None, None) == Addresses("http://one", "http://two", chosen=True)


def test_the_registry_follows_the_tracking_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a registry URI, the registry is the tracking server."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://one")
    assert resolve_addresses(None, None) == Addresses("http://one", "http://one", chosen=True)


def test_the_registry_follows_the_tracking_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument for the runs is not crossed with the environment's place for runs."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    assert resolve_addresses("http://one", None) == Addresses("http://one", "http://one", chosen=True)


def test_a_registry_in_the_environment_stays_beside_a_tracking_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in MLflow itself, naming where runs are does not unset where the registry is."""
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://two")
    assert resolve_addresses("http://one", None) == Addresses("http://one", "http://two", chosen=True)


@pytest.mark.usefixtures("_setters")
def test_mlflow_s_setters_count() -> None:
    """What ``mlflow.set_tracking_uri`` and ``mlflow.set_registry_uri`` were told is in force."""
    mlflow.set_tracking_uri("http://one")
    mlflow.set_registry_uri("http://two")
    assert resolve_addresses(None, None) == Addresses("http://one", "http://two", chosen=True)


@pytest.mark.usefixtures("nowhere")
def test_nothing_configured_is_no_registry() -> None:
    """Without a setting and without a database the error names the variable to set."""
    with pytest.raises(RegistryUnsupported, match=r"No registry is configured.*MLFLOW_TRACKING_URI"):
        resolve_addresses(None, None)


def test_nothing_configured_makes_nothing(nowhere: Path) -> None:
    """Asking where the registry is leaves the working directory empty."""
    with pytest.raises(RegistryUnsupported):
        open_registry(None, None, timeout=1, create_database=None, upgrade_database=False)
    assert list(nowhere.iterdir()) == []


def test_a_registry_argument_alone_is_enough(nowhere: Path) -> None:
    """Who names a registry has configured one, wherever the runs are."""
    uri = f"sqlite:///{nowhere.as_posix()}/registry.db"
    found = resolve_addresses(None, uri)
    assert (found.registry_uri, found.chosen) == (uri, True)


def test_a_default_database_counts_where_it_is_mlflow_s_default(nowhere: Path) -> None:
    """``mlflow.db`` in the working directory is taken from MLflow 3.7 on; before, the default is no registry at all."""
    with closing(sqlite3.connect(nowhere / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE x (y)")
    if Version("3.7") <= MLFLOW:
        assert resolve_addresses(None, None).chosen is False
    else:
        with pytest.raises(RegistryUnsupported):
            resolve_addresses(None, None)


@pytest.mark.parametrize("uri", ["file:///nowhere/mlruns", "mlruns", "./mlruns"])
def test_a_plain_file_store_is_refused(uri: str, nowhere: Path) -> None:
    """A directory of files is no registry in every MLflow, so it is one in none, and nothing is made there."""
    with pytest.raises(RegistryUnsupported, match=r"plain file store.*MLFLOW_TRACKING_URI"):
        open_registry(uri, None, timeout=1, create_database=None, upgrade_database=False)
    assert list(nowhere.iterdir()) == []


def test_runs_may_be_in_files_beside_a_registry_in_a_database(nowhere: Path) -> None:
    """Only the registry has to be more than files, where MLflow itself still keeps runs in files: up to 3.12."""
    uri = f"sqlite:///{nowhere.as_posix()}/registry.db"
    with quiet():
        if Version("3.13") <= MLFLOW:
            with pytest.raises(ProdpointerError, match="filesystem tracking backend"):
                open_registry(
                    (nowhere / "mlruns").as_uri(), uri, timeout=1, create_database=None, upgrade_database=False
                )
        else:
            open_registry((nowhere / "mlruns").as_uri(), uri, timeout=1, create_database=None, upgrade_database=False)


def test_an_address_is_shown_without_its_password() -> None:
    """What is shown of an address has no credential."""
    assert Addresses("http://one", "http://me:secret@two/ml", chosen=True).shown == "http://***@two/ml"
