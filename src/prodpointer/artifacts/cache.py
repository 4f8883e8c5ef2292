"""Verified downloads on this machine: each version once for the user, whatever happens to the processes that write it.

::

    <root>/v1/<registry>/<model>/
        locks                       tells whether this file system has any
        about.json                  which registry and which model, for people who look
        live-<pointer>.json         the last verified live version
        named-<pointer>.json        what the registry last named as live, whether or not its bytes are here
        <created>/                  one creation of the model, which may be deleted and created again
            <version>/              one entry; see the module entries

Nothing here is trusted for being here. Before anything is read, the directory, its parent and every part of an entry
have to be the user's, and closed to other writers. Bytes are digested each time before they are used.
"""

from __future__ import annotations

import atexit
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from prodpointer._text import shortened
from prodpointer._warnings import warn_uncached
from prodpointer.artifacts.digest import examine as examine_bytes
from prodpointer.artifacts.entries import (
    USED,
    CacheEntry,
    Examine,
    FirstDigest,
    fill_slot,
    lock_download,
    lock_entry,
    read_entry,
    remove_partials,
)
from prodpointer.artifacts.files import hashed_name, write_text
from prodpointer.artifacts.last_known_good import VersionKey
from prodpointer.artifacts.locks import EntryLock, NoLocks, check_locks
from prodpointer.artifacts.ownership import check_own, check_root
from prodpointer.artifacts.pruning import prune
from prodpointer.errors import ProdpointerError
from prodpointer.mlflow_client import is_disk_full

Made = TypeVar("Made")

DIRECTORY_VARIABLE = "PRODPOINTER_CACHE_DIR"
BYTES_VARIABLE = "PRODPOINTER_CACHE_BYTES"
DEFAULT_BYTES = 20 * 1024**3

_LAYOUT = "v1"
_ABOUT = "about.json"
_PRIVATE = 0o700
_SHOWN = 40  # characters of a value that are shown
# What passes, or is mended by making room: no reason to do without the cache.
_TEMPORARY = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ENOSPC, errno.EDQUOT}

# By process: a forked one has its own.
_spares: dict[int, Path] = {}
_unusable: set[tuple[int, Path]] = set()


class Cache:
    """The downloads of one user.

    The first load opens it; to construct one touches no disk. Where the caller chose no directory and the user's cannot
    be written, or where a file system has no locks, downloads are kept until the process ends.

    Parameters
    ----------
    directory
        Where downloads are kept; by default ``PRODPOINTER_CACHE_DIR``, else the user's cache directory. They may take
        ``PRODPOINTER_CACHE_BYTES``, else 20 GiB.
    """

    def __init__(self, directory: str | Path | None = None) -> None:
        self._directory = directory
        chosen = directory or os.environ.get(DIRECTORY_VARIABLE)
        self._is_chosen = bool(chosen)
        self.root: Path = _resolve(chosen) / _LAYOUT
        self.limit: int = _read_limit()

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes the cache elsewhere: the user's directory there, unless the caller chose one."""
        return Cache, (self.root.parent if self._directory else None,)

    @property
    def roots(self) -> tuple[Path, ...]:
        """Where to look, each checked; the first is where to write."""
        is_unusable = (os.getpid(), self.root) in _unusable
        found = (_spare() / _LAYOUT, self.root) if is_unusable else (self.root,)
        try:
            for root in found:
                _check_path(root)
        except ValueError as error:
            raise ProdpointerError(
                f"The cache is not used: invalid path of its directory: {error}.",
                where=repr(str(self.root.parent)),
                next_step=f"Nothing was loaded. Choose another directory with cache_dir= or {DIRECTORY_VARIABLE}.",
            ) from error
        return found

    def fall_back(self, error: OSError) -> bool:
        """Keep downloads until the process ends, and warn, where a disk refuses them for good; tell whether."""
        is_for_good = isinstance(error, NoLocks) or (not self._is_chosen and error.errno not in _TEMPORARY)
        here = (os.getpid(), self.root)
        if is_for_good and here not in _unusable:
            _spare()
            _unusable.add(here)
            warn_uncached(str(self.root), error.strerror or str(error), DIRECTORY_VARIABLE)
        return is_for_good

    def of(self, registry: str, model: str) -> ModelCache:
        """Return the part of one model of one registry."""
        return ModelCache(self, registry, model)

    def make_room(self, limit: int | None = None) -> int:
        """Evict what can go until the rest takes ``limit`` bytes, by default the size of the cache; see ``prune``."""
        return prune(self.roots[0], self.limit if limit is None else limit)


