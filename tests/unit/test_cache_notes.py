"""The state files of the cache: anything else in their place is ignored, or raises an error with the path."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from prodpointer import CacheWarning, IntegrityError
from prodpointer.artifacts import cache, last_known_good, notes
from prodpointer.artifacts.cache import Cache, ModelCache
from prodpointer.artifacts.digest import DigestAhead, sha256_of
from prodpointer.artifacts.entries import CacheEntry, FirstDigest
from prodpointer.artifacts.files import write_text
from prodpointer.artifacts.last_known_good import LastLive, LastNamed, LiveNotes, VersionKey
from prodpointer.artifacts.notes import PointerNotes

POINTER = "production by auto"
DIGEST = "0" * 64
NOTES = ["entry.json", "used", "1.first", "live-*.json", "named-*.json"]


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """End a test that waits for a pipe."""

    def give_up(*_: object) -> None:
        raise AssertionError("A file of the cache was waited for.")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(10)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def newly_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not yet found that it cannot keep anything."""
    monkeypatch.setattr(cache, "_spares", {})
    monkeypatch.setattr(cache, "_unusable", set())
    monkeypatch.setattr(notes, "_outdated", {})


@pytest.fixture
def kept(tmp_path: Path) -> ModelCache:
    """What is kept of one model: version 1, which is live and has a first digest."""
    found = Cache(tmp_path).of("http://registry", "news")
    keep(found)
    return found


def fetch(attempt: Path) -> CacheEntry:
    """Download one file."""
    file = attempt / "artifact" / "model.pkl"
    file.write_bytes(b"bytes")
    return CacheEntry(attempt, file.name, sha256_of(file), recorded=True)


def obtain(kept: ModelCache) -> bytes:
    """Return the bytes of version 1, once they are here."""
    with kept.obtain(VersionKey("1", 1), fetch=fetch) as entry:
        return entry.path.read_bytes()


def keep(kept: ModelCache) -> None:
    """Download version 1, and write each note of it."""
    obtain(kept)
    kept.keep_first_digest(VersionKey("1", 1), FirstDigest(DIGEST, recorded=True))
    PointerNotes(kept, POINTER).note_verified(VersionKey("1", 1))
    PointerNotes(kept, POINTER).note_named(VersionKey("1", 1))


def listen(place: Path) -> None:
    """Put a socket in a place; its path may be longer than an address can be."""
    before = Path.cwd()
    os.chdir(place.parent)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(place.name)
    finally:
        os.chdir(before)


def full_directory(place: Path) -> None:
    """Put a directory with something in it in a place."""
    place.mkdir()
    (place / "file").touch()


def sparse_file(place: Path) -> None:
    """Create a sparse file that is larger than the memory."""
    place.touch()
    os.truncate(place, 50 * 10**9)


NO_FILES: dict[str, Callable[[Path], object]] = {"pipe": os.mkfifo, "directory": full_directory, "socket": listen}
DAMAGED: dict[str, Callable[[Path], object]] = {
    "deep": lambda file: file.write_bytes(b"[" * 200_000),
    "sparse": sparse_file,
    "no text": lambda file: file.write_bytes(b"\xff\xfe\x00"),
    "infinite": lambda file: file.write_text(
        '{"created": "1", "version": Infinity, "at": "2026-01-01T00:00:00+00:00", "leaf": "a", "tags": []}'
    ),
    "impossible path": lambda file: file.write_text(
        '{"created": "\\u0000", "version": 1, "at": "2026-01-01T00:00:00+00:00", "leaf": "\\u0000", "tags": {},'
        f' "sha256": "{DIGEST}", "recorded": true}}'
    ),
}


def exchange(tmp_path: Path, name: str, put: Callable[[Path], object]) -> Path:
    """Put something in the place of one note."""
    (file,) = tmp_path.rglob(name)
    file.unlink()
    put(file)
    return file


@pytest.mark.parametrize("name", NOTES)
@pytest.mark.parametrize("what", NO_FILES)
def test_a_note_that_is_not_a_file_is_ignored(kept: ModelCache, tmp_path: Path, what: str, name: str) -> None:
    """It is not waited for, and a note takes its place."""
    exchange(tmp_path, name, NO_FILES[what])
    kept.first_digest(VersionKey("1", 1))
    keep(kept)
    assert (kept.first_digest(VersionKey("1", 1)), obtain(kept)) == (FirstDigest(DIGEST, recorded=True), b"bytes")
    last, named = PointerNotes(kept, POINTER).read().verified, PointerNotes(kept, POINTER).read().named
    assert last is not None
    assert named is not None
    assert (last.key, named.key) == (VersionKey("1", 1), VersionKey("1", 1))


