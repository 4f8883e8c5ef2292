"""Locks on the entries of the cache: many readers, or one process that evicts. A lock ends with its process.

filelock, which holds the lock of a download, has no shared locks on files.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # pragma: no cover  # Windows, which does not remove files that are open
    fcntl = None  # type: ignore[assignment]

_HELD = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_GONE = (FileNotFoundError, NotADirectoryError)
_NO_FILE = {errno.ELOOP, errno.ENXIO, errno.ENODEV}  # of a link, a socket, a device

NO_WAITING: int = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
"""How a small file of the cache is opened: a pipe in its place is not waited for, and a link not followed."""


class NoLocks(OSError):
    """The file system has no locks, as some that are shared between machines have none."""


class EntryLock:
    """A shared lock that keeps an entry in the cache, until ``release`` or the end of the process."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @classmethod
    def acquire(cls, file: Path) -> EntryLock | None:
        """Lock an entry and note the time; None where the entry is gone or is being removed.

        ``OSError`` where the lock cannot be tried, ``NoLocks`` among them. It needs no right to write.
        """
        while True:
            handle = _open(file)
            if handle is None:
                return None
            try:
                held = _lock(handle, file, shared=True)
                if held and _is_at(handle, file):
                    with suppress(OSError):  # where it cannot be written, nothing is evicted either
                        os.utime(file)
                    lock, handle = cls(handle), -1
                    return lock
            finally:
                if handle >= 0:
                    os.close(handle)
            if not held:
                return None

    def hand_over(self) -> EntryLock:
        """Return another lock on the same entry; releasing this one does nothing then."""
        handle, self._handle = self._handle, -1
        return EntryLock(handle)

    def release(self) -> None:
        """Release the lock; a second time does nothing."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


@contextmanager
def try_exclusive(file: Path) -> Iterator[bool]:
    """Lock an entry until the block ends, and tell whether that worked: not while any process reads it."""
    try:
        handle = os.open(file, os.O_RDWR | NO_WAITING)
    except OSError:
        yield False
        return
    try:
        try:
            free = _lock(handle, file, shared=False) and _is_at(handle, file)
        except OSError:
            free = False
        yield free
    finally:
        os.close(handle)


def check_locks(file: Path) -> None:
    """Create a file and lock it; raise ``NoLocks`` where the file system has no locks."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT | NO_WAITING, 0o600)
    try:
        _lock(handle, file, shared=True)
    finally:
        os.close(handle)


def _open(file: Path) -> int | None:
    """Open a file to lock it; None where there is no regular file that can be read."""
    try:
        handle = os.open(file, os.O_RDONLY | NO_WAITING)
    except OSError as error:
        if isinstance(error, (*_GONE, PermissionError)) or error.errno in _NO_FILE:
            return None
        raise
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    return None


def _lock(handle: int, file: Path, *, shared: bool) -> bool:
    """Lock an open file; False while another process holds it."""
    if fcntl is None:  # pragma: no cover  # Windows
        return True
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        if error.errno in _NO_LOCKS:
            raise NoLocks(error.errno, "this file system has no locks", str(file)) from error
        raise
    return True


def _is_at(handle: int, file: Path) -> bool:
    """Tell whether an open file is still the one at its path: another one may have taken its place."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except _GONE:
        return False
