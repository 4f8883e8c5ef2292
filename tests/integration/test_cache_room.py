"""What the cache removes, and when: above its size limit, on a full disk, and after killed processes."""

from __future__ import annotations

import errno
import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from filelock import FileLock

from prodpointer import ProdpointerError, RegistryError, RegistryUnavailable
from prodpointer.artifacts.cache import Cache, ModelCache
from prodpointer.artifacts.digest import sha256_of
from prodpointer.artifacts.entries import CacheEntry
from prodpointer.artifacts.last_known_good import VersionKey
from prodpointer.artifacts.notes import PointerNotes
from tests.integration.conftest import Lab

POINTER = "production by auto"
SIZE = 1000
MODEL_SIZE = 2_000_000


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache for two downloads and their notes."""
    found = Cache(tmp_path / "cache")
    found.limit = 2 * SIZE + 600
    return found


@pytest.fixture
def kept(cache: Cache) -> ModelCache:
    """What is kept of one model: version 1."""
    found = cache.of("http://registry", "news")
    obtain(found, 1)
    return found


def fetch(attempt: Path) -> CacheEntry:
    """Download one file."""
    file = attempt / "artifact" / "model.pkl"
    file.write_bytes(bytes(SIZE))
    return CacheEntry(attempt, file.name, sha256_of(file), recorded=True)


def obtain(kept: ModelCache, version: int, fetch: Callable[[Path], CacheEntry] = fetch) -> None:
    """Let a version be here."""
    with kept.obtain(VersionKey("1", version), fetch=fetch):
        pass


def here(kept: ModelCache) -> list[int]:
    """Return which versions are here."""
    return [version for version in range(1, 6) if kept.entry(VersionKey("1", version)) is not None]


def beside(kept: ModelCache, name: str) -> Path:
    """Leave a directory with as many bytes as a download beside an entry, and return it."""
    entry = kept.entry(VersionKey("1", 1))
    assert entry is not None
    left = entry.directory.with_name(name)
    (left / "1").mkdir(parents=True)
    (left / "1" / "model.pkl").write_bytes(bytes(SIZE))
    return left


@contextmanager
def downloading(left: Path, version: int) -> Iterator[None]:
    """Hold the lock of a download, as another process does."""
    with FileLock(left.with_name(f"{version}.lock")):
        yield


def test_what_a_killed_process_left_goes_first(cache: Cache, kept: ModelCache) -> None:
    """It is removed whatever the size, and no entry has to go for it."""
    left = beside(kept, ".partial-7-abcdefgh")
    obtain(kept, 2)
    assert not left.exists()
    assert here(kept) == [1, 2]


def test_a_download_that_goes_on_is_counted(cache: Cache, kept: ModelCache) -> None:
    """It needs space that an entry has to free."""
    left = beside(kept, ".partial-7-abcdefgh")
    with downloading(left, 7):
        obtain(kept, 2)
    assert left.exists()
    assert here(kept) == [2]


def test_a_download_after_which_no_room_can_be_made_is_not_in_use(
    cache: Cache, kept: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process may live for long, and nothing in it reads the entry."""

    def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(cache, "make_room", fail)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            obtain(kept, 2)
    cache.make_room(0)
    assert here(kept) == []


@pytest.mark.parametrize(("seconds", "stays"), [(30, True), (90, False)])
def test_what_is_being_removed_is_a_leftover_after_a_minute(
    cache: Cache, kept: ModelCache, seconds: float, stays: bool
) -> None:
    """No lock tells whether the process that removes it was killed."""
    left = beside(kept, ".gone-abcdefgh")
    os.utime(left, (time.time() - seconds,) * 2)
    cache.make_room()
    assert left.exists() is stays


def test_removals_of_two_processes_do_not_prevent_each_other(
    cache: Cache, kept: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One may look for leftovers while the other is about to move an entry away."""
    move = Path.rename

    def rename(self: Path, target: Path) -> Path:
        cache.make_room()
        return move(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    assert cache.make_room(0) >= SIZE
    assert here(kept) == []


def test_an_entry_that_cannot_be_removed_is_not_counted(
    cache: Cache, kept: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk has no more space for it."""

    def rename(self: Path, target: Path) -> Path:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(self), None, str(target))

    monkeypatch.setattr(Path, "rename", rename)
    assert cache.make_room(0) == 0
    assert here(kept) == [1]


