"""Where a fleet is measured: registries of many models, fresh servers on copies of them, and one process on one server.

Models are made through MLflow's own store in process: a server would take a quarter of an hour for 10,000.
``python -m benchmarks.fleet_seed URI FIRST COUNT`` makes COUNT models of three versions each in a database.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

from tests.postgres import SUPERUSER, Postgres, postgres
from tests.servers import Server, serve

NEWEST = "3.17.2"
WORKERS = 4
SEEDERS = 2  # a core each, of the two that the measured machine has
STAGES = {"Archived": 1, "Staging": 2, "Production": 3}
CARRIED = {"staging": "Staging", "production": "Production"}
OWN_TAG = ("dataset", "clicks-2026-11")

ROOM = 4 * 1024**3
CORES = os.cpu_count() or 1
_MEMORY = Path("/dev/shm")
_TICKS = os.sysconf("SC_CLK_TCK")
_LOGGED = re.compile(r'"(GET|POST|PUT|PATCH|DELETE) (\S+) HTTP')
_A_MOMENT = 0.3  # seconds for the last lines of a server's log


def model_name(number: int) -> str:
    """Return the name of a model."""
    return f"model-{number:05d}"


def seed(uri: str, first: int, count: int) -> None:
    """Make models of three versions in a database: one archived, one in Staging, one in Production."""
    warnings.simplefilter("ignore")
    from mlflow.entities.model_registry import ModelVersionTag
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(uri)
    for number in range(first, first + count):
        name = model_name(number)
        store.create_registered_model(name)
        for _ in STAGES:
            store.create_model_version(name, "s3://models/bundle", tags=[ModelVersionTag(*OWN_TAG)])
        for stage, version in STAGES.items():
            store.transition_model_version_stage(name, str(version), stage, archive_existing_versions=False)


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds up to a moment: of the server with its workers, of PostgreSQL, and of the whole machine."""

    server: float
    database: float
    machine: float


@dataclass(frozen=True, slots=True)
class Served:
    """A fresh server on a copy of a seeded registry, and the process of the PostgreSQL under it."""

    server: Server
    database: str
    postmaster: int

    def used(self) -> Used:
        """Return the CPU seconds until now."""
        return Used(seconds_of(self.server.pid), seconds_of(self.postmaster), busy_seconds())

    def logged(self) -> int:
        """Return how long the server's log is."""
        return self.server.log.stat().st_size

    def sent(self, since: int) -> Counter[str]:
        """Return the requests that the server logged after a place in its log, by what they ask."""
        time.sleep(_A_MOMENT)
        with self.server.log.open(encoding="utf-8", errors="replace") as log:
            log.seek(since)
            found = (_LOGGED.search(line) for line in log)
            return Counter(asked(match[1], match[2]) for match in found if match)


def asked(method: str, path: str) -> str:
    """Return what a request asks: ``page`` for a page of all models or versions, ``once`` for what a process asks."""
    endpoint, _, query = path.partition("?")
    if endpoint.endswith("/search") and "name%3D" not in query:
        return "page"
    if not endpoint.startswith("/api/"):
        return "once"
    return f"{method} {endpoint.removeprefix('/api/2.0/mlflow/')}"


def seconds_of(root: int) -> float:
    """Return the CPU seconds of a process, everything it started, and what of that has ended."""
    ticks: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        pid = int(stat.parent.name)
        ticks[pid] = sum(map(int, fields[11:15]))
        children.setdefault(int(fields[1]), []).append(pid)
    todo, total = [root], 0
    while todo:
        pid = todo.pop()
        total += ticks.get(pid, 0)
        todo += children.get(pid, [])
    return total / _TICKS


def busy_seconds() -> float:
    """Return the CPU seconds that all cores of the machine were busy."""
    user, nice, system, _, _, *rest = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + sum(rest)) / _TICKS


@dataclass(frozen=True, slots=True)
class Measure:
    """What one process took: wall time, peak memory, CPU seconds of everyone, and what it asked the server.

    ``own`` is the CPU time of the process itself, ``others`` that of everything on the machine that has no part in it.
    ``pages`` are those of all models or all versions, ``requests`` are about one model.
    """

    seconds: float
    megabytes: float
    own: float
    server: float
    database: float
    others: float
    pages: int
    requests: int

    def share(self, seconds: float) -> float:
        """Return what part of the machine's cores CPU seconds are over the wall time, in percent."""
        return 100 * seconds / (self.seconds * CORES)


