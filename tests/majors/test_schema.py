"""A database of the other major, opened without its server: refused before anything in it is changed."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import mlflow_table
from tests.majors.conftest import STORES, Database, Job, NewDatabase, asking
from tests.servers import environment

TWO = mlflow_table.newest_of_major(2).version
THREE = mlflow_table.newest_of_major(3).version
BOTH_WAYS = pytest.mark.parametrize(("written_by", "opened_by"), [(TWO, THREE), (THREE, TWO)])
ON_EACH_STORE = pytest.mark.parametrize("store", STORES)
MODEL = "news"
SECRET = "s3cr3t"
DRIVERS = {
    "postgresql+psycopg2": "psycopg2-binary",
    "postgresql+psycopg": "psycopg[binary]",
    "postgresql+pg8000": "pg8000",
    "mysql+pymysql": "pymysql",
    "mysql+mysqlconnector": "mysql-connector-python",
}
UPGRADE = json.dumps({"upgrade_database": True})

Written = Callable[[str, str], Database]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def written(new_database: NewDatabase, job: Job) -> Written:
    """Return a database that one MLflow made and put a live version into; none of these tests changes it."""
    made: dict[tuple[str, str], Database] = {}

    def database(store: str, version: str) -> Database:
        if (store, version) not in made:
            made[store, version] = new_database(store)
            job(version, made[store, version].uri, MODEL, "plain_fill")
        return made[store, version]

    return database


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Yield a port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def command(python_of: Callable[[str], Path], tmp_path: Path) -> Command:
    """Run the command line in the environment of one MLflow, in a directory of its own."""

    def run(version: str, uri: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        line = [str(python_of(version)), "-m", "prodpointer", "--tracking-uri", uri, *arguments]
        return subprocess.run(line, check=False, capture_output=True, text=True, cwd=tmp_path)

    return run


@ON_EACH_STORE
@pytest.mark.parametrize("version", [TWO, THREE])
def test_its_own_database_may_be_opened(written: Written, job: Job, store: str, version: str) -> None:
    """What an MLflow wrote, the same MLflow reads: a refusal below is about the schema and nothing else."""
    assert job(version, written(store, version).uri, MODEL, "connect", "{}") == 1


@ON_EACH_STORE
@BOTH_WAYS
def test_a_database_of_the_other_major_is_refused(
    written: Written, job: Job, store: str, written_by: str, opened_by: str
) -> None:
    """``connect`` raises ``SchemaMismatch``, and everything in the database is as it was."""
    database = written(store, written_by)
    before = database.contents()
    assert job(opened_by, database.uri, MODEL, "connect", "{}") == "SchemaMismatch"
    assert database.contents() == before


@ON_EACH_STORE
def test_a_newer_database_is_not_made_older(written: Written, job: Job, store: str) -> None:
    """With ``upgrade_database=True`` too an older MLflow refuses a newer database and leaves it as it was."""
    database = written(store, THREE)
    before = database.contents()
    assert job(TWO, database.uri, MODEL, "connect", UPGRADE) == "SchemaMismatch"
    assert database.contents() == before


@ON_EACH_STORE
def test_an_older_database_is_upgraded_when_told(
    new_database: NewDatabase, written: Written, job: Job, store: str
) -> None:
    """With ``upgrade_database=True`` an older database gets the newer schema and keeps what is live."""
    database = new_database(store)
    job(TWO, database.uri, MODEL, "plain_fill")
    assert job(THREE, database.uri, MODEL, "connect", UPGRADE) == 1
    assert database.revision() == written(store, THREE).revision()
    assert job(THREE, database.uri, MODEL, "connect", "{}") == 1


@ON_EACH_STORE
@BOTH_WAYS
def test_status_refuses_and_says_why(
    written: Written, command: Command, store: str, written_by: str, opened_by: str
) -> None:
    """``prodpointer status`` ends with 1, says in its first line which of the two is newer, and touches nothing."""
    database = written(store, written_by)
    before = database.contents()
    done = command(opened_by, database.uri, "status", MODEL)
    assert (done.returncode, done.stdout) == (1, "")
    why = (
        "opening it would upgrade it" if opened_by == THREE else "which the installed MLflow does not know: it is newer"
    )
    line, *_ = done.stderr.splitlines()
    assert line.startswith(f"error: The database is at schema {database.revision()}")
    assert why in line
    assert database.contents() == before


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["pull", MODEL, "nowhere"], ["doctor"], ["promote", MODEL, "1"], ["withdraw", MODEL]],
    ids=" ".join,
)
def test_every_command_refuses(written: Written, command: Command, arguments: list[str]) -> None:
    """Whichever command comes to an older database refuses it and leaves its bytes alone."""
    database = written("sqlite", TWO)
    before = database.contents()
    done = command(THREE, database.uri, *arguments)
    assert done.returncode == 1
    assert "opening it would upgrade it" in " ".join((done.stdout + done.stderr).split())  # doctor wraps its lines
    assert database.contents() == before


@pytest.fixture(scope="module")
def with_drivers(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """Give a task to a job that has every driver a silent host is tried with; MLflow is imported by the first task."""
    row = replace(mlflow_table.row(THREE), python=f"{sys.version_info.major}.{sys.version_info.minor}")
    python = environment(row, install=[package, *DRIVERS.values()])
    with asking(lambda _: python, tmp_path_factory.mktemp("drivers")) as ask:
        assert ask(THREE, "sqlite://", MODEL, "connect", "{}") == "SchemaMismatch"
        yield ask


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_silent_host_is_given_up(with_drivers: Job, silent_port: int, driver: str) -> None:
    """A database that takes the connection and never answers is ``RegistryUnavailable`` within ``timeout``."""
    uri = f"{driver}://me:{SECRET}@127.0.0.1:{silent_port}/mlflow"
    began = time.monotonic()
    assert with_drivers(THREE, uri, MODEL, "connect", json.dumps({"timeout": 2})) == "RegistryUnavailable"
    assert 1.5 < time.monotonic() - began < 4


def test_a_silent_host_shows_no_password(command: Command, silent_port: int) -> None:
    """The command line ends with 5 and names the host, and nothing it prints is a credential."""
    uri = f"postgresql+psycopg2://me:{SECRET}@127.0.0.1:{silent_port}/mlflow?connect_timeout=2"
    done = command(THREE, uri, "status", MODEL)
    assert done.returncode == 5
    assert f"127.0.0.1:{silent_port}" in done.stderr
    assert SECRET not in done.stdout + done.stderr
