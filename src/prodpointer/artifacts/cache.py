"""Verified downloads on this machine, one of each for the user, whatever happens to who writes them.

::

    <root>/v1/<registry>/<model>/
        locks                       tells whether this file system has any
        about.json                  which registry and which model, for people who look
        live-<pointer>.json         the last verified live version
        named-<pointer>.json        what the registry last said is live, whether or not its bytes are here
        <created>/<version>/        one entry; a model that was deleted and made again was created at another time
            artifact/...            the bytes
            entry.json              their digest, and whether the registry had recorded it
            used                    locked while somebody uses the bytes; its time is when they were used last
        <created>/<version>.lock    held by who downloads
        <created>/.partial-<version>-<random>/  one attempt to download; of no use once the lock is free
        <created>/<version>.first   the digest that was verified first, and whether the registry recorded it; it stays
                                    when the bytes are evicted

Nothing here is trusted for being here. Before anything is read, the directory, the one it is in and every part of an
entry have to be the user's, and closed to what others write. Bytes are digested each time before they are used.
"""

from __future__ import annotations

import atexit
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from prodpointer._warnings import warn_outdated, warn_uncached
from prodpointer.artifacts.digest import sha256_of
from prodpointer.artifacts.locks import NO_WAITING, NoLocks, Use, check_locks, unused
from prodpointer.artifacts.ownership import check_own, check_root, check_tree, close_tree
from prodpointer.errors import ArtifactNotFound, IntegrityError, ProdpointerError, RegistryUnavailable
from prodpointer.mlflow_client.artifact_store import is_full

Made = TypeVar("Made")

DIRECTORY_VARIABLE = "PRODPOINTER_CACHE_DIR"
BYTES_VARIABLE = "PRODPOINTER_CACHE_BYTES"
DEFAULT_BYTES = 20 * 1024**3

_LAYOUT = "v1"
_ABOUT = "about.json"
_ENTRY = "entry.json"
_RECORDED = "recorded"
_PRIVATE = 0o700
_TOO_SOON = timedelta(seconds=1)  # to write again that the same version is live
_MOST_EARLIER = 100  # numbers kept of the versions that were live here before
_PINNED = timedelta(days=30)  # that a version stays which was live, and was not seen since
_REMOVING = 60  # seconds that removing an entry takes at most, unless its process was killed
_PARTIAL = ".partial-"
_GONE = ".gone-"  # how the names of directories begin that hold what is being removed
_LOOK_AGAIN = 0.5  # seconds between two looks at whether anybody still waits
_SMALL = 64 * 1024  # bytes that are read of a note, and that none has more of
_SHOWN = 40  # characters of a value that are shown
_DIGEST = re.compile("[0-9a-f]{64}")
_CREATED = re.compile(r"[\w-]{1,64}")  # a directory of ours
# Opening a link, a socket, a device without a driver; or there is nothing.
_NO_NOTE = {errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENOENT, errno.ENOTDIR}
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
# What passes, or is mended by making room: no reason to do without the cache.
_FOR_NOW = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ENOSPC, errno.EDQUOT}

# Of each process, for a forked one has its own.
_spares: dict[int, Path] = {}
_without: set[tuple[int, Path]] = set()
# Notes that are out of date and stay, on a disk that can only be read: their text, which another machine may change.
_outdated: dict[Path, str] = {}


@dataclass(frozen=True)
class Entry:
    """One artifact in the cache: its directory, its own name, its digest, and whether the registry recorded that.

    ``tags`` are those that explain a failure to load.
    """

    directory: Path
    leaf: str
    sha256: str
    recorded: bool
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def path(self) -> Path:
        """The file or directory that was downloaded."""
        return self.directory / "artifact" / self.leaf

    def is_whole(self, digest_of: Callable[[Path], str]) -> bool:
        """Tell whether the bytes are still those that were downloaded; ``OSError`` where they cannot be read now."""
        try:
            return digest_of(self.path) == self.sha256
        except (ArtifactNotFound, IntegrityError, FileNotFoundError, NotADirectoryError):
            return False


@dataclass(frozen=True)
class Pin:
    """The digest of a version that this machine verified first, and whether the registry recorded it."""

    sha256: str
    recorded: bool


