"""The library side by side with what people use instead, on the same servers and the same bytes.

``python -m benchmarks.side_by_side`` from the root of a checkout; it makes the environments itself and writes
``docs/benchmarks.md`` and the results it is made of, or both into the directory that ``--to`` names. ``--quick`` goes
the whole way with little, ``--page`` makes the page again from results that are there. It ends with 1 where a target
was missed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests import mlflow_table
from tests.postgres import postgres
from tests.proxy import proxy
from tests.servers import serve, unpacked

from benchmarks.benchmark_page import missed, page
from benchmarks.costs_page import COSTS, costs_page
from benchmarks.measurements import (
    CONTENDERS,
    HANGING,
    LARGE,
    PAGE,
    REFUSED,
    RESULTS,
    SIZES,
    STORES,
    Measurement,
    Results,
    Spread,
    World,
    read,
)
from benchmarks.one_live_version import python_of
from benchmarks.processes import Dead, Machine, ask_others, started
from prodpointer.testing.environments import EnvironmentFailed, uv

VERSIONS = tuple(mlflow_table.newest_of_major(major).version for major in (2, 3))
MODELCTL = "1.2.1"
SETTINGS = ("MLFLOW_", "PRODPOINTER_", "PYTHON")
FULL: dict[str, Any] = {
    "stores": list(STORES),
    "sizes": list(SIZES),
    "runs": 20,
    "large_runs": 3,
    "process_runs": 5,
    "limit": 300.0,
}
QUICK: dict[str, Any] = {
    "stores": ["sqlite"],
    "sizes": ["5 KB"],
    "runs": 3,
    "large_runs": 1,
    "process_runs": 1,
    "limit": 15.0,
}


def installed_modelctl(directory: Path) -> str:
    """Install modelctl alone into a directory that can be on ``PYTHONPATH``; return why not, or nothing."""
    into = ("--python", sys.executable, "--no-deps", "--target", str(directory))
    try:
        uv("pip", "install", "--quiet", *into, f"modelctl-mlflow=={MODELCTL}")
    except EnvironmentFailed as failure:
        return str(failure).strip().splitlines()[-1]
    return ""


class Bench:
    """One run: where it works, with which environment, and what it has found so far."""

    def __init__(self, options: argparse.Namespace, directory: Path) -> None:
        self.options = options
        self.directory = directory
        beside = directory / "modelctl"
        why_not = installed_modelctl(beside)
        self.contenders = [by for by in CONTENDERS if by != "modelctl" or not why_not]
        # Without what would settle how often MLflow tries again, or whether Python keeps what it compiled.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
        paths = [unpacked(mlflow_table.ROOT, directory), mlflow_table.ROOT, beside]
        self.env = {
            **kept,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PYTHONWARNINGS": "ignore",
        }
        self.measured: list[Measurement] = []
        self.dead: list[Dead] = []
        self.began = time.monotonic()
        self.made = {
            "day": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
            "cores": os.cpu_count(),
            "modelctl": MODELCTL,
            "without_modelctl": why_not,
            **{name: getattr(options, name) for name in FULL},
        }

    def say(self, text: str) -> None:
        """Print one line on how far it is."""
        print(f"{time.monotonic() - self.began:5.0f} s  {text}", file=sys.stderr, flush=True)

    def world(self, stack: ExitStack, world: World, backend: str) -> None:
        """Measure one server on one database, and beside the first database the processes of that MLflow."""
        place = self.directory / f"{world.version}-{world.store}"
        python = python_of(world.version)
        with serve(python, place / "server", version=world.version, backend=backend) as server:
            self.measured += self.server(world, python, server.uri, place)
            self.say(f"{world} measured")
            if world.store == self.options.stores[0]:
                machine = self.machine(world, python, place)
                self.measured += started(machine, server.uri, self.options.process_runs)
                for operation in (REFUSED, HANGING):
                    between = stack.enter_context(proxy(server.uri))
                    self.dead.append(Dead(machine, operation, between))
                    self.dead[-1].die(self.options.process_runs)
                self.say(f"processes of {world.version} measured")
        shutil.rmtree(place / "server")
        shutil.rmtree(place / "measured")

    def server(self, world: World, python: Path, uri: str, place: Path) -> Iterator[Measurement]:
        """Measure every contender on one server."""
        (place / "measured").mkdir()
        command = [str(python), "-m", "benchmarks.one_server", uri, str(place / "measured")]
        # What takes long is loaded once: the database has no part in it.
        sizes = [size for size in self.options.sizes if size != LARGE or world.store == self.options.stores[0]]
        command += ["--contenders", *self.contenders, "--sizes", *sizes]
        command += ["--runs", str(self.options.runs), "--large-runs", str(self.options.large_runs)]
        env = {**self.env, "PRODPOINTER_CACHE_DIR": str(place / "measured" / "cache")}
        log = place / "client.log"
        with log.open("wb") as output:
            done = subprocess.run(command, cwd=place, env=env, stdout=output, stderr=output, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"the client of {world} ended with {done.returncode}:\n{log.read_text()[-4000:]}")
        for each in json.loads((place / "measured" / "measured.json").read_text()):
            yield Measurement(**world._asdict(), **{**each, "seconds": Spread(*each["seconds"])})

    def machine(self, world: World, python: Path, place: Path) -> Machine:
        """Return where the processes of one MLflow run, with a cache and temporary files of their own."""
        for name in ("processes", "processes/cache", "processes/temporary"):
            (place / name).mkdir()
        here = place / "processes"
        env = {**self.env, "PRODPOINTER_CACHE_DIR": str(here / "cache"), "TMPDIR": str(here / "temporary")}
        return Machine(world.version, python, env, here, self.contenders)

    def run(self) -> Results:
        """Measure every world, and then how long the others try to reach a registry that is dead."""
        with ExitStack() as stack:
            stores: dict[str, Callable[[str], str]] = {"sqlite": lambda _: "sqlite"}
            if "postgresql" in self.options.stores:
                stores["postgresql"] = stack.enter_context(postgres(self.directory / "postgresql")).create
            for version in VERSIONS:
                for store in self.options.stores:
                    self.world(stack, World(version, store), stores[store](f"bench_{version.replace('.', '_')}"))
            ask_others(self.dead, self.options.limit)
            self.say("dead registries asked")
        return Results(self.made, [*self.measured, *(each for dead in self.dead for each in dead.found)])


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options, those not given as a full or a quick run has them."""
    parser = argparse.ArgumentParser(prog="benchmarks.side_by_side", description="prodpointer and what people use.")
    parser.add_argument("--quick", action="store_true", help="5 KB on SQLite, few runs: the whole way in three minutes")
    parser.add_argument("--page", action="store_true", help="measure nothing, make the page of the results again")
    parser.add_argument("--to", type=Path, default=PAGE.parent, help="where the pages and benchmarks.json go")
    parser.add_argument("--stores", nargs="+", choices=STORES, help="databases")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, help="sizes of the bundle, with 5 KB among them")
    parser.add_argument("--runs", type=int, help="of all but 500 MB")
    parser.add_argument("--large-runs", type=int, help="of 500 MB")
    parser.add_argument("--process-runs", type=int, help="of processes of their own")
    parser.add_argument("--limit", type=float, help="seconds after which a dead registry is asked no longer")
    options = parser.parse_args(arguments)
    for name, value in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if "5 KB" not in options.sizes:
        parser.error("--sizes needs 5 KB, which is what pointers are moved with")
    if options.quick and options.to == PAGE.parent:
        parser.error("--quick is a trial: give --to, a directory for its page")
    return options


def main(arguments: Sequence[str]) -> int:
    """Measure, write results and page, and return 0 where every target was held."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers are ended, whoever ends this
    options = parsed(arguments)
    options.to.mkdir(parents=True, exist_ok=True)
    if not options.page:
        with tempfile.TemporaryDirectory(prefix="prodpointer-bench-") as scratch:
            Bench(options, Path(scratch)).run().write(options.to / RESULTS.name)
    results = read(options.to / RESULTS.name)
    (options.to / PAGE.name).write_text(page(results), encoding="utf-8")
    (options.to / COSTS.name).write_text(costs_page(results), encoding="utf-8")
    print("\n".join(missed(results)) or "every target was held", file=sys.stderr)
    return 1 if missed(results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
