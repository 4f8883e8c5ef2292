"""Artifacts on this machine's own disk: looked at as a whole, and copied if each part is a file of a known size."""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prodpointer.errors import IntegrityError, UnsafeModel

_UPLOADING = ".artifact.uploading."  # how the names of files begin that MLflow has not written to their end (3.17)
_HOLES = 1024**3  # bytes that a file may claim without having them
_BLOCK = 1024 * 1024


@dataclass(frozen=True)
class _Part:
    """One file to copy: its path below the artifact, where it is once links are followed, and its size."""

    name: str
    file: Path
    size: int


class LocalArtifacts:
    """What lies below one URI of this machine."""

    def __init__(self, uri: str) -> None:
        self._repository = repository_at(uri)

    def list_directory(self, path: str) -> list[tuple[str, bool]]:
        """Return the path below the URI of each entry of a directory, and whether it is a directory itself."""
        return [(entry.path, entry.is_dir) for entry in self._repository.list_artifacts(path or None)]

    def download(self, path: str, destination: Path) -> Path:
        """Copy a file or directory below the URI into ``destination``: see :func:`copy_local`."""
        return copy_local(Path(self._repository.artifact_dir), path, destination)


def repository_at(uri: str) -> Any:
    """Return MLflow's reader and writer of the artifacts at a URI."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(uri)


def copy_local(root: Path, leaf: str, destination: Path) -> Path:
    """Copy a file or directory below ``root`` into ``destination`` and return its path there, also where it is nothing.

    Links inside the artifact are copied as the files that they lead to.

    Raises
    ------
    UnsafeModel
        A link leads out of the artifact or to a directory; or a part is a device, a pipe, or a file that is mostly
        holes. Nothing was copied.
    OSError
        The disk has no space for it.
    """
    source, target = root / leaf, destination / leaf
    if not os.path.lexists(source):
        return target
    if not _is_below(root, source):
        raise _refused(leaf, "is a link that leads out of its directory")
    parts = list(_parts(source, leaf)) if source.is_dir() else [_part(source, "", leaf)]
    space = shutil.disk_usage(destination).free
    if sum(part.size for part in parts) > space:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(destination))
    for part in parts:
        _copy(part, target / part.name)
    return target


def _parts(artifact: Path, leaf: str) -> Iterator[_Part]:
    """Yield the files of a directory."""
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with os.scandir(artifact / below) as entries:
            for entry in entries:
                name = posixpath.join(below, entry.name)
                where = f"{leaf}/{name}"
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                elif entry.is_symlink() and not _is_below(artifact, artifact / name):
                    raise _refused(where, "is a link that leads out of it")
                elif entry.is_symlink() and (artifact / name).is_dir():  # not of the entry: it fails on a loop of links
                    raise _refused(where, "is a link to a directory")
                elif not entry.name.startswith(_UPLOADING):
                    yield _part(artifact / name, name, where)


def _part(file: Path, name: str, where: str) -> _Part:
    """Return one file, or refuse what is none."""
    if not file.exists():
        raise _refused(where, "is a link to nothing")
    about = file.stat()
    if not stat.S_ISREG(about.st_mode):
        raise _refused(where, "is not a regular file")
    if about.st_size - 512 * getattr(about, "st_blocks", about.st_size) > _HOLES and _has_holes(file, about.st_size):
        raise _refused(where, f"is {about.st_size} bytes long, and most of them are holes")
    return _Part(name, file.resolve(), about.st_size)


def _has_holes(file: Path, size: int) -> bool:
    """Tell whether a file claims many bytes that it does not have; some file systems only compress them."""
    held, end = 0, 0
    with file.open("rb") as opened:
        try:
            while end < size:
                start = os.lseek(opened.fileno(), end, os.SEEK_DATA)
                end = os.lseek(opened.fileno(), start, os.SEEK_HOLE)
                held += end - start
        except OSError as error:
            if error.errno != errno.ENXIO:  # no more data
                return False
    return size - held > _HOLES


def _copy(part: _Part, target: Path) -> None:
    """Copy one file, as many bytes as it had when it was looked at."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not blocking and no link: by now something else may be there.
    handle = os.open(part.file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with open(handle, "rb") as source, target.open("wb") as copy:  # noqa: PTH123  # a file that is open
        left = part.size if stat.S_ISREG(os.fstat(handle).st_mode) else -1
        while left > 0 and (block := source.read(min(left, _BLOCK))):
            copy.write(block)
            left -= len(block)
        if left or source.read(1):
            raise IntegrityError(
                "The artifact changed while it was copied.",
                where=str(part.file),
                next_step="Check what writes there, then try again.",
            )
    shutil.copystat(part.file, target)


def _is_below(directory: Path, path: Path) -> bool:
    """Tell whether a path is inside a directory once every link in it is followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory))


def _refused(where: str, what: str) -> UnsafeModel:
    """Return the error about a part of an artifact that is not copied."""
    return UnsafeModel(
        f"The artifact was not copied: a part of it {what}.",
        where=where,
        next_step="Log the files themselves in its place.",
    )