@dataclass(frozen=True)
class LastLive:
    """The last verified live version of one pointer: which, of which creation of the model, and when it was seen.

    ``earlier`` are the numbers that were verified and live on this machine before.
    """

    created: str
    version: int
    at: datetime
    earlier: frozenset[int] = frozenset()


@dataclass(frozen=True)
class LastNamed:
    """What the registry last said is live by one pointer, None for nothing; its bytes need not be here."""

    created: str
    version: int | None
    at: datetime


class Cache:
    """The downloads of one user.

    It is opened by the first that loads: to make one touches no disk. Where nobody chose a directory and the user's
    cannot be written, or where a file system has no locks, downloads are kept until the process ends.

    Parameters
    ----------
    directory
        Where they are; by default ``PRODPOINTER_CACHE_DIR``, else the user's cache directory. They may take
        ``PRODPOINTER_CACHE_BYTES``, else 20 GiB.
    """

    def __init__(self, directory: str | Path | None = None) -> None:
        """Bind place and size; nothing is made yet."""
        chosen = directory or os.environ.get(DIRECTORY_VARIABLE)
        self._is_chosen = bool(chosen)
        self.root: Path = _absolute(chosen) / _LAYOUT
        self.limit: int = _bytes_allowed()

    @property
    def roots(self) -> tuple[Path, ...]:
        """Where to look, each checked; the first is where to write."""
        _check_path(self.root)
        without = (os.getpid(), self.root) in _without
        found = (_spare() / _LAYOUT, self.root) if without else (self.root,)
        for root in found:
            check_root(root)
        return found

    def goes_without(self, error: OSError) -> bool:
        """Keep what comes until the process ends, and warn, where a disk refuses that; tell whether."""
        hopeless = isinstance(error, NoLocks) or (not self._is_chosen and error.errno not in _FOR_NOW)
        here = (os.getpid(), self.root)
        if hopeless and here not in _without:
            _spare()
            _without.add(here)
            warn_uncached(str(self.root), error.strerror or str(error), DIRECTORY_VARIABLE)
        return hopeless

    def of(self, registry: str, model: str) -> ModelCache:
        """Return what is kept of one model of one registry."""
        return ModelCache(self, registry, model)

    def make_room(self, limit: int | None = None) -> int:
        """Remove the least recently used entries until the rest fits; never one that is live or in use.

        What processes that were killed left behind goes first. Return how many bytes were removed.

        Parameters
        ----------
        limit
            How many bytes may stay, by default as many as the cache may take.
        """
        root, limit = self.roots[0], self.limit if limit is None else limit
        removed, total = _swept(root)
        entries = sorted(_entries(root))
        total += sum(size for _, size, _ in entries)
        live = _all_live(root)
        for _, size, directory in entries:
            if total <= limit:
                break
            if directory in live:
                continue
            with unused(directory / "used") as free:
                if free:
                    discard(directory)
                    total -= size
                    removed += size
        return removed


