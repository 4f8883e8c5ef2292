"""The two notes of one pointer in the cache: the last verified live version, and what the registry last named."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from prodpointer._warnings import warn_outdated
from prodpointer.artifacts.cache import ModelCache
from prodpointer.artifacts.files import hashed_name, read_text, write_text
from prodpointer.artifacts.last_known_good import LastLive, LastNamed, LiveNotes, VersionKey

# Notes that are out of date and cannot be removed from a read-only disk: their text, which another machine may change.
_outdated: dict[Path, str] = {}


class PointerNotes:
    """The notes of one pointer of one model.

    Parameters
    ----------
    cache
        The model's part of the cache.
    pointer
        Which pointer tells what is live; handles that see different pointers share no notes.
    """

    def __init__(self, cache: ModelCache, pointer: str) -> None:
        self._cache = cache
        digest = hashed_name(pointer)
        self._live, self._named = f"live-{digest}.json", f"named-{digest}.json"

    def read(self) -> LiveNotes:
        """Return the notes; ``OSError`` where one cannot be read now, which is not taken for one that is missing."""
        found = [self._read_in(directory) for directory in self._cache.directories()]
        verified = next((notes.verified for notes in found if notes.verified is not None), None)
        return LiveNotes(verified, next((notes.named for notes in found if notes.named is not None), None))

    def note_verified(self, key: VersionKey) -> None:
        """Note that a version is live now, and verified; its entry is not evicted while it is.

        Where that cannot be written, the note before stays, unless the registry is known to have named this version.
        What the registry named is not read otherwise: the load does not depend on that note.
        """
        before = self._read_verified()
        note = LiveNotes(before).verified_next(key, datetime.now(timezone.utc))
        if note is None:
            return
        is_other = before is None or before.key != key
        try:
            self._write(self._live, note.as_text())
        except OSError:
            if not is_other or not self.read().names(key):
                raise
            self.forget_verified()
            self._write(self._live, note.as_text())  # in the space that this freed
        if before is not None and is_other:
            self._cache.make_room()  # the version before may be evicted now

    def note_named(self, key: VersionKey | None) -> None:
        """Note what the registry says is live now, None for nothing.

        A note that says otherwise and cannot be replaced is removed, and with it the last verified version if the
        registry went back from that.
        """
        if self.read().names(key):
            return
        said = LastNamed(key, datetime.now(timezone.utc))
        try:
            written = self._write(self._named, said.as_text())
        except OSError:
            self._remove_outdated(said)
            written = self._write(self._named, said.as_text())  # in the space that this freed
        self._remove_outdated(said, keep=written)

    def forget_verified(self) -> None:
        """Forget the last verified live version, so that it may be evicted."""
        for directory in self._cache.directories():
            self._remove(directory / self._live)

    def _read_verified(self) -> LastLive | None:
        found = (LastLive.from_text(_read(directory / self._live)) for directory in self._cache.directories())
        return next((note for note in found if note is not None), None)

    def _read_in(self, directory: Path) -> LiveNotes:
        live, named = (_read(directory / name) for name in (self._live, self._named))
        return LiveNotes(LastLive.from_text(live), LastNamed.from_text(named))

    def _write(self, name: str, text: str) -> Path:
        """Write a note and return the directory that it is in."""
        directory = self._cache.make_directory()
        write_text(directory / name, text)
        return directory

    def _remove_outdated(self, said: LastNamed, *, keep: Path | None = None) -> None:
        """Remove the notes that are out of date by what the registry said, but none in the directory ``keep``."""
        for directory in self._cache.directories():
            if directory == keep:
                continue
            notes = self._read_in(directory)
            valid = notes.valid_after(said)
            if valid.verified != notes.verified:
                self._remove(directory / self._live)
            if valid.named is None:
                self._remove(directory / self._named)

    def _remove(self, note: Path) -> None:
        """Remove a note. This process ignores one that cannot be removed, and warns once."""
        try:
            note.unlink(missing_ok=True)
        except OSError as error:
            text = read_text(note)
            if not text:
                return
            if not any(known.parent == note.parent for known in _outdated):
                warn_outdated(self._cache.model, str(note), error.strerror or str(error))
            _outdated[note] = text


def _read(note: Path) -> str:
    """Return the text of a note; the empty text for one that is known to be out of date."""
    text = read_text(note)
    return "" if _outdated.get(note) == text else text
