"""From a version to verified bytes on this machine: from the cache, or downloaded once for all processes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar, get_args

from prodpointer._text import shortened
from prodpointer.artifacts.cache import Cache
from prodpointer.artifacts.digest import DigestAhead, check_digest, sha256_of
from prodpointer.artifacts.entries import CacheEntry, Examine, FirstDigest
from prodpointer.artifacts.last_known_good import LastLive, LiveNotes, VersionKey
from prodpointer.artifacts.loaders import LIBRARIES_TAG, MLFLOW_TAG, PYTHON_TAG
from prodpointer.artifacts.notes import PointerNotes
from prodpointer.errors import IntegrityError, InvalidName, ProdpointerError
from prodpointer.history import record
from prodpointer.mlflow_client import ArtifactStore, Registry, disk_error
from prodpointer.types import ModelVersion

Verify = Literal["warn", "required"]
Found = TypeVar("Found")

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_SHOWN = 80  # characters of what stands in the place of a digest
_EXPLAIN = (PYTHON_TAG, MLFLOW_TAG, LIBRARIES_TAG)


@dataclass(frozen=True)
class Target:
    """A version that is to be on this machine.

    ``version`` is None where the registry need not be asked: the cache has it, with the digest that was recorded.
    """

    key: VersionKey
    version: ModelVersion | None


def check_verify(verify: str) -> Verify:
    """Return what a caller demands of digests, or raise ``InvalidName``."""
    if verify not in get_args(Verify):
        raise InvalidName(f"Invalid verify={verify!r}.", next_step="Use 'warn' or 'required'.")
    return "required" if verify == "required" else "warn"


def read_recorded_digest(version: ModelVersion) -> str | None:
    """Return the digest that the registry records of a version, or None.

    A tag holds it, and each event by which the version went live. ``IntegrityError`` where they differ or one is not a
    SHA-256: one of them was changed.
    """
    promoted = {event.sha256 for event in record.events([version]) if event.to_version == version.version}
    found = {digest for digest in (version.sha256, *promoted) if digest}
    for digest in found:
        if not _DIGEST.fullmatch(digest):
            raise IntegrityError(
                f"The digest recorded of version {version.version} of {version.name!r} is not a SHA-256: "
                f"{shortened(digest, _SHOWN)!r}.",
                where=version.source,
                next_step="Nothing was loaded. Find out who changed a tag, and register the right bytes as a new "
                "version.",
            )
    if len(found) > 1:
        raise IntegrityError(
            f"Two digests are recorded of version {version.version} of {version.name!r}: {', '.join(sorted(found))}.",
            where=version.source,
            next_step="Nothing was loaded. Find out who changed a tag, and register the right bytes as a new version.",
        )
    return next(iter(found), None)


class Delivery:
    """Brings versions of one model to this machine; ``pointer`` tells what is live, for the notes about it."""

    def __init__(self, name: str, registry: Registry, artifacts: ArtifactStore, cache: Cache, pointer: str) -> None:
        self._name = name
        self._registry = registry
        self._artifacts = artifacts
        self._cache = cache.of(registry.addresses.identity, name)
        self._notes = PointerNotes(self._cache, pointer)

    def has_recorded(self, key: VersionKey) -> bool:
        """Tell whether the cache has a version with the digest that the registry records."""
        entry = self._cache.entry(key)
        return entry is not None and entry.recorded

    def digest_ahead(self) -> DigestAhead:
        """Start to digest the last-known-good version, if there is one: it is probably still live."""
        return DigestAhead(self._find_probably_live)

    @contextmanager
    def deliver(
        self,
        target: Target,
        *,
        verify: Verify,
        warn: Callable[[str, int], None],
        examine: Examine | None = None,
        adopting: bool = False,
        before: Callable[[str], object] = str,
    ) -> Iterator[CacheEntry]:
        """Give the verified bytes of a version, locked in the cache.

        The digest that was verified first on this machine is kept. From then on the version must have that one: bytes
        that were exchanged together with all that the registry records of them are noticed.

        ``warn`` is called with model and version where no digest is recorded, ``before`` with the name of the artifact
        before a download, which an exception prevents. ``examine`` digests bytes that are here. While ``adopting``, the
        registry may lack the digest, which is about to be recorded.

        Raises
        ------
        IntegrityError
            The bytes are not those that were registered, or have no recorded digest and that is required; or the digest
            that the registry records changed or disappeared since this machine verified it.
        ArtifactNotFound, RegistryUnavailable, RegistryError
            The bytes cannot be downloaded.
        """
        number = target.key.version
        with self._translate_disk_errors(f"store version {number} of {self._name!r} in the cache"):
            first = self._first_digest(target.key, adopting=adopting)
        expected = None if target.version is None else self._check_recorded(target.version, first, adopting=adopting)
        if target.version is not None and expected is None:
            self._check_allowed(number, verify)
        obtaining = self._cache.obtain(
            target.key,
            fetch=partial(self._fetch, target, first, before, adopting=adopting),
            sha256=expected or (first.sha256 if first else None),
            examine=examine,
            is_stopped=self._artifacts.is_stopped,
        )
        with self._open_cache(number, obtaining) as entry:
            known = self._keep_digest(target.key, entry, recorded=expected is not None or entry.recorded)
            if not known.recorded:
                self._check_allowed(number, verify)
                warn(self._name, number)
            yield known

    def mark_recorded(self, target: Target) -> None:
        """Keep that the registry records the digest of a version by now."""
        entry = self._cache.entry(target.key)
        if entry is not None:
            self._keep_digest(target.key, entry, recorded=True)

    def last_known_good(self) -> LastLive | None:
        """Return the version to serve while the registry is down, or None; see ``LiveNotes.candidates``."""
        found = self._find_last_known_good()
        return None if found is None else found[0]

    def last_named(self) -> int | None:
        """Return the number of the version that the registry last named, or None where it named none."""
        named = self._read_notes().named
        return named.key.version if named is not None and named.key is not None else None

    def explain_no_last_known_good(self) -> str:
        """Say what the registry last named and what is here; the empty text where nothing is known of either."""
        return self._read_notes().explain_none()

    @contextmanager
    def deliver_last_known_good(
        self, last: LastLive, *, verify: Verify, why: ProdpointerError, examine: Examine | None = None
    ) -> Iterator[CacheEntry]:
        """Give the bytes of a last-known-good version without the registry; raise ``why`` where that is impossible.

        Nothing is downloaded or removed.
        """
        with self._open_cache(last.key.version, self._cache.find(last.key, examine=examine)) as entry:
            if entry is None or (verify == "required" and not entry.recorded):
                raise why
            yield entry

    def note_verified(self, key: VersionKey) -> None:
        """Note a version that was live just now as last-known-good; a note that fails does not fail the load."""
        with suppress(OSError):
            self._notes.note_verified(key)

    def note_named(self, key: VersionKey | None, *, first: bool = False) -> None:
        """Note what the registry said is live, None for nothing.

        Where that cannot be written, the notes that it makes outdated are removed; where they cannot be removed either,
        there is a warning. Where this pointer has no notes yet, only the ``first`` that is to be loaded is noted.
        """
        with suppress(OSError, ProdpointerError):
            if first or self._read_notes() != LiveNotes():
                self._notes.note_named(key)
            if key is None:
                self._notes.forget_verified()

    @contextmanager
    def _open_cache(self, number: int, giving: AbstractContextManager[Found]) -> Iterator[Found]:
        """Give what the cache gives of a version; an error of this machine's disk becomes one of this library."""
        with ExitStack() as stack:
            with self._translate_disk_errors(f"store version {number} of {self._name!r} in the cache"):
                found = stack.enter_context(giving)
            yield found

    @contextmanager
    def _translate_disk_errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise disk_error(doing, error) from error

    def _read_notes(self) -> LiveNotes:
        with self._translate_disk_errors(f"read which version of {self._name!r} was live here"):
            return self._notes.read()

    def _find_probably_live(self) -> Path | None:
        """Return where the last-known-good version is, or None without one."""
        found = None
        with suppress(OSError, ProdpointerError):  # raised again where the bytes are needed
            found = self._find_last_known_good()
        return None if found is None else found[1].path

    def _find_last_known_good(self) -> tuple[LastLive, CacheEntry] | None:
        """Return the last-known-good version and its entry, or None."""
        for last in self._read_notes().candidates():
            entry = self._cache.entry(last.key)
            if entry is not None:
                return last, entry
        return None

    def _fetch(
        self,
        target: Target,
        first: FirstDigest | None,
        before: Callable[[str], object],
        partial_entry: Path,
        *,
        adopting: bool,
    ) -> CacheEntry:
        """Download and verify a version into a new entry."""
        number = target.key.version
        version = target.version or self._registry.version(self._name, number)
        recorded = self._check_recorded(version, first, adopting=adopting)
        location = self._artifacts.location_of(version)
        before(location.rstrip("/").rpartition("/")[2])
        path = self._artifacts.download(location, partial_entry / "artifact")
        expected = recorded or (first.sha256 if first else None)
        if expected is not None:
            check_digest(path, expected, f"version {number} of {self._name!r}")
        tags = {key: version.tags[key] for key in _EXPLAIN if key in version.tags}
        return CacheEntry(partial_entry, path.name, expected or sha256_of(path), recorded is not None, tags)

    def _check_recorded(self, version: ModelVersion, first: FirstDigest | None, *, adopting: bool) -> str | None:
        """Return the digest that the registry records, or None; refuse another one than was verified here first."""
        recorded = read_recorded_digest(version)
        if first is None or recorded == first.sha256 or (recorded is None and (adopting or not first.recorded)):
            return recorded
        what = "was removed" if recorded is None else f"is {recorded} now"
        raise IntegrityError(
            f"The recorded digest of version {version.version} of {self._name!r} {what}. This machine verified "
            f"{first.sha256} first.",
            where=self._registry.addresses.shown,
            next_step="Nothing was loaded. Find out who changed the version's tags. To record the first digest again: "
            f"prodpointer adopt {self._name} {version.version}. Register other bytes as a new version.",
        )

    def _first_digest(self, key: VersionKey, *, adopting: bool) -> FirstDigest | None:
        """Return the digest that was verified first, or None; a damaged one is replaced by adopting."""
        try:
            return self._cache.first_digest(key)
        except IntegrityError:
            if not adopting:
                raise
            return None

    def _keep_digest(self, key: VersionKey, entry: CacheEntry, *, recorded: bool) -> CacheEntry:
        """Keep the digest of a verified entry for later loads; a cache that cannot be written keeps what it has."""
        known, digest = replace(entry, recorded=recorded), FirstDigest(entry.sha256, recorded)
        with suppress(OSError):
            if self._first_digest(key, adopting=True) != digest:
                self._cache.keep_first_digest(key, digest)
            if recorded and not entry.recorded:
                known.write_description()
        return known

    def _check_allowed(self, number: int, verify: Verify) -> None:
        """Raise ``IntegrityError`` for a version without a recorded digest where one is required."""
        if verify == "required":
            raise IntegrityError(
                f"Version {number} of {self._name!r} has no recorded digest, and one is required.",
                where=self._registry.addresses.shown,
                next_step=f"Make sure of its bytes, then record them: prodpointer adopt {self._name} {number}.",
            )