class ModelCache:
    """What is kept of one model; see :class:`Cache`."""

    def __init__(self, cache: Cache, registry: str, model: str) -> None:
        """Bind the place; nothing is made yet."""
        self._cache = cache
        self._about = {"registry": registry, "model": model}

    def entry(self, created: str, version: int) -> Entry | None:
        """Return the entry of a version, or None; its bytes are still to be checked."""
        with suppress(OSError):
            for slot in self._slots(created, version):
                if (entry := _entry(slot)) is not None:
                    return entry
        return None

    @contextmanager
    def found(
        self,
        created: str,
        version: int,
        *,
        fits: Callable[[Entry], bool],
        digest_of: Callable[[Path], str] = sha256_of,
    ) -> Iterator[tuple[Entry, Use] | None]:
        """Give the whole entry of a version that is here and the use of it, or None; nothing is fetched or removed.

        Parameters
        ----------
        created, version, fits, digest_of
            As for :meth:`obtained`.
        """
        found = self._used(created, version, fits, digest_of)
        try:
            yield found
        finally:
            if found is not None:
                found[1].end()

    @contextmanager
    def obtained(
        self,
        created: str,
        version: int,
        *,
        fits: Callable[[Entry], bool],
        fetch: Callable[[Path], Entry],
        digest_of: Callable[[Path], str] = sha256_of,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[Entry, Use]]:
        """Give a whole entry of a version and the use of it: the one here, or one fetched by one process for all.

        Parameters
        ----------
        created, version
            Which version.
        fits
            Whether an entry is what is wanted; its bytes are checked as well.
        fetch
            Downloads into the ``artifact`` directory of a new entry, verifies, and says what it is.
        digest_of
            What gives the SHA-256 of the bytes here.
        stopped
            Whether nobody waits for it any more, asked while another process downloads.
        """
        found = self._used(created, version, fits, digest_of) or self._fetched(created, version, fits, fetch, stopped)
        try:
            yield found
        finally:
            found[1].end()

    def _used(
        self,
        created: str,
        version: int,
        fits: Callable[[Entry], bool],
        digest_of: Callable[[Path], str] = sha256_of,
    ) -> tuple[Entry, Use] | None:
        """Return the entry of a version if it is here, wanted and whole, with the use that keeps it there."""
        found = (_used(slot, fits, digest_of) for slot in self._slots(created, version))
        return next((each for each in found if each is not None), None)

    def _fetched(
        self,
        created: str,
        version: int,
        fits: Callable[[Entry], bool],
        fetch: Callable[[Path], Entry],
        stopped: Callable[[], bool],
    ) -> tuple[Entry, Use]:
        """Fetch an entry unless another process has done so by the time it is our turn."""
        slot = self._with_room(partial(self._made, created)) / str(version)
        with _turn(f"{slot}.lock", stopped):
            found = self._used(created, version, fits)
            if found is not None:
                return found
            for left in slot.parent.glob(_partial(slot, "*")):
                shutil.rmtree(left, ignore_errors=True)  # of a download that was given up or killed: we hold its lock
            self._with_room(partial(_filled, slot, fetch))
            use = Use.of(slot / "used")
        found_here = _entry(slot)
        if found_here is None or use is None:
            raise ProdpointerError(
                "An entry of the cache was removed as it was made.",
                where=str(slot),
                next_step="Try again, and find what removes files there.",
            )
        self._cache.make_room()
        return found_here, use

    def _with_room(self, work: Callable[[], Made]) -> Made:
        """Do what needs room on the disk, once more where it is full and something can be removed."""
        try:
            return work()
        except (OSError, ProdpointerError) as error:
            if not is_full(error) or not self._cache.make_room(0):
                raise
        return work()

    def pin(self, created: str, version: int) -> Pin | None:
        """Return the digest of a version that was verified first on this machine, or None.

        ``IntegrityError`` where the note of it is damaged: which bytes were verified is not known then.
        """
        for directory in self._directories():
            file = directory / created / _first(version)
            words = (_text_of(file) or "").split()
            if words and (not _DIGEST.fullmatch(words[0]) or words[1:] not in ([], [_RECORDED])):
                raise IntegrityError(
                    f"The note of the digest of version {version} that this machine verified first is damaged.",
                    where=str(file),
                    next_step="Nothing was loaded. Delete this file to trust what the registry records now, or record "
                    f"the digest again: prodpointer adopt {self._about['model']} {version}.",
                )
            if words:
                return Pin(words[0], recorded=words[1:] == [_RECORDED])
        return None

    def set_pin(self, created: str, version: int, pin: Pin) -> None:
        """Keep the digest of a version for every later load, also once its bytes are evicted."""
        text = f"{pin.sha256} {_RECORDED}" if pin.recorded else pin.sha256
        _replace(self._made(created) / _first(version), text)

    def set_recorded(self, entry: Entry) -> None:
        """Keep that the registry records the digest of an entry by now."""
        _replace(entry.directory / _ENTRY, _description(replace(entry, recorded=True)))

    def last_live(self, pointer: str) -> LastLive | None:
        """Return the last verified live version by a pointer, or None."""
        notes = (_last_live(directory / _live(pointer)) for directory in self._directories())
        return next((note for note in notes if note is not None), None)

    def saw_live(self, pointer: str, created: str, version: int) -> None:
        """Keep which version was live just now, to the second; its entry is never evicted while it is.

        Where that cannot be written, the version before stays, unless the registry is known to have named this one.
        """
        before = self.last_live(pointer)
        now = datetime.now(timezone.utc)
        same = before is not None and (before.created, before.version) == (created, version)
        if before is not None and same and timedelta(0) <= now - before.at < _TOO_SOON:
            return
        known = {"created": created, "version": version, "at": now.isoformat()}
        earlier = before.earlier | {before.version} if before is not None and before.created == created else ()
        document = {**known, "earlier": sorted(earlier)[-_MOST_EARLIER:]}
        try:
            self._write(_live(pointer), document)
        except OSError:
            if same or not _names(self.last_named(pointer), created, version):
                raise
            self.forget_live(pointer)
            self._write(_live(pointer), document)  # in the room that this made
        if before is not None and before.version != version:
            self._cache.make_room()  # the one before may go now

    def last_named(self, pointer: str) -> LastNamed | None:
        """Return what the registry last said is live by a pointer, or None where nothing of that is kept."""
        notes = (_last_named(directory / _named(pointer)) for directory in self._directories())
        return next((note for note in notes if note is not None), None)

    def saw_named(self, pointer: str, created: str, version: int | None) -> None:
        """Keep what the registry said just now is live.

        A note that says otherwise and cannot be replaced is removed, and the last verified version with it where the
        registry went back from that: what is left never leads to a version that was rolled back from.
        """
        if _names(self.last_named(pointer), created, version):
            return
        said = LastNamed(created, version, datetime.now(timezone.utc))
        document = {"created": created, "version": version, "at": said.at.isoformat()}
        try:
            written = self._write(_named(pointer), document)
        except OSError:
            self._forget_outdated(pointer, said)
            written = self._write(_named(pointer), document)  # in the room that this made
        self._forget_outdated(pointer, said, but=written)

    def forget_live(self, pointer: str) -> None:
        """Forget the last verified live version, so that it may be evicted."""
        for directory in self._directories():
            self._forget(directory / _live(pointer))

    def _forget_outdated(self, pointer: str, said: LastNamed, *, but: Path | None = None) -> None:
        """Forget what is out of date now that the registry ``said`` what is live, ``but`` where that is kept."""
        for directory in self._directories():
            named, live = directory / _named(pointer), directory / _live(pointer)
            if directory == but or _names(_last_named(named), said.created, said.version):
                continue
            verified = _last_live(live)
            if verified is not None and verified not in candidates(verified, said):
                self._forget(live)
            self._forget(named)

    def _forget(self, note: Path) -> None:
        """Remove a note. One that cannot be removed is not believed any more by this process, which warns once."""
        try:
            note.unlink(missing_ok=True)
        except OSError as error:
            text = _text_of(note)
            if not text:
                return
            if not any(known.parent == note.parent for known in _outdated):
                warn_outdated(self._about["model"], str(note), error.strerror or str(error))
            _outdated[note] = text

    def _directories(self) -> list[Path]:
        """Return where to look for what is kept of the model, each checked."""
        found = [self._in(root) for root in self._cache.roots]
        for directory in found:
            check_own(directory.parent)
            check_own(directory)
        return found

    def _slots(self, created: str, version: int) -> Iterator[Path]:
        """Yield where the entry of a version may be, each checked with all in it."""
        for directory in self._directories():
            check_own(directory / created)
            yield directory / created / str(version)

    def _made(self, created: str = "") -> Path:
        """Make the directory to write in and return it; one of the process where the cache's cannot be used."""
        while True:
            root = self._cache.roots[0]
            directory = self._in(root)
            try:
                _make_private(directory, created)
                if created:
                    check_locks(directory / "locks")
                if not (directory / _ABOUT).exists():
                    _replace(directory / _ABOUT, json.dumps(self._about))
                return directory / created
            except OSError as error:
                if root != self._cache.root or not self._cache.goes_without(error):
                    raise

    def _in(self, root: Path) -> Path:
        """Return the directory of the model below a root."""
        return root / _hashed(self._about["registry"]) / _hashed(self._about["model"])

    def _write(self, name: str, document: Mapping[str, Any]) -> Path:
        """Write a small document, whole or not at all; return the directory that it is in."""
        made = self._made()
        _replace(made / name, json.dumps(document))
        return made