@dataclass(slots=True)
class Ground:
    """A PostgreSQL with seeded registries by their size, and a directory for what servers and processes leave."""

    running: Postgres
    data: Path
    directory: Path
    say: Callable[[str], None]
    seeded: dict[int, str] = field(default_factory=dict)

    @contextmanager
    def server(self, size: int) -> Iterator[Served]:
        """Run a fresh server on a copy of the registry of so many models until the block ends."""
        database = self._copy(size)
        directory = self.directory / database
        uri = f"postgresql+psycopg2://{SUPERUSER}:@/{database}?host={self.running.socket_directory}"
        postmaster = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        with serve(sys.executable, directory, version=NEWEST, backend=uri, workers=WORKERS) as server:
            yield Served(server, uri, postmaster)
        self._run("dropdb", "--force", database)

    def measured(self, served: Served, command: Sequence[str], *, prints: str, code: int = 0) -> Measure:
        """Run a Python command as a process of its own and return what it took.

        This process must stay smaller than what it measures: a child's peak memory begins with its parent's.

        Parameters
        ----------
        served
            The server that it asks.
        command
            What follows the interpreter.
        prints
            What the beginning of its output holds where it did its work.
        code
            What it ends with.
        """
        output = self.directory / f"output-{uuid.uuid4().hex[:8]}"
        place, before, began = served.logged(), served.used(), time.monotonic()
        with output.open("wb") as printed, output.with_suffix(".err").open("wb") as errors:
            process = subprocess.Popen([sys.executable, *command], stdout=printed, stderr=errors)
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                raise
        seconds, after = time.monotonic() - began, served.used()
        process.returncode = os.waitstatus_to_exitcode(status)
        _check(process.returncode == code, prints, command, output)
        own = usage.ru_utime + usage.ru_stime
        server, database = after.server - before.server, after.database - before.database
        sent = served.sent(place)
        return Measure(
            seconds=seconds,
            megabytes=usage.ru_maxrss / 1024,
            own=own,
            server=server,
            database=database,
            others=max(0.0, after.machine - before.machine - own - server - database),
            pages=sent["page"],
            requests=sum(count for what, count in sent.items() if what not in ("page", "once")),
        )

    def _copy(self, size: int) -> str:
        """Copy the registry of so many models, which is seeded the first time, and return the copy's name."""
        if size not in self.seeded:
            self.seeded[size] = self._seed(size)
        name = f"fleet_{size}_{uuid.uuid4().hex[:8]}"
        self._run("createdb", "--template", self.seeded[size], name)
        return name

    def _seed(self, size: int) -> str:
        """Make a registry of so many models, in a few processes side by side."""
        began, name = time.monotonic(), f"seeded_{size}"
        uri = self.running.create(name)
        _seeders(uri, [(0, 0)])  # the tables
        shares = [(size * each // SEEDERS, size * (each + 1) // SEEDERS) for each in range(SEEDERS)]
        _seeders(uri, [(first, until - first) for first, until in shares])
        self._run("vacuumdb", "--analyze", "--quiet", name)
        self.say(f"{size:,} models seeded in {time.monotonic() - began:.0f} s")
        return name

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs on the server."""
        how = ["--host", str(self.running.socket_directory), "--username", SUPERUSER]
        subprocess.run([str(self.running.programs / program), *how, *arguments], check=True)


def _check(ended_well: bool, prints: str, command: Sequence[str], output: Path) -> None:
    """Raise where a process did not do its work; only the beginning of its output is read, all of it may be large."""
    with output.open(encoding="utf-8") as printed:
        begins = printed.read(2000)
    if not ended_well or prints not in begins:
        errors = output.with_suffix(".err").read_text(encoding="utf-8")[-2000:]
        raise RuntimeError(f"{' '.join(command)} printed:\n{begins}\n{errors}")


def _seeders(uri: str, shares: Sequence[tuple[int, int]]) -> None:
    """Seed shares of a registry, each by a process, and return once all have ended well."""
    module = [sys.executable, "-m", "benchmarks.fleet_seed", uri]
    running = [
        subprocess.Popen([*module, str(first), str(count)], stderr=subprocess.DEVNULL) for first, count in shares
    ]
    codes = [process.wait() for process in running]
    if any(codes):
        raise RuntimeError(f"seeding ended with {codes}")


@contextmanager
def ground(say: Callable[[str], None]) -> Iterator[Ground]:
    """Make a PostgreSQL for fleets, in memory where there is room, until the block ends."""
    roomy = _MEMORY.is_dir() and os.statvfs(_MEMORY).f_bavail * os.statvfs(_MEMORY).f_frsize > ROOM
    with tempfile.TemporaryDirectory(prefix="fleet-", dir=_MEMORY if roomy else None) as scratch:
        data = Path(scratch) / "postgresql"
        with postgres(data) as running:
            yield Ground(running, data, Path(scratch), say)


if __name__ == "__main__":
    seed(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