@pytest.mark.parametrize(("days", "stays"), [(29, True), (31, False)])
def test_what_was_live_stays_for_a_month(cache: Cache, kept: ModelCache, days: int, stays: bool) -> None:
    """A version that nothing on this machine has seen live since then may go."""
    PointerNotes(kept, POINTER).note_verified(VersionKey("1", 1))
    (note,) = cache.root.rglob("live-*.json")
    at = (datetime.now(timezone.utc) - timedelta(days=days)).isoformat()
    note.write_text(json.dumps({**json.loads(note.read_text(encoding="utf-8")), "at": at}), encoding="utf-8")
    cache.limit = SIZE
    obtain(kept, 2)
    assert (1 in here(kept)) is stays


def test_what_the_registry_last_named_stays(cache: Cache, kept: ModelCache) -> None:
    """It is what would be loaded while the registry is silent."""
    PointerNotes(kept, POINTER).note_named(VersionKey("1", 1))
    cache.limit = SIZE
    obtain(kept, 2)
    assert 1 in here(kept)


class Disk:
    """A disk that is full as long as a version is here."""

    def __init__(self, kept: ModelCache, code: int, *, wrapped: bool) -> None:
        """Bind what says which versions are here, and what is raised for a full disk."""
        self._kept = kept
        self._code = code
        self._wrapped = wrapped
        self.attempts = 0

    def fetch(self, attempt: Path) -> CacheEntry:
        """Download one file if there is enough space."""
        self.attempts += 1
        if 1 not in here(self._kept):
            return fetch(attempt)
        full = OSError(self._code, os.strerror(self._code))
        if self._wrapped:
            raise ProdpointerError("Could not download.") from full
        raise full


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_made_room_on(kept: ModelCache, code: int, wrapped: bool) -> None:
    """What the cache can do without is removed, and the download is tried once more."""
    disk = Disk(kept, code, wrapped=wrapped)
    obtain(kept, 2, disk.fetch)
    assert (here(kept), disk.attempts) == ([2], 2)


def test_a_full_disk_does_not_take_what_is_live(kept: ModelCache, cache: Cache) -> None:
    """It is refused then, after one attempt."""
    PointerNotes(kept, POINTER).note_verified(VersionKey("1", 1))
    disk = Disk(kept, errno.ENOSPC, wrapped=False)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        obtain(kept, 2, disk.fetch)
    assert (here(kept), disk.attempts) == ([1], 1)
    assert list(cache.root.rglob(".partial-*")) == []


def test_another_failure_takes_nothing(kept: ModelCache) -> None:
    """A registry that is down is no reason to remove anything."""

    def failing(_: Path) -> CacheEntry:
        raise RegistryUnavailable("No byte came.")

    with pytest.raises(RegistryUnavailable):
        obtain(kept, 2, failing)
    assert here(kept) == [1]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let this process write no file beyond a size, which fails as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("artifact", ["bundle", "bundle/model.pkl"])
def test_a_disk_that_takes_no_more_is_no_registry_that_fails(
    lab: Lab, name: str, tmp_path: Path, artifact: str
) -> None:
    """MLflow replaces the failures of a download by an exception with only their text."""
    model = lab.model(name, cache_dir=tmp_path / "cache")
    run_id = lab.run({"bundle/model.pkl": bytes(MODEL_SIZE)})
    model.promote(model.register(run_id, artifact))
    with files_of_at_most(MODEL_SIZE // 2), pytest.raises(ProdpointerError, match="disk") as refused:
        model.load_production(on_unavailable="last-known-good")
    assert not isinstance(refused.value, (RegistryError, RegistryUnavailable))
    assert os.strerror(errno.EFBIG) in refused.value.what


@pytest.mark.parametrize("there", ["the artifact", "a file", "a file above"])
def test_a_destination_is_looked_at_first(lab: Lab, name: str, tmp_path: Path, there: str) -> None:
    """Nothing is downloaded for a pull that cannot end well."""
    model = lab.model(name, cache_dir=tmp_path / "cache")
    model.promote(1)
    destination = tmp_path / "there"
    if there == "the artifact":
        (destination / "bundle").mkdir(parents=True)
    else:
        destination.write_text("no directory")
    with pytest.raises(ProdpointerError, match=r"already|cannot be written"):
        model.pull(destination / "below" if there == "a file above" else destination)
    assert list((tmp_path / "cache").rglob("entry.json")) == []


def test_a_pulled_version_is_where_it_should_be(lab: Lab, name: str, tmp_path: Path) -> None:
    """A destination that is free is made, with what is above it."""
    model = lab.model(name, cache_dir=tmp_path / "cache")
    model.promote(1)
    pulled = model.pull(tmp_path / "some" / "where")
    assert pulled is not None
    assert pulled.path == tmp_path / "some" / "where" / "bundle"
    assert (pulled.path / "model.pkl").is_file()