def candidates(verified: LastLive | None, named: LastNamed | None) -> list[LastLive]:
    """Return the versions that may be served while the registry is silent, the best first."""
    if named is None:  # a cache of an earlier release, or of a disk that took no note: what is verified may be served
        return [] if verified is None else [verified]
    if named.version is None:
        return []
    asked_for = LastLive(named.created, named.version, named.at)
    if verified is None or verified.created != named.created:
        return [asked_for]
    if verified.version == named.version:
        return [verified]
    is_new = named.version > verified.version and named.version not in verified.earlier
    return [verified, asked_for] if is_new else [asked_for]


def _names(named: LastNamed | None, created: str, version: int | None) -> bool:
    """Tell whether a note of what the registry named says just that."""
    return named is not None and (named.created, named.version) == (created, version)


def user_cache_path() -> Path:
    """Return the user's cache directory for this library."""
    from platformdirs import user_cache_path as path_of  # takes long to import

    return path_of("prodpointer", appauthor=False)


def _absolute(chosen: str | Path | None) -> Path:
    """Return the directory that was chosen, or the user's."""
    try:
        directory = Path(chosen or user_cache_path()).expanduser()
    except RuntimeError as error:  # of a user without a home
        if not chosen:
            return Path(os.devnull, "prodpointer")  # which cannot be made
        raise ProdpointerError(
            f"The cache directory {str(chosen)!r} has no meaning here: {error}",
            next_step=f"Give a path without ~ with cache_dir= or {DIRECTORY_VARIABLE}.",
        ) from error
    with suppress(FileNotFoundError):  # of a working directory that was removed, which matters to what loads
        return directory.absolute()
    return directory


