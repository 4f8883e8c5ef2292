"""Shared fixtures: an SQLite registry, unique names, logged runs, the command line."""

from __future__ import annotations

import inspect
import json
import logging
import pickle
import shutil
import socket
import sqlite3
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from packaging.version import Version


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what MLflow warns of: its imports, migrations and stage methods do, and none of that is ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


with quiet():
    import mlflow.sklearn
    from mlflow import MlflowClient

    import prodpointer
    import tests.quick_sqlite.sitecustomize  # noqa: F401  # sets up each connection to SQLite
    from prodpointer.cli import main as command_line
    from tests.conftest import NEWEST


@dataclass(frozen=True)
class Lab:
    """A real registry of the installed MLflow in an SQLite file, with an experiment to log to."""

    uri: str
    file: Path
    client: MlflowClient
    experiment: str

    def run(self, files: Mapping[str, bytes]) -> str:
        """Log files (path below the run's artifacts to bytes) in a new run and return the run's id."""
        run_id = str(self.client.create_run(self.experiment).info.run_id)
        for path, content in files.items():
            self.artifact(run_id, path).parent.mkdir(parents=True, exist_ok=True)
            self.artifact(run_id, path).write_bytes(content)
        return run_id

    def artifact(self, run_id: str, path: str) -> Path:
        """Return where a run's artifact lies on disk."""
        root = str(self.client.get_run(run_id).info.artifact_uri)
        return Path(root.removeprefix("file://"), path)

    def model(self, name: str, count: int = 1, **options: Any) -> prodpointer.RegisteredModel:
        """Return a registered model with ``count`` versions; version n is a pickle of ``{"n": n}``."""
        model = prodpointer.connect(name, tracking_uri=self.uri, **options)
        for number in range(1, count + 1):
            model.register(self.run({"bundle/model.pkl": pickle.dumps({"n": number})}), "bundle")
        return model

    def to_stage(self, name: str, version: int, stage: str) -> None:
        """Move a version to a stage as plain MLflow does, archiving nothing."""
        with quiet():
            self.client.transition_model_version_stage(name, str(version), stage)


@dataclass(frozen=True)
class Answer:
    """What one command answered."""

    exit_code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output, without the version that every one of them says."""
        document = json.loads(self.out)
        assert document.pop("schema_version") == 1
        return document


Command = Callable[..., Answer]

HAS_ALIASES = hasattr(MlflowClient, "set_registered_model_alias")
MLFLOW = Version(mlflow.__version__)
IS_THREE = MLFLOW.major >= 3
NEW_POINTER = "alias" if IS_THREE else "stage"

# What depends on MLflow's own behaviour runs in every row, the rest with the newest of each major.
ABOUT_MLFLOW = {
    "test_addresses.py",
    "test_alias_spelling.py",
    "test_artifacts.py",
    "test_client_calls.py",
    "test_database.py",
    "test_detection.py",
    "test_flavor_loaders.py",
    "test_flavors.py",
    "test_import_of_mlflow.py",
    "test_local_artifacts.py",
    "test_migration_refused.py",
    "test_pages_of_a_database.py",
    "test_selection.py",
    "test_translation.py",
}
FILES = {path.name for path in Path(__file__).parent.glob("test_*.py")}
collect_ignore = [] if NEWEST else sorted(FILES - ABOUT_MLFLOW)
# Where there are aliases a migration is not refused.
if HAS_ALIASES:
    collect_ignore.append("test_migration_refused.py")


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Make a database with one experiment, to be copied: MLflow's own migrations take seconds."""
    directory = tmp_path_factory.mktemp("template")
    file = directory / "registry.db"
    uri = f"sqlite:///{file.as_posix()}"
    with quiet():
        prodpointer.connect("any", tracking_uri=uri)
        experiment = MlflowClient(uri).create_experiment("unit", (directory / "artifacts").as_uri())
    return file, experiment


@pytest.fixture(scope="module")
def lab(new_database: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Return a registry for the tests of one module: a migration reads every model there is."""
    template, experiment = new_database
    file = tmp_path_factory.mktemp("registry") / "registry.db"
    shutil.copyfile(template, file)
    uri = f"sqlite:///{file.as_posix()}"
    with quiet():
        prodpointer.connect("any", tracking_uri=uri)
        return Lab(uri, file, MlflowClient(uri), experiment)


@pytest.fixture
def name() -> str:
    """Return the name of a model that no other test uses."""
    return f"model-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def closed_port() -> int:
    """Return a port of this machine without a listener."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def cli() -> Command:
    """Return a function that runs a command as a process would: its two streams apart, Python's own warning filters."""
    # click 8.2 always keeps the streams apart and dropped the argument that asked for it.
    apart = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
    runner = CliRunner(**apart)  # type: ignore[arg-type]

    def run(*arguments: object) -> Answer:
        with warnings.catch_warnings():
            warnings.resetwarnings()
            for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                warnings.simplefilter("ignore", category)
            handlers = list(logging.root.handlers)
            result = runner.invoke(command_line.main, [str(each) for each in arguments], prog_name="prodpointer")
            # MLflow's migrations set handlers that write to the standard error of the moment, which the runner closes.
            logging.root.handlers[:] = handlers
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return run


@contextmanager
def silent(lab: Lab) -> Iterator[None]:
    """Take the table of models out of the registry's database, so that every question about one fails."""
    away = f"away_{uuid.uuid4().hex}"
    rename(lab, "registered_models", away)
    try:
        yield
    finally:
        rename(lab, away, "registered_models")


def rename(lab: Lab, table: str, name: str) -> None:
    """Rename a table."""
    with closing(sqlite3.connect(lab.file, timeout=20)) as database:
        database.execute(f"ALTER TABLE {table} RENAME TO {name}")
        database.commit()


def revision_of(file: Path) -> str | None:
    """Return the schema revision in an SQLite file."""
    with closing(sqlite3.connect(file)) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None