@pytest.mark.parametrize("name", [name for name in NOTES if name != "1.first"])
@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_note_is_ignored(kept: ModelCache, tmp_path: Path, what: str, name: str) -> None:
    """Whatever is in it, it is written anew."""
    exchange(tmp_path, name, DAMAGED[what])
    keep(kept)
    assert obtain(kept) == b"bytes"
    last, named = PointerNotes(kept, POINTER).read().verified, PointerNotes(kept, POINTER).read().named
    assert last is not None
    assert named is not None
    assert (last.key, named.key) == (VersionKey("1", 1), VersionKey("1", 1))


@pytest.mark.parametrize("what", [*DAMAGED, "short", "more words"])
def test_a_damaged_first_digest_is_reported(kept: ModelCache, tmp_path: Path, what: str) -> None:
    """The version's tags are not blamed; the error says where it is and how to go on, and quotes nothing of it."""
    texts = {"short": DIGEST[:10], "more words": f"{DIGEST} recorded recorded"}
    put = DAMAGED[what] if what in DAMAGED else lambda file: file.write_text(texts[what])
    file = exchange(tmp_path, "1.first", put)
    with pytest.raises(IntegrityError, match=r"note .* is damaged.*Delete this file.*prodpointer adopt news 1") as told:
        kept.first_digest(VersionKey("1", 1))
    assert told.value.where == str(file)
    assert len(str(told.value)) < 300 + len(str(file))


def test_tags_that_are_too_long_to_be_read_again_are_left_out(tmp_path: Path) -> None:
    """They only explain a failure to load; the entry is as good without them."""
    kept = Cache(tmp_path).of("http://registry", "news")

    def with_tags(attempt: Path) -> CacheEntry:
        found = fetch(attempt)
        return CacheEntry(found.directory, found.leaf, found.sha256, recorded=True, tags={"python": "3" * 100_000})

    with kept.obtain(VersionKey("1", 1), fetch=with_tags) as entry:
        assert (entry.path.read_bytes(), entry.tags) == (b"bytes", {})


def test_what_cannot_be_found_ahead_ends_no_thread_in_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller reads the same files, and tells what is wrong with them."""
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    def find() -> Path:
        raise RecursionError

    (tmp_path / "file").write_bytes(b"bytes")
    ahead = DigestAhead(find)
    assert ahead.examine(tmp_path / "file").sha256 == sha256_of(tmp_path / "file")
    ahead._thread.join()  # noqa: SLF001  # what a thread prints, it prints at its end
    assert told == []


NOW = datetime.now(timezone.utc)


@pytest.mark.parametrize("version", [0, 1, 2, 3, None])
@pytest.mark.parametrize("created", ["1", "other"])
def test_a_note_that_cannot_be_written_leaves_none_that_is_wrong(
    kept: ModelCache, monkeypatch: pytest.MonkeyPatch, created: str, version: int | None
) -> None:
    """What is served then is what would be served with the note, or nothing."""
    PointerNotes(kept, POINTER).note_verified(VersionKey("1", 2))
    PointerNotes(kept, POINTER).note_named(VersionKey("1", 2))
    verified = PointerNotes(kept, POINTER).read().verified
    key = None if version is None else VersionKey(created, version)
    wanted = LiveNotes(verified, LastNamed(key, NOW)).candidates()
    monkeypatch.setattr(notes, "write_text", refuse(errno.ENOSPC, lambda _: True))
    if (created, version) != ("1", 2):
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            PointerNotes(kept, POINTER).note_named(key)
    left = PointerNotes(kept, POINTER).read().candidates()
    assert left == ([verified] if verified in wanted else [])


def refuse(code: int, when: Callable[[Path], bool]) -> Callable[[Path, str], None]:
    """Return what writes a note, except ``when`` a disk refuses it."""

    def replace(file: Path, text: str) -> None:
        if when(file):
            raise OSError(code, os.strerror(code), str(file))
        write_text(file, text)

    return replace


def test_the_room_of_a_note_that_goes_takes_the_new_one(kept: ModelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the version after a rollback is known if a removed file freed space."""
    PointerNotes(kept, POINTER).note_verified(VersionKey("1", 2))
    PointerNotes(kept, POINTER).note_named(VersionKey("1", 2))
    monkeypatch.setattr(notes, "write_text", refuse(errno.ENOSPC, lambda file: file.exists()))
    PointerNotes(kept, POINTER).note_named(VersionKey("1", 1))
    assert [each.key.version for each in PointerNotes(kept, POINTER).read().candidates()] == [1]