class ModelCache:
    """The part of the cache for one model; see :class:`Cache`."""

    def __init__(self, cache: Cache, registry: str, model: str) -> None:
        self._cache = cache
        self._registry = registry
        self.model = model

    def directories(self) -> list[Path]:
        """Return where to look, each checked."""
        found = [self._below(root) for root in self._cache.roots]
        for directory in found:
            check_own(directory.parent)
            check_own(directory)
        return found

    def make_directory(self, created: str = "") -> Path:
        """Make the directory to write in and return it; one of the process where the cache's cannot be used."""
        while True:
            root = self._cache.roots[0]
            directory = self._below(root)
            try:
                _make_private(directory, created)
                if created:
                    check_locks(directory / "locks")
                if not (directory / _ABOUT).exists():
                    write_text(directory / _ABOUT, json.dumps({"registry": self._registry, "model": self.model}))
                return directory / created
            except OSError as error:
                if root != self._cache.root or not self._cache.fall_back(error):
                    raise

    def make_room(self) -> None:
        """Evict what the size of the cache does not allow."""
        self._cache.make_room()

    def entry(self, key: VersionKey) -> CacheEntry | None:
        """Return the entry of a version, or None; its bytes are not checked, and it may be evicted."""
        with suppress(OSError):
            for slot in self._slots(key):
                if (entry := read_entry(slot)) is not None:
                    return entry
        return None

    @contextmanager
    def find(self, key: VersionKey, *, examine: Examine | None = None) -> Iterator[CacheEntry | None]:
        """Give the entry of a version, locked and checked, or None; nothing is downloaded or removed."""
        entry = self._lock(key, None, examine)
        try:
            yield entry
        finally:
            if entry is not None:
                entry.release()

    @contextmanager
    def obtain(
        self,
        key: VersionKey,
        *,
        fetch: Callable[[Path], CacheEntry],
        sha256: str | None = None,
        examine: Examine | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[CacheEntry]:
        """Give the entry of a version, locked and checked: the one here, or one downloaded by one process for all.

        An entry that is here must have the digest ``sha256``, if one is given; ``examine`` digests its bytes. ``fetch``
        downloads into the ``artifact`` directory of a new entry, verifies, and returns the entry. While another process
        downloads, ``is_stopped`` tells whether this one still waits.
        """
        entry = self._lock(key, sha256, examine) or self._fetch(key, sha256, fetch, is_stopped)
        try:
            yield entry
        finally:
            entry.release()

    def first_digest(self, key: VersionKey) -> FirstDigest | None:
        """Return the digest of a version that was verified first on this machine, or None."""
        found = (FirstDigest.read(slot, self.model) for slot in self._slots(key))
        return next((each for each in found if each is not None), None)

    def keep_first_digest(self, key: VersionKey, digest: FirstDigest) -> None:
        """Keep the digest of a version for every later load."""
        digest.write(self.make_directory(key.created) / str(key.version))

    def _lock(self, key: VersionKey, sha256: str | None, examine: Examine | None) -> CacheEntry | None:
        """Return the entry of a version, locked, if it is here, wanted and whole."""
        check = examine or partial(examine_bytes, keep=True)
        found = (lock_entry(slot, sha256, check) for slot in self._slots(key))
        return next((each for each in found if each is not None), None)

    def _fetch(
        self,
        key: VersionKey,
        sha256: str | None,
        fetch: Callable[[Path], CacheEntry],
        is_stopped: Callable[[], bool],
    ) -> CacheEntry:
        """Download an entry, unless another process did while this one waited for the lock."""
        slot = self._with_room(partial(self.make_directory, key.created)) / str(key.version)
        with lock_download(slot, is_stopped):
            found = self._lock(key, sha256, None)
            if found is not None:
                return found
            remove_partials(slot)
            self._with_room(partial(fill_slot, slot, fetch))
            lock = EntryLock.acquire(slot / USED)
        with ExitStack() as failing:
            if lock is not None:
                failing.callback(lock.release)
            entry = read_entry(slot)
            if entry is None or lock is None:
                raise ProdpointerError(
                    "A cache entry was removed while it was created.",
                    where=str(slot),
                    next_step="Find out what removes files there, then try again.",
                )
            self._cache.make_room()
            failing.pop_all()
            return replace(entry, lock=lock)

    def _with_room(self, work: Callable[[], Made]) -> Made:
        """Do what needs space on the disk, once more where it is full and something can be evicted."""
        try:
            return work()
        except (OSError, ProdpointerError) as error:
            if not is_disk_full(error) or not self._cache.make_room(0):
                raise
        return work()

    def _slots(self, key: VersionKey) -> Iterator[Path]:
        """Yield where the entry of a version may be, each directory checked."""
        for directory in self.directories():
            check_own(directory / key.created)
            yield directory / key.created / str(key.version)

    def _below(self, root: Path) -> Path:
        return root / hashed_name(self._registry) / hashed_name(self.model)


def user_cache_path() -> Path:
    """Return the user's cache directory for this library."""
    from platformdirs import user_cache_path as path_of  # slow to import

    return path_of("prodpointer", appauthor=False)


def _resolve(chosen: str | Path | None) -> Path:
    """Return the directory that was chosen, or the user's; one that cannot be made where a user has no home."""
    try:
        directory = Path(chosen or user_cache_path()).expanduser()
    except RuntimeError as error:  # a user without a home
        if not chosen:
            return Path(os.devnull, "prodpointer")
        raise ProdpointerError(
            f"Invalid cache directory {str(chosen)!r}: {error}",
            next_step=f"Give a path without ~ with cache_dir= or {DIRECTORY_VARIABLE}.",
        ) from error
    with suppress(FileNotFoundError):  # the working directory was removed, which is an error only for a load
        return directory.absolute()
    return directory


def _check_path(root: Path) -> None:
    """As ``check_root``; ``ValueError`` where no directory can be at a path, as of one with a null character."""
    if not root.is_absolute():
        raise ValueError("it is relative, and the working directory was removed before connecting")
    check_root(root)


def _spare() -> Path:
    """Return the directory for what cannot be kept, one for all of a process and removed at its end."""
    pid = os.getpid()
    if pid not in _spares:
        made = Path(tempfile.mkdtemp(prefix="prodpointer-"))
        if _spares.setdefault(pid, made) == made:  # of two threads one is first
            atexit.register(_remove_spare, pid, made)
        else:
            made.rmdir()
    return _spares[pid]


def _remove_spare(pid: int, directory: Path) -> None:
    """Remove the directory of a process at its end; a forked process inherits the call, and not the directory."""
    if os.getpid() == pid:
        shutil.rmtree(directory, ignore_errors=True)


def _make_private(directory: Path, created: str) -> None:
    root = directory.parent.parent
    root.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    check_root(root)
    for place in (root, directory.parent, directory, directory / created):
        with suppress(FileExistsError):
            place.mkdir(mode=_PRIVATE)
        check_own(place)
    if root.stat().st_mode & 0o077:
        root.chmod(_PRIVATE)


def _read_limit() -> int:
    """Return the size limit that the environment sets, or the default."""
    text = os.environ.get(BYTES_VARIABLE, "")
    if not text:
        return DEFAULT_BYTES
    if text.isdecimal():
        with suppress(ValueError):  # thousands of digits
            return int(text)
    raise ProdpointerError(
        f"Invalid number of bytes {shortened(text, _SHOWN)!r}.",
        where=BYTES_VARIABLE,
        next_step="Give a whole number, such as 5000000.",
    )
