"""Fixtures, markers and the command-line option of the pytest plugin."""

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
from prodpointer.mlflow_client import client_version, forget_capabilities, make_empty_database, set_aside
from prodpointer.pointers.memory import MemoryPointer
from prodpointer.pointers.rule import POINTER_VARIABLE
from prodpointer.registered_model import RegisteredModel
from prodpointer.testing.environments import environment, release_of
from prodpointer.testing.registries import ScratchRegistry
from prodpointer.testing.servers import serve

INSTALLED = "installed"
LIVE_BUNDLE = {"recommender": "popular", "ranker": "by date"}

# Settings of the calling process that must not affect a test.
_SETTINGS = (
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_RUN_ID",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--mlflow-server``, the server version for tests without a marker."""
    parser.getgroup("prodpointer").addoption(
        "--mlflow-server",
        default=INSTALLED,
        metavar="VERSION",
        help="the MLflow version of the fixture mlflow_server (default: the installed version). "
        "Other versions are installed once, with uv, in separate environments.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the two markers."""
    config.addinivalue_line(
        "markers",
        "pointers(*names): run the test once with each named pointer (alias, stage, both, auto); without names with "
        "alias, stage and both",
    )
    config.addinivalue_line(
        "markers",
        "mlflow_servers(*versions): run the test once with a server of each MLflow version; 'installed' is the "
        "installed version",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a marked test once for each pointer and each server version in its markers."""
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
    """The pointer of this test run: ``alias``, ``stage``, ``both`` or ``auto``.

    The marker ``pointers`` sets it; without the marker it is ``PRODPOINTER_POINTER``, else ``auto``.
    """
    chosen = getattr(request, "param", None)
    if chosen is None:
        return os.environ.get(POINTER_VARIABLE, "auto")
    monkeypatch.setenv(POINTER_VARIABLE, chosen)
    return str(chosen)


@pytest.fixture(scope="session")
def empty_mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> ScratchRegistry:
    """An empty database, copied for each test: creating the schema takes seconds, a copy does not."""
    directory = tmp_path_factory.mktemp("mlflow-registry")
    uri = f"sqlite:///{(directory / 'empty.db').as_posix()}"
    make_empty_database(uri, directory / "artifacts")
    return ScratchRegistry(uri, str(client_version()), directory / "artifacts")


@pytest.fixture
def embedded_registry(
    empty_mlflow_database: ScratchRegistry, production_pointer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ScratchRegistry]:
    """An empty registry of the installed MLflow in an SQLite file for this test; ``MLFLOW_TRACKING_URI`` names it.

    MLflow settings that the code under test changes are reset, and no ``mlruns`` directory is created in the working
    directory.
    """
    empty = empty_mlflow_database
    database = tmp_path / "mlflow-registry.db"
    shutil.copyfile(empty.artifacts.parent / "empty.db", database)
    registry = ScratchRegistry(f"sqlite:///{database.as_posix()}", empty.version, empty.artifacts)
    with set_aside(registry.artifacts):
        _configure(registry, tmp_path, monkeypatch)
        yield registry
    _reset()


@pytest.fixture(scope="session")
def start_mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ScratchRegistry]]:
    """Start a real server of an MLflow version, or ``"installed"``, once per session; it stops at the end.

    Other versions than the installed one are installed with uv, in environments that later sessions reuse.
    """
    with ExitStack() as running:

        @cache
        def start(version: str = INSTALLED) -> ScratchRegistry:
            installed = str(client_version())
            own = version in (INSTALLED, installed)
            python = Path(sys.executable) if own else environment(release_of(version))
            served = installed if own else version
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

    Its version is that of the marker ``mlflow_servers``, else of the option ``--mlflow-server``, else the installed
    version. All tests of a session share the server; registered models are deleted after each test.
    """
    registry = start_mlflow_server(getattr(request, "param", None) or request.config.getoption("--mlflow-server"))
    with set_aside(registry.artifacts):
        _configure(registry, tmp_path, monkeypatch)
        yield registry
        registry.delete_models()
    _reset()


@pytest.fixture
def live_model(request: pytest.FixtureRequest, production_pointer: str) -> RegisteredModel:
    """A registered model ``live-model``: version 1 went live first, and version 2 is live.

    It is on ``mlflow_server`` if the test uses that fixture, else in ``embedded_registry``. The live object is
    ``{"recommender": "popular", "ranker": "by date"}``.
    """
    there = "mlflow_server" if "mlflow_server" in request.fixturenames else "embedded_registry"
    registry: ScratchRegistry = request.getfixturevalue(there)
    registry.make_live("live-model", {"recommender": "at random", "ranker": "by date"})
    return registry.make_live("live-model", LIVE_BUNDLE)


@pytest.fixture
def memory_pointer() -> MemoryPointer:
    """A pointer without a registry, for which every version exists."""
    return MemoryPointer()


def _configure(registry: ScratchRegistry, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configure MLflow and prodpointer for a registry, with a separate cache."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.uri)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("PRODPOINTER_CACHE_DIR", str(directory / "prodpointer-cache"))
    for name in _SETTINGS:
        monkeypatch.delenv(name, raising=False)
    _reset()


def _reset() -> None:
    """Reset the detected capabilities and the warnings already given in this process."""
    forget_capabilities()
    _warnings.forget()
