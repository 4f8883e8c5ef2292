"""Jobs of both majors, each in a separate process and environment, and servers of both."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from prodpointer.testing.environments import environment, release_of
from tests import mlflow_table
from tests.majors.processes import listening
from tests.postgres import Postgres, postgres
from tests.servers import Server, serve, wheel

Job = Callable[..., Any]
STORES = ["sqlite", "postgresql"]


@dataclass(frozen=True, slots=True)
class Database:
    """An empty database: its URI, and everything in it as text or bytes, to compare."""

    uri: str
    contents: Callable[[], object]

    def revision(self) -> str:
        """Return the revision of MLflow's schema."""
        engine = create_engine(self.uri, poolclass=NullPool)
        with engine.connect() as connection:
            return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


NewDatabase = Callable[[str], Database]


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return wheel(mlflow_table.ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def python_of(package: Path) -> Callable[[str], Path]:
    """Return the Python of an environment with a row's MLflow and this package; the Python at hand where it can be."""

    def python(version: str) -> Path:
        return environment(release_of(version), install=[package, "psycopg2-binary"])

    return python


@pytest.fixture(scope="session")
def job(python_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """Give a task to the job of one MLflow version; an error of this library comes back as its name."""
    with asking(python_of, tmp_path_factory.mktemp("jobs")) as ask:
        yield ask


@contextmanager
def asking(python_of: Callable[[str], Path], directory: Path) -> Iterator[Job]:
    """Yield a function that gives a task to a process of one MLflow version; each lives until the block ends."""
    running: dict[str, subprocess.Popen[str]] = {}
    with ExitStack() as stack:

        def ask(version: str, uri: str, name: str, verb: str, argument: object = None) -> Any:
            log = directory / f"{version}.log"
            if version not in running:
                running[version] = stack.enter_context(listening(python_of(version), "job.py", log))
            task = [uri, name, verb, None if argument is None else str(argument)]
            given, taken = running[version].stdin, running[version].stdout
            assert given is not None
            assert taken is not None
            given.write(json.dumps(task) + "\n")
            given.flush()
            line = taken.readline()
            assert line, log.read_text()[-3000:]
            answer = json.loads(line)
            assert answer["mlflow"] == version
            return answer.get("error") or answer["given"]

        yield ask


@pytest.fixture(scope="session", params=[2, 3], ids=["server-of-MLflow-2", "server-of-MLflow-3"])
def server(
    request: pytest.FixtureRequest, python_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A real server of the newest row of each major in turn."""
    version = mlflow_table.newest_of_major(request.param).version
    with serve(python_of(version), tmp_path_factory.mktemp(f"mlflow{request.param}"), version=version) as found:
        yield found


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A real PostgreSQL."""
    with postgres(tmp_path_factory.mktemp("postgresql")) as running:
        yield running


@pytest.fixture(scope="session")
def new_database(postgresql: Postgres, tmp_path_factory: pytest.TempPathFactory) -> NewDatabase:
    """Make an empty database, in a file or in PostgreSQL."""

    def make(store: str) -> Database:
        if store == "sqlite":
            directory = tmp_path_factory.mktemp("database")
            return Database(f"sqlite:///{directory / 'mlflow.db'}", lambda: bytes_in(directory))
        name = f"mlflow_{uuid.uuid4().hex[:12]}"
        return Database(postgresql.create(name), lambda: postgresql.dump(name))

    return make


def bytes_in(directory: Path) -> dict[str, bytes]:
    """Return every file of a directory with its bytes, a journal's too."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def name() -> str:
    """A new registered model."""
    return f"news-{uuid.uuid4().hex[:12]}"
