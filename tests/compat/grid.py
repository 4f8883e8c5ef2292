"""The compatibility grid: every client with every registry, on real servers of every version.

``python -m tests.compat.grid`` runs the whole of it and writes ``docs/compatibility.json`` and the page made of it.
``--client X``, ``--registry Y`` and ``--store S`` choose cells, ``--slice`` a few pairs that meet each version on
either side. What was chosen is compared with the committed results: a difference, or a cell that did not run, is an
error.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from threading import Event, Lock
from typing import Any

from tests import mlflow_table
from tests.compat.page import page
from tests.compat.results import (
    COMMITTED,
    PAGE,
    STORES,
    Cell,
    Result,
    Results,
    all_cells,
    in_order,
    read,
    result_from,
    slice_cells,
    write,
)
from tests.mlflow_table import ROOT
from tests.postgres import Postgres, postgres
from tests.servers import environment, serve, unpacked

CELL = Path(__file__).with_name("cell.py")
FLAVORS = ("pyfunc", "sklearn")
SEEDS = {f"{flavor} by {version}": version for version in ("2.0.1", "2.22.5", "3.17.2") for flavor in FLAVORS}
"""The flavor models left on each server for every client to load, and the clients that log them."""
LANES = 2
PATIENCE = 300.0


@dataclass
class Grid:
    """A run of the grid: where it works, what it found, and how far it is."""

    directory: Path
    package: Path
    database: Postgres | None
    total: int
    started: float = field(default_factory=time.monotonic)
    results: Results = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)
    stopped: Event = field(default_factory=Event)

    def run(self, cells: Sequence[Cell]) -> None:
        """Run cells: those of one registry and store one after the other, two such lanes at a time."""
        lanes = [list(lane) for _, lane in groupby(cells, key=lambda cell: (cell.registry, cell.store))]
        with ThreadPoolExecutor(LANES) as pool:
            try:
                list(pool.map(self._lane, lanes))
            except BaseException:  # interrupted: the lanes end their servers after the cell they are at
                self.stopped.set()
                raise

    def _lane(self, cells: Sequence[Cell]) -> None:
        """Run the cells of one registry and store; one that cannot be run is red."""
        registry, store = cells[0].registry, cells[0].store
        if self.stopped.is_set():
            return
        try:
            if store == "direct":
                self._open_databases(cells)
            else:
                self._ask_server(cells, registry, store)
        except Exception as error:  # a lane that breaks must not take the others with it
            for cell in cells:
                if cell not in self.results:
                    self._note(cell, Result(failures=[f"did not run: {type(error).__name__}: {error}"]))

    def _ask_server(self, cells: Sequence[Cell], registry: str, store: str) -> None:
        """Start the registry's server, leave the flavor models there, and try every client on it."""
        place = self.directory / f"{registry}-{store}"
        assert self.database is not None or store == "sqlite"
        backend = self.database.create(f"mlflow-{registry}") if self.database and store != "sqlite" else "sqlite"
        with serve(python_of(registry), place, version=registry, backend=backend) as server:
            seeds = [seed for seed, by in SEEDS.items() if not self._ask(by, "seed", server.uri, seed)["failure"]]
            for cell in cells:
                self._note(cell, self._tried(cell, server.uri, ",".join(seeds)))

    def _open_databases(self, cells: Sequence[Cell]) -> None:
        """Make a database by the registry's MLflow and let every client open a copy of it."""
        place = self.directory / f"{cells[0].registry}-direct"
        place.mkdir()
        made = place / "made.db"
        code = f"import mlflow; mlflow.MlflowClient('sqlite:///{made}').search_registered_models()"
        run([str(python_of(cells[0].registry)), "-c", code], place, {})
        for cell in cells:
            copy = place / f"{cell.client}.db"
            copy.write_bytes(made.read_bytes())
            self._note(cell, self._opened(cell, copy))

    def _opened(self, cell: Cell, file: Path) -> Result:
        """Return what became of opening a database: refused and untouched, or the laws tried on it."""
        before = hashlib.sha256(file.read_bytes()).digest()
        uri = f"sqlite:///{file}"
        refusal = self._ask(cell.client, "open", uri)["refused"]
        if not refusal:
            return self._tried(cell, uri, "")
        untouched = hashlib.sha256(file.read_bytes()).digest() == before
        return Result(refusal=refusal, failures=[] if untouched else ["the refused database was changed"])

    def _tried(self, cell: Cell, uri: str, seeds: str) -> Result:
        """Try one client on a registry; a process that fails is a red cell."""
        if self.stopped.is_set():
            return Result(failures=["did not run: stopped"])
        try:
            return result_from(self._ask(cell.client, "try", uri, seeds))
        except CellFailed as failure:
            return Result(failures=[f"did not run: {failure}"])

    def _ask(self, client: str, *task: str) -> dict[str, Any]:
        """Run a task in a process of one client and return its answer."""
        scratch = self.directory / "work"
        scratch.mkdir(exist_ok=True)
        command = [str(python_of(client)), str(CELL), *task]
        answer: dict[str, Any] = json.loads(run(command, scratch, {"PYTHONPATH": str(self.package)}))
        if answer["mlflow"] != client:
            raise CellFailed(f"asked for MLflow {client}, got {answer['mlflow']}")
        return answer

    def _note(self, cell: Cell, result: Result) -> None:
        """Keep a result and say how far the run is."""
        with self.lock:
            self.results[cell] = result
            done = len(self.results)
        passed = time.monotonic() - self.started
        left = passed / done * (self.total - done)
        said = "; ".join(result.failures) or result.refusal or ", ".join(result.limits) or "works"
        print(f"[{done}/{self.total}] {passed:4.0f} s, {left:4.0f} s left  {cell}: {said}", flush=True)