def _check_path(root: Path) -> None:
    """Raise where no directory can be at a path."""
    if not root.is_absolute():
        why = "is relative, and the working directory was removed before connecting"
    elif "\0" in str(root):
        why = "has a null character in it"
    else:
        try:
            os.fsencode(root)
        except UnicodeEncodeError:
            why = "has a character that this system cannot encode"
        else:
            return
    raise ProdpointerError(
        f"The cache is not used: the path of its directory {why}.",
        where=repr(str(root.parent)),
        next_step=f"Nothing was loaded. Choose another directory with cache_dir= or {DIRECTORY_VARIABLE}.",
    )


def _spare() -> Path:
    """Return the directory that takes what cannot be kept, the same for all of a process and removed at its end."""
    pid = os.getpid()
    if pid not in _spares:
        made = Path(tempfile.mkdtemp(prefix="prodpointer-"))
        if _spares.setdefault(pid, made) == made:  # of two threads one is first
            atexit.register(_remove_spare, pid, made)
        else:
            made.rmdir()
    return _spares[pid]


def _remove_spare(pid: int, directory: Path) -> None:
    """Remove the directory of a process at its end; a forked one inherits the call, and not the directory."""
    if os.getpid() == pid:
        shutil.rmtree(directory, ignore_errors=True)


def _make_private(directory: Path, created: str) -> None:
    """Make a directory of the cache so that nobody but the user can enter it."""
    root = directory.parent.parent
    root.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    check_root(root)
    for place in (root, directory.parent, directory, directory / created):
        with suppress(FileExistsError):
            place.mkdir(mode=_PRIVATE)
        check_own(place)
    if root.stat().st_mode & 0o077:
        root.chmod(_PRIVATE)


def _used(slot: Path, fits: Callable[[Entry], bool], digest_of: Callable[[Path], str]) -> tuple[Entry, Use] | None:
    """Return the entry in a slot if it is wanted and whole, with the use that keeps it there."""
    check_own(slot)
    check_own(slot / "used")
    try:
        use = Use.of(slot / "used")
    except NoLocks:
        return None
    if use is None:
        return None
    found = None
    try:
        check_tree(slot)
        entry = _entry(slot)
        if entry is not None and fits(entry) and entry.is_whole(digest_of):
            found = (entry, use)
    finally:
        if found is None:
            use.end()
    return found


