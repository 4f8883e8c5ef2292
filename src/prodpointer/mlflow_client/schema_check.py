"""The check of a database before MLflow opens it: opening one is a migration in several MLflow versions.

Measured: 3.17.2 upgrades the schema of 2.0.1 to 3.0.1 in place, unasked, the moment a client is made; older servers
cannot start on it afterwards. So the revision is read first, with a connection that only reads.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

with suppress(ModuleNotFoundError):  # Windows, which opens no directory
    import fcntl

from prodpointer.errors import RegistryUnavailable, RegistryUnsupported, SchemaMismatch, without_credentials
from prodpointer.mlflow_client.exceptions import shown_cause, translate
from prodpointer.mlflow_client.uris import sqlite_file

# What each driver calls the seconds after which it stops waiting; other drivers keep their own. Measured on a port
# that takes connections and stays silent: PyMySQL waits for ever unless reading has a limit too. For SQLite it is
# the wait for another process's lock.
_PATIENCE = {
    "pysqlite": ("timeout",),
    "psycopg2": ("connect_timeout",),
    "psycopg": ("connect_timeout",),
    "pg8000": ("timeout",),
    "pymysql": ("connect_timeout", "read_timeout"),
    "mysqldb": ("connect_timeout",),
    "mysqlconnector": ("connection_timeout",),
    "pymssql": ("login_timeout",),
    "pyodbc": ("timeout",),
}

_LONGEST_MIGRATION = 60.0  # seconds to wait for another process; MLflow's migrations of a new file take 5 to 20
_LOOK_AGAIN = 0.05  # seconds


@contextmanager
def lock_databases(uris: Iterable[str]) -> Iterator[None]:
    """Let one process at a time make or upgrade these databases, where they are SQLite files.

    MLflow migrates a new file unlocked: of two processes one fails with "duplicate column name" (measured, 2.22.5 and
    3.17.2). The lock is on the directory, so that nothing is left there and nothing is written where only reading is
    allowed. Where a directory cannot be locked, nothing is.
    """
    files = [file.absolute() for file in map(sqlite_file, uris) if file is not None]
    with ExitStack() as locks:
        for directory in sorted({file.parent for file in files}):
            locks.enter_context(_lock(directory))
        yield


@contextmanager
def _lock(directory: Path) -> Iterator[None]:
    """Lock a directory for this process, or go on without after a while."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:
        yield
        return
    try:
        _wait_for(handle)
        yield
    finally:
        with suppress(OSError):  # a file system without such locks
            fcntl.flock(handle, fcntl.LOCK_UN)  # closing is not enough: a child forked meanwhile holds it too
        os.close(handle)


def _wait_for(handle: int) -> None:
    """Lock an open directory, or go on after a while: another program may hold it for other reasons."""
    end = time.monotonic() + _LONGEST_MIGRATION
    while _is_held(handle) and time.monotonic() < end:
        time.sleep(_LOOK_AGAIN)