class CellFailed(Exception):
    """A cell's process did not answer; the message ends with what it printed."""


def run(command: Sequence[str], directory: Path, settings: dict[str, str]) -> str:
    """Run a process away from this one's settings and return what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTHON"))}
    env = {**kept, "MLFLOW_DISABLE_TELEMETRY": "true", **settings}
    done = subprocess.run(
        command, cwd=directory, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if done.returncode != 0:
        raise CellFailed(f"{' '.join(command[1:])} ended with {done.returncode}: {done.stderr[-1500:]}")
    return done.stdout


def python_of(version: str) -> Path:
    """Return the Python of an environment with one row's MLflow and a driver for PostgreSQL."""
    return environment(mlflow_table.row(version), install=[*mlflow_table.requirements(), "psycopg2-binary"])


def chosen_cells(options: argparse.Namespace) -> list[Cell]:
    """Return the cells that the options choose, or fail where they choose none."""
    cells = slice_cells() if options.slice else all_cells()
    chosen = [
        cell
        for cell in cells
        if options.client in (None, cell.client)
        and options.registry in (None, cell.registry)
        and options.store in (None, cell.store)
    ]
    if not chosen:
        raise SystemExit("no cell of the grid is chosen")
    return in_order(chosen)


@contextmanager
def prepared(cells: Sequence[Cell]) -> Iterator[Grid]:
    """Make the environments, the package and, where it is needed, a PostgreSQL."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prodpointer-grid-")))
        versions = {cell.client for cell in cells} | {cell.registry for cell in cells} | set(SEEDS.values())
        for version in sorted(versions):
            print(f"environment of MLflow {version}: {python_of(version).parents[1].name}", flush=True)
        package = unpacked(ROOT, directory)
        needs_one = any(cell.store == "postgresql" for cell in cells)
        database = stack.enter_context(postgres(directory / "postgres")) if needs_one else None
        yield Grid(directory, package, database, len(cells))


def differences(found: Results, committed: Results) -> list[str]:
    """Return the cells whose result is not what was committed."""
    told = []
    for cell, result in found.items():
        if cell not in committed:
            told.append(f"{cell}: not in {COMMITTED.name}")
        elif result != committed[cell]:
            told.append(f"{cell}: found {result}, committed is {committed[cell]}")
    return told


def red(results: Results, cells: Sequence[Cell]) -> list[str]:
    """Return the cells that failed or did not run."""
    missing = [f"{cell}: did not run" for cell in cells if cell not in results]
    return missing + [f"{cell}: {text}" for cell, result in results.items() for text in result.failures]


def main(arguments: Sequence[str]) -> int:
    """Run the cells that the arguments choose; return 0 where all is as it should be."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers are ended, whoever ends this
    parser = argparse.ArgumentParser(prog="tests.compat.grid", description="Every client on every registry.")
    parser.add_argument("--client", help="only this client's version")
    parser.add_argument("--registry", help="only this registry's version")
    parser.add_argument("--store", choices=STORES, help="only this kind of store")
    parser.add_argument("--slice", action="store_true", help="a few pairs that meet each version on either side")
    parser.add_argument("--write", action="store_true", help="keep what was found for the chosen cells")
    options = parser.parse_args(arguments)
    cells = chosen_cells(options)
    whole = len(cells) == len(all_cells())
    with prepared(cells) as grid:
        grid.run(cells)
    problems = red(grid.results, cells)
    day, committed = read() if COMMITTED.exists() else ("", {})
    if whole or options.write:
        day = dt.datetime.now(tz=dt.timezone.utc).date().isoformat()
        committed = grid.results if whole else {**committed, **grid.results}
        write(day, committed)
        PAGE.write_text(page(day, committed), encoding="utf-8")
    problems += differences(grid.results, committed)
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page(day, committed):
        problems.append(f"{PAGE.name} is not what {COMMITTED.name} gives")
    print("\n".join(problems) if problems else f"all {len(cells)} cells are as {PAGE.name} says")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