def _filled(slot: Path, fetch: Callable[[Path], Entry]) -> None:
    """Fetch an entry beside its slot, and put it there once it is whole."""
    # Of its own: a download that was given up may go on to write into the one before.
    attempt = Path(tempfile.mkdtemp(prefix=_partial(slot), dir=slot.parent))
    try:
        (attempt / "artifact").mkdir()
        _described(fetch(attempt), attempt)
        _take_the_place(attempt, slot)
    finally:
        shutil.rmtree(attempt, ignore_errors=True)  # of a failed download: one that went well has moved


def _swept(root: Path) -> tuple[int, int]:
    """Remove what processes that were killed left behind; return the bytes removed, and those still in use."""
    removed = kept = 0
    for left in root.glob("*/*/*/.*-*"):
        with suppress(OSError):
            size = _size_of(left)
            if _is_left_behind(left):
                shutil.rmtree(left, ignore_errors=True)
                removed += size
            else:
                kept += size
    return removed, kept


def _is_left_behind(directory: Path) -> bool:
    """Tell whether a directory is a download whose process ended, or what is being removed for too long already."""
    from filelock import FileLock, Timeout

    if directory.name.startswith(_GONE):
        return time.time() - directory.lstat().st_mtime > _REMOVING
    version = directory.name.removeprefix(_PARTIAL).partition("-")[0]
    if not directory.name.startswith(_PARTIAL) or not version.isdecimal():
        return False
    try:
        with FileLock(directory.with_name(f"{version}.lock"), timeout=0, mode=0o600):
            return True
    except Timeout:
        return False


