"""Verified downloads on this machine, one of each for the user, whatever happens to who writes them.

::

    <root>/v1/<registry>/<model>/
        about.json                  which registry and which model, for people who look
        live-<pointer>.json         the last verified live version
        named-<pointer>.json        what the registry last said is live, whether or not its bytes are here
        <created>/<version>/        one entry; a model that was deleted and made again was created at another time
            artifact/...            the bytes
            entry.json              their digest, and whether the registry had recorded it
            used                    locked while somebody uses the bytes; its time is when they were used last
        <created>/<version>.lock    held by who downloads
        <created>/.partial-<version>-<random>/  one attempt to download; of no use once the lock is free
        <created>/<version>.first   the digest that the first download fixed, where the registry records none

Nothing here is trusted for being here: bytes are digested each time before they are used. The directory belongs to one
user, and nobody else can read or write in it.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from prodpointer.artifacts import sha256_of
from prodpointer.errors import ArtifactNotFound, ProdpointerError, RegistryUnavailable
from prodpointer.in_use import Use, unused
from prodpointer.notices import warn_uncached

DIRECTORY_VARIABLE = "PRODPOINTER_CACHE_DIR"
BYTES_VARIABLE = "PRODPOINTER_CACHE_BYTES"
DEFAULT_BYTES = 20 * 1024**3

_LAYOUT = "v1"
_PRIVATE = 0o700
_TOO_SOON = timedelta(seconds=1)  # to write again that the same version is live
_MOST_EARLIER = 100  # numbers kept of the versions that were live here before
_GONE = ".gone-"  # how the names of directories begin that hold what is being removed
_LOOK_AGAIN = 0.5  # seconds between two looks at whether anybody still waits


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
        except (ArtifactNotFound, FileNotFoundError, NotADirectoryError):
            return False


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

    Parameters
    ----------
    directory
        Where they are; by default ``PRODPOINTER_CACHE_DIR``, else the user's cache directory. They may take
        ``PRODPOINTER_CACHE_BYTES``, else 20 GiB.
    """

    def __init__(self, directory: str | Path | None = None) -> None:
        """Bind place and size; nothing is made yet."""
        chosen = directory or os.environ.get(DIRECTORY_VARIABLE) or user_cache_path("prodpointer", appauthor=False)
        self.root: Path = Path(chosen).expanduser().absolute() / _LAYOUT
        self.limit: int = _bytes_allowed()

    @classmethod
    def usable(cls, directory: str | Path | None = None) -> Cache:
        """Return the cache; where nobody chose one and the user's cannot be written, one that ends with the process."""
        cache = cls(directory)
        if directory or os.environ.get(DIRECTORY_VARIABLE):
            return cache
        try:
            cache.private(cache.root)
        except OSError as error:
            own = tempfile.mkdtemp(prefix="prodpointer-")
            atexit.register(shutil.rmtree, own, ignore_errors=True)
            warn_uncached(str(cache.root), error.strerror or str(error), DIRECTORY_VARIABLE)
            return cls(own)
        return cache

    def of(self, registry: str, model: str) -> ModelCache:
        """Return what is kept of one model of one registry."""
        return ModelCache(self, registry, model)

    def private(self, directory: Path) -> None:
        """Make a directory of the cache so that nobody but the user can enter it."""
        self.root.parent.mkdir(parents=True, exist_ok=True)
        for each in (self.root, *reversed(directory.relative_to(self.root).parents), directory):
            place = self.root / each
            with suppress(FileExistsError):
                place.mkdir(mode=_PRIVATE)
        self._check_owner()

    def _check_owner(self) -> None:
        """Raise where the cache belongs to somebody else: whoever can write there decides what is loaded."""
        if not hasattr(os, "getuid"):
            return
        about = self.root.stat()
        if about.st_uid != os.getuid():
            raise ProdpointerError(
                "The cache belongs to another user.",
                where=str(self.root),
                next_step=f"Choose a directory of your own with cache_dir= or {DIRECTORY_VARIABLE}.",
            )
        if about.st_mode & 0o077:
            self.root.chmod(_PRIVATE)

    def make_room(self) -> None:
        """Remove the least recently used entries until the rest fits; never one that is live or in use."""
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        live = self._live()
        for _, size, directory in entries:
            if total <= self.limit:
                return
            if directory in live:
                continue
            with unused(directory / "used") as free:
                if free:
                    discard(directory)
                    total -= size

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """Yield when each entry was used last, its bytes and its directory."""
        for description in self.root.glob("*/*/*/*/entry.json"):
            directory = description.parent
            with suppress(OSError):
                yield (directory / "used").stat().st_mtime, _size_of(directory), directory

    def _live(self) -> set[Path]:
        """Return the entries that are live for anybody."""
        found = set()
        for file in self.root.glob("*/*/live-*.json"):
            last = _last_live(file)
            if last is not None:
                found.add(file.parent / last.created / str(last.version))
        return found


