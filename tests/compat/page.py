"""The page that people read: the committed results as tables, with a named reason for everything that does not work."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests import mlflow_table
from tests.compat.results import Cell, Result, Results

HEADING = """# Compatibility

Every MLflow client of the table below on every MLflow registry of it, run for real on {day}: {cells} cells, each a
process of its own with the laws of `prodpointer conformance` under `auto`, `alias`, `stage` and `both`, and with what
plain MLflow does beside them. `nox -s compat` runs them all and writes this page;
`nox -s compat -- --client 2.22.5 --registry 3.17.2` runs one pair. A few pairs that meet each version on either side
run in CI, which fails where this page says something else. `prodpointer conformance` tries the same laws on a registry
of yours.

✅ everything works. ⚠️ everything works but for what the numbers below the table name. ⛔ refused by name, and nothing
was touched. ❌ a law is broken, or the cell did not run.
"""

# What can be missing beside the laws, in the words of somebody who reads the page.
REASONS: dict[str, str] = {
    "alias refused": (
        'The registry has no aliases: they came with MLflow 2.3.0. `auto` and `stage` work; `pointer="alias"` and '
        '`"both"` are refused with `PointerUnsupported`, and nothing is moved.'
    ),
    "plain alias": (
        "prodpointer reads and moves aliases here over REST; plain MLflow of this client cannot: it has no alias "
        "methods and no `models:/name@alias`."
    ),
    "plain stage": "Plain MLflow of this client cannot load `models:/name/Production` here; prodpointer can.",
    "plain list": (
        "Plain MLflow's `search_registered_models` answers an empty list here, in silence, whatever there is; "
        "prodpointer lists the models."
    ),
    "log_model": (
        "Plain MLflow's `log_model` of this client fails here: it needs the logged models of an MLflow 3 server. Files "
        "and directories logged with `log_artifacts` work, and so do models logged by a client of MLflow 2."
    ),
}
LOGGED = {
    "pyfunc": "A `pyfunc` model of plain Python code that MLflow {by} logged cannot be loaded by this client.",
    "sklearn": (
        "A scikit-learn model that MLflow {by} logged in its default format cannot be loaded by this client: its "
        "pickle or skops file belongs to other versions of Python and scikit-learn, and `LoadFailed` says so."
    ),
}


def reasons(result: Result) -> list[str]:
    """Return the names of what does not work in a cell."""
    refused = ["alias refused"] if "refused" in (result.pointers.get("alias"), result.pointers.get("both")) else []
    return refused + sorted(result.limits)


def text_of(reason: str) -> str:
    """Return a reason in words."""
    flavor, _, by = reason.partition(" by ")
    return LOGGED[flavor].format(by=by) if by else REASONS[reason]


def sign(result: Result | None, numbers: dict[str, int]) -> str:
    """Return what the table shows for one cell."""
    if result is None or result.failures or "failed" in result.pointers.values():
        return "❌"
    if result.refusal or result.pointers.get("auto") == "refused":
        return f"⛔ {result.refusal}".strip()
    named = [str(number) for number in sorted(numbers[reason] for reason in reasons(result))]
    return f"⚠️ {' '.join(named)}" if named else "✅"


def matrix(results: Results, store: str, numbers: dict[str, int]) -> list[str]:
    """Return the table of one store: a row for each client, a column for each registry."""
    versions = [row.version for row in mlflow_table.rows()]
    lines = ["| client ↓ registry → | " + " | ".join(versions) + " |", "| --- |" + " --- |" * len(versions)]
    for client in versions:
        signs = [sign(results.get(Cell(client, registry, store)), numbers) for registry in versions]
        lines.append(f"| **{client}** | " + " | ".join(signs) + " |")
    return lines


def servers(results: Results, numbers: dict[str, int]) -> list[str]:
    """Return the table of servers: once where both databases give the same, else once for each."""
    kept = {store: matrix(results, store, numbers) for store in ("sqlite", "postgresql")}
    if kept["sqlite"] == kept["postgresql"]:
        return ["The same on servers that keep SQLite and on servers that keep PostgreSQL:", "", *kept["sqlite"]]
    titles = {"sqlite": "A server on SQLite:", "postgresql": "A server on PostgreSQL:"}
    return [line for store, lines in kept.items() for line in (titles[store], "", *lines, "")]


def numbered(results: Results) -> dict[str, int]:
    """Return a number for each reason that some cell has, in the order in which the reasons are listed."""
    found = {reason for result in results.values() for reason in reasons(result)}
    order = [*REASONS, *sorted(found - set(REASONS))]
    return {reason: place for place, reason in enumerate((each for each in order if each in found), start=1)}


def versions_table() -> list[str]:
    """Return the table of what was run."""
    lines = ["| MLflow | Python | libraries as of | why |", "| --- | --- | --- | --- |"]
    return lines + [f"| {row.version} | {row.python} | {row.as_of} | {row.why} |" for row in mlflow_table.rows()]


def section(title: str, lines: Iterable[str]) -> list[str]:
    """Return lines below a heading."""
    return [f"## {title}", "", *lines, ""]


def page(day: str, results: Results) -> str:
    """Return the whole page for the results of a run."""
    numbers = numbered(results)
    why: Callable[[str], str] = lambda reason: f"{numbers[reason]}. {text_of(reason)}"  # noqa: E731  # one line a reason
    opened = (
        "An SQLite file made by one MLflow and opened by another. ⛔ is `SchemaMismatch`, before a byte of the file is "
        "changed; give `upgrade_database=True` to upgrade an older one. The same check guards PostgreSQL."
    )
    lines = [
        HEADING.format(day=day, cells=len(results)),
        *section("A client and a server", [*servers(results, numbers), "", *map(why, numbers)]),
        *section("A database opened directly", [opened, "", *matrix(results, "direct", numbers)]),
        *section("What was run", versions_table()),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"
