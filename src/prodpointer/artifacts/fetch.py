"""From a version to verified bytes on this machine: out of the cache, or downloaded once for everybody."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar, get_args

from prodpointer._text import shortened
from prodpointer.artifacts.cache import Cache, Entry, LastLive, LastNamed, Pin, candidates
from prodpointer.artifacts.digest import DigestAhead, check_digest, sha256_of
from prodpointer.artifacts.loaders import LIBRARIES_TAG, MLFLOW_TAG, PYTHON_TAG
from prodpointer.artifacts.locks import Use
from prodpointer.errors import IntegrityError, InvalidName, ProdpointerError
from prodpointer.history import log
from prodpointer.mlflow_client.artifact_store import ArtifactStore, refused_by_disk
from prodpointer.mlflow_client.registry import Registry
from prodpointer.types import ModelVersion

Verify = Literal["warn", "required"]
Found = TypeVar("Found")

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_SHOWN = 80  # characters of what stands in the place of a digest
_EXPLAIN = (PYTHON_TAG, MLFLOW_TAG, LIBRARIES_TAG)


@dataclass(frozen=True)
class Target:
    """A version that is to be on this machine.

    ``created`` names the creation of its model, for a model that was deleted and made again restarts at version 1.
    ``version`` is None where the registry need not be asked: the cache has it, with the digest that was recorded.
    """

    number: int
    created: str
    version: ModelVersion | None


def created_name(at: datetime | None) -> str:
    """Return the name of a model's creation: its time in milliseconds."""
    return "unknown" if at is None else str(round(at.timestamp() * 1000))


def checked_verify(verify: str) -> Verify:
    """Return what a caller demands of digests, or raise ``InvalidName``."""
    if verify not in get_args(Verify):
        raise InvalidName(f"{verify!r} says nothing about digests.", next_step="Use 'warn' or 'required'.")
    return "required" if verify == "required" else "warn"


