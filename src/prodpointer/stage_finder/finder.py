"""Who in a source tree still reads or writes MLflow's stages, and the line to write instead."""

from __future__ import annotations

import json
import os
import re
import stat
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from prodpointer.errors import ProdpointerError
from prodpointer.stage_finder.patterns import HINT, LONGEST, Found, Kind, is_python, uses_in_lines, without_magic

_SKIPPED = {"node_modules", "__pycache__", "site-packages", "mlruns", "mlartifacts"}
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
_LARGEST_PARSED = 1024 * 1024  # characters of Python: of more, libcst's tree takes a minute and gigabytes
# Settings and scripts, by suffix or name; all other files may tell of the past, which stays true: texts, logs, patches.
_EDITED = {".yaml", ".yml", ".toml", ".cfg", ".ini", ".json", ".sh", ".bash", ".env", "Dockerfile", "Makefile"}
_OF_A_SHELL = re.compile(r"#!.*\b(?:ba|da|k|z)?sh\b")
_LINE_END = re.compile(r"(\r\n|\r|\n)")
_MAGIC_OF_PYTHON = ("%%time", "%%capture", "%%prun", "%%python")  # %%time is the beginning of %%timeit too


class Edit(NamedTuple):
    """A change of a file's text: from a character to another, and the new text."""

    start: int
    end: int
    new: str


@dataclass(frozen=True)
class StageUse:
    """One use of a stage: where it is, what it is, and the line to write instead.

    ``text`` is the line without its indentation, cut at 200 characters. ``edit`` is what ``--fix`` writes, None where
    the meaning might change.
    """

    path: Path
    line: int
    kind: Kind
    what: str
    text: str
    instead: str
    edit: Edit | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, Any]:
        """Return the fields, the path with slashes on every system."""
        fields = {key: value for key, value in vars(self).items() if key != "edit"}
        return {**fields, "path": self.path.as_posix(), "fixable": self.edit is not None}


@dataclass(frozen=True)
class Source:
    """One file that uses stages.

    ``text`` is the file as it is, with line ends and mark of byte order; ``surrogateescape`` stands for bytes that are
    not UTF-8. ``parsed`` says that no Python in it was read by the plain patterns.
    """

    path: Path
    text: str
    uses: tuple[StageUse, ...]
    parsed: bool


class _Line(NamedTuple):
    """A line that is read, its number in the file, and where in the file's text it begins, -1 if that is not known."""

    text: str
    number: int
    start: int
    write: Callable[[str], str]  # how the file writes a text in this line


class _Part(NamedTuple):
    """Some lines of a file that are read together."""

    python: bool
    lines: Sequence[_Line]
    kept: bool = False  # as it is, whatever is found
    cell: bool = False


def parses_python() -> bool:
    """Tell whether libcst, of the extra ``find``, is installed."""
    try:
        import libcst  # noqa: F401
    except ImportError:
        return False
    return True


def stage_uses(root: Path, *, unread: list[Path] | None = None) -> Iterator[StageUse]:
    """Yield each use of a stage below a directory, or in one file, by path and line: see ``stage_sources``."""
    return (use for source in stage_sources(root, unread=unread) for use in source.uses)


def stage_sources(root: Path, *, unread: list[Path] | None = None) -> Iterator[Source]:
    """Yield each file below a directory, or the one file, that uses stages, and each whose Python does not parse.

    Not looked into are hidden directories other than those of CI (``.github`` and the like), virtual environments,
    ``node_modules``, ``__pycache__``, ``site-packages``, ``mlruns`` and ``mlartifacts`` below the root, links, binary
    files, and files above 2 MiB other than Python and notebooks.

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
    return _sources_below(root, [] if unread is None else unread)


def _sources_below(root: Path, unread: list[Path]) -> Iterator[Source]:
    """Yield the files one after the other."""
    for path in sorted(_files(root, unread)):
        try:
            content = _content(path, follow=path == root)
        except OSError:
            unread.append(path)
            continue
        if HINT.search(content):
            source = source_of(path, content.decode("utf-8", errors="surrogateescape"))
            if source.uses or not source.parsed:
                yield source


def _files(root: Path, unread: list[Path]) -> Iterator[Path]:
    """Yield the root, or what is below it and may be somebody's own source."""
    if not root.is_dir():
        yield root
        return
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


def source_of(path: Path, text: str) -> Source:
    """Return a file with its uses, from the first line to the last."""
    mark = text.startswith("\ufeff")  # of byte order
    shown = _unicode(text[mark:])
    uses, parsed = [], True
    for part in _parts(path, shown):
        lines = [line.text for line in part.lines]
        if not HINT.search("\n".join(lines).encode()):
            continue
        found = _in_python(lines, shown) if part.python else None
        parsed = parsed and (found is not None or not part.python)
        sure = not part.kept and (found is not None or not part.python)
        for each in uses_in_lines(lines, shown, python=part.python) if found is None else found:
            line = part.lines[each.line - 1]
            edit = _edit(part, each, mark) if sure else None
            uses.append(
                StageUse(path, line.number, each.kind, each.what, line.text.strip()[:LONGEST], each.instead, edit)
            )
    uses.sort(key=lambda use: use.line)
    to_check = path.suffix.lower() == ".ipynb" and any(use.edit for use in uses)
    if to_check and not _only_sources_change(text[mark:], edited(text, uses)[0][mark:]):
        uses = [replace(use, edit=None) for use in uses]
    return Source(path, text, tuple(uses), parsed)


