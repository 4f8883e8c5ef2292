"""Artifacts that a server hands out itself, read within a time limit.

MLflow's own reader tries again for minutes where the server is gone, and waits two minutes for each byte. What is asked
here are the same two calls, with MLflow's own function and credentials (2.0.1 to 3.17.2, ``HttpArtifactRepository``).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from prodpointer.errors import RegistryError, RegistryUnavailable, UnsafeModel
from prodpointer.mlflow_client import converters
from prodpointer.mlflow_client.deadline import cut_off
from prodpointer.mlflow_client.rest import (
    BUSY_STATUSES,
    PAGE_LIMIT,
    read_blocks,
    read_document,
    send_request,
    unavailable,
)
from prodpointer.mlflow_client.uris import ALLOWED_HOSTS_VARIABLE, Addresses, origin
from prodpointer.mlflow_client.worker import NoAnswer

_SERVICE = "/mlflow-artifacts/artifacts"
_LOOK_AGAIN = 0.1  # seconds between two looks at whether the download was cancelled
_MOST_ENTRIES = 100_000  # files and directories of one artifact
_DEEPEST = 100  # directories within each other
_CANCELLED = "download cancelled"
_PATIENCE = 3  # times the timeout until the first byte: a server fetches a file whole from its store before it begins


@dataclass(frozen=True)
class _Entry:
    """One file or directory of a listing: its path below what was listed, and the size of a file in bytes."""

    path: str
    is_dir: bool
    size: int | None


def is_served(uri: str) -> bool:
    """Tell whether a server hands out what is at a located URI."""
    return origin(uri) is not None


def check_trusted(uri: str, addresses: Addresses, *, with_credentials: bool = False) -> None:
    """Raise ``UnsafeModel`` for an address to which nothing may be sent, before anything is.

    Who registers a version or makes an experiment chooses where its bytes are, and a reader that goes there would show
    its credentials to the host and take its bytes. ``with_credentials`` is for what cannot be sent without them.
    """
    if (host := origin(uri)) is None:
        return
    if not (addresses.owns(uri) if with_credentials else addresses.allows(uri)):
        raise UnsafeModel(
            f"The artifact is on {host[1]!r}, which is neither the tracking server nor the registry.",
            where=uri,
            next_step="Nothing was sent there. If you trust that host, name it in connect(allowed_hosts=...) or "
            f"{ALLOWED_HOSTS_VARIABLE}; it is asked without credentials then.",
        )
    if _SERVICE not in uri:
        raise UnsafeModel(
            "The address is not that of an artifact of an MLflow server.",
            where=uri,
            next_step="Register a version whose source is below the artifacts of its run.",
        )


class ServedArtifacts:
    """What lies below one located URI of a server.

    Parameters
    ----------
    uri
        The located URI of a directory.
    addresses
        Where the registry is; credentials go to its servers alone. Raises ``UnsafeModel``: see :func:`check_trusted`.
    timeout
        Seconds for a listing, and for each part of a file once its first byte came.
    workspace
        The workspace that is named with each request; None for none.
    stopped
        Tells during a download whether it was cancelled.
    """

    def __init__(self, uri: str, addresses: Addresses, *, timeout: float, stopped: Callable[[], bool]) -> None:
        check_trusted(uri, addresses)
        self._uri = uri
        self._workspace = addresses.workspace
        self._is_own = addresses.owns(uri)
        self._timeout = timeout
        self._stopped = stopped

    def list_directory(self, path: str) -> list[tuple[str, bool]]:
        """Return the path below the URI of each entry of a directory, and whether it is a directory itself."""
        return [(posixpath.join(path, entry.path), entry.is_dir) for entry in self._entries(path)]

    def _entries(self, path: str) -> list[_Entry]:
        """Return the entries of a directory below the URI; none where there is no such directory."""
        service, _, root = self._uri.partition(_SERVICE)
        asked = posixpath.join(root.strip("/"), path) if path else root.strip("/")
        response = self._get(service, _SERVICE, self._timeout, limit=PAGE_LIMIT, params={"path": asked})
        self._check(response, asked)
        entries = converters.mappings(read_document(response, _SERVICE), "files")
        if len(entries) > _MOST_ENTRIES:
            raise self._endless(f"more than {_MOST_ENTRIES:,} files")
        return [self._entry(each) for each in entries]

    def download(self, path: str, destination: Path) -> Path:
        """Copy a file or directory below the URI into ``destination`` and return its path there."""
        parent, leaf = posixpath.split(path)
        found = next((entry for entry in self._entries(parent) if entry.path == leaf), None)
        target = destination / leaf
        if found is not None and found.is_dir:
            for file in self._files(path):
                self._download_file(posixpath.join(path, file.path), target / file.path, file.size)
        elif found is not None:
            self._download_file(path, target, found.size)
        return target

    def _files(self, root: str) -> Iterator[_Entry]:
        """Yield the files of a directory and of those in it, with their paths below ``root``."""
        directories, count = [("", 1)], 0
        while directories:
            below, depth = directories.pop()
            if depth > _DEEPEST:
                raise self._endless(f"more than {_DEEPEST} directories within each other")
            for entry in self._entries(posixpath.join(root, below)):
                count += 1
                if count > _MOST_ENTRIES:
                    raise self._endless(f"more than {_MOST_ENTRIES:,} files")
                path = posixpath.join(below, entry.path)
                if entry.is_dir:
                    directories.append((path, depth + 1))
                else:
                    yield _Entry(path, is_dir=False, size=entry.size)

    def _endless(self, what: str) -> RegistryError:
        """Return the error for an artifact that does not end."""
        return RegistryError(
            f"The server lists {what} in one artifact.",
            where=self._uri,
            next_step="Register an archive of the files instead, or check which server answers at that address.",
        )

    def _download_file(self, path: str, target: Path, size: int | None) -> None:
        """Copy one file; the half of a file that a broken connection leaves is no file."""
        target.parent.mkdir(parents=True, exist_ok=True)
        response = self._get(self._uri, f"/{path}", _PATIENCE * self._timeout, stream=True)
        with response, cut_off(_LOOK_AGAIN, due=self._stopped) as cut:
            self._check(response, path)
            _wait_at_most(response, self._timeout)
            try:
                written = self._write(response, target, path, size)
            except Exception as error:
                if cut.is_set():
                    raise NoAnswer(_CANCELLED) from error
                raise
            if cut.is_set():
                raise NoAnswer(_CANCELLED)
        if size is not None and written != size:
            raise RegistryUnavailable(
                f"The download of {path!r} ended after {written} of {size} bytes.",
                where=self._uri,
                next_step="Check the connection to the server, then try again.",
            )

    def _get(self, base: str, endpoint: str, timeout: float, **options: Any) -> Any:
        """Send one GET with the credentials for an address, or without any to a host that is not the caller's own."""
        server = _credentials(base) if self._is_own else base
        return send_request(server, "GET", endpoint, timeout=timeout, workspace=self._workspace, **options)

    def _write(self, response: Any, target: Path, path: str, size: int | None) -> int:
        """Write an answer's body to a file and return its length, not more than the listing says."""
        with target.open("wb") as file:
            for block in read_blocks(response):
                file.write(block)
                if size is not None and file.tell() > size:
                    raise RegistryError(
                        f"The server lists {path!r} with {size} bytes and sends more.",
                        where=self._uri,
                        next_step="Nothing was kept. Read the server's log.",
                    )
            return file.tell()

    def _check(self, response: Any, path: str) -> None:
        """Raise for an answer that holds no artifact, as MLflow does."""
        from mlflow.utils.rest_utils import augmented_raise_for_status

        if response.status_code in BUSY_STATUSES:
            raise unavailable(f"read {path}", response.status_code, self._uri)
        augmented_raise_for_status(response)

    def _entry(self, document: Mapping[str, Any]) -> _Entry:
        """Return one entry of a listing; a path that leads out of the directory is refused."""
        text = converters.text(converters.required(document, "path"), "path")
        path = PurePosixPath(text)
        if path.is_absolute() or ".." in path.parts or "\\" in text or "\0" in text or not path.parts:
            raise RegistryError(
                f"The server lists {text[:200]!r}, which is outside the artifact.",
                where=self._uri,
                next_step="Nothing was copied. Check which server answers at that address.",
            )
        size = document.get("file_size")
        return _Entry(str(path), document.get("is_dir") is True, None if size is None else converters.count(size))


def _credentials(uri: str) -> Any:
    """Return the credentials that MLflow would send to an address."""
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

    return HttpArtifactRepository(uri)._host_creds  # noqa: SLF001  # its one name in 2.0.1 to 3.17.2


def _wait_at_most(response: Any, seconds: float) -> None:
    """Give each further part of an answer its own time, where the connection is known."""
    connection = getattr(response.raw, "connection", None) or getattr(response.raw, "_connection", None)
    sock = getattr(connection, "sock", None)
    if sock is not None:
        sock.settimeout(seconds)