class ModelCache:
    """What is kept of one model; see :class:`Cache`."""

    def __init__(self, cache: Cache, registry: str, model: str) -> None:
        """Bind the place; nothing is made yet."""
        self._cache = cache
        self._about = {"registry": registry, "model": model}
        self._directory = cache.root / _hashed(registry) / _hashed(model)

    def entry(self, created: str, version: int) -> Entry | None:
        """Return the entry of a version, or None; its bytes are still to be checked."""
        try:
            return _entry(self._slot(created, version))
        except OSError:
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
        found = self._used(self._slot(created, version), fits, digest_of)
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
        slot = self._slot(created, version)
        found = self._used(slot, fits, digest_of) or self._fetched(slot, fits, fetch, stopped)
        try:
            yield found
        finally:
            found[1].end()

    def _used(
        self, slot: Path, fits: Callable[[Entry], bool], digest_of: Callable[[Path], str] = sha256_of
    ) -> tuple[Entry, Use] | None:
        """Return the entry in a slot if it is wanted and whole, with the use that keeps it there."""
        entry = _entry(slot)
        if entry is None or not fits(entry):
            return None
        use = Use.of(slot / "used")
        if use is None:
            return None
        whole = False
        try:
            whole = entry.is_whole(digest_of)
        finally:
            if not whole:
                use.end()
        return (entry, use) if whole else None

    def _fetched(
        self, slot: Path, fits: Callable[[Entry], bool], fetch: Callable[[Path], Entry], stopped: Callable[[], bool]
    ) -> tuple[Entry, Use]:
        """Fetch an entry unless another process has done so by the time it is our turn."""
        self._cache.private(slot.parent)
        self._write(self._directory / "about.json", self._about)
        with _turn(f"{slot}.lock", stopped):
            found = self._used(slot, fits)
            if found is not None:
                return found
            for left in slot.parent.glob(_partial(slot, "*")):
                shutil.rmtree(left, ignore_errors=True)  # of a download that was given up or killed: we hold its lock
            # Of its own: a download that was given up may go on to write into the one before.
            partial = Path(tempfile.mkdtemp(prefix=_partial(slot), dir=slot.parent))
            try:
                (partial / "artifact").mkdir()
                entry = fetch(partial)
                _described(entry, partial)
                _take_the_place(partial, slot)
            finally:
                shutil.rmtree(partial, ignore_errors=True)  # of a failed download: one that went well has moved
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

    def first_digest(self, created: str, version: int) -> str | None:
        """Return the digest that the first download of a version on this machine fixed, or None."""
        try:
            return self._first(created, version).read_text(encoding="ascii").strip() or None
        except OSError:
            return None

    def fix_digest(self, created: str, version: int, sha256: str) -> None:
        """Keep the digest of a first download, for every later one."""
        _replace(self._first(created, version), sha256)

    def last_live(self, pointer: str) -> LastLive | None:
        """Return the last verified live version by a pointer, or None."""
        return _last_live(self._live(pointer))

    def saw_live(self, pointer: str, created: str, version: int) -> None:
        """Keep which version was live just now, to the second; its entry is never evicted while it is."""
        before = self.last_live(pointer)
        now = datetime.now(timezone.utc)
        same = before is not None and (before.created, before.version) == (created, version)
        if before is not None and same and timedelta(0) <= now - before.at < _TOO_SOON:
            return
        known = {"created": created, "version": version, "at": now.isoformat()}
        earlier = before.earlier | {before.version} if before is not None and before.created == created else ()
        self._write(self._live(pointer), {**known, "earlier": sorted(earlier)[-_MOST_EARLIER:]})
        if before is not None and before.version != version:
            self._cache.make_room()  # the one before may go now

    def last_named(self, pointer: str) -> LastNamed | None:
        """Return what the registry last said is live by a pointer, or None where nothing of that is kept."""
        return _last_named(self._named(pointer))

    def saw_named(self, pointer: str, created: str, version: int | None) -> None:
        """Keep what the registry said just now is live."""
        last = self.last_named(pointer)
        if last is None or (last.created, last.version) != (created, version):
            now = datetime.now(timezone.utc)
            self._write(self._named(pointer), {"created": created, "version": version, "at": now.isoformat()})

    def forget_live(self, pointer: str) -> None:
        """Forget the last verified live version, so that it may be evicted."""
        with suppress(OSError):
            self._live(pointer).unlink(missing_ok=True)

    def _slot(self, created: str, version: int) -> Path:
        """Return the directory of an entry."""
        return self._directory / created / str(version)

    def _first(self, created: str, version: int) -> Path:
        """Return the file of a first digest."""
        return self._directory / created / f"{version}.first"

    def _live(self, pointer: str) -> Path:
        """Return the file of a last live version."""
        return self._directory / f"live-{_hashed(pointer)}.json"

    def _named(self, pointer: str) -> Path:
        """Return the file of what the registry last named."""
        return self._directory / f"named-{_hashed(pointer)}.json"

    def _write(self, file: Path, document: Mapping[str, Any]) -> None:
        """Write a small document, whole or not at all."""
        self._cache.private(file.parent)
        _replace(file, json.dumps(document))


