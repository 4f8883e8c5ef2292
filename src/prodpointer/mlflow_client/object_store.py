"""Artifacts that MLflow reads from a store itself: S3, Azure, Google and the rest of its schemes.

Its readers list and copy one file at a time by two methods that each of them has (2.0.1 to 3.17.2). What is asked here
are those, and not its ``download_artifacts``: that one drops the store's own answer, and cannot be stopped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any

from prodpointer.errors import RegistryError
from prodpointer.mlflow_client.local_artifacts import repository_at
from prodpointer.mlflow_client.store_exceptions import store_address
from prodpointer.mlflow_client.worker import NoAnswer, begin, worker_for

STALLED = 3
"""A download from a store fails where no byte came for so many times the timeout: some stores begin slowly."""

_AT_ONCE = 8  # files; boto3 itself takes up to ten threads for a large one
_MOST_ENTRIES = 100_000  # of one directory
_DEEPEST = 50  # directories in each other


@dataclass(frozen=True)
class _File:
    """One file that a store lists: its path below what is downloaded, and its size in bytes where the store says."""

    path: str
    size: int | None


class ObjectStore:
    """What lies below one located URI of a store.

    Parameters
    ----------
    uri
        The located URI of a directory.
    timeout
        Seconds for a listing, and a third of those for which a download may stand still.
    stopped
        Tells during a download whether it was cancelled.
    """

    def __init__(self, uri: str, *, timeout: float, stopped: Callable[[], bool]) -> None:
        """Make MLflow's reader; nothing is asked yet."""
        self._reader = repository_at(uri)
        # Of the store's own: what hangs there keeps neither the registry waiting nor, in a download, a listing.
        self._listings = worker_for(store_address(uri))
        self._downloads = worker_for(f"downloads from {store_address(uri)}")
        self._timeout = timeout
        self._stopped = stopped

    def list_directory(self, path: str) -> list[tuple[str, bool]]:
        """Return the path below the URI of each entry of a directory, and whether it is a directory itself."""
        entries = self._listings.call(lambda: _list_below(self._reader, path), timeout=self._timeout)
        return [(entry.path, entry.is_dir) for entry in entries]

    def download(self, path: str, destination: Path) -> Path:
        """Copy a file or directory below the URI into ``destination``, which is the download's own, and return it.

        A download that is cancelled, or that no byte comes of, begins no further file and removes
        ``destination`` as soon as the library of the store lets go of the file in work.
        """
        download = _Download(self._reader, destination)

        def progress() -> object:
            if self._stopped():
                raise NoAnswer("download cancelled")
            return download.progress()

        patience = STALLED * self._timeout
        try:
            return self._downloads.watch(lambda: download.run(path), timeout=patience, progress=progress)
        finally:
            download.stop()  # nothing is left to stop where it went well


class _Download:
    """One download into a directory of its own."""

    def __init__(self, reader: Any, destination: Path) -> None:
        self._reader = reader
        self._destination = destination
        self._listings = 0
        self._files: SimpleQueue[_File] = SimpleQueue()
        self._stop = Event()

    def stop(self) -> None:
        """Begin no further file."""
        self._stop.set()

    def progress(self) -> object:
        """Return what changes with each listing and each byte that arrives."""
        return self._listings, _bytes_below(self._destination)

    def run(self, path: str) -> Path:
        """Copy what is there and return it."""
        try:
            if _is_ready_made(self._reader):
                return Path(self._reader.download_artifacts(path, dst_path=str(self._destination)))
            # A reader lists nothing below a file, so what has nothing below it is taken for one.
            files = list(self._walk(path)) or [_File(path, None)]
            self._check_cancelled()
            for file in files:
                (self._destination / file.path).parent.mkdir(parents=True, exist_ok=True)
                self._files.put(file)
            fetches = [begin(self._fetch)[0] for _ in range(min(_AT_ONCE, len(files)))]
            for fetch in wait(fetches, return_when=FIRST_EXCEPTION).done:
                fetch.result()
            return self._destination / path
        except BaseException:
            self.stop()
            raise
        finally:
            self._remove_if_stopped()

    def _walk(self, root: str, depth: int = 1) -> Iterator[_File]:
        """Yield the files below a directory."""
        if depth > _DEEPEST:
            raise _odd(self._reader, f"directories in each other, more than {_DEEPEST} deep", root)
        self._check_cancelled()
        entries = _list_below(self._reader, root)
        self._listings += 1
        for entry in entries:
            if entry.is_dir:
                yield from self._walk(entry.path, depth + 1)
            else:
                yield _File(entry.path, entry.file_size)

    def _fetch(self) -> None:
        """Copy one file after the other until there is none left, or the download is cancelled."""
        try:
            with suppress(Empty):
                while not self._stop.is_set():
                    self._fetch_one(self._files.get_nowait())
        finally:
            self._remove_if_stopped()

    def _fetch_one(self, file: _File) -> None:
        """Copy one file; the half of a file that a broken connection leaves is no file."""
        target = self._destination / file.path
        self._reader._download_file(file.path, str(target))  # noqa: SLF001  # its one name in 2.0.1 to 3.17.2
        if file.size is not None and (size := target.stat().st_size) < file.size:
            raise NoAnswer(f"{file.path!r} ended after {size} of {file.size} bytes")

    def _check_cancelled(self) -> None:
        """Raise for a cancelled download, before its directory would be made again."""
        if self._stop.is_set():
            raise NoAnswer("download cancelled")

    def _remove_if_stopped(self) -> None:
        """Remove what a cancelled download wrote: after the end of each thread that wrote."""
        if self._stop.is_set():
            shutil.rmtree(self._destination, ignore_errors=True)


def _list_below(reader: Any, path: str) -> list[Any]:
    """Return what MLflow's reader lists in a directory, without that directory; refuse what is not below it."""
    found = [entry for entry in reader.list_artifacts(path or None) if entry.path not in (".", path)]
    if len(found) > _MOST_ENTRIES:
        raise _odd(reader, f"more than {_MOST_ENTRIES:,} files", path)
    for entry in found:
        if not _is_below(entry.path, path):
            raise _odd(reader, f"{entry.path!r}, a path that leads out", path)
    return found


def _odd(reader: Any, what: str, path: str) -> RegistryError:
    """Return the error for a listing that no model has."""
    return RegistryError(
        f"The artifact store lists {what}, in {path!r}.",
        where=str(reader.artifact_uri),
        next_step="Nothing was loaded. Check what is in the store.",
    )


def _is_ready_made(reader: Any) -> bool:
    """Tell whether a reader downloads in a way of its own, as those of managed registries do."""
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

    return type(reader).download_artifacts is not ArtifactRepository.download_artifacts


def _is_below(path: str, root: str) -> bool:
    """Tell whether a listed path lies below a directory."""
    native = PurePath(path)
    return PurePosixPath(path).is_relative_to(root) and not native.is_absolute() and ".." not in native.parts


def _bytes_below(directory: Path) -> int:
    """Return what changes with each byte that arrives below a directory.

    Some readers make a file of its full size at once and fill it in, so the blocks that it takes count too.
    """
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            with suppress(OSError):  # renamed meanwhile
                about = Path(parent, name).stat()
                total += about.st_size + getattr(about, "st_blocks", 0)
    return total
