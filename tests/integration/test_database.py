"""The check of a database before MLflow opens it: what is refused, and that nothing is changed."""

from __future__ import annotations

import shutil
import sqlite3
import traceback
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy.engine.url import make_url

import prodpointer
from prodpointer.errors import ProdpointerError, RegistryUnavailable, RegistryUnsupported, SchemaMismatch
from prodpointer.mlflow_client.schema_check import connect_arguments, prepare_database
from tests.integration.conftest import Lab, quiet, revision_of

NEWER = "ffffffffffff"
SECRET = "s3cr3t"


def sqlite_uri(file: Path) -> str:
    """Return the URI of an SQLite file."""
    return f"sqlite:///{file.as_posix()}"


def at_revision(revision: str, lab: Lab, directory: Path) -> Path:
    """Return a copy of the registry that says it is at another revision."""
    copy = directory / "copy.db"
    shutil.copy(lab.file, copy)
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.commit()
    return copy


def revisions() -> tuple[str, str]:
    """Return the newest schema revision of the installed MLflow and the one before it."""
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    scripts = ScriptDirectory.from_config(_get_alembic_config("sqlite://"))
    head = scripts.get_current_head()
    assert head is not None
    before = scripts.get_revision(head).down_revision
    assert isinstance(before, str)
    return head, before


def older_database(directory: Path) -> Path:
    """Make a database as the MLflow before the newest migration made it."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    file = directory / "older.db"
    engine = create_engine(sqlite_uri(file))
    Base.metadata.create_all(engine)
    engine.dispose()
    with quiet():
        command.upgrade(_get_alembic_config(sqlite_uri(file)), revisions()[1])
    return file


def contents(directory: Path) -> dict[str, bytes]:
    """Return every file in a directory with its bytes."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Return an SQLite database of another application."""
    file = tmp_path / "foreign.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE invoices (number INTEGER)")
        connection.commit()
    return file


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("upgrade", [True, False])
def test_a_current_database_may_be_opened(lab: Lab, create: bool, upgrade: bool) -> None:
    """A database of the installed MLflow passes, whatever else is allowed."""
    prepare_database(lab.uri, create=create, upgrade=upgrade)


def test_looking_changes_no_current_database(lab: Lab, tmp_path: Path) -> None:
    """A current database has the same bytes after the look."""
    shutil.copy(lab.file, tmp_path / "copy.db")
    before = contents(tmp_path)
    prepare_database(sqlite_uri(tmp_path / "copy.db"), create=True, upgrade=True)
    assert contents(tmp_path) == before


def test_a_missing_file_may_be_made(tmp_path: Path) -> None:
    """With ``create`` a missing database passes, and it is MLflow that makes it."""
    prepare_database(sqlite_uri(tmp_path / "new.db"), create=True, upgrade=False)
    assert contents(tmp_path) == {}


def test_a_missing_file_is_not_made_by_accident(tmp_path: Path) -> None:
    """Without ``create`` a missing database is refused, and no file appears."""
    with pytest.raises(SchemaMismatch, match=r"no MLflow schema.*create_database=True"):
        prepare_database(sqlite_uri(tmp_path / "new.db"), create=False, upgrade=True)
    assert contents(tmp_path) == {}


def test_an_empty_file_is_an_empty_database(tmp_path: Path) -> None:
    """A file without a byte is what a database without a table may look like."""
    (tmp_path / "empty.db").touch()
    with pytest.raises(SchemaMismatch, match="no MLflow schema"):
        prepare_database(sqlite_uri(tmp_path / "empty.db"), create=False, upgrade=False)
    assert contents(tmp_path) == {"empty.db": b""}


def test_a_database_without_tables_may_get_a_schema(tmp_path: Path) -> None:
    """With ``create`` a database that holds nothing passes, its bytes unchanged."""
    with closing(sqlite3.connect(tmp_path / "empty.db")) as connection:
        connection.execute("VACUUM")
    before = contents(tmp_path)
    prepare_database(sqlite_uri(tmp_path / "empty.db"), create=True, upgrade=False)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("allowed", [True, False])
