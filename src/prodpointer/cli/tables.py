"""Tables: aligned on a terminal, as blocks where it is narrow, and tab-separated with a header row in a pipe."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from prodpointer._text import visible
from prodpointer.cli.terminal import Meaning, is_terminal, paint, stop_waiting, write

_GAP = 2  # columns of a terminal between two columns of a table
_NARROWEST = 16  # columns of a terminal that a text is wrapped into at least
_SEPARATORS = re.compile(r"[\t\r\n]+")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    ``wraps`` says that its texts may go on in the next line; numbers, names and times never do. ``optional`` columns
    are left out, the last one first, where a terminal is too narrow. ``only`` is where a column is that is not in both.
    """

    title: str
    wraps: bool = False
    optional: bool = False
    only: Literal["", "pipe", "terminal"] = ""


@dataclass(frozen=True)
class Cell:
    """A text of a table, what its colour says, and what a program reads in its place."""

    text: str
    meaning: Meaning = ""
    piped: str | None = None


Row = Sequence["Cell | str"]


def print_table(columns: Sequence[Column | str], rows: Sequence[Row], *, empty: str = "") -> None:
    """Print a table, or a sentence where it has no rows; in a pipe there is a header row even then.

    Parameters
    ----------
    columns
        The columns, or their titles.
    rows
        The cells of each row, in the order of the columns.
    empty
        Text to print if there are no rows; in a pipe it goes to standard error.
    """
    stop_waiting()
    made = [Column(each) if isinstance(each, str) else each for each in columns]
    here = "terminal" if is_terminal() else "pipe"
    shown = [index for index, column in enumerate(made) if column.only in ("", here)]
    titles = [made[index] for index in shown]
    cells = [[Cell(cell) if isinstance(cell := row[index], str) else cell for index in shown] for row in rows]
    if here == "pipe":
        _print_tab_separated(titles, cells)
    elif cells:
        _print_aligned(titles, cells)
    if empty and not cells:
        write(empty, err=here == "pipe")


def _print_tab_separated(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
    """Print a header row and a line for each row; what would separate is a blank, and nothing is in colour."""
    write("\t".join(column.title for column in columns))
    for row in rows:
        texts = (cell.text if cell.piped is None else cell.piped for cell in row)
        write("\t".join(visible(_SEPARATORS.sub(" ", text)) for text in texts))


def _print_aligned(columns: list[Column], rows: list[list[Cell]]) -> None:
    """Print a table that fits the terminal: with fewer columns where it is too wide, then as blocks."""
    width = shutil.get_terminal_size().columns
    while (widths := _widths(columns, rows, width)) is None:
        optional = [index for index, column in enumerate(columns) if column.optional]
        if not optional:
            _print_blocks(columns, rows, width)
            return
        columns = [column for index, column in enumerate(columns) if index != optional[-1]]
        rows = [[cell for index, cell in enumerate(row) if index != optional[-1]] for row in rows]
    write(_line([paint(column.title, "title") for column in columns], [c.title for c in columns], widths))
    for row in rows:
        folded = [_wrapped(cell.text, size) for cell, size in zip(row, widths, strict=True)]
        for number in range(max(map(len, folded))):
            texts = [lines[number] if number < len(lines) else "" for lines in folded]
            painted = [paint(text, cell.meaning) for text, cell in zip(texts, row, strict=True)]
            write(_line(painted, texts, widths))


def _line(painted: Sequence[str], texts: Sequence[str], widths: Sequence[int]) -> str:
    """Return one line of a table; what a text takes on a terminal is not the length of its painted form."""
    padded = [text + " " * (size - _size(plain)) for text, plain, size in zip(painted, texts, widths, strict=True)]
    return (" " * _GAP).join(padded).rstrip()


def _widths(columns: list[Column], rows: list[list[Cell]], width: int) -> list[int] | None:
    """Return the width of each column, or None where the table does not fit; what wraps shares what is left."""
    natural = [
        max(_size(column.title), *(_longest_line(row[index].text) for row in rows))
        for index, column in enumerate(columns)
    ]
    over = sum(natural) + _GAP * (len(columns) - 1) - width
    wrapping = sorted(
        (index for index, column in enumerate(columns) if column.wraps), key=lambda index: -natural[index]
    )
    for index in wrapping:  # the longest gives way first
        if over <= 0:
            break
        taken = min(over, max(0, natural[index] - max(_NARROWEST, _size(columns[index].title))))
        natural[index] -= taken
        over -= taken
    return natural if over <= 0 else None


def _print_blocks(columns: list[Column], rows: list[list[Cell]], width: int) -> None:
    """Print each row as lines of title and text, with an empty line between two rows."""
    label = max(_size(column.title) for column in columns)
    for number, row in enumerate(rows):
        if number:
            write()
        for column, cell in zip(columns, row, strict=True):
            title = paint(f"{column.title:{label}}", "title")
            for line in _wrapped(cell.text, max(_NARROWEST, width - label - _GAP)):
                write(f"{title}{' ' * _GAP}{paint(line, cell.meaning)}".rstrip())
                title = " " * label


def _wrapped(text: str, width: int) -> list[str]:
    """Return a text in lines of at most a width, broken between words where there are some."""
    lines = visible(text).splitlines() or [""]
    if all(_size(line) <= width for line in lines):
        return lines
    from rich.console import Console
    from rich.text import Text

    console = Console(width=width)
    return [part.plain.rstrip() for line in lines for part in Text(line).wrap(console, width, overflow="fold")]


def _longest_line(text: str) -> int:
    """Return what the longest line of a text takes."""
    return max(map(_size, visible(text).splitlines()), default=0)


def _size(text: str) -> int:
    """Return how many columns of a terminal a text takes: letters of some scripts take two, others none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