def _is_held(handle: int) -> bool:
    """Lock an open directory, or return that another process holds it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without such locks
        return False
    return False


def prepare_database(uri: str, *, create: bool, upgrade: bool, timeout: float = 10.0) -> None:
    """Return when MLflow may open the database; raise before anything in it is touched.

    Parameters
    ----------
    uri
        The database, as SQLAlchemy writes it.
    create
        Whether an empty or missing database may get MLflow's schema.
    upgrade
        Whether an older schema may be upgraded; nothing makes a newer one older.
    timeout
        Seconds to wait for a connection, in whole seconds and for each address that the host name has; what the URI
        itself says comes first.

    Raises
    ------
    SchemaMismatch
        The schema is not that of the installed MLflow.
    RegistryUnsupported
        There is a database, and it is not MLflow's; or its driver or directory, or what opens databases, is missing.
    RegistryUnavailable
        The database cannot be reached, or does not answer within ``timeout``.
    """
    where = without_credentials(uri)
    _require_libraries(where)
    with translate("read the database's schema", where, other=RegistryUnsupported):
        found, empty = _revision(uri, timeout)
        expected, known = _known_revisions()
    if empty and not create:
        raise _mismatch(
            "The database holds no MLflow schema.",
            where,
            None,
            expected,
            "Check the URI; to make one give create_database=True, or run `mlflow db upgrade`.",
        )
    if empty or found == expected:
        return
    if found is None:
        raise RegistryUnsupported(
            "The database holds tables, but none of MLflow's.", where=where, next_step="Check the URI."
        )
    if found not in known:
        text = f"The database is at schema {found}, which the installed MLflow does not know: it is newer."
        raise _mismatch(text, where, found, expected, "Use the MLflow that wrote it, or its server's address.")
    if not upgrade:
        text = f"The database is at schema {found}, the installed MLflow needs {expected}: opening it would upgrade it."
        step = (
            "Use the server's address, or an MLflow of its version; or take a backup and give upgrade_database=True or "
            "run `mlflow db upgrade`."
        )
        raise _mismatch(text, where, found, expected, step)
    with translate("upgrade the database", where):
        _upgrade(uri)


def _require_libraries(where: str) -> None:
    """Raise ``RegistryUnsupported`` where MLflow came without what opens databases: mlflow-skinny does."""
    missing = [name for name in ("sqlalchemy", "alembic") if find_spec(name) is None]
    if missing:
        raise RegistryUnsupported(
            f"No database can be opened here: not installed are {', '.join(missing)}, which mlflow-skinny leaves out.",
            where=where,
            next_step="Run `pip install sqlalchemy alembic`, or install mlflow, or use the address of a server.",
        )


def _mismatch(text: str, where: str, found: str | None, expected: str, step: str) -> SchemaMismatch:
    """Return the error with its fields."""
    error = SchemaMismatch(text, where=where, next_step=step)
    error.found, error.expected = found, expected
    return error


def _revision(uri: str, timeout: float) -> tuple[str | None, bool]:
    """Return the schema revision (None without one) and whether the database is empty or not there yet."""
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        if not file.absolute().parent.is_dir():
            raise RegistryUnsupported(
                "The directory of the SQLite file does not exist.",
                where=str(file.parent),
                next_step="Make it first, or check the URI.",
            )
        return None, True
    from sqlalchemy import inspect, text

    with _connection(uri, timeout) as connection:
        tables = inspect(connection).get_table_names()
        revision = None
        if "alembic_version" in tables:
            revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return (str(revision) if revision else None), not tables


def _connection(uri: str, timeout: float) -> Any:
    """Return a connection, or raise ``RegistryUnavailable`` where none came about."""
    from sqlalchemy.exc import DBAPIError

    try:
        return _engine(uri, timeout).connect()
    except (OSError, DBAPIError) as error:  # pg8000 raises the socket's own, others wrap it in classes of their own
        if getattr(error, "statement", None) is not None:
            raise
        why = str(getattr(error, "orig", error)).partition("\n")[0] or type(error).__name__
        raise RegistryUnavailable(
            f"Could not read the database's schema: no connection ({why}).",
            where=without_credentials(uri),
            next_step="Check the address and that the database is running, then try again.",
        ) from shown_cause(error)


def _engine(uri: str, timeout: float) -> Any:
    """Return an engine that keeps no connection open and waits for none longer than ``timeout``."""
    from sqlalchemy import create_engine
    from sqlalchemy.engine.url import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    from sqlalchemy.pool import NullPool

    try:
        url = make_url(uri)
        return create_engine(url, poolclass=NullPool, connect_args=connect_arguments(url, timeout))
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise RegistryUnsupported(
            f"No database can be opened with this URI ({type(error).__name__}: {error}).",
            where=without_credentials(uri),
            next_step="Check the URI, and install the driver it names.",
        ) from None
    except ValueError:  # of a port, whose text may be a part of the password
        raise RegistryUnsupported(
            "Invalid address of a database: its port is not a number.",
            where=without_credentials(uri),
            next_step="In a user name or password write '@' as %40, ':' as %3A and '/' as %2F.",
        ) from None


def connect_arguments(url: Any, timeout: float) -> dict[str, int]:
    """Return what makes the URL's driver stop waiting for a silent host; what the URL says itself is left out."""
    seconds = max(1, math.ceil(timeout))  # whole ones: libpq knows no others, and 0 is for ever
    return {name: seconds for name in _PATIENCE.get(url.get_driver_name(), ()) if name not in url.query}


@cache  # what is imported stays, and reading MLflow's migrations costs more than anything else here
def _known_revisions() -> tuple[str, frozenset[str]]:
    """Return the newest schema revision of the installed MLflow and all that led to it."""
    import mlflow
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    migrations = Path(mlflow.__file__).parent / "store" / "db_migrations"
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    return str(scripts.get_current_head()), frozenset(script.revision for script in scripts.walk_revisions())


def _upgrade(uri: str) -> None:
    """Do what ``mlflow db upgrade`` does."""
    from mlflow.store.db import utils

    engine = utils.create_sqlalchemy_engine_with_retry(uri)
    try:
        utils._upgrade_db(engine)  # noqa: SLF001  # what the command `mlflow db upgrade` calls, 2.0.1 to 3.17.2
    finally:
        engine.dispose()
