"""The compatibility page: the committed results as tables, with a reason for everything that does not work."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests import mlflow_table
from tests.compat.results import Cell, Result, Results

HEADING = """# Compatibility

Every MLflow client in the table below with every MLflow registry, run on {day}: {cells} combinations, each in a
separate process, with the checks of `prodpointer conformance` for `auto`, `alias`, `stage` and `both`, and with the
same operations in plain MLflow. `nox -s compat` runs all of them and writes this page;
`nox -s compat -- --client 2.22.5 --registry 3.17.2` runs one pair. CI runs a few pairs that include each version as
client and as registry, and fails if a result differs from this page. `prodpointer conformance` runs the same checks on
your registry.

✅ everything works. ⚠️ everything works except for the numbered limitations below the table. ⛔ refused with an error,
and nothing was changed. ❌ a check failed, or the combination did not run.
"""

# Limitations besides failed checks, as the page describes them.
REASONS: dict[str, str] = {
    "alias refused": (
        'The registry has no aliases, which were added in MLflow 2.3.0. `auto` and `stage` work; `pointer="alias"` and '
        '`"both"` are refused with `PointerUnsupported`, and nothing is moved.'
    ),
    "plain alias": (
        "prodpointer reads and moves aliases here over REST. Plain MLflow of this client cannot: it has no alias "
        "methods and no `models:/name@alias`."
    ),
    "plain stage": "Plain MLflow of this client cannot load `models:/name/Production` here; prodpointer can.",
    "plain list": (
        "Plain MLflow's `search_registered_models` always returns an empty list here, without an error; prodpointer "
        "lists the models."
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
        "pickle or skops file needs other versions of Python and scikit-learn, as `LoadFailed` says."
    ),
}


def reasons(result: Result) -> list[str]:
    """Return the names of the limitations of a combination."""
    refused = ["alias refused"] if "refused" in (result.pointers.get("alias"), result.pointers.get("both")) else []
    return refused + sorted(result.limits)


def text_of(reason: str) -> str:
    """Return the sentence about a limitation."""
    flavor, _, by = reason.partition(" by ")
    return LOGGED[flavor].format(by=by) if by else REASONS[reason]


def sign(result: Result | None, numbers: dict[str, int]) -> str:
    """Return the table entry of one combination."""
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
    """Return the table of servers: one if both databases give the same results, else one for each."""
    kept = {store: matrix(results, store, numbers) for store in ("sqlite", "postgresql")}
    if kept["sqlite"] == kept["postgresql"]:
        return ["Servers on SQLite and on PostgreSQL give the same results:", "", *kept["sqlite"]]
    titles = {"sqlite": "A server on SQLite:", "postgresql": "A server on PostgreSQL:"}
    return [line for store, lines in kept.items() for line in (titles[store], "", *lines, "")]


def numbered(results: Results) -> dict[str, int]:
    """Return a number for each limitation that occurs, in the order of the list."""
    found = {reason for result in results.values() for reason in reasons(result)}
    order = [*REASONS, *sorted(found - set(REASONS))]
    return {reason: place for place, reason in enumerate((each for each in order if each in found), start=1)}


def versions_table() -> list[str]:
    """Return the table of the versions that were run."""
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
        "An SQLite file that one MLflow created and another opens. ⛔ is `SchemaMismatch`, raised before the file is "
        "changed; pass `upgrade_database=True` to upgrade an older one. The same check protects PostgreSQL."
    )
    lines = [
        HEADING.format(day=day, cells=len(results)),
        *section("Client and server", [*servers(results, numbers), "", *map(why, numbers)]),
        *section("A database opened directly", [opened, "", *matrix(results, "direct", numbers)]),
        *section("Versions", versions_table()),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"