def test_a_verified_version_that_cannot_be_noted_is_known_as_named(
    kept: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the registry's word is kept and the load is not, the version before does not stand in for the new one."""
    PointerNotes(kept, POINTER).note_named(VersionKey("1", 2))
    monkeypatch.setattr(notes, "write_text", refuse(errno.ENOSPC, lambda _: True))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        PointerNotes(kept, POINTER).note_verified(VersionKey("1", 2))
    assert [each.key.version for each in PointerNotes(kept, POINTER).read().candidates()] == [2]


def test_the_time_of_a_live_version_that_cannot_be_renewed_takes_nothing_away(
    kept: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note is as true as before."""
    monkeypatch.setattr(last_known_good, "_TOO_SOON", NOW - NOW)
    monkeypatch.setattr(notes, "write_text", refuse(errno.ENOSPC, lambda _: True))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        PointerNotes(kept, POINTER).note_verified(VersionKey("1", 1))
    last = PointerNotes(kept, POINTER).read().verified
    assert isinstance(last, LastLive)
    assert last.key.version == 1


@pytest.mark.parametrize("bad", ["link", "writable by others"])
def test_a_verified_version_is_noted_beside_a_bad_note_of_what_was_named(
    kept: ModelCache, tmp_path: Path, bad: str
) -> None:
    """The load that it follows has worked, and does not depend on the other note."""
    (named,) = tmp_path.rglob("named-*.json")
    if bad == "link":
        named.unlink()
        named.symlink_to(tmp_path / "elsewhere")
    else:
        named.chmod(0o666)
    PointerNotes(kept, POINTER).note_verified(VersionKey("1", 2))
    (live,) = tmp_path.rglob("live-*.json")
    note = LastLive.from_text(live.read_text(encoding="utf-8"))
    assert note is not None
    assert note.key.version == 2


def cannot_be_removed(self: Path, **_: object) -> None:
    """Keep a file, as a disk does that is only read."""
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))


def test_a_note_that_stays_out_of_date_is_told_once_and_not_believed(
    kept: ModelCache, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """The process that saw it knows better than the disk; the next one is why there is a warning."""
    PointerNotes(kept, POINTER).note_verified(VersionKey("1", 2))
    PointerNotes(kept, POINTER).note_named(VersionKey("1", 2))
    monkeypatch.setattr(notes, "write_text", refuse(errno.EROFS, lambda _: True))
    monkeypatch.setattr(Path, "unlink", cannot_be_removed)
    for _ in range(2):
        with pytest.raises(OSError, match=os.strerror(errno.EROFS)):
            PointerNotes(kept, POINTER).note_named(VersionKey("1", 1))
    assert PointerNotes(kept, POINTER).read().candidates() == []
    told = [str(each.message) for each in recwarn if each.category is CacheWarning]
    assert len(told) == 1
    assert "last-known-good version of 'news' on this machine is out of date" in told[0]


def test_a_note_that_another_machine_brings_up_to_date_is_believed_again(
    kept: ModelCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One machine may write a disk that this one only reads."""
    PointerNotes(kept, POINTER).note_named(VersionKey("1", 2))
    with monkeypatch.context() as patch:
        patch.setattr(notes, "write_text", refuse(errno.EROFS, lambda _: True))
        patch.setattr(Path, "unlink", cannot_be_removed)
        with pytest.warns(CacheWarning), pytest.raises(OSError, match=os.strerror(errno.EROFS)):
            PointerNotes(kept, POINTER).note_named(VersionKey("1", 1))
    assert PointerNotes(kept, POINTER).read().named is None
    PointerNotes(kept, POINTER).note_named(VersionKey("1", 1))
    named = PointerNotes(kept, POINTER).read().named
    assert named is not None
    assert named.key == VersionKey("1", 1)


def read_only_below(directory: Path) -> Callable[[Path], None]:
    """Return what makes a file of locks, except in a directory that can only be read."""

    def check_locks(file: Path) -> None:
        if file.is_relative_to(directory):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(file))

    return check_locks


def test_a_process_that_keeps_nothing_leaves_no_wrong_note_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it cannot write in the user's cache goes with it; what is there says no more than is known."""
    monkeypatch.delenv("PRODPOINTER_CACHE_DIR", raising=False)
    monkeypatch.setattr(cache, "user_cache_path", lambda *_, **__: tmp_path)
    kept = Cache().of("http://registry", "news")
    keep(kept)
    PointerNotes(kept, POINTER).note_verified(VersionKey("1", 2))
    PointerNotes(kept, POINTER).note_named(VersionKey("1", 2))
    monkeypatch.setattr(cache, "check_locks", read_only_below(tmp_path))
    with pytest.warns(CacheWarning, match="not kept after this process"):
        kept.keep_first_digest(VersionKey("1", 2), FirstDigest(DIGEST, recorded=True))
    PointerNotes(kept, POINTER).note_named(VersionKey("1", 1))
    named = PointerNotes(kept, POINTER).read().named
    assert named is not None
    assert named.key == VersionKey("1", 1)
    assert [*tmp_path.rglob("live-*.json"), *tmp_path.rglob("named-*.json")] == []
    shutil.rmtree(cache._spare())  # noqa: SLF001  # forgotten by the process when this test ends
