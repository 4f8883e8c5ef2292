"""The committed compatibility page: generated from the committed results, complete, with a text for every reason."""

from __future__ import annotations

import json
from pathlib import Path

from tests import mlflow_table
from tests.compat.grid import differences, red
from tests.compat.page import page, reasons, sign, text_of
from tests.compat.results import PAGE, Cell, Result, all_cells, read, result_from, slice_cells, write

VERSIONS = {row.version for row in mlflow_table.rows()}
WORKS = dict.fromkeys(("auto", "alias", "stage", "both"), "works")


def test_the_page_is_what_the_results_give() -> None:
    """The committed page is made of the committed results, and of nothing else."""
    day, results = read()
    assert PAGE.read_text(encoding="utf-8") == page(day, results)


def test_every_cell_ran_and_none_is_red() -> None:
    """The committed results hold each cell of the grid, without a failure."""
    _, results = read()
    assert set(results) == set(all_cells())
    assert red(results, all_cells()) == []


def test_every_reason_is_in_words() -> None:
    """Whatever does not work in some cell has a sentence of its own on the page."""
    _, results = read()
    found = {reason for result in results.values() for reason in reasons(result)}
    assert found
    assert all(text_of(reason) in PAGE.read_text(encoding="utf-8") for reason in found)


def test_pointers_are_refused_only_where_there_are_no_aliases() -> None:
    """A refused pointer belongs to a registry before 2.3.0, and never to ``auto`` or ``stage``."""
    _, results = read()
    for cell, result in results.items():
        refused = {pointer for pointer, outcome in result.pointers.items() if outcome == "refused"}
        without = mlflow_table.row(cell.registry).release < (2, 3, 0)
        assert refused == ({"alias", "both"} if without and not result.refusal else set()), cell


def test_a_database_of_another_schema_is_refused_by_name() -> None:
    """A database opened directly works, or is a schema mismatch: nothing between."""
    _, results = read()
    direct = {cell: result for cell, result in results.items() if cell.store == "direct"}
    assert {result.refusal for result in direct.values()} == {"", "SchemaMismatch"}
    assert all(not result.refusal for cell, result in direct.items() if cell.client == cell.registry)
    assert all(not result.refusal for cell, result in results.items() if cell.store != "direct")


def test_the_slice_meets_each_version_on_either_side() -> None:
    """The slice has each version once as client and once as registry, on servers of both stores, and directly."""
    served = [cell for cell in slice_cells() if cell.store != "direct"]
    assert {cell.client for cell in served} == {cell.registry for cell in served} == VERSIONS
    assert len(served) == len(VERSIONS)
    assert {cell.store for cell in served} == {"sqlite", "postgresql"}
    assert {cell.client for cell in slice_cells() if cell.store == "direct"} == VERSIONS


def test_a_cell_that_did_not_run_is_red() -> None:
    """What was to be run and was not is an error, and the page shows it as broken."""
    cell = slice_cells()[0]
    assert red({}, [cell]) == [f"{cell}: did not run"]
    assert sign(None, {}) == "❌"


def test_a_failed_check_is_red() -> None:
    """A failure in a cell is an error, whatever else works there."""
    answer = {
        "pointers": {**WORKS, "alias": "failed"},
        "limits": {},
        "left": [],
        "findings": [{"pointer": "alias", "law": "a law", "outcome": "failed", "detail": "why"}],
    }
    result = result_from(answer)
    cell = slice_cells()[0]
    assert red({cell: result}, [cell]) == [f"{cell}: alias: a law: why"]
    assert sign(result, {}) == "❌"


def test_a_difference_from_the_committed_results_is_reported() -> None:
    """A cell that no longer does what the page says is an error, also where it does more."""
    cell = slice_cells()[0]
    committed = {cell: Result(WORKS, limits={"log_model": "MlflowException"})}
    assert differences({cell: Result(WORKS, limits={"log_model": "MlflowException"})}, committed) == []
    assert len(differences({cell: Result(WORKS)}, committed)) == 1
    assert len(differences({cell: Result(WORKS)}, {})) == 1


def test_results_survive_the_file(tmp_path: Path) -> None:
    """What is written is what is read, a line a cell."""
    results = {
        Cell("2.2.2", "3.17.2", "sqlite"): Result(WORKS, limits={"plain alias": "AttributeError"}),
        Cell("2.2.2", "3.17.2", "direct"): Result(refusal="SchemaMismatch"),
    }
    file = tmp_path / "results.json"
    write("2026-01-01", results, file)
    assert read(file) == ("2026-01-01", results)
    assert len(json.loads(file.read_text())["cells"]) == 2
