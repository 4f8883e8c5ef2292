"""Which version may be served while the registry is down: decided from two notes of this machine, without I/O."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

_CREATED = re.compile(r"[\w-]{1,64}")  # the name of a directory of the cache
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
_TOO_SOON = timedelta(seconds=1)  # to note again that the same version is live
_MOST_EARLIER = 100  # numbers kept of the versions that were live on this machine before


@dataclass(frozen=True)
class VersionKey:
    """One version of one creation of a model: a model that was deleted and created again restarts at version 1."""

    created: str
    version: int

    @classmethod
    def of(cls, created_at: datetime | None, version: int) -> VersionKey:
        """Return the key of a version by the time at which its model was created."""
        return cls("unknown" if created_at is None else str(round(created_at.timestamp() * 1000)), version)


@dataclass(frozen=True)
class LastLive:
    """The last version that was live and verified on this machine, and when it was last seen live.

    ``earlier`` are the numbers of the versions that were so before it.
    """

    key: VersionKey
    at: datetime
    earlier: frozenset[int] = frozenset()

    def as_text(self) -> str:
        """Return the note of it."""
        return json.dumps({**_describe(self.key, self.at), "earlier": sorted(self.earlier)})

    @classmethod
    def from_text(cls, text: str) -> LastLive | None:
        """Read a note; None for a damaged one."""
        try:
            known = json.loads(text)
            return cls(_key_in(known), _time_in(known), frozenset(int(each) for each in known.get("earlier", ())))
        except _DAMAGED:
            return None


@dataclass(frozen=True)
class LastNamed:
    """The version that the registry last named as live, None for none. Its bytes need not be on this machine."""

    key: VersionKey | None
    at: datetime

    def as_text(self) -> str:
        """Return the note of it."""
        return json.dumps(_describe(self.key, self.at))

    @classmethod
    def from_text(cls, text: str) -> LastNamed | None:
        """Read a note, also one of ``LastLive``; None for a damaged one."""
        try:
            known = json.loads(text)
            return cls(None if known["version"] is None else _key_in(known), _time_in(known))
        except _DAMAGED:
            return None


@dataclass(frozen=True)
class LiveNotes:
    """The two notes of one pointer."""

    verified: LastLive | None = None
    named: LastNamed | None = None

    def candidates(self) -> list[LastLive]:
        """Return the versions that may be served while the registry is down, the best first.

        That is the version that the registry last named. A newer version than any that was live on this machine does
        not end the service: until it has been live here itself, the last verified version comes first. After a move
        back, to an older version or to one that was live here before, only that version may be served; after a
        withdrawal, none.
        """
        verified, named = self.verified, self.named
        if named is None:  # on a disk that took no note of it
            return [] if verified is None else [verified]
        if named.key is None:
            return []
        asked_for = LastLive(named.key, named.at)
        if verified is None or verified.key.created != named.key.created:
            return [asked_for]
        if verified.key == named.key:
            return [verified]
        is_new = named.key.version > verified.key.version and named.key.version not in verified.earlier
        return [verified, asked_for] if is_new else [asked_for]

    def names(self, key: VersionKey | None) -> bool:
        """Tell whether the registry is known to have named a version last, None for none."""
        return self.named is not None and self.named.key == key

    def valid_after(self, said: LastNamed) -> LiveNotes:
        """Return the notes that stay valid once the registry ``said`` what is live and that cannot be noted.

        Whatever is left never leads to a version that was rolled back from.
        """
        if self.names(said.key):
            return self
        is_valid = self.verified is not None and self.verified in LiveNotes(self.verified, said).candidates()
        return LiveNotes(self.verified if is_valid else None, None)

    def verified_next(self, key: VersionKey, now: datetime) -> LastLive | None:
        """Return the note to write of a version that is live and verified ``now``; None if the last one is recent."""
        before = self.verified
        if before is None:
            return LastLive(key, now)
        if before.key == key and timedelta(0) <= now - before.at < _TOO_SOON:
            return None
        earlier = before.earlier | {before.key.version} if before.key.created == key.created else frozenset()
        return LastLive(key, now, frozenset(sorted(earlier)[-_MOST_EARLIER:]))

    def explain_none(self) -> str:
        """Say why no version can be served; the empty text where the registry has named none to this machine."""
        if self.named is None:
            return ""
        if self.named.key is None:
            return "When the registry last answered, nothing was live."
        before = self.verified and f" Version {self.verified.key.version} was live before and is no longer live."
        version = self.named.key.version
        return f"The registry last named version {version}, and its bytes are not on this machine.{before or ''}"


def _describe(key: VersionKey | None, at: datetime) -> dict[str, Any]:
    """Return what both notes hold."""
    return {"created": key and key.created, "version": key and key.version, "at": at.isoformat()}


def _key_in(known: dict[str, Any]) -> VersionKey:
    """Return the version in a note, or raise one of ``_DAMAGED``."""
    created = str(known["created"])
    if not _CREATED.fullmatch(created):
        raise ValueError(created)
    return VersionKey(created, int(known["version"]))


def _time_in(known: dict[str, Any]) -> datetime:
    """Return the time of a note in UTC, or raise one of ``_DAMAGED``."""
    return datetime.fromisoformat(known["at"]).astimezone(timezone.utc)
