"""Who in a source tree still reads or writes MLflow's stages, and the line to write instead."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from prodpointer.errors import ProdpointerError
from prodpointer.stage_finder.patterns import HINT, LONGEST, Kind, uses_in_lines
from prodpointer.stage_finder.syntax import is_python, uses_in_python

_SKIPPED = {"node_modules", "__pycache__", "site-packages"}
_PIPELINES = (
    ".github",
    ".gitlab",
    ".circleci",
    ".azure",
    ".buildkite",
    ".devcontainer",
)  # hidden, and somebody's source
_LARGEST = 2 * 1024 * 1024  # bytes of what may be data as well
_LARGEST_SOURCE = 64 * 1024 * 1024  # a notebook keeps its pictures
_PROBED = 8 * 1024  # bytes in which a binary file shows itself by a NUL
_PYTHON = {".py", ".pyw", ".pyi"}
_MAGIC_OF_PYTHON = ("%%time", "%%capture", "%%prun", "%%python")  # %%time is the beginning of %%timeit too


@dataclass(frozen=True)
class StageUse:
    """One use of a stage: where it is, what it is, and the line to write instead.

    ``text`` is the line without its indentation, cut at 200 characters.
    """

    path: Path
    line: int
    kind: Kind
    what: str
    text: str
    instead: str

    def as_json(self) -> dict[str, Any]:
        """Return the fields, the path with slashes on every system."""
        return {**vars(self), "path": self.path.as_posix()}


class _Part(NamedTuple):
    """Some lines of a file that are read together, each with its number in the file."""

    python: bool
    lines: Sequence[str]
    numbers: Sequence[int]


def stage_uses(root: Path, *, unread: list[Path] | None = None) -> Iterator[StageUse]:
    """Yield each use of a stage below a directory, or in one file, by path and line.

    Not looked into are hidden directories other than those of CI (``.github`` and the like), virtual environments,
    ``node_modules``, ``__pycache__`` and ``site-packages`` below the root, links, binary files, and files above 2 MiB
    other than Python and notebooks.

    Parameters
    ----------
    root
        The directory or file.
    unread
        Gets the files and directories that could not be read.

    Raises
    ------
    ProdpointerError
        There is no such file or directory.
    """
    try:
        mode = root.stat().st_mode
    except OSError:
        mode = 0
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise ProdpointerError(
            "There is no such file or directory.", where=str(root), next_step="Give the source tree to look through."
        )
    return _uses_below(root, [] if unread is None else unread)


def _uses_below(root: Path, unread: list[Path]) -> Iterator[StageUse]:
    """Yield the uses in every file, one file after the other."""
    for path in sorted(_files(root, unread)):
        try:
            content = _content(path, follow=path == root)
        except OSError:
            unread.append(path)
            continue
        if HINT.search(content):
            yield from _uses_in(path, content.decode("utf-8-sig", errors="replace"))


def _files(root: Path, unread: list[Path]) -> Iterator[Path]:
    """Yield the root, or what is below it and may be somebody's own source."""
    if not root.is_dir():
        yield root
    for directory, below, files in os.walk(root, onerror=lambda error: unread.append(Path(error.filename))):
        below[:] = [name for name in below if not _is_skipped(Path(directory, name))]
        yield from (Path(directory, name) for name in files)


def _is_skipped(directory: Path) -> bool:
    """Tell whether a directory holds nobody's own source; links to directories are not followed in any case."""
    name = directory.name
    hidden = name.startswith(".") and not name.startswith(_PIPELINES)
    return hidden or name in _SKIPPED or os.path.lexists(directory / "pyvenv.cfg")


def _content(path: Path, *, follow: bool) -> bytes:
    """Return a file's bytes, or none of a link that is not to be followed, a device, or a binary or large file."""
    found = path.stat(follow_symlinks=follow)
    largest = _LARGEST_SOURCE if path.suffix in {".ipynb", *_PYTHON} else _LARGEST
    if not stat.S_ISREG(found.st_mode) or found.st_size > largest:
        return b""
    content = path.read_bytes()
    return b"" if b"\0" in content[:_PROBED] else content


def _uses_in(path: Path, text: str) -> Iterator[StageUse]:
    """Yield the uses in one file."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    uses = []
    for part in _parts(path, text):
        if not HINT.search("\n".join(part.lines).encode(errors="replace")):
            continue
        found = uses_in_python(part.lines, text) if part.python else uses_in_lines(part.lines, text)
        for line, kind, what, instead in found:
            shown = part.lines[line - 1].strip()[:LONGEST]
            uses.append(StageUse(path, part.numbers[line - 1], kind, what, shown, instead))
    yield from sorted(uses, key=lambda use: use.line)


def _parts(path: Path, text: str) -> Iterator[_Part]:
    """Yield the parts of a file: what its cells are where it is a notebook, else all of it."""
    lines = text.split("\n")
    if path.suffix.lower() == ".ipynb" and (cells := list(_cells(text))):
        together = [cell for cell in cells if cell.python and is_python(cell.lines)]
        yield _Part(
            python=True,
            lines=[line for cell in together for line in cell.lines],
            numbers=[number for cell in together for number in cell.numbers],
        )
        yield from (cell for cell in cells if cell not in together)
        return
    python = path.suffix.lower() in _PYTHON or (lines[0].startswith("#!") and "python" in lines[0])
    yield _Part(python, lines, range(1, len(lines) + 1))


def _cells(text: str) -> Iterator[_Part]:
    """Yield the cells of a notebook, each line with its number in the file; none where the text is no notebook."""
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError):
        return
    languages = _at(notebook, "metadata", "language_info", "name"), _at(notebook, "metadata", "kernelspec", "language")
    of_python = "python" in str(languages).lower() or not any(languages)
    position, number = 0, 1
    sheets = _list(_at(notebook, "worksheets")) or [notebook]  # in format 3
    for cell in (cell for sheet in sheets for cell in _list(_at(sheet, "cells"))):
        source = _at(cell, "source") or _at(cell, "input")
        joined = source if isinstance(source, str) else "".join(map(str, _list(source)))
        lines = joined.encode(errors="replace").decode().split("\n")
        numbers = []
        for line in lines:
            found = _found_at(text, line, position)
            number += text.count("\n", position, found)
            position = found
            numbers.append(number)
        of_another = lines[0].startswith("%%") and not lines[0].startswith(_MAGIC_OF_PYTHON)
        yield _Part(of_python and not of_another and _at(cell, "cell_type") == "code", lines, numbers)


def _at(document: Any, *keys: str) -> Any:
    """Return what is deep in a document, or None."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _list(found: Any) -> list[Any]:
    """Return a list as it is, and none for anything else."""
    return found if isinstance(found, list) else []


def _found_at(text: str, line: str, position: int) -> int:
    """Return where a line of a cell stands in the notebook, from a position on; that position if it cannot be told."""
    for ascii_only in (False, True):
        found = text.find(json.dumps(line, ensure_ascii=ascii_only)[1:-1], position)
        if found >= 0:
            return found
    return position
