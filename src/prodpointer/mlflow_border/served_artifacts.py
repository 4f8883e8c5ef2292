"""Artifacts that a server hands out itself, read within a time limit.

MLflow's own reader tries again for minutes where the server is gone, and waits two minutes for each byte. What is asked
here are the same two calls, with MLflow's own function and credentials (2.0.1 to 3.17.2, ``HttpArtifactRepository``).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from prodpointer.errors import RegistryError, RegistryUnavailable
from prodpointer.mlflow_border.lane import NoAnswer
from prodpointer.mlflow_border.rest import BUSY_STATUSES, bounded, unavailable

_SERVICE = "/mlflow-artifacts/artifacts"
_BLOCK = 64 * 1024  # bytes between two looks at whether anybody still waits
_PATIENCE = 3  # times the timeout until the first byte: a server fetches a file whole from its store before it begins


@dataclass(frozen=True)
class Entry:
    """One file or directory of a listing: its path below what was listed, and the size of a file in bytes."""

    path: str
    is_dir: bool
    size: int | None


def is_served(uri: str) -> bool:
    """Tell whether a server hands out what is at a located URI."""
    return uri.startswith(("http://", "https://")) and _SERVICE in uri


class ServedArtifacts:
    """What lies below one located URI of a server.

    Parameters
    ----------
    uri
        The located URI of a directory.
    timeout
        Seconds for a listing, and for each part of a file once its first byte came.
    workspace
        The workspace that is named with each request; None for none.
    stopped
        Whether nobody waits for a download any more.
    """

    def __init__(self, uri: str, *, timeout: float, workspace: str | None, stopped: Callable[[], bool]) -> None:
        """Bind the place; nothing is asked yet."""
        self._uri = uri
        self._workspace = workspace
        self._timeout = timeout
        self._stopped = stopped

    def listed(self, path: str) -> list[Entry]:
        """Return the entries of a directory below the URI; none where there is no such directory."""
        service, _, root = self._uri.partition(_SERVICE)
        asked = posixpath.join(root.strip("/"), path) if path else root.strip("/")
        response = self._get(service, _SERVICE, self._timeout, params={"path": asked})
        self._check(response, asked)
        return [self._entry(each) for each in response.json().get("files", [])]

    def download(self, path: str, destination: Path) -> Path:
        """Copy a file or directory below the URI into ``destination`` and return its path there."""
        parent, leaf = posixpath.split(path)
        found = next((entry for entry in self.listed(parent) if entry.path == leaf), None)
        target = destination / leaf
        if found is not None and found.is_dir:
            for file in self._files(path, ""):
                self._download_file(posixpath.join(path, file.path), target / file.path, file.size)
        elif found is not None:
            self._download_file(path, target, found.size)
        return target

    def _files(self, root: str, below: str) -> Iterator[Entry]:
        """Yield the files of a directory and of those in it, with their paths below ``root``."""
        for entry in self.listed(posixpath.join(root, below)):
            path = posixpath.join(below, entry.path)
            if entry.is_dir:
                yield from self._files(root, path)
            else:
                yield Entry(path, is_dir=False, size=entry.size)

    def _download_file(self, path: str, target: Path, size: int | None) -> None:
        """Copy one file; the half of a file that a broken connection leaves is no file."""
        target.parent.mkdir(parents=True, exist_ok=True)
        response = self._get(self._uri, f"/{path}", _PATIENCE * self._timeout, stream=True)
        with response:
            self._check(response, path)
            _wait_at_most(response, self._timeout)
            with target.open("wb") as file:
                for block in response.iter_content(chunk_size=_BLOCK):
                    if self._stopped():
                        raise NoAnswer("nobody waits for it any more")
                    file.write(block)
                written = file.tell()
        if size is not None and written != size:
            raise RegistryUnavailable(
                f"The download of {path!r} ended after {written} of {size} bytes.",
                where=self._uri,
                next_step="Check the connection to the server, then try again.",
            )

    def _get(self, base: str, endpoint: str, timeout: float, **options: Any) -> Any:
        """Send one GET with the credentials for an address."""
        credentials = _credentials(base)
        return bounded(credentials, "GET", endpoint, timeout=timeout, workspace=self._workspace, **options)

    def _check(self, response: Any, path: str) -> None:
        """Raise for an answer that holds no artifact, as MLflow does."""
        from mlflow.utils.rest_utils import augmented_raise_for_status

        if response.status_code in BUSY_STATUSES:
            raise unavailable(f"read {path}", response.status_code, self._uri)
        augmented_raise_for_status(response)

    def _entry(self, document: dict[str, Any]) -> Entry:
        """Return one entry of a listing; a path that leads out of the directory is refused."""
        path = PurePosixPath(str(document["path"]))
        if path.is_absolute() or ".." in path.parts or "\\" in str(path) or not path.parts:
            raise RegistryError(
                f"The server lists {str(path)!r}, which is no path below it.",
                where=self._uri,
                next_step="Nothing was copied. Find out what answers at that address.",
            )
        size = document.get("file_size")
        return Entry(str(path), bool(document.get("is_dir")), None if size is None else int(size))


def _credentials(uri: str) -> Any:
    """Return the credentials that MLflow would send to an address."""
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

    return HttpArtifactRepository(uri)._host_creds  # noqa: SLF001  # its one name in 2.0.1 to 3.17.2


def _wait_at_most(response: Any, seconds: float) -> None:
    """Give each further part of an answer its own time, where the connection can be told."""
    connection = getattr(response.raw, "connection", None) or getattr(response.raw, "_connection", None)
    sock = getattr(connection, "sock", None)
    if sock is not None:
        sock.settimeout(seconds)
