"""Python imports this at startup if ``PYTHONPATH`` names this directory: an MLflow server does.

SQLite waits for the disk at each commit, and the tests make tens of thousands. A commit that is handed to the
operating system outlives a killed process all the same; only a crash of the machine would lose it.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress

from sqlalchemy import event
from sqlalchemy.engine import Engine


def _do_not_wait(connection: object, record: object) -> None:
    """Set up a new connection, if it is one to SQLite."""
    if isinstance(connection, sqlite3.Connection):
        with suppress(sqlite3.DatabaseError):  # a file that is no database is not for this to report
            connection.execute("PRAGMA synchronous=OFF")


event.listen(Engine, "connect", _do_not_wait)
