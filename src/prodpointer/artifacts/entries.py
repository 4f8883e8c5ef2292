"""One artifact in the cache: what it is, and the directory that holds it.

::

    <version>/                      the directory of an entry
        artifact/...                the bytes
        entry.json                  their digest, and whether the registry records it
        used                        locked while a process reads the bytes; its time is when they were used last
    <version>.lock                  held by the process that downloads
    .partial-<version>-<random>/    a download; a leftover once the lock is free
    .gone-<random>/                 what is being removed; a leftover after a minute
    <version>.first                 the digest that was verified first, and whether the registry recorded it
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from prodpointer.artifacts.digest import Examined
from prodpointer.artifacts.files import LONGEST, measure, read_text, write_text
from prodpointer.artifacts.locks import EntryLock, NoLocks
from prodpointer.artifacts.ownership import check_own, check_tree, close_tree
from prodpointer.errors import ArtifactNotFound, IntegrityError, RegistryUnavailable

Examine = Callable[[Path], Examined]

DESCRIPTION = "entry.json"
USED = "used"
PARTIAL = ".partial-"
GONE = ".gone-"
_RECORDED = "recorded"
_POLL = 0.5  # seconds after which a waiting download checks whether it was cancelled
_DIGEST = re.compile("[0-9a-f]{64}")
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class CacheEntry:
    """An artifact on this machine: its directory, its own name, its digest, and whether the registry records that.

    ``tags`` are those that explain a failure to load. One that is in use has a ``lock``, which keeps it in the cache;
    ``examined`` is what the check of its bytes found.
    """

    directory: Path
    leaf: str
    sha256: str
    recorded: bool
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    examined: Examined | None = field(default=None, compare=False, repr=False)
    lock: EntryLock | None = field(default=None, compare=False, repr=False)

    @property
    def path(self) -> Path:
        """The file or directory that was downloaded."""
        return self.directory / "artifact" / self.leaf

    @property
    def size(self) -> int:
        """The bytes of its files together."""
        return measure(self.directory / "artifact")

    def write_description(self) -> None:
        """Write what the entry is; without its tags where they are too long to be read back."""
        known = {"leaf": self.leaf, "sha256": self.sha256, "recorded": self.recorded}
        text = json.dumps({**known, "tags": dict(self.tags)})
        write_text(self.directory / DESCRIPTION, text if len(text) < LONGEST else json.dumps({**known, "tags": {}}))

    def release(self) -> None:
        """Allow the entry to be evicted."""
        if self.lock is not None:
            self.lock.release()


@dataclass(frozen=True)
class FirstDigest:
    """The digest of a version that this machine verified first, and whether the registry recorded it.

    It stays when the bytes are evicted.
    """

    sha256: str
    recorded: bool

    @staticmethod
    def file(slot: Path) -> Path:
        """Return the file that holds it, beside the directory of the entry."""
        return slot.with_name(f"{slot.name}.first")

    @classmethod
    def read(cls, slot: Path, model: str) -> FirstDigest | None:
        """Read it; ``IntegrityError`` where it is damaged: which bytes were verified is unknown then."""
        words = read_text(cls.file(slot)).split()
        if not words:
            return None
        if not _DIGEST.fullmatch(words[0]) or words[1:] not in ([], [_RECORDED]):
            raise IntegrityError(
                f"The note of the digest of version {slot.name} that this machine verified first is damaged.",
                where=str(cls.file(slot)),
                next_step="Nothing was loaded. Delete this file to trust what the registry records now, or record "
                f"the digest again: prodpointer adopt {model} {slot.name}.",
            )
        return cls(words[0], recorded=words[1:] == [_RECORDED])

    def write(self, slot: Path) -> None:
        """Write it."""
        write_text(self.file(slot), f"{self.sha256} {_RECORDED}" if self.recorded else self.sha256)


def read_entry(slot: Path) -> CacheEntry | None:
    """Read what an entry is; None where there is none or its description is damaged. ``OSError``: not readable now."""
    try:
        check_own(slot)
        known = json.loads(read_text(slot / DESCRIPTION))
        tags = {str(key): str(value) for key, value in known["tags"].items()}
        found = CacheEntry(slot, str(known["leaf"]), str(known["sha256"]), bool(known["recorded"]), tags)
    except _DAMAGED:
        return None
    is_name = found.leaf not in (".", "..") and not {"/", "\0"}.intersection(found.leaf)
    return found if is_name and _DIGEST.fullmatch(found.sha256) else None


def lock_entry(slot: Path, sha256: str | None, examine: Examine) -> CacheEntry | None:
    """Lock an entry and check its bytes; None unless they are whole and have the digest that is wanted."""
    check_own(slot)
    check_own(slot / USED)
    try:
        lock = EntryLock.acquire(slot / USED)
    except NoLocks:
        return None
    if lock is None:
        return None
    examined = None
    try:
        check_tree(slot)
        entry = read_entry(slot)
        if entry is not None and sha256 in (None, entry.sha256):
            # OSError is raised: the bytes may be right, and cannot be read now.
            with suppress(ArtifactNotFound, IntegrityError, FileNotFoundError, NotADirectoryError):
                examined = examine(entry.path)
        if entry is not None and examined is not None and examined.sha256 == entry.sha256:
            entry, lock = replace(entry, examined=examined, lock=lock), None
            return entry
        return None
    finally:
        if lock is not None:
            lock.release()


def fill_slot(slot: Path, fetch: Callable[[Path], CacheEntry]) -> None:
    """Download an entry into a directory of its own, and move it into place once it is complete."""
    attempt = _make_partial(slot)
    try:
        (attempt / "artifact").mkdir()
        fetch(attempt).write_description()
        (attempt / USED).touch(mode=0o600)
        close_tree(attempt)
        _replace(slot, attempt)
    finally:
        shutil.rmtree(attempt, ignore_errors=True)  # of a failed download


def remove_partials(slot: Path) -> None:
    """Remove the leftovers of downloads of a version; the caller holds its lock."""
    for left in slot.parent.glob(f"{PARTIAL}{slot.name}-*"):
        shutil.rmtree(left, ignore_errors=True)


def discard(slot: Path) -> bool:
    """Remove an entry: at once for processes that look for it, then its bytes; tell whether that worked."""
    try:
        doomed = _make_gone(slot)
        try:
            slot.rename(doomed / slot.name)
        finally:
            shutil.rmtree(doomed, ignore_errors=True)
    except OSError:
        return False
    return True


@contextmanager
def lock_download(slot: Path, is_stopped: Callable[[], bool]) -> Iterator[None]:
    """Hold the lock of a download until the block ends; another process may hold it for long."""
    from filelock import FileLock, Timeout  # slow to import, and most commands never load

    lock = FileLock(f"{slot}.lock", mode=0o600)
    while True:
        try:
            lock.acquire(timeout=_POLL)
            break
        except Timeout:
            if is_stopped():
                raise RegistryUnavailable("Download cancelled.", where=f"{slot}.lock") from None
    try:
        yield
    finally:
        lock.release()


def _make_partial(slot: Path) -> Path:
    """Make a directory for one download: a cancelled one may still write into its own."""
    return Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{slot.name}-", dir=slot.parent))


def _make_gone(slot: Path) -> Path:
    """Make a directory for what is removed: no lock is held, and none says that it is a leftover."""
    return Path(tempfile.mkdtemp(prefix=GONE, dir=slot.parent))


def _replace(slot: Path, new: Path) -> None:
    """Move a complete entry into place; the one before is removed now, and comes back if the move fails."""
    old = _make_gone(slot)
    try:
        with suppress(FileNotFoundError):
            slot.rename(old / slot.name)
        try:
            new.rename(slot)
        except OSError:
            with suppress(FileNotFoundError):
                (old / slot.name).rename(slot)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
