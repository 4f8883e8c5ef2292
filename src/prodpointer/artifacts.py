"""What an artifact's bytes are: digests, and downloads that are what was registered."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prodpointer.errors import ArtifactNotFound, IntegrityError, ProdpointerError
from prodpointer.mlflow_border.artifact_store import ArtifactStore

_ADDED_BY_MLFLOW = "registered_model_meta"
_HEAD_START = 0.002  # seconds for the caller to send its question: two threads at work share the interpreter
_BLOCK = 256 * 1024  # bytes read at a time, so that memory does not grow with the artifact


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of the manifest of a directory, in hexadecimal.

    The manifest has one line for each file below the directory, ordered by path: the file's SHA-256, two spaces, its
    path with forward slashes, in which a backslash and a line break are written as two characters each. An added,
    missing, renamed or changed file changes it; empty directories, times and permissions do not. Beside an ``MLmodel``
    file, ``registered_model_meta`` does not count: MLflow writes it into the store itself when a model on a local store
    is downloaded by a ``models:/`` URI (measured: 2.22.5 and 3.17.2).
    """
    if path.is_file():
        return _sha256_of_file(path)
    if not path.is_dir():
        raise ArtifactNotFound("There is no such file or directory.", where=str(path))
    found = {Path(parent, name).relative_to(path).as_posix() for parent, _, names in os.walk(path) for name in names}
    if "MLmodel" in found:
        found.discard(_ADDED_BY_MLFLOW)
    lines = (f"{_sha256_of_file(path / file)}  {_on_one_line(file)}\n" for file in sorted(found))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


class DigestAhead:
    """The digest of an artifact, found and computed on a thread while the caller waits for something else.

    Parameters
    ----------
    find
        Called on that thread: returns the artifact that will probably be asked for, or None.
    """

    def __init__(self, find: Callable[[], Path | None]) -> None:
        """Begin."""
        self._find = find
        self._path: Path | None = None
        self._identity: tuple[int, int] | None = None
        self._digest: str | None = None
        self._wanted = threading.Event()
        self._found = threading.Event()
        self._thread = threading.Thread(target=self._compute, name="prodpointer-digest", daemon=True)
        self._thread.start()

    def of(self, path: Path) -> str:
        """Return the SHA-256 of an artifact as :func:`sha256_of` does: the one at hand if it is of these very bytes."""
        self._wanted.set()
        self._found.wait()
        if path == self._path:
            self._thread.join()
            if self._digest is not None and self._identity == _identity(path):
                return self._digest
        return sha256_of(path)

    def _compute(self) -> None:
        """Compute the digest; what cannot be read is found out by who asks for it."""
        self._wanted.wait(_HEAD_START)
        try:
            self._path = self._find()
        finally:
            self._found.set()
        if self._path is not None:
            self._identity = _identity(self._path)
            with suppress(ArtifactNotFound, OSError):
                self._digest = sha256_of(self._path)


def check_digest(path: Path, expected: str, what: str) -> None:
    """Raise ``IntegrityError`` unless the bytes at ``path`` have the digest ``expected``."""
    actual = sha256_of(path)
    if actual != expected:
        raise IntegrityError(
            f"The bytes of {what} are not those registered: SHA-256 {actual}, recorded {expected}.",
            where=path.name,
            next_step="Nothing was loaded. Find out who changed the artifact; promote a version whose bytes are right.",
        )


@contextmanager
def downloaded(store: ArtifactStore, uri: str) -> Iterator[Path]:
    """Give the artifact at a located URI in a temporary directory, which is removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="prodpointer-"))
    try:
        yield store.download(uri, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def free_place(directory: Path, name: str) -> Path:
    """Return the place for a file or directory in another one, or raise where it cannot be put there."""
    place = directory / name
    if place.exists() or place.is_symlink():
        raise ProdpointerError(
            "There is a file or directory of that name already.",
            where=str(place),
            next_step="Give another destination, or move it away.",
        )
    above = next(each for each in (directory.absolute(), *directory.absolute().parents) if each.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ProdpointerError(
            "The destination cannot be written.",
            where=str(above),
            next_step="Nothing was downloaded. Give another directory, or check who may write there.",
        )
    return place


def copied(path: Path, place: Path) -> None:
    """Copy a file or directory to a place where nothing is, whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".prodpointer-", dir=place.parent))
    try:
        copy = beside / place.name
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, copy)
        copy.rename(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _on_one_line(name: str) -> str:
    """Return a name in which a line break cannot pass for a second line of the manifest."""
    return name.replace("\\", "\\\\").replace("\n", "\\n")


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells an artifact from another one that took its place, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns


def _sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of one file, read in blocks."""
    digest, block = hashlib.sha256(), bytearray(_BLOCK)
    view = memoryview(block)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            digest.update(view[:count])
    return digest.hexdigest()