def test_a_foreign_database_is_refused(foreign: Path, allowed: bool) -> None:
    """Tables that are not MLflow's are never mixed with MLflow's, and nothing is touched."""
    before = contents(foreign.parent)
    with pytest.raises(RegistryUnsupported, match="none of MLflow's"):
        prepare_database(sqlite_uri(foreign), create=allowed, upgrade=allowed)
    assert contents(foreign.parent) == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A text file is no registry, and it stays as it is."""
    (tmp_path / "notes.db").write_text("notes " * 1000)
    before = contents(tmp_path)
    with pytest.raises(RegistryUnsupported, match="not a database"):
        prepare_database(sqlite_uri(tmp_path / "notes.db"), create=True, upgrade=True)
    assert contents(tmp_path) == before


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    """A directory in the place of the file cannot be opened, and stays empty."""
    (tmp_path / "registry.db").mkdir()
    with pytest.raises(ProdpointerError, match="unable to open database file"):
        prepare_database(sqlite_uri(tmp_path / "registry.db"), create=True, upgrade=True)
    assert list((tmp_path / "registry.db").iterdir()) == []


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """A file in a directory that does not exist is refused by that directory's name, and the directory is not made."""
    with pytest.raises(RegistryUnsupported, match=r"directory of the SQLite file does not exist.*nowhere"):
        prepare_database(sqlite_uri(tmp_path / "nowhere" / "new.db"), create=True, upgrade=True)
    assert contents(tmp_path) == {}


def test_a_relative_file_is_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative URI names a file beside the caller, not a missing directory."""
    monkeypatch.chdir(tmp_path)
    prepare_database("sqlite:///new.db", create=True, upgrade=False)


def test_an_older_database_is_refused(lab: Lab, tmp_path: Path) -> None:
    """Without ``upgrade`` an older schema is refused, and no byte changes."""
    copy = at_revision(revisions()[1], lab, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(SchemaMismatch, match=r"would upgrade it.*upgrade_database=True"):
        prepare_database(sqlite_uri(copy), create=True, upgrade=False)
    assert contents(tmp_path) == before


def test_an_older_database_tells_both_revisions(lab: Lab, tmp_path: Path) -> None:
    """The error's fields say what was found and what the installed MLflow needs."""
    head, before = revisions()
    with pytest.raises(SchemaMismatch) as caught:
        prepare_database(sqlite_uri(at_revision(before, lab, tmp_path)), create=False, upgrade=False)
    assert (caught.value.found, caught.value.expected) == (before, head)


def test_an_older_database_is_upgraded_when_told(tmp_path: Path) -> None:
    """With ``upgrade`` a database that an older MLflow made gets the newest schema."""
    file = older_database(tmp_path)
    assert revision_of(file) == revisions()[1]
    with quiet():
        prepare_database(sqlite_uri(file), create=False, upgrade=True)
    assert revision_of(file) == revisions()[0]