def edited(text: str, uses: Sequence[StageUse]) -> tuple[str, int]:
    """Return a file's text with an alias in place of each stage that has an edit, and the number of edits."""
    pieces, end = [], 0
    edits = sorted({use.edit for use in uses if use.edit})
    for edit in edits:
        if edit.start >= end:  # one inside of another is left for the next time
            pieces += [text[end : edit.start], edit.new]
            end = edit.end
    return "".join([*pieces, text[end:]]), len(pieces) // 2


def _only_sources_change(before: str, after: str) -> bool:
    """Tell whether two texts are the same notebook but for the sources of its cells."""
    try:
        notebooks = [json.loads(text) for text in (before, after)]
        for cell in (cell for notebook in notebooks for cell in notebook["cells"]):
            "".join(cell["source"])  # of a cell that cannot be read, the others are left too: it may hold their lines
            cell["source"] = None
    except (ValueError, RecursionError, LookupError, TypeError):
        return False
    return bool(notebooks[0] == notebooks[1])


def _in_python(lines: Sequence[str], context: str) -> list[Found] | None:
    """Return the uses in Python; None where it does not parse, is large, or the extra ``find`` is not installed."""
    if not parses_python() or sum(map(len, lines)) > _LARGEST_PARSED:
        return None
    from prodpointer.stage_finder._syntax import uses_in_python

    return uses_in_python(lines, context)


def _edit(part: _Part, found: Found, mark: int) -> Edit | None:
    """Return an edit of a part as one of the file; None where it is none, or would change more than it means."""
    if found.edit is None or "\ufffd" in found.edit.new:  # a character that is not known is not written
        return None
    (first, column), (last, end), new = found.edit
    line, other = part.lines[first - 1], part.lines[last - 1]
    if line.start < 0 or (part.cell and first != last):  # the lines of a cell are texts of their own
        return None
    start = line.start + len(line.write(line.text[:column]))
    return Edit(mark + start, mark + other.start + len(other.write(other.text[:end])), line.write(new))


def _parts(path: Path, text: str) -> Iterator[_Part]:
    """Yield the parts of a file: what its cells are where it is a notebook, else all of it."""
    suffix = path.suffix.lower()
    pieces = _LINE_END.split(text)
    starts = list(accumulate(map(len, pieces), initial=0))[::2]
    if suffix == ".ipynb" and (cells := list(_cells(text, starts))):
        together = [
            cell
            for cell in cells
            if cell.python and is_python("\n".join(without_magic([line.text for line in cell.lines])[0]))
        ]
        yield _Part(python=True, lines=[line for cell in together for line in cell.lines], cell=True)
        yield from (cell for cell in cells if cell not in together)
        return
    ends = [*pieces[1::2], ""]
    lines = [
        _Line(line, number, start, _ending_in(end or "\n"))
        for number, (line, start, end) in enumerate(zip(pieces[::2], starts, ends, strict=False), 1)
    ]
    python = suffix in _PYTHON or (lines[0].text.startswith("#!") and "python" in lines[0].text)
    edited_too = bool({suffix, path.name} & _EDITED or _OF_A_SHELL.match(lines[0].text))
    yield _Part(python, lines, kept=not (python or edited_too))


def _ending_in(end: str) -> Callable[[str], str]:
    """Return what writes a text with its line ends as a file has them."""
    return lambda text: text.replace("\n", end)


def _cells(text: str, starts: Sequence[int]) -> Iterator[_Part]:
    """Yield the cells of a notebook of format 4, the lines of which begin at ``starts``; none for any other text."""
    try:
        notebook = json.loads(text)
        cells = [each for each in map(_cell, notebook["cells"]) if each]
        metadata = str(notebook.get("metadata")).lower()
    except (ValueError, RecursionError, LookupError, TypeError):
        return
    of_python = "python" in metadata or "language" not in metadata
    position = 0
    for is_code, source in cells:
        lines = []
        for line in source.split("\n"):
            places = [(text.find(write(line), position), write) for write in (_in_json, _in_ascii)]
            start, write = next((each for each in places if each[0] >= 0), (-1, str))
            position = max(start, position)
            lines.append(_Line(line, bisect_right(starts, position), start, write))
            position += len(write(line)) if start >= 0 else 0
        of_another = source.startswith("%%") and not source.startswith(_MAGIC_OF_PYTHON)
        yield _Part(of_python and not of_another and is_code, lines, kept=not (is_code and of_python), cell=True)


def _cell(cell: Any) -> tuple[bool, str] | None:
    """Return whether a cell is of code, and its text; None of what is no cell."""
    try:
        return cell["cell_type"] == "code", _unicode("".join(cell["source"]))
    except (LookupError, TypeError):
        return None


def _in_json(text: str) -> str:
    """Return a text as it stands in JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _in_ascii(text: str) -> str:
    """Return a text as it stands in JSON of nothing but ASCII."""
    return json.dumps(text)[1:-1]


def _unicode(text: str) -> str:
    """Return a text with a replacement for each character that UTF-8 cannot write."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
