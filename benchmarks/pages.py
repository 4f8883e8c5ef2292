"""Pages whose text is written by hand and whose tables are generated: a table stands between two comments.

``<!-- NAME -->`` begins a generated part, ``<!-- end of NAME -->`` ends it. Edit the text around it in the page itself.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests import mlflow_table

RELIABILITY = mlflow_table.ROOT / "docs" / "reliability.md"


class NoSuchPart(Exception):
    """The page has no place for a generated part."""


def fill(page: str, parts: Mapping[str, str]) -> str:
    """Return a page with these generated parts in place of the old ones; raise ``NoSuchPart`` for an unknown name."""
    for name, text in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
        filled = f"{begin}\n\n{text.strip()}\n\n{end}"
        page, found = pattern.subn(lambda _, filled=filled: filled, page)  # type: ignore[misc]
        if found != 1:
            raise NoSuchPart(f"The page has {found} parts {name!r}; write {begin} and {end} where the tables go.")
    return page


def write_or_print(page: Path, parts: Mapping[str, str], *, only_print: bool) -> None:
    """Write these generated parts into a page, or print them."""
    if only_print:
        print("\n\n".join(parts.values()))
    else:
        page.write_text(fill(page.read_text(encoding="utf-8"), parts), encoding="utf-8")


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def today() -> tuple[str, str]:
    """Return the row of a table of conditions that says when it was measured."""
    return "measured on", dt.datetime.now(tz=dt.timezone.utc).date().isoformat()


def cores() -> tuple[str, int | None]:
    """Return the row of a table of conditions that says on how many cores it was measured."""
    return "cores", os.cpu_count()