def _entries(root: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield when each entry was used last, its bytes and its directory."""
    for description in root.glob(f"*/*/*/*/{_ENTRY}"):
        directory = description.parent
        with suppress(OSError):
            yield (directory / "used").stat().st_mtime, _size_of(directory), directory


def _all_live(root: Path) -> set[Path]:
    """Return the entries that are live for anybody, and were seen to be within the last weeks."""
    found = set()
    oldest = datetime.now(timezone.utc) - _PINNED
    for file in (*root.glob("*/*/live-*.json"), *root.glob("*/*/named-*.json")):
        note = None
        with suppress(OSError, ProdpointerError):  # of a note that cannot be read, or is not the user's
            note = _last_named(file)
        if note is not None and note.at > oldest:
            found.add(file.parent / note.created / str(note.version))
    return found


def _first(version: int) -> str:
    """Return the name of the file of a first digest."""
    return f"{version}.first"


def _live(pointer: str) -> str:
    """Return the name of the file of a last live version."""
    return f"live-{_hashed(pointer)}.json"


def _named(pointer: str) -> str:
    """Return the name of the file of what the registry last named."""
    return f"named-{_hashed(pointer)}.json"


def _partial(slot: Path, end: str = "") -> str:
    """Return how the names of the directories begin in which a version is downloaded."""
    return f"{_PARTIAL}{slot.name}-{end}"


def discard(directory: Path) -> None:
    """Remove an entry: at once for who looks for it, then its bytes."""
    with suppress(OSError):
        doomed = Path(tempfile.mkdtemp(prefix=_GONE, dir=directory.parent))
        with suppress(OSError):
            directory.rename(doomed / directory.name)
        shutil.rmtree(doomed, ignore_errors=True)


def _take_the_place(new: Path, slot: Path) -> None:
    """Put a whole entry in a slot; what is there goes only now, and comes back where the new one cannot be moved."""
    old = Path(tempfile.mkdtemp(prefix=_GONE, dir=slot.parent))
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


@contextmanager
def _turn(file: str, stopped: Callable[[], bool]) -> Iterator[None]:
    """Hold the lock of a download until the block ends; whoever holds it now may take long."""
    from filelock import FileLock, Timeout  # takes long to import, and most commands never load

    lock = FileLock(file, mode=0o600)
    while True:
        try:
            lock.acquire(timeout=_LOOK_AGAIN)
            break
        except Timeout:
            if stopped():
                raise RegistryUnavailable("Download cancelled.", where=file) from None
    try:
        yield
    finally:
        lock.release()


def _bytes_allowed() -> int:
    """Return the size limit that the environment sets, or the default."""
    text = os.environ.get(BYTES_VARIABLE, "")
    if not text:
        return DEFAULT_BYTES
    if text.isdecimal():
        with suppress(ValueError):  # of thousands of digits
            return int(text)
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    raise ProdpointerError(
        f"Invalid number of bytes {shown!r}.", where=BYTES_VARIABLE, next_step="Give a whole number, such as 5000000."
    )


def _hashed(text: str) -> str:
    """Return a name for a directory that any text can have."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _entry(slot: Path) -> Entry | None:
    """Read what a slot says of its entry, or None where there is none or it says nothing; ``OSError`` for now."""
    try:
        check_own(slot)
        known = json.loads(_text_of(slot / _ENTRY) or "")
        tags = {str(key): str(value) for key, value in known["tags"].items()}
        found = Entry(slot, str(known["leaf"]), str(known["sha256"]), bool(known["recorded"]), tags)
    except _DAMAGED:
        return None
    is_name = found.leaf not in (".", "..") and not {"/", "\0"}.intersection(found.leaf)
    return found if is_name and _DIGEST.fullmatch(found.sha256) else None


def _description(entry: Entry) -> str:
    """Return what is kept of an entry as text; without its tags where they are too long to be read again."""
    known = {"leaf": entry.leaf, "sha256": entry.sha256, "recorded": entry.recorded}
    text = json.dumps({**known, "tags": dict(entry.tags)})
    return text if len(text) < _SMALL else json.dumps({**known, "tags": {}})


def _described(entry: Entry, directory: Path) -> None:
    """Write what a new entry is."""
    (directory / _ENTRY).write_text(_description(entry), encoding="utf-8")
    (directory / "used").touch(mode=0o600)
    close_tree(directory)


def _last_live(file: Path) -> LastLive | None:
    """Read a last live version, or None; ``OSError`` where that cannot be read now."""
    try:
        created, known = _noted(file)
        earlier = frozenset(int(each) for each in known.get("earlier", ()))
        return LastLive(created, int(known["version"]), _time(known["at"]), earlier)
    except _DAMAGED:
        return None


def _last_named(file: Path) -> LastNamed | None:
    """Read what the registry last named, or None; ``OSError`` where that cannot be read now."""
    try:
        created, known = _noted(file)
        version = known["version"]
        return LastNamed(created, None if version is None else int(version), _time(known["at"]))
    except _DAMAGED:
        return None


def _noted(file: Path) -> tuple[str, Mapping[str, Any]]:
    """Return the creation of the model and all else in a note, or raise one of ``_DAMAGED``."""
    text = _text_of(file) or ""
    known = json.loads("" if _outdated.get(file) == text else text)
    created = str(known["created"])
    if not _CREATED.fullmatch(created):
        raise ValueError(created)
    return created, known


def _time(text: str) -> datetime:
    """Return a time of a note in UTC."""
    return datetime.fromisoformat(text).astimezone(timezone.utc)


def _text_of(file: Path) -> str | None:
    """Return the beginning of a small file that only the user can have written; None where no regular file is."""
    if not check_own(file):
        return None
    try:
        handle = os.open(file, os.O_RDONLY | NO_WAITING)
    except OSError as error:
        if error.errno in _NO_NOTE:
            return None
        raise
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        return os.read(handle, _SMALL).decode("utf-8", "replace")
    finally:
        os.close(handle)


def _replace(file: Path, text: str) -> None:
    """Write a file whole: who reads it meanwhile gets the old text or the new one."""
    handle, name = tempfile.mkstemp(prefix=".new-", dir=file.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as new:
            new.write(text)
        try:
            Path(name).replace(file)
        except IsADirectoryError:  # where only a file of ours belongs
            discard(file)
            Path(name).replace(file)
    finally:
        Path(name).unlink(missing_ok=True)


def _size_of(directory: Path) -> int:
    """Return the bytes of the files below a directory, of those that are still there."""
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(parent, name).lstat().st_size
    return total
