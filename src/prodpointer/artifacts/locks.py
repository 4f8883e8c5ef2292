"""Who uses an entry of the cache: a lock that several hold at once, and that ends with the process that holds it."""

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


class Use:
    """One use of an entry, until ``end`` or the end of the process."""

    def __init__(self, handle: int) -> None:
        """Hold an open file."""
        self._handle = handle

    @classmethod
    def of(cls, file: Path) -> Use | None:
        """Begin a use and note the time of it; None where the entry is gone or is being removed.

        ``OSError`` where that cannot be told, ``NoLocks`` among them. It needs no right to write.
        """
        while True:
            handle = _opened(file)
            if handle is None:
                return None
            try:
                held = _locked(handle, file, shared=True)
                if held and _is_at(handle, file):
                    with suppress(OSError):  # where it cannot be written, nothing is evicted either
                        os.utime(file)
                    handle, used = -1, handle
                    return cls(used)
            finally:
                if handle >= 0:
                    os.close(handle)
            if not held:
                return None

    def handed_over(self) -> Use:
        """Return another use of the same entry; ending this one is nothing then."""
        handle, self._handle = self._handle, -1
        return Use(handle)

    def end(self) -> None:
        """End the use; a second time is no error."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


@contextmanager
def unused(file: Path) -> Iterator[bool]:
    """Tell whether nobody uses an entry, and keep it so until the block ends."""
    try:
        handle = os.open(file, os.O_RDWR | NO_WAITING)
    except OSError:
        yield False
        return
    try:
        try:
            free = _locked(handle, file, shared=False) and _is_at(handle, file)
        except OSError:
            free = False
        yield free
    finally:
        os.close(handle)


def check_locks(file: Path) -> None:
    """Make a file of locks if it is not there, and raise ``NoLocks`` where the file system has none."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT | NO_WAITING, 0o600)
    try:
        _locked(handle, file, shared=True)
    finally:
        os.close(handle)


def _opened(file: Path) -> int | None:
    """Open a file to lock it, or return None where there is no regular file that can be read."""
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


def _locked(handle: int, file: Path, *, shared: bool) -> bool:
    """Lock an open file, or tell that others hold it."""
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
    """Tell whether a file that was opened is the one that is there now: another one may have taken its place."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except _GONE:
        return False
