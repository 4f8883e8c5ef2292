"""``docs/reliability.md``, of which each benchmark writes its own part and leaves the others."""

from __future__ import annotations

from collections.abc import Sequence

from tests import mlflow_table

PAGE = mlflow_table.ROOT / "docs" / "reliability.md"
PARTS = ("one live version", "bad days", "two fleets")


def keep(part: str, text: str) -> None:
    """Write one part of the page."""
    kept = parts()
    kept[part] = text.strip()
    written = [f"<!-- {each} -->\n\n{kept[each]}\n" for each in PARTS if each in kept]
    PAGE.write_text("\n".join(["# Reliability\n", *written]), encoding="utf-8")


def parts() -> dict[str, str]:
    """Return the parts that there are."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    found: dict[str, str] = {}
    for part in PARTS:
        _, mark, rest = text.partition(f"<!-- {part} -->\n")
        if mark:
            found[part] = rest.partition("\n<!-- ")[0].strip()
    return found


def table(head: Sequence[str], rows: Sequence[str]) -> str:
    """Return a table."""
    return "\n".join([f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *rows])
