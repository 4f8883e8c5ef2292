"""What an artifact's bytes are: digests, and content that is still what was digested."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import posixpath
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from prodpointer.errors import ArtifactNotFound, IntegrityError, ProdpointerError
from prodpointer.mlflow_client import ArtifactStore

_ADDED_BY_MLFLOW = "registered_model_meta"
_HEAD_START = 0.002  # seconds for the caller to send its question: two threads at work share the interpreter
_BLOCK = 256 * 1024  # bytes read at a time, so that memory does not grow with the artifact
_HELD = 64 * 1024 * 1024  # bytes of a file that are kept in memory from its digest to its load
_CHECKED = 1024 * 1024  # bytes at a time in which a larger file is checked again as it is loaded
_PIECE = 64 * 1024  # bytes that are unpickled without a break: in some milliseconds at most
_SHOWN = 200  # characters of a path
_UNREADABLE = {errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP}

Identity = tuple[int, int, int, int, int]
"""Device, inode, size, and times of the last change of a file's bytes and of its other properties."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of the manifest of a directory, in hexadecimal.

    The manifest has one line for each file below the directory, ordered by path: the file's SHA-256, two spaces, its
    path with forward slashes, in which a backslash and a line break are written as two characters each. An added,
    missing, renamed or changed file changes it; empty directories, times and permissions do not. Beside an ``MLmodel``
    file, ``registered_model_meta`` does not count: MLflow writes it into the store itself when a model on a local store
    is downloaded by a ``models:/`` URI (measured: 2.22.5 and 3.17.2).
    """
    return examine(path).sha256


class Content:
    """The bytes of one file as they were digested.

    Those of a small file are held in memory. For a larger one the digest of each block is: a block that changed since
    raises ``IntegrityError`` when it is read.
    """

    def __init__(self, path: Path, held: bytes | None, blocks: list[bytes]) -> None:
        self._path = path
        self._held = held
        self._blocks = blocks

    def open(self) -> BinaryIO:
        """Return the bytes as an open file: in pieces, between which other threads have their turn.

        Unpickling is one call into C, which holds the interpreter's lock but while it calls a function of Python's.
        """
        raw = _HeldFile(self._held) if self._held is not None else _CheckedFile(self._path, self._blocks)
        return io.BufferedReader(raw, _PIECE)


@dataclass(frozen=True)
class Examined:
    """An artifact as it was when it was digested.

    ``files`` are its files by their paths below it; the path of a file itself is empty. ``content`` is that of its only
    file, if ``keep`` asked for it.
    """

    sha256: str
    files: Mapping[str, Identity] = field(repr=False)
    content: Content | None = field(default=None, repr=False)

    def check_unchanged(self, path: Path) -> None:
        """Raise ``IntegrityError`` if a file was written or exchanged since."""
        for name, identity in self.files.items():
            if _identity_of(path / name) != identity:
                raise IntegrityError(
                    "The artifact changed while it was loaded.",
                    where=posixpath.join(path.name, name).rstrip("/"),
                    next_step="Do not use the object. Find out what writes there, then load again.",
                )


def examine(path: Path, *, keep: bool = False) -> Examined:
    """Digest an artifact as :func:`sha256_of` says.

    Parameters
    ----------
    path
        A file or a directory.
    keep
        Whether to keep the content of an artifact that is one file, or a directory around one.

    Raises
    ------
    ArtifactNotFound
        There is nothing.
    IntegrityError
        A part has no digest: a link to a directory, a directory that cannot be listed, or anything that is not a file.
    """
    if not path.is_dir():
        if not path.exists():
            raise ArtifactNotFound("There is no such file or directory.", where=str(path))
        digest, identity, content = _examine_file(path, path.name, keep=keep)
        return Examined(digest, {"": identity}, content)
    names = _files_below(path)
    if "MLmodel" in names:
        names = [name for name in names if name != _ADDED_BY_MLFLOW]
    manifest, files, content = hashlib.sha256(), {}, None
    for name in sorted(names):
        where = f"{path.name}/{name}"
        digest, files[name], content = _examine_file(path / name, where, keep=keep and len(names) == 1)
        manifest.update(f"{digest}  {_on_one_line(name)}\n".encode("utf-8", "surrogateescape"))
    return Examined(manifest.hexdigest(), files, content)


class DigestAhead:
    """Examines an artifact on a thread while the caller waits for the registry.

    With 50 ms of delay to the registry that takes a tenth off a warm load of 5 MB and more.

    Parameters
    ----------
    find
        Called on that thread: returns the artifact that will probably be needed, or None.
    """

    def __init__(self, find: Callable[[], Path | None]) -> None:
        self._find = find
        self._path: Path | None = None
        self._ahead: tuple[Identity | None, Examined] | None = None
        self._wanted = threading.Event()
        self._found = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prodpointer-digest", daemon=True)
        self._thread.start()

    def examine(self, path: Path) -> Examined:
        """Examine an artifact and keep its content, or return what the thread found of these very bytes."""
        self._wanted.set()
        self._found.wait()
        if path == self._path:
            self._thread.join()
            if self._ahead is not None and self._ahead[0] == _identity_of(path):
                return self._ahead[1]
        return examine(path, keep=True)

    def _run(self) -> None:
        """Find and examine the artifact. Errors are left to the caller, who reads the same files."""
        self._wanted.wait(_HEAD_START)
        try:
            with suppress(Exception):  # any: see above
                self._path = self._find()
        finally:
            self._found.set()
        if self._path is not None:
            identity = _identity_of(self._path)
            with suppress(ArtifactNotFound, IntegrityError, OSError):
                self._ahead = (identity, examine(self._path, keep=True))


def check_digest(path: Path, expected: str, what: str) -> None:
    """Raise ``IntegrityError`` unless the bytes at ``path`` have the digest ``expected``."""
    check_same(sha256_of(path), expected, what, path.name)


def check_same(actual: str, expected: str, what: str, where: str) -> None:
    """Raise ``IntegrityError`` unless a digest is the one expected."""
    if actual != expected:
        raise IntegrityError(
            f"The bytes of {what} are not those registered: SHA-256 {actual}, recorded {expected}.",
            where=where,
            next_step="Nothing was loaded. Find out who changed the artifact; promote a version whose bytes are right.",
        )


@contextmanager
def download(store: ArtifactStore, uri: str) -> Iterator[Path]:
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


def copy_whole(path: Path, place: Path) -> None:
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


def _files_below(directory: Path) -> list[str]:
    """Return the paths of all files below a directory, with forward slashes; refuse what the manifest cannot hold."""
    found, waiting = [], [""]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(directory / below) as entries:
                for entry in entries:
                    name = posixpath.join(below, entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(name)
                    elif entry.is_dir():
                        raise _no_digest(f"{directory.name}/{name}", "it is a link to a directory")
                    else:
                        found.append(name)
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            raise _no_digest(_short(f"{directory.name}/{below}"), f"{error.strerror}") from error
    return found


def _examine_file(path: Path, where: str, *, keep: bool) -> tuple[str, Identity, Content | None]:
    """Return the SHA-256 of one file, what it was before it was read, and its content if that is to be kept."""
    try:
        # Not blocking, because a pipe is waited for as it is opened.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if path.is_symlink() and not path.exists():
            raise _no_digest(where, "it is a link to nothing") from error
        if error.errno == errno.ENXIO or error.errno in _UNREADABLE - {errno.EACCES}:  # a socket; too deep
            raise _no_digest(_short(where), f"{error.strerror}") from error
        raise
    with open(handle, "rb", buffering=0) as file:  # noqa: PTH123  # a file that is open
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise _no_digest(where, "it is not a regular file")
        if keep and about.st_size <= _HELD:
            held = file.readall()
            return hashlib.sha256(held).hexdigest(), _identity_from(about), Content(path, held, [])
        digest, blocks = hashlib.sha256(), []
        for part in _parts(file, _CHECKED if keep else _BLOCK):
            digest.update(part)
            if keep:
                blocks.append(hashlib.sha256(part).digest())
    return digest.hexdigest(), _identity_from(about), Content(path, None, blocks) if keep else None


def _parts(file: io.FileIO, size: int) -> Iterator[memoryview]:
    """Yield the bytes of a file, always so many until the last; each part is overwritten by the next."""
    block = memoryview(bytearray(size))
    filled = 0
    while count := file.readinto(block[filled:]):
        filled += count
        if filled == size:
            yield block
            filled = 0
    if filled:
        yield block[:filled]


class _HeldFile(io.RawIOBase):
    """A file in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._content)}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read a piece."""
        part = self._content[self._at : self._at + min(len(buffer), _CHECKED)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


class _CheckedFile(io.RawIOBase):
    """A file of which each block is compared with its digest as it is read."""

    def __init__(self, path: Path, blocks: list[bytes]) -> None:
        self._path = path
        self._file = path.open("rb", buffering=0)
        self._blocks = blocks
        self._at = 0
        self._block: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size()}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read what is left of one block."""
        number, offset = divmod(self._at, _CHECKED)
        if number >= len(self._blocks):
            return 0
        if self._block[0] != number:
            self._block = (number, self._checked(number))
        part = self._block[1][offset : offset + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _checked(self, number: int) -> bytes:
        """Read one block, or raise ``IntegrityError`` if it is not what was digested."""
        self._file.seek(number * _CHECKED)
        block = b""
        while len(block) < _CHECKED and (part := self._file.read(_CHECKED - len(block))):
            block += part
        if hashlib.sha256(block).digest() != self._blocks[number]:
            raise IntegrityError(
                "The artifact changed while it was loaded.",
                where=self._path.name,
                next_step="Find out what writes there, then load again.",
            )
        return block

    def _size(self) -> int:
        """Return the size of the file by its blocks, of which only the last may be short."""
        last = len(self._blocks) - 1
        return last * _CHECKED + len(self._checked(last))


def _identity_from(about: os.stat_result) -> Identity:
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def _identity_of(file: Path) -> Identity | None:
    """Return the identity of a file or directory, None where there is none."""
    try:
        return _identity_from(file.stat())
    except OSError:
        return None


def _no_digest(where: str, why: str) -> IntegrityError:
    """Return the error about a part of an artifact that no digest covers."""
    return IntegrityError(
        f"The artifact has no digest, because of one part of it: {why}.",
        where=where,
        next_step="Log the files themselves, in directories that can be listed.",
    )


def _short(path: str) -> str:
    return path if len(path) <= _SHOWN else f"{path[:_SHOWN]}…"