def recorded_digest(version: ModelVersion) -> str | None:
    """Return the digest that the registry records of a version, or None.

    It stands in a tag and in each event by which the version went live; ``IntegrityError`` where they differ or one is
    not a SHA-256, for then somebody changed one of them.
    """
    promoted = {event.sha256 for event in log.events([version]) if event.to_version == version.version}
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
    """Brings versions of one model to this machine.

    Parameters
    ----------
    name, registry
        The model and where it is registered.
    artifacts
        What downloads.
    cache
        Where downloads are kept.
    pointer
        Which pointer tells what is live, for what is kept of it.
    """

    def __init__(self, name: str, registry: Registry, artifacts: ArtifactStore, cache: Cache, pointer: str) -> None:
        """Bind the five; nothing is asked or made yet."""
        self._name = name
        self._registry = registry
        self._artifacts = artifacts
        self._kept = cache.of(registry.addresses.identity, name)
        self._pointer = pointer

    def has_recorded(self, created: str, number: int) -> bool:
        """Tell whether the cache has a version with the digest that the registry records."""
        entry = self._kept.entry(created, number)
        return entry is not None and entry.recorded

    def digest_ahead(self) -> DigestAhead:
        """Begin to digest the last-known-good version, if there is one: it is probably still live."""
        return DigestAhead(self._probably_live)

    @contextmanager
    def delivered(
        self,
        target: Target,
        *,
        verify: Verify,
        warn: Callable[[str, int], None],
        digest_of: Callable[[Path], str] = sha256_of,
        adopting: bool = False,
        before: Callable[[str], object] = str,
    ) -> Iterator[tuple[Entry, Use]]:
        """Give the verified bytes of a version, and the use that keeps them there.

        The digest that was verified first on this machine is kept. From then on a version has that one: bytes that
        were exchanged together with everything that the registry records of them are noticed.

        Parameters
        ----------
        target
            The version.
        verify
            ``"required"`` refuses a version of which no digest is recorded.
        warn
            Called with model and version where no digest is recorded.
        digest_of
            What gives the SHA-256 of the bytes here, such as a digest that was begun before.
        adopting
            Whether the digest is about to be recorded, so that it may be missing in the registry.
        before
            Called with the name of the artifact before it is downloaded; what it raises keeps it from that.

        Raises
        ------
        IntegrityError
            The bytes are not those that were registered, or nobody recorded them and that is required; or the digest
            that the registry records changed or disappeared since this machine verified it.
        ArtifactNotFound, RegistryUnavailable, RegistryError
            They cannot be had.
        """
        with self._disk_told(f"keep version {target.number} of {self._name!r} here"):
            pin = self._pin(target, adopting=adopting)
        expected = None if target.version is None else self._recorded(target.version, pin, adopting=adopting)
        if target.version is not None and expected is None:
            self._check_allowed(target.number, verify)
        fits = partial(_fits, expected or (pin.sha256 if pin else None))
        fetch = partial(self._fetch, target, pin, before, adopting=adopting)
        obtaining = self._kept.obtained(
            target.created,
            target.number,
            fits=fits,
            fetch=fetch,
            digest_of=digest_of,
            stopped=self._artifacts.is_stopped,
        )
        with self._on_this_machine(target.number, obtaining) as (entry, use):
            known = self._kept_as(target, entry, recorded=expected is not None or entry.recorded)
            if not known.recorded:
                self._check_allowed(target.number, verify)
                warn(self._name, target.number)
            yield known, use

    def saw_recorded(self, target: Target) -> None:
        """Keep that the registry records the digest of a version by now."""
        entry = self._kept.entry(target.created, target.number)
        if entry is not None:
            self._kept_as(target, entry, recorded=True)

    def last_known_good(self) -> LastLive | None:
        """Return the version to serve while the registry is silent, or None.

        It is the one that the registry last named, if its bytes are here. A version newer than any that was live here
        does not take the service away from the one before: as long as it has not been live here itself, the last
        verified live version is served. After a move back, to an older version or to one that was live here before,
        only that version is served; after a withdrawal, none.
        """
        found = self._last_here()
        return None if found is None else found[0]

    def last_named(self) -> int | None:
        """Return the number that the registry last named, or None where it named none."""
        last = self._notes()[1]
        return None if last is None else last.version

    def why_no_last_known_good(self) -> str:
        """Return what the registry last named and what is here, or the empty text where nothing is known of either."""
        verified, named = self._notes()
        if named is None:
            return ""
        if named.version is None:
            return "When the registry last answered, nothing was live."
        here = "" if verified is None else f" Version {verified.version} was live before, and is not live any more."
        return f"The registry last named version {named.version}, and its bytes are not on this machine.{here}"

    @contextmanager
    def last_delivered(
        self,
        last: LastLive,
        *,
        verify: Verify,
        why: ProdpointerError,
        digest_of: Callable[[Path], str] = sha256_of,
    ) -> Iterator[tuple[Entry, Use]]:
        """Give the bytes of a last-known-good version without the registry; raise ``why`` where that cannot be.

        They are only looked for: nothing is fetched or removed.
        """

        def fits(entry: Entry) -> bool:
            return entry.recorded or verify != "required"

        looking = self._kept.found(last.created, last.version, fits=fits, digest_of=digest_of)
        with self._on_this_machine(last.version, looking) as found:
            if found is None:
                raise why
            yield found

    def saw_live(self, target: Target) -> None:
        """Keep a version as the last-known-good one; a cache that cannot be written keeps the one before."""
        self._kept.saw_live(self._pointer, target.created, target.number)

    def saw_named(self, created: str, number: int | None, *, first: bool = False) -> None:
        """Keep what the registry said is live, None for nothing.

        Where that cannot be written, what says otherwise is removed; where it cannot be removed either, there is a
        warning.

        Parameters
        ----------
        created, number
            Which version.
        first
            Whether to keep it also where nothing of this pointer is kept yet, as for a version that is to be loaded.
        """
        with suppress(OSError, ProdpointerError):
            if first or self._is_noted():
                self._kept.saw_named(self._pointer, created, number)
            if number is None:
                self._kept.forget_live(self._pointer)

    def saw_nothing_live(self) -> None:
        """Keep that nothing is live: a withdrawal was seen, or the model was deleted."""
        self.saw_named("unknown", None)

    def _is_noted(self) -> bool:
        """Tell whether anything is kept of this pointer."""
        return self._notes() != (None, None)

    @contextmanager
    def _on_this_machine(self, number: int, giving: AbstractContextManager[Found]) -> Iterator[Found]:
        """Give what the cache gives of a version; what this machine's disk refuses is an error of ours."""
        with ExitStack() as stack:
            with self._disk_told(f"keep version {number} of {self._name!r} here"):
                found = stack.enter_context(giving)
            yield found

    @contextmanager
    def _disk_told(self, doing: str) -> Iterator[None]:
        """Turn what this machine's disk refuses into an error of ours."""
        try:
            yield
        except OSError as error:
            raise refused_by_disk(doing, error) from error

    def _notes(self) -> tuple[LastLive | None, LastNamed | None]:
        """Return what was last verified and last named; one that cannot be read is not taken for one that is not."""
        with self._disk_told(f"read which version of {self._name!r} was live here"):
            return self._kept.last_live(self._pointer), self._kept.last_named(self._pointer)

    def _probably_live(self) -> Path | None:
        """Return where the last-known-good version is, or None without one."""
        found = None
        with suppress(OSError, ProdpointerError):  # said by whoever asks for the bytes
            found = self._last_here()
        return None if found is None else found[1].path

    def _last_here(self) -> tuple[LastLive, Entry] | None:
        """Return the last-known-good version and its entry, or None; see ``last_known_good``."""
        for last in candidates(*self._notes()):
            entry = self._kept.entry(last.created, last.version)
            if entry is not None:
                return last, entry
        return None

    def _fetch(
        self,
        target: Target,
        pin: Pin | None,
        before: Callable[[str], object],
        partial_entry: Path,
        *,
        adopting: bool,
    ) -> Entry:
        """Download and verify a version into a new entry."""
        version = target.version or self._registry.version(self._name, target.number)
        expected = self._recorded(version, pin, adopting=adopting)
        location = self._artifacts.location_of(version)
        before(location.rstrip("/").rpartition("/")[2])
        path = self._artifacts.download(location, partial_entry / "artifact")
        fixed = expected or (pin.sha256 if pin else None)
        if fixed is not None:
            check_digest(path, fixed, f"version {target.number} of {self._name!r}")
        digest = fixed or sha256_of(path)
        tags = {key: version.tags[key] for key in _EXPLAIN if key in version.tags}
        return Entry(partial_entry, path.name, digest, expected is not None, tags)

    def _recorded(self, version: ModelVersion, pin: Pin | None, *, adopting: bool) -> str | None:
        """Return the digest that the registry records, or None; refuse another one than was verified here first."""
        recorded = recorded_digest(version)
        if pin is None or recorded == pin.sha256 or (recorded is None and (adopting or not pin.recorded)):
            return recorded
        what = "was removed" if recorded is None else f"is {recorded} now"
        raise IntegrityError(
            f"The recorded digest of version {version.version} of {self._name!r} {what}. This machine verified "
            f"{pin.sha256} first.",
            where=self._registry.addresses.shown,
            next_step="Nothing was loaded. Find out who changed the version's tags. To record the first digest again: "
            f"prodpointer adopt {self._name} {version.version}. Register other bytes as a new version.",
        )

    def _pin(self, target: Target, *, adopting: bool) -> Pin | None:
        """Return the digest that was verified first, or None; to adopt one replaces a note that is damaged."""
        try:
            return self._kept.pin(target.created, target.number)
        except IntegrityError:
            if not adopting:
                raise
            return None

    def _kept_as(self, target: Target, entry: Entry, *, recorded: bool) -> Entry:
        """Keep the digest of a verified entry for later loads; a cache that cannot be written keeps what it has."""
        pin = Pin(entry.sha256, recorded)
        with suppress(OSError):
            if self._pin(target, adopting=True) != pin:
                self._kept.set_pin(target.created, target.number, pin)
            if recorded and not entry.recorded:
                self._kept.set_recorded(entry)
        return replace(entry, recorded=recorded)

    def _check_allowed(self, number: int, verify: Verify) -> None:
        """Raise ``IntegrityError`` for a version without a recorded digest where one is required."""
        if verify == "required":
            raise IntegrityError(
                f"Version {number} of {self._name!r} carries no digest, and one is required.",
                where=self._registry.addresses.shown,
                next_step=f"Make sure of its bytes, then record them: prodpointer adopt {self._name} {number}.",
            )


def _fits(expected: str | None, entry: Entry) -> bool:
    """Tell whether an entry is what the registry records."""
    return expected is None or entry.sha256 == expected
