"""Fixtures, markers and the option of the pytest plugin."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from prodpointer import _warnings
from prodpointer.mlflow_client import capabilities
from prodpointer.mlflow_client.installed import installed_version
from prodpointer.mlflow_client.process_settings import make_empty_database, set_aside
from prodpointer.pointers.memory import MemoryPointer
from prodpointer.pointers.selection import POINTER_VARIABLE
from prodpointer.registered_model import RegisteredModel
from prodpointer.testing.environments import environment, release_of
from prodpointer.testing.registries import ScratchRegistry
from prodpointer.testing.servers import serve

INSTALLED = "installed"
LIVE_BUNDLE = {"recommender": "popular", "ranker": "by date"}

# Settings that a test must not take over from whoever runs it.
_SETTINGS = (
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_RUN_ID",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--mlflow-server``, the MLflow that serves where no marker says otherwise."""
    parser.getgroup("prodpointer").addoption(
        "--mlflow-server",
        default=INSTALLED,
        metavar="VERSION",
        help="the MLflow version of the fixture mlflow_server; by default the installed one. "
        "Another one is installed once, with uv, in an environment of its own.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest the two markers."""
    config.addinivalue_line(
        "markers",
        "pointers(*names): run the test once under each pointer, of alias, stage, both and auto; without names under "
        "alias, stage and both",
    )
    config.addinivalue_line(
        "markers",
        "mlflow_servers(*versions): run the test once with a server of each MLflow version; 'installed' is the one "
        "at hand",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a marked test once for each pointer and each server version that its markers name."""
    for marker, fixture, everything in (
        ("pointers", "production_pointer", ("alias", "stage", "both")),
        ("mlflow_servers", "mlflow_server", ()),
    ):
        found = metafunc.definition.get_closest_marker(marker)
        if found is None:
            continue
        if fixture not in metafunc.fixturenames:
            metafunc.fixturenames.append(fixture)
        metafunc.parametrize(fixture, found.args or everything, indirect=True)


@pytest.fixture
def production_pointer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The pointer that this test runs under: ``alias``, ``stage``, ``both`` or ``auto``.

    The marker ``pointers`` chooses it; without the marker it is what ``PRODPOINTER_POINTER`` says, else ``auto``.
    """
    chosen = getattr(request, "param", None)
    if chosen is None:
        return os.environ.get(POINTER_VARIABLE, "auto")
    monkeypatch.setenv(POINTER_VARIABLE, chosen)
    return str(chosen)


@pytest.fixture(scope="session")
def empty_mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> ScratchRegistry:
    """An empty database that each test gets a copy of: making the schema takes seconds, a copy none."""
    directory = tmp_path_factory.mktemp("mlflow-registry")
    uri = f"sqlite:///{(directory / 'empty.db').as_posix()}"
    make_empty_database(uri, directory / "artifacts")
    return ScratchRegistry(uri, installed_version(), directory / "artifacts")


@pytest.fixture
def embedded_registry(
    empty_mlflow_database: ScratchRegistry, production_pointer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ScratchRegistry]:
    """An empty registry of the installed MLflow in an SQLite file of this test; ``MLFLOW_TRACKING_URI`` names it.

    Nothing is left of what code under test set on MLflow, and no ``mlruns`` appears in the working directory.
    """
    empty = empty_mlflow_database
    database = tmp_path / "mlflow-registry.db"
    shutil.copyfile(empty.artifacts.parent / "empty.db", database)
    registry = ScratchRegistry(f"sqlite:///{database.as_posix()}", empty.version, empty.artifacts)
    with set_aside(registry.artifacts):
        _settle(registry, tmp_path, monkeypatch)
        yield registry
    _forget()


@pytest.fixture(scope="session")
def start_mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ScratchRegistry]]:
    """Start a real server of a named MLflow version, or ``"installed"``, once in a session; ended with it.

    Another version than the installed one is installed with uv in an environment that is kept for later runs.
    """
    with ExitStack() as running:

        @cache
        def start(version: str = INSTALLED) -> ScratchRegistry:
            own = version in (INSTALLED, installed_version())
            python = Path(sys.executable) if own else environment(release_of(version))
            served = installed_version() if own else version
            directory = tmp_path_factory.mktemp(f"mlflow-server-{served}")
            server = running.enter_context(serve(python, directory, version=served))
            return ScratchRegistry(server.uri, served, directory / "artifacts")

        yield start


@pytest.fixture
def mlflow_server(
    request: pytest.FixtureRequest,
    start_mlflow_server: Callable[[str], ScratchRegistry],
    production_pointer: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ScratchRegistry]:
    """A real MLflow server without registered models; ``MLFLOW_TRACKING_URI`` names it.

    Its version is the marker's ``mlflow_servers``, else the option's ``--mlflow-server``, else the installed one. The
    server is the same for all tests of a session; what a test registers is deleted after it.
    """
    registry = start_mlflow_server(getattr(request, "param", None) or request.config.getoption("--mlflow-server"))
    with set_aside(registry.artifacts):
        _settle(registry, tmp_path, monkeypatch)
        yield registry
        registry.delete_models()
    _forget()


@pytest.fixture
def live_model(request: pytest.FixtureRequest, production_pointer: str) -> RegisteredModel:
    """A registered model ``live-model`` whose version 2 is live, and that went live after version 1.

    It is in ``mlflow_server`` where the test asks for that, else in ``embedded_registry``. The live object is
    ``{"recommender": "popular", "ranker": "by date"}``.
    """
    there = "mlflow_server" if "mlflow_server" in request.fixturenames else "embedded_registry"
    registry: ScratchRegistry = request.getfixturevalue(there)
    registry.make_live("live-model", {"recommender": "at random", "ranker": "by date"})
    return registry.make_live("live-model", LIVE_BUNDLE)


@pytest.fixture
def memory_pointer() -> MemoryPointer:
    """A pointer without a registry, to which every version exists."""
    return MemoryPointer()


def _settle(registry: ScratchRegistry, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point MLflow and this library to a registry, with a cache of the test's own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.uri)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("PRODPOINTER_CACHE_DIR", str(directory / "prodpointer-cache"))
    for name in _SETTINGS:
        monkeypatch.delenv(name, raising=False)
    _forget()


def _forget() -> None:
    """Forget what this process knows of registries and has warned of."""
    capabilities.forget()
    _warnings.forget()
