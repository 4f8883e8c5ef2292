"""What is removed from the cache: leftovers of killed processes, then the least recently used entries."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

from prodpointer.artifacts.entries import DESCRIPTION, GONE, PARTIAL, USED, discard
from prodpointer.artifacts.files import measure, read_text
from prodpointer.artifacts.last_known_good import LastNamed
from prodpointer.artifacts.locks import try_exclusive
from prodpointer.errors import ProdpointerError

_RETAINED = timedelta(days=30)  # that a live version stays after this machine saw it live
_REMOVAL = 60.0  # seconds that the removal of an entry takes at most, unless its process was killed


def prune(root: Path, limit: int) -> int:
    """Remove entries, the least recently used first, until the rest takes ``limit`` bytes; return the bytes removed.

    An entry that is live or in use stays. Leftovers of killed processes go whatever the limit.
    """
    removed, total = _remove_leftovers(root)
    entries = sorted(_measure_entries(root))
    total += sum(size for _, size, _ in entries)
    live = _find_live(root)
    for _, size, directory in entries:
        if total <= limit:
            break
        if directory in live:
            continue
        with try_exclusive(directory / USED) as is_free:
            if is_free and discard(directory):
                total -= size
                removed += size
    return removed


def _remove_leftovers(root: Path) -> tuple[int, int]:
    """Remove what killed processes left; return the bytes removed, and those of downloads and removals under way."""
    removed = kept = 0
    for left in (*root.glob(f"*/*/*/{PARTIAL}*-*"), *root.glob(f"*/*/*/{GONE}*")):
        with suppress(OSError):
            size = measure(left)
            if _is_leftover(left):
                shutil.rmtree(left, ignore_errors=True)
                removed += size
            else:
                kept += size
    return removed, kept


def _is_leftover(directory: Path) -> bool:
    """Tell whether no process holds the lock of the download, or the removal began a while ago."""
    from filelock import FileLock, Timeout

    if directory.name.startswith(GONE):
        return time.time() - directory.lstat().st_mtime > _REMOVAL
    version = directory.name.removeprefix(PARTIAL).partition("-")[0]
    try:
        with FileLock(directory.with_name(f"{version}.lock"), timeout=0, mode=0o600):
            return True
    except Timeout:
        return False


def _measure_entries(root: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield the time of the last use, the bytes and the directory of each entry."""
    for description in root.glob(f"*/*/*/*/{DESCRIPTION}"):
        directory = description.parent
        with suppress(OSError):
            yield (directory / USED).stat().st_mtime, measure(directory), directory


def _find_live(root: Path) -> set[Path]:
    """Return the entries that any note of the last weeks calls live."""
    found = set()
    oldest = datetime.now(timezone.utc) - _RETAINED
    for file in (*root.glob("*/*/live-*.json"), *root.glob("*/*/named-*.json")):
        note = None
        with suppress(OSError, ProdpointerError):  # a note that cannot be read, or is another user's
            note = LastNamed.from_text(read_text(file))
        if note is not None and note.key is not None and note.at > oldest:
            found.add(file.parent / note.key.created / str(note.key.version))
    return found
