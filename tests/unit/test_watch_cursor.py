"""The file that says what was sent: one watcher, one registry, all or nothing."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from prodpointer.errors import ProdpointerError
from prodpointer.watch.changes import Position
from prodpointer.watch.cursor import Cursor, Known, open_cursor

ABOUT = {"registry": "http://mlflow:5000", "pointer": "", "models": ""}
AT = datetime(2026, 11, 30, 12, 0, 0, 123000, tzinfo=timezone.utc)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where a cursor may be made, in a directory that is not there yet."""
    return tmp_path / "state" / "watch.cursor"


@pytest.fixture
def cursor(file: Path) -> Iterator[Cursor]:
    """Return an open cursor."""
    with open_cursor(file, ABOUT) as opened:
        yield opened


def test_what_is_kept_is_read_by_the_next_process(file: Path) -> None:
    """Times, positions, states and the events to send come back as they were."""
    known = Known("news", AT, "mark", True, {"production": Position(2, "id", 1)}, {"e": "done"}, {"f": AT})
    with open_cursor(file, ABOUT) as opened:
        opened.keep(known, [{"id": "one"}, {"id": "é"}])
    with open_cursor(file, ABOUT) as opened:
        assert opened.known("news") == known
        assert [each.document["id"] for each in opened.pending("news", 9)] == ["one", "é"]


def test_events_are_kept_until_they_are_taken(cursor: Cursor) -> None:
    """What a receiver took is not sent again."""
    cursor.keep(Known("news", None), [{"id": "one"}, {"id": "two"}])
    cursor.taken(cursor.pending("news", 1))
    assert [each.document["id"] for each in cursor.pending("news", 9)] == ["two"]


def test_a_model_made_anew_is_forgotten_and_its_events_are_not(cursor: Cursor) -> None:
    """What the deleted model of the name did is still to be sent."""
    cursor.keep(Known("news", AT, reported={"e": "done"}), [{"id": "one"}])
    cursor.forget("news")
    assert (cursor.known("news"), cursor.reported("news"), cursor.count_pending()) == (None, {}, 1)


def test_a_promotion_no_longer_waited_for_leaves(cursor: Cursor) -> None:
    """What is waited for is replaced, what was reported is added to."""
    cursor.keep(Known("news", AT, reported={"e": "done"}, waiting={"f": AT}))
    cursor.keep(Known("news", AT, reported={"f": "lost"}))
    known = cursor.known("news")
    assert known is not None
    assert (known.reported, known.waiting) == ({"e": "done", "f": "lost"}, {})


def test_a_process_that_ends_while_it_makes_a_cursor_leaves_none(file: Path) -> None:
    """The next one makes it, and is not told that it is of something else."""

    class Interrupting(dict[str, str]):
        def items(self) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_cursor(file, Interrupting(ABOUT)):
        pass
    with open_cursor(file, ABOUT) as opened:
        assert opened.count_pending() == 0


def test_a_second_watcher_refuses(cursor: Cursor, file: Path) -> None:
    """The lock is held while the first one runs."""
    with pytest.raises(ProdpointerError, match="Another watcher uses the cursor"), open_cursor(file, ABOUT):
        pass


def test_another_registry_refuses(file: Path) -> None:
    """The position in one registry says nothing about another."""
    with open_cursor(file, ABOUT):
        pass
    with (
        pytest.raises(ProdpointerError, match="made for the registry http://mlflow:5000"),
        open_cursor(file, {**ABOUT, "registry": "http://other:5000"}),
    ):
        pass


def test_a_database_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    """A registry's own file, given by mistake, is not written to."""
    file = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE registered_models (name TEXT)")
        database.commit()
    before = file.read_bytes()
    with pytest.raises(ProdpointerError, match="not a cursor"), open_cursor(file, ABOUT):
        pass
    assert file.read_bytes() == before


def test_a_file_that_is_no_database_is_an_error_with_a_next_step(tmp_path: Path) -> None:
    """It is neither overwritten nor a traceback."""
    file = tmp_path / "watch.cursor"
    file.write_text("something else " * 100)
    with pytest.raises(ProdpointerError, match=r"cannot be read.*Move it away"), open_cursor(file, ABOUT):
        pass
    assert file.read_text().startswith("something else")


def test_a_directory_that_cannot_be_made_is_an_error_with_a_next_step(tmp_path: Path) -> None:
    """A file stands where the directory should be."""
    (tmp_path / "state").write_text("")
    with pytest.raises(ProdpointerError, match="Give a --cursor"), open_cursor(tmp_path / "state" / "x", ABOUT):
        pass


def test_an_error_of_the_block_is_not_one_of_the_cursor(file: Path) -> None:
    """The reader of the lines has gone, for instance."""
    with pytest.raises(BrokenPipeError), open_cursor(file, ABOUT):
        raise BrokenPipeError


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_the_file_is_readable_for_its_owner_alone(cursor: Cursor, file: Path) -> None:
    """It holds names of people and their reasons."""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
