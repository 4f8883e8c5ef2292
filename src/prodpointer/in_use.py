"""Who uses an entry of the cache: a lock that several hold at once, and that ends with the process that holds it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # pragma: no cover  # Windows, which does not remove files that are open
    fcntl = None  # type: ignore[assignment]


class Use:
    """One use of an entry, until ``end`` or the end of the process."""

    def __init__(self, handle: int) -> None:
        """Hold an open file."""
        self._handle = handle

    @classmethod
    def of(cls, file: Path) -> Use | None:
        """Begin a use and note the time of it; None where the entry is gone or is being removed."""
        try:
            handle = os.open(file, os.O_RDWR)
        except OSError:
            return None
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if not file.exists():  # removed between the two
                raise FileNotFoundError(file)
            os.utime(file)
        except OSError:
            os.close(handle)
            return None
        return cls(handle)

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
    if fcntl is None:  # pragma: no cover  # Windows
        yield True
        return
    try:
        handle = os.open(file, os.O_RDWR)
    except OSError:
        yield False
        return
    try:
        yield _locked(handle)
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Lock a file for nobody else, or tell that others hold it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