def _partial(slot: Path, end: str = "") -> str:
    """Return how the names of the directories begin in which a version is downloaded."""
    return f".partial-{slot.name}-{end}"


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
    lock = FileLock(file)
    while True:
        try:
            lock.acquire(timeout=_LOOK_AGAIN)
            break
        except Timeout:
            if stopped():
                raise RegistryUnavailable("Nobody waits for the download any more.", where=file) from None
    try:
        yield
    finally:
        lock.release()


def _bytes_allowed() -> int:
    """Return the size limit that the environment sets, or the default."""
    text = os.environ.get(BYTES_VARIABLE, "")
    if not text:
        return DEFAULT_BYTES
    if not text.isdecimal():
        raise ProdpointerError(
            f"{text!r} is no number of bytes.", where=BYTES_VARIABLE, next_step="Give a whole number, such as 5000000."
        )
    return int(text)


def _hashed(text: str) -> str:
    """Return a name for a directory that any text can have."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _entry(slot: Path) -> Entry | None:
    """Read what a slot says of its entry, or None where there is none or it says nothing; ``OSError`` for now."""
    try:
        known = json.loads((slot / "entry.json").read_text(encoding="utf-8"))
        return Entry(slot, str(known["leaf"]), str(known["sha256"]), bool(known["recorded"]), dict(known["tags"]))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def _described(entry: Entry, directory: Path) -> None:
    """Write what a new entry is."""
    known = {"leaf": entry.leaf, "sha256": entry.sha256, "recorded": entry.recorded, "tags": dict(entry.tags)}
    (directory / "entry.json").write_text(json.dumps(known), encoding="utf-8")
    (directory / "used").touch(mode=0o600)


def _last_live(file: Path) -> LastLive | None:
    """Read a last live version, or None."""
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        at = datetime.fromisoformat(known["at"]).astimezone(timezone.utc)
        earlier = frozenset(int(each) for each in known.get("earlier", ()))
        return LastLive(str(known["created"]), int(known["version"]), at, earlier)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _last_named(file: Path) -> LastNamed | None:
    """Read what the registry last named, or None."""
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        at = datetime.fromisoformat(known["at"]).astimezone(timezone.utc)
        version = known["version"]
        return LastNamed(str(known["created"]), None if version is None else int(version), at)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _replace(file: Path, text: str) -> None:
    """Write a file whole: who reads it meanwhile gets the old text or the new one."""
    handle, name = tempfile.mkstemp(prefix=".new-", dir=file.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as new:
            new.write(text)
        Path(name).replace(file)
    finally:
        Path(name).unlink(missing_ok=True)


def _size_of(directory: Path) -> int:
    """Return the bytes of the files below a directory."""
    return sum(Path(parent, name).stat().st_size for parent, _, names in os.walk(directory) for name in names)
