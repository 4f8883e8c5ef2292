"""The small files of the cache, read and written whole."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from prodpointer.artifacts.locks import NO_WAITING
from prodpointer.artifacts.ownership import check_own

LONGEST = 64 * 1024
"""Bytes that are read of a file, and that none has more of."""

# Opening a link, a socket, a device without a driver; or nothing is there.
_NO_FILE = {errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENOENT, errno.ENOTDIR}


def read_text(file: Path) -> str:
    """Return the text of a file that only the user can have written; the empty text where no regular file is.

    ``OSError`` where it cannot be read now.
    """
    if not check_own(file):
        return ""
    try:
        handle = os.open(file, os.O_RDONLY | NO_WAITING)
    except OSError as error:
        if error.errno in _NO_FILE:
            return ""
        raise
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return ""
        return os.read(handle, LONGEST).decode("utf-8", "replace")
    finally:
        os.close(handle)


def write_text(file: Path, text: str) -> None:
    """Write a file whole: a process that reads it meanwhile gets the old text or the new one."""
    handle, name = tempfile.mkstemp(prefix=".new-", dir=file.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as new:
            new.write(text)
        try:
            Path(name).replace(file)
        except IsADirectoryError:  # only a file belongs there
            shutil.rmtree(file)
            Path(name).replace(file)
    finally:
        Path(name).unlink(missing_ok=True)


def measure(directory: Path) -> int:
    """Return the bytes of all files below a directory."""
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(parent, name).lstat().st_size
    return total


def hashed_name(text: str) -> str:
    """Return a name for a file or directory that stands for a text of any length."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]
