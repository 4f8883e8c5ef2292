"""Up to where the events of a registry were sent, kept in one file, and the events that are still to be sent.

The file is an SQLite database. What a sweep finds and the new position are one transaction, and an event leaves the
file once a receiver took it: a process that is killed at any moment sends again what it does not know was taken, and
loses nothing. The database stays locked while a watcher runs, so a second one on the same cursor refuses; the lock ends
with the process.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from prodpointer.errors import ProdpointerError
from prodpointer.watch.changes import Position

_APPLICATION = 0x70726F64  # "prod", by which a file is known as a cursor
_FORMAT = 1
_TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE model (name TEXT PRIMARY KEY, created INTEGER, mark TEXT NOT NULL, positions TEXT NOT NULL,
  again INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE event (name TEXT, event TEXT, state TEXT NOT NULL, since REAL, PRIMARY KEY (name, event)) WITHOUT ROWID;
CREATE TABLE outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, document TEXT NOT NULL);
CREATE INDEX outbox_by_name ON outbox (name, seq);
"""


@dataclass(frozen=True)
class Known:
    """What a cursor knows of one model.

    ``mark`` is what its pointers looked like, ``again`` whether it is to be read at the next sweep all the same.
    ``reported`` maps events to the states in which they were reported, ``waiting`` those still intended to when
    they were first seen.
    """

    name: str
    created_at: datetime | None
    mark: str = ""
    again: bool = False
    positions: Mapping[str, Position] = field(default_factory=dict)
    reported: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class Pending:
    """One event that is still to be sent."""

    seq: int
    name: str
    document: Mapping[str, Any]


class Cursor:
    """An open cursor; :func:`open_cursor` makes it."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def about(self, key: str) -> str | None:
        """Return one thing that is noted of the cursor as a whole."""
        row = self._database.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def note(self, key: str, value: str) -> None:
        """Note one thing of the cursor as a whole."""
        with self._database:
            self._database.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, value))

    def mark(self, name: str) -> tuple[datetime | None, str, bool] | None:
        """Return when a model was created, what its pointers looked like, and whether to read it again."""
        row = self._database.execute("SELECT created, mark, again FROM model WHERE name = ?", (name,)).fetchone()
        return None if row is None else (_time(row[0]), row[1], bool(row[2]))

    def known(self, name: str) -> Known | None:
        """Return all that is known of a model."""
        row = self._database.execute("SELECT * FROM model WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        _, created, mark, positions, again = row
        events = list(self._database.execute("SELECT event, state, since FROM event WHERE name = ?", (name,)))
        return Known(
            name,
            _time(created),
            mark,
            bool(again),
            {alias: Position(**values) for alias, values in json.loads(positions).items()},
            {event: state for event, state, since in events if since is None},
            {event: datetime.fromtimestamp(since, timezone.utc) for event, _, since in events if since is not None},
        )

    def reported(self, name: str) -> dict[str, str]:
        """Return the events of a model that were reported, with their states."""
        asked = "SELECT event, state FROM event WHERE name = ? AND since IS NULL"
        return dict(self._database.execute(asked, (name,)))

    def keep(self, known: Known, documents: Iterable[Mapping[str, Any]] = ()) -> None:
        """Keep what is known of a model now, with the events to send, all or nothing.

        ``reported`` may hold the new ones alone; what is ``waiting`` is replaced.
        """
        name = known.name
        positions = json.dumps({alias: vars(position) for alias, position in known.positions.items()})
        model = (name, _millis(known.created_at), known.mark, positions, known.again)
        events: list[tuple[str, str, str, float | None]]
        events = [(name, event, state, None) for event, state in known.reported.items()]
        events += [(name, event, "intended", at.timestamp()) for event, at in known.waiting.items()]
        outbox = [(name, json.dumps(document, ensure_ascii=False)) for document in documents]
        with self._database as database:
            database.execute("INSERT OR REPLACE INTO model VALUES (?, ?, ?, ?, ?)", model)
            database.execute("DELETE FROM event WHERE name = ? AND since IS NOT NULL", (name,))
            database.executemany("INSERT OR REPLACE INTO event VALUES (?, ?, ?, ?)", events)
            database.executemany("INSERT INTO outbox (name, document) VALUES (?, ?)", outbox)

    def forget(self, name: str) -> None:
        """Forget a model of which another one has the name now; its events are sent all the same."""
        with self._database as database:
            database.execute("DELETE FROM model WHERE name = ?", (name,))
            database.execute("DELETE FROM event WHERE name = ?", (name,))

    def waiting_models(self) -> list[str]:
        """Return the models with events to send, that of the oldest event first."""
        return [row[0] for row in self._database.execute("SELECT name FROM outbox GROUP BY name ORDER BY MIN(seq)")]

    def pending(self, name: str, limit: int) -> list[Pending]:
        """Return the oldest events of a model that are to be sent."""
        asked = "SELECT seq, document FROM outbox WHERE name = ? ORDER BY seq LIMIT ?"
        return [Pending(seq, name, json.loads(text)) for seq, text in self._database.execute(asked, (name, limit))]

    def count_pending(self) -> int:
        """Return how many events are to be sent."""
        return int(self._database.execute("SELECT COUNT(*) FROM outbox").fetchone()[0])

    def taken(self, events: Iterable[Pending]) -> None:
        """Note that a receiver took these events."""
        with self._database as database:
            database.executemany("DELETE FROM outbox WHERE seq = ?", [(event.seq,) for event in events])


@contextmanager
def open_cursor(file: Path, about: Mapping[str, str]) -> Iterator[Cursor]:
    """Open the cursor in a file, which is made if it does not exist, and lock it until the block ends.

    Parameters
    ----------
    file
        The file.
    about
        What it is a cursor of, such as the registry: one of something else is refused.

    Raises
    ------
    ProdpointerError
        Another watcher uses it, it is of another registry or other models, or it is no cursor.
    """
    try:
        database = _open(file)
    except (sqlite3.Error, OSError) as error:
        raise _error(error, file) from error
    with closing(database):
        try:
            _check(database, file, about)
            yield Cursor(database)
        except sqlite3.Error as error:  # the block may raise an OSError of its own
            raise _error(error, file) from error


def _open(file: Path) -> sqlite3.Connection:
    """Return the locked database in a file that is readable for its owner alone."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    database = sqlite3.connect(file, timeout=0)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("BEGIN EXCLUSIVE")  # kept after the commit
        database.commit()
    except BaseException:
        database.close()
        raise
    return database


