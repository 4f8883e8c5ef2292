"""Small tables for notebooks: HTML without styles, so that each notebook's own colours apply."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from prodpointer._text import shortened, visible

_LONGEST_CELL = 200  # characters


def html_table(rows: Iterable[Sequence[object]], columns: Sequence[str] = (), *, note: str = "") -> str:
    """Return rows as an HTML table; every text is escaped, and None is an empty cell.

    Parameters
    ----------
    rows
        The cells of each row; without ``columns`` the first one is the row's heading.
    columns
        The headings of the columns.
    note
        A line below the table.
    """
    head = f"<thead><tr>{_cells(columns, 'th')}</tr></thead>" if columns else ""
    first = "td" if columns else "th"
    body = "".join(f"<tr>{_cells(row[:1], first)}{_cells(row[1:], 'td')}</tr>" for row in rows)
    below = f"<p>{_escaped(note)}</p>" if note else ""
    return f"<table>{head}<tbody>{body}</tbody></table>{below}"


def _cells(values: Sequence[object], tag: str) -> str:
    return "".join(f"<{tag}>{_escaped(value)}</{tag}>" for value in values)


def _escaped(value: object) -> str:
    return "" if value is None else escape(shortened(visible(str(value)), _LONGEST_CELL))