@pytest.mark.parametrize("upgrade", [True, False])
def test_a_newer_database_is_refused(lab: Lab, tmp_path: Path, upgrade: bool) -> None:
    """A schema the installed MLflow does not know is refused, also with ``upgrade``, and no byte changes."""
    copy = at_revision(NEWER, lab, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(SchemaMismatch, match=f"{NEWER}.*it is newer"):
        prepare_database(sqlite_uri(copy), create=True, upgrade=upgrade)
    assert contents(tmp_path) == before


def test_a_newer_database_tells_both_revisions(lab: Lab, tmp_path: Path) -> None:
    """The error's fields say what was found and what the installed MLflow has."""
    with pytest.raises(SchemaMismatch) as caught:
        prepare_database(sqlite_uri(at_revision(NEWER, lab, tmp_path)), create=False, upgrade=False)
    assert (caught.value.found, caught.value.expected) == (NEWER, revisions()[0])


def test_an_empty_database_tells_the_revision_it_would_get(tmp_path: Path) -> None:
    """Nothing was found, and the field says so."""
    with pytest.raises(SchemaMismatch) as caught:
        prepare_database(sqlite_uri(tmp_path / "new.db"), create=False, upgrade=False)
    assert (caught.value.found, caught.value.expected) == (None, revisions()[0])


def test_mlflow_tables_without_a_revision_are_refused(lab: Lab, tmp_path: Path) -> None:
    """A database whose revision was lost is not taken for an empty one."""
    copy = at_revision(NEWER, lab, tmp_path)
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("DELETE FROM alembic_version")
        connection.commit()
    with pytest.raises(RegistryUnsupported):
        prepare_database(sqlite_uri(copy), create=True, upgrade=True)


@pytest.mark.parametrize("form", ["file:{}?uri=true", "file:{}?mode=rw&uri=true"])
def test_a_file_uri_hides_no_older_database(
    form: str, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's own URI form is looked into as well, rather than taken for a file that is missing."""
    copy = at_revision(NEWER, lab, tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SchemaMismatch, match="it is newer"):
        prepare_database(f"sqlite:///{form.format(copy.name)}", create=True, upgrade=False)


@pytest.mark.parametrize(
    "uri",
    [
        f"postgresql+nosuch://me:{SECRET}@host/db",
        f"mysql+nosuch://me:{SECRET}@host/db",
        f"mssql+nosuch://me:{SECRET}@host/db",
        f"postgresql+nosuch://me:a/{SECRET}@host/db",
    ],
)
def test_an_unknown_driver_is_named_without_the_password(uri: str) -> None:
    """A driver that SQLAlchemy does not know is a wrong URI, and nothing in the error is a credential."""
    with pytest.raises(RegistryUnsupported, match="nosuch") as caught:
        prepare_database(uri, create=False, upgrade=False)
    assert SECRET not in "".join(traceback.format_exception(caught.type, caught.value, caught.tb))


def test_a_database_out_of_reach_is_unavailable(closed_port: int) -> None:
    """A closed port is ``RegistryUnavailable``; if the driver is missing, the error names it."""
    expected = (RegistryUnavailable, "no connection") if find_spec("psycopg2") else (RegistryUnsupported, "psycopg2")
    with pytest.raises(expected[0], match=expected[1]):
        prepare_database(f"postgresql+psycopg2://me:{SECRET}@127.0.0.1:{closed_port}/db", create=False, upgrade=False)


def test_a_database_out_of_reach_shows_no_password(closed_port: int) -> None:
    """Neither the error nor the traceback that a log would show has the password."""
    with pytest.raises(ProdpointerError) as caught:
        prepare_database(f"postgresql+psycopg2://me:{SECRET}@127.0.0.1:{closed_port}/db", create=False, upgrade=False)
    assert SECRET not in "".join(traceback.format_exception(caught.type, caught.value, caught.tb))


def test_a_locked_file_is_busy_and_no_other_database(lab: Lab, tmp_path: Path) -> None:
    """While another process holds the file, as an upgrade does, it is RegistryUnavailable within the timeout."""
    file = tmp_path / "locked.db"
    shutil.copy(lab.file, file)
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RegistryUnavailable, match="busy"):
            prepare_database(f"sqlite:///{file}", create=False, upgrade=False, timeout=1)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("postgresql+psycopg2://host/db", {"connect_timeout": 3}),
        ("mysql+pymysql://host/db", {"connect_timeout": 3, "read_timeout": 3}),
        ("mysql+mysqlconnector://host/db", {"connection_timeout": 3}),
        ("mssql+pyodbc://host/db", {"timeout": 3}),
        ("sqlite:///registry.db", {"timeout": 3}),
        ("oracle+cx_oracle://host/db", {}),
    ],
)
def test_each_driver_is_told_when_to_give_up(uri: str, told: dict[str, int]) -> None:
    """The seconds go to the driver under its own name for them, rounded up to whole ones."""
    assert connect_arguments(make_url(uri), 2.5) == told


def test_a_driver_never_waits_without_end() -> None:
    """Less than a second is one second: for libpq a 0 means to wait for ever."""
    assert connect_arguments(make_url("postgresql+psycopg2://host/db"), 0) == {"connect_timeout": 1}


def test_what_the_uri_says_of_waiting_comes_first() -> None:
    """A URI that says itself how long to wait is left alone."""
    assert connect_arguments(make_url("postgresql+psycopg2://host/db?connect_timeout=60"), 2.5) == {}


def test_connecting_creates_a_named_sqlite_file(tmp_path: Path) -> None:
    """An SQLite file is the embedded default: naming one is enough."""
    with quiet():
        prodpointer.connect("news", tracking_uri=sqlite_uri(tmp_path / "new.db"))
    assert revision_of(tmp_path / "new.db") == revisions()[0]


def test_connecting_can_be_told_to_make_nothing(tmp_path: Path) -> None:
    """With ``create_database=False`` a named file that is missing is refused and not made."""
    with pytest.raises(SchemaMismatch):
        prodpointer.connect("news", tracking_uri=sqlite_uri(tmp_path / "new.db"), create_database=False)
    assert contents(tmp_path) == {}


def test_connecting_upgrades_nothing_unasked(lab: Lab, tmp_path: Path) -> None:
    """An older database is refused by ``connect`` and has the same bytes afterwards."""
    copy = at_revision(revisions()[1], lab, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(SchemaMismatch):
        prodpointer.connect("news", tracking_uri=sqlite_uri(copy))
    assert contents(tmp_path) == before


def test_connecting_looks_at_the_database_of_the_runs_too(lab: Lab, tmp_path: Path) -> None:
    """A tracking database of another MLflow is refused beside a registry that fits: opening it would upgrade it."""
    copy = at_revision(revisions()[1], lab, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(SchemaMismatch):
        prodpointer.connect("news", tracking_uri=sqlite_uri(copy), registry_uri=lab.uri)
    assert contents(tmp_path) == before
