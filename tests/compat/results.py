"""The results of the compatibility grid: the values, and the file in which they are committed."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests import mlflow_table
from tests.mlflow_table import ROOT

COMMITTED = ROOT / "docs" / "compatibility.json"
PAGE = ROOT / "docs" / "compatibility.md"
STORES = ("sqlite", "postgresql", "direct")


@dataclass(frozen=True, order=True)
class Cell:
    """One client on one registry: a server on SQLite or PostgreSQL, or an SQLite database opened directly."""

    client: str
    registry: str
    store: str

    def __str__(self) -> str:
        """Return the cell as progress shows it."""
        return f"client {self.client} on registry {self.registry} ({self.store})"


@dataclass(frozen=True)
class Result:
    """What became of a cell.

    ``pointers`` maps each pointer to ``works``, ``refused`` or ``failed``; ``refusal`` names the error that refused the
    whole cell. ``limits`` maps what does not work beside the laws to how it fails, ``failures`` are broken laws: a cell
    with one is red.
    """

    pointers: dict[str, str] = field(default_factory=dict)
    refusal: str = ""
    limits: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


Results = dict[Cell, Result]


def all_cells() -> list[Cell]:
    """Return every cell of the grid."""
    versions = [row.version for row in mlflow_table.rows()]
    return [Cell(client, registry, store) for registry in versions for store in STORES for client in versions]


def slice_cells() -> list[Cell]:
    """Return a slice that meets each client and each registry once on a server: the oldest with the newest, and so on.

    The servers keep SQLite and PostgreSQL in turn, and the same pairs open the database directly.
    """
    versions = [row.version for row in mlflow_table.rows()]
    pairs = list(zip(versions, reversed(versions), strict=True))
    servers = [
        Cell(client, registry, STORES[place % 2]) for place, (client, registry) in enumerate(sorted(pairs, key=str))
    ]
    return servers + [Cell(client, registry, "direct") for client, registry in pairs]


def read(file: Path = COMMITTED) -> tuple[str, Results]:
    """Return the day of the committed run and its results."""
    document = json.loads(file.read_text(encoding="utf-8"))
    found = {Cell(*key.split(" ")): Result(**value) for key, value in document["cells"].items()}
    return str(document["day"]), found


def write(day: str, results: Results, file: Path = COMMITTED) -> None:
    """Write results, a line a cell, so that a changed cell is a changed line."""
    lines = [f"{json.dumps(_key(cell))}: {json.dumps(asdict(results[cell]))}" for cell in in_order(results)]
    text = ",\n    ".join(lines)
    file.write_text(f'{{\n  "day": {json.dumps(day)},\n  "cells": {{\n    {text}\n  }}\n}}\n', encoding="utf-8")


def _key(cell: Cell) -> str:
    """Return a cell as the file names it."""
    return f"{cell.client} {cell.registry} {cell.store}"


def in_order(cells: Collection[Cell]) -> list[Cell]:
    """Return cells in the order of the grid."""
    places = {cell: place for place, cell in enumerate(all_cells())}
    return sorted(cells, key=lambda cell: places[cell])


def result_from(answer: dict[str, Any]) -> Result:
    """Return what a cell's process answered as a result."""
    failures = [
        f"{finding['pointer']}: {finding['law']}: {finding['detail']}"
        for finding in answer["findings"]
        if finding["outcome"] == "failed"
    ]
    failures += [f"left behind: {text}" for text in answer["left"]]
    return Result(answer["pointers"], "", answer["limits"], failures)
