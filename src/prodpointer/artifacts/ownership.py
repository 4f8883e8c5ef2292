"""Checks that only the user can have written the cache: a writer of the cache decides what is loaded from it.

Nothing is checked where the system has no numbers for users, as on Windows, where a user's directories are closed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from prodpointer.errors import ProdpointerError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_ROOT = 0
_ELSEWHERE = "Nothing was loaded. Choose a directory of your own with cache_dir= or PRODPOINTER_CACHE_DIR."


def check_root(root: Path) -> None:
    """Raise unless a directory is the user's alone, and no other user can put another one in its place."""
    if not hasattr(os, "getuid"):
        return
    parent = _status(root.parent)
    if parent is not None and stat.S_ISLNK(parent.st_mode):
        _check_owner(root.parent, parent, _ROOT)
        try:
            parent = root.parent.stat()
        except OSError:
            return
    if parent is not None:
        _check_owner(root.parent, parent, _ROOT)
        if not parent.st_mode & stat.S_ISVTX:
            _check_closed(root.parent, parent)
    check_own(root)


def check_own(path: Path) -> bool:
    """Raise unless a file or directory is the user's, is no link and cannot be written by others.

    Return False where it is missing or cannot be reached.
    """
    if not hasattr(os, "getuid"):
        return True
    about = _status(path)
    if about is None:
        return False
    _check_owner(path, about)
    if stat.S_ISLNK(about.st_mode):
        raise _refusal(path, "is a link", f"{_ELSEWHERE} Name the directory that the link leads to.")
    _check_closed(path, about)
    return True


def check_tree(directory: Path) -> None:
    """Raise unless everything in a directory is the user's, closed to other writers, and no link leads out of it."""
    if not hasattr(os, "getuid"):
        return
    check_own(directory)
    user = os.getuid()
    for entry in _below(directory):  # thousands, in some: a path is made for what is refused or a link
        about = entry.stat(follow_symlinks=False)
        if _owner_of(entry.path, about) != user:
            _check_owner(Path(entry.path), about)
        if stat.S_ISLNK(about.st_mode):
            _check_within(Path(entry.path), directory)
        elif about.st_mode & _OTHERS_WRITE:
            _check_closed(Path(entry.path), about)


def close_tree(directory: Path) -> None:
    """Let only the user write in a directory and to the files in it, whatever the umask or a copied file allows."""
    for entry in _below(directory):
        mode = entry.stat(follow_symlinks=False).st_mode
        if mode & _OTHERS_WRITE and not entry.is_symlink():
            Path(entry.path).chmod(stat.S_IMODE(mode) & ~_OTHERS_WRITE)


def _below(directory: Path) -> Iterator[os.DirEntry[str]]:
    waiting = [str(directory)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


def _status(path: Path) -> os.stat_result | None:
    """Return the status of a path itself, or None where it cannot be reached, and so not be read either."""
    try:
        return path.lstat()
    except OSError:
        return None


def _check_owner(path: Path, about: os.stat_result, *others: int) -> None:
    """Raise where something belongs to another user than this one, or ``others``."""
    owner = _owner_of(str(path), about)
    if owner not in (os.getuid(), *others):
        raise _refusal(path, f"belongs to another user (uid {owner})", _ELSEWHERE)


def _owner_of(_: str, about: os.stat_result) -> int:
    """Return the number of the user to whom a path belongs."""
    return about.st_uid


def _check_closed(path: Path, about: os.stat_result) -> None:
    if about.st_mode & _OTHERS_WRITE:
        mode = f"can be written by others (mode {stat.S_IMODE(about.st_mode):04o})"
        raise _refusal(path, mode, f"{_ELSEWHERE} Or remove what is there, then close it: chmod go-w {path}.")


def _check_within(link: Path, directory: Path) -> None:
    if not link.resolve().is_relative_to(directory.resolve()):
        raise _refusal(link, "is a link that leads out of its entry", _ELSEWHERE)


def _refusal(path: Path, what: str, step: str) -> ProdpointerError:
    return ProdpointerError(f"The cache is not used: a part of it {what}.", where=str(path), next_step=step)
