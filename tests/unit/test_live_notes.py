"""Which version may be served while the registry is down, decided from two notes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from prodpointer.artifacts.last_known_good import LastLive, LastNamed, LiveNotes, VersionKey

NOW = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)
BEFORE = NOW - timedelta(hours=1)


def key(version: int, created: str = "1") -> VersionKey:
    """Return a version of the model, or of one that was created at another time."""
    return VersionKey(created, version)


def live(version: int, *earlier: int, at: datetime = BEFORE) -> LastLive:
    """Return the note that a version was live."""
    return LastLive(key(version), at, frozenset(earlier))


def named(version: int | None, created: str = "1") -> LastNamed:
    """Return the note that the registry named a version."""
    return LastNamed(None if version is None else key(version, created), NOW)


@pytest.mark.parametrize(
    ("verified", "said", "served"),
    [
        (None, None, []),
        (live(2), None, [2]),
        (live(2), named(2), [2]),
        (None, named(2), [2]),
        (live(2), named(3), [2, 3]),
        (live(2, 3), named(3), [3]),
        (live(2), named(1), [1]),
        (live(2), named(None), []),
        (live(2), named(3, created="2"), [3]),
    ],
    ids=["nothing", "verified", "same", "not verified", "newer", "live before", "older", "withdrawn", "created again"],
)
def test_what_may_be_served(verified: LastLive | None, said: LastNamed | None, served: list[int]) -> None:
    """The best comes first."""
    assert [each.key.version for each in LiveNotes(verified, said).candidates()] == served


def test_a_version_that_is_only_named_was_live_when_it_was_named() -> None:
    """A warning says how long ago that was."""
    assert LiveNotes(None, named(2)).candidates() == [LastLive(key(2), NOW)]


@pytest.mark.parametrize(
    ("said", "valid"),
    [
        (named(2), LiveNotes(live(2, 1), named(2))),
        (named(3), LiveNotes(live(2, 1), None)),
        (named(1), LiveNotes()),
        (named(None), LiveNotes()),
        (named(2, created="2"), LiveNotes()),
    ],
    ids=["same", "newer", "rollback", "withdrawn", "created again"],
)
def test_what_stays_valid_where_an_answer_cannot_be_noted(said: LastNamed, valid: LiveNotes) -> None:
    """No note stays that leads to a version that was rolled back from."""
    assert LiveNotes(live(2, 1), named(2)).valid_after(said) == valid


@pytest.mark.parametrize(("age", "is_noted"), [(0.0, False), (0.9, False), (1.0, True), (-1.0, True)])
def test_the_same_version_is_noted_once_a_second(age: float, is_noted: bool) -> None:
    """A note from the future is written again."""
    notes = LiveNotes(live(2, at=NOW - timedelta(seconds=age)))
    assert (notes.verified_next(key(2), NOW) is not None) is is_noted


def test_versions_that_were_live_before_are_remembered() -> None:
    """The next note names them, as long as the model is the same."""
    notes = LiveNotes(live(2, 1))
    assert notes.verified_next(key(3), NOW) == live(3, 1, 2, at=NOW)
    assert notes.verified_next(key(3, "2"), NOW) == LastLive(key(3, "2"), NOW)


def test_a_hundred_versions_are_remembered() -> None:
    """A note does not grow for ever; the highest numbers stay."""
    note = LiveNotes(live(200, *range(1, 200))).verified_next(key(201), NOW)
    assert note is not None
    assert note.earlier == frozenset(range(101, 201))


@pytest.mark.parametrize(
    ("notes", "text"),
    [
        (LiveNotes(live(2)), ""),
        (LiveNotes(live(2), named(None)), "When the registry last answered, nothing was live."),
        (LiveNotes(None, named(1)), "The registry last named version 1, and its bytes are not on this machine."),
        (
            LiveNotes(live(2), named(1)),
            (
                "The registry last named version 1, and its bytes are not on this machine. "
                "Version 2 was live before and is no longer live."
            ),
        ),
    ],
)
def test_why_nothing_is_served(notes: LiveNotes, text: str) -> None:
    """An error says what this machine knows."""
    assert notes.explain_none() == text


@pytest.mark.parametrize("note", [live(2), live(3, 1, 2)])
def test_a_live_note_is_read_as_it_was_written(note: LastLive) -> None:
    """As text it is the same note; it also tells which version was named."""
    assert LastLive.from_text(note.as_text()) == note
    assert LastNamed.from_text(note.as_text()) == LastNamed(note.key, note.at)


@pytest.mark.parametrize("note", [named(2), named(None)])
def test_a_named_note_is_read_as_it_was_written(note: LastNamed) -> None:
    """Also the note that nothing is live."""
    assert LastNamed.from_text(note.as_text()) == note


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"created": "../..", "version": 1, "at": "2026-01-01T00:00:00+00:00"}', '{"version": null}'],
)
def test_a_damaged_note_is_no_note(text: str) -> None:
    """Whatever is in it, it leads to no directory and no error."""
    assert (LastLive.from_text(text), LastNamed.from_text(text)) == (None, None)


def test_a_key_tells_creations_of_a_model_apart() -> None:
    """A model that was created again restarts at version 1."""
    assert VersionKey.of(NOW, 1) != VersionKey.of(BEFORE, 1)
    assert VersionKey.of(None, 1) == VersionKey("unknown", 1)
