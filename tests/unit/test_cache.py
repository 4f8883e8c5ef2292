"""The cache's record of the live version."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from prodpointer.artifacts.cache import Cache, ModelCache
from prodpointer.artifacts.last_known_good import VersionKey
from prodpointer.artifacts.notes import PointerNotes

POINTER = "production by auto"


@pytest.fixture
def kept(tmp_path: Path) -> ModelCache:
    """What is kept of one model, with a note that version 1 is live."""
    found = Cache(tmp_path).of("http://registry", "news")
    PointerNotes(found, POINTER).note_verified(VersionKey("1", 1))
    return found


def note(directory: Path) -> Path:
    """Return the file of the note."""
    (found,) = directory.rglob("live-*.json")
    return found


def aged(file: Path, at: str) -> str:
    """Let a note be of another time, and return its text."""
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), "at": at}), encoding="utf-8")
    return file.read_text(encoding="utf-8")


def ago(seconds: float) -> str:
    """Return a time that is so long ago."""
    return (datetime.now(timezone.utc) - timedelta(seconds=seconds)).isoformat()


def test_the_same_version_is_noted_once_a_second(kept: ModelCache, tmp_path: Path) -> None:
    """Repeated loads do not write each time."""
    text = aged(note(tmp_path), ago(0.1))
    PointerNotes(kept, POINTER).note_verified(VersionKey("1", 1))
    assert note(tmp_path).read_text(encoding="utf-8") == text


@pytest.mark.parametrize("seconds", [2, 3600, -3600])
def test_an_older_note_is_written_again(kept: ModelCache, tmp_path: Path, seconds: float) -> None:
    """A note tells to the second when a version was live; one from the future is mended."""
    aged(note(tmp_path), ago(seconds))
    PointerNotes(kept, POINTER).note_verified(VersionKey("1", 1))
    last = PointerNotes(kept, POINTER).read().verified
    assert last is not None
    assert abs(datetime.now(timezone.utc) - last.at) < timedelta(seconds=1)


@pytest.mark.parametrize(("created", "version"), [("1", 2), ("2", 1)])
def test_another_version_is_noted_at_once(kept: ModelCache, created: str, version: int) -> None:
    """Another number, or the same of a model made anew, replaces the note."""
    PointerNotes(kept, POINTER).note_verified(VersionKey(created, version))
    last = PointerNotes(kept, POINTER).read().verified
    assert last is not None
    assert (last.key.created, last.key.version) == (created, version)


def test_a_note_without_a_zone_is_no_failure(kept: ModelCache, tmp_path: Path) -> None:
    """A file edited by hand is replaced."""
    aged(note(tmp_path), "2026-01-01T00:00:00")
    PointerNotes(kept, POINTER).note_verified(VersionKey("1", 1))
    last = PointerNotes(kept, POINTER).read().verified
    assert last is not None
    assert last.at.year > 2025
    assert last.at.tzinfo is not None