def _check(database: sqlite3.Connection, file: Path, about: Mapping[str, str]) -> None:
    """Make the tables of a new cursor; raise for a file that is something else, or a cursor of something else."""
    (application,), (version,) = (
        database.execute(f"PRAGMA {each}").fetchone() for each in ("application_id", "user_version")
    )
    if (application, version) == (0, 0) and database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone() == (0,):
        with database:  # all or nothing
            database.execute("BEGIN")
            for statement in _TABLES.split(";"):
                database.execute(statement)
            database.executemany("INSERT INTO about VALUES (?, ?)", about.items())
            database.execute(f"PRAGMA user_version = {_FORMAT}")
            database.execute(f"PRAGMA application_id = {_APPLICATION}")
        return
    if application != _APPLICATION:
        raise ProdpointerError("The file is not a cursor.", where=str(file), next_step="Give another --cursor.")
    if version != _FORMAT:
        step = "Upgrade prodpointer, or give another --cursor."
        raise ProdpointerError("The cursor was made by a newer prodpointer.", where=str(file), next_step=step)
    kept = dict(database.execute("SELECT key, value FROM about"))
    for key, value in about.items():
        if kept.get(key) != value:
            raise ProdpointerError(
                f"The cursor was made for the {key} {kept.get(key) or 'all'}, not for {value or 'all'}.",
                where=str(file),
                next_step="Give another --cursor; --since says where a new one begins.",
            )


def _error(error: sqlite3.Error | OSError, file: Path) -> ProdpointerError:
    """Return the error for a cursor that cannot be used."""
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        step = "Stop it, or give another --cursor."
        return ProdpointerError("Another watcher uses the cursor.", where=str(file), next_step=step)
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        step = "Move it away; --since says where a new one begins."
        return ProdpointerError(f"The cursor cannot be read: {error}.", where=str(file), next_step=step)
    why = error.strerror if isinstance(error, OSError) else str(error)
    step = "Give a --cursor that can be written."
    return ProdpointerError(f"The cursor cannot be used: {why}.", where=str(file), next_step=step)


def _millis(at: datetime | None) -> int | None:
    """Return a time of the registry as a count of milliseconds."""
    return None if at is None else round(at.timestamp() * 1000)


def _time(millis: int | None) -> datetime | None:
    """Return the time of a count of milliseconds."""
    return None if millis is None else datetime.fromtimestamp(millis / 1000, timezone.utc)
