"""How often one version is live after eight promoters have met, with this library and without it.

``python -m benchmarks.one_live_version`` from the root of a checkout; it makes the environments itself and writes
``docs/reliability.md``, or prints the page where ``--print`` is given. It ends with 1 where a round of this library
left anything but one live version, or a promoter saw an error, or a reader saw nothing live.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests import mlflow_table
from tests.majors.racing import (
    MAJORS,
    POINTERS,
    Race,
    Racers,
    race,
    racers,
)
from tests.postgres import postgres
from tests.servers import ServerFailed, environment, serve, unpacked

from benchmarks.mariadb import NoMariaDB, mariadb
from benchmarks.pages import RELIABILITY, cores, table, today, write_or_print

WORKERS = 4
ROUNDS_OF_ONE_MODEL = 10
TITLES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}
DATABASE_ERROR = re.compile(r"^.*(?:pymysql|sqlalchemy|alembic)\S*(?:Error|Exception)\b.*$", re.MULTILINE)
LONGEST_ERROR = 300

NewDatabase = Callable[[str], str]


@dataclass(slots=True)
class Tally:
    """What the rounds of one server, database and pointer came to."""

    version: str
    store: str
    pointer: str
    races: list[Race] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """How many rounds there were."""
        return sum(len(each.rounds) for each in self.races)

    @property
    def one_live(self) -> int:
        """How many of them left exactly one live version, one that a promoter was told is done."""
        every = [(each.live(self.pointer), each.with_result("done")) for race in self.races for each in race.rounds]
        return sum(len(live) == 1 and live[0] in done for live, done in every)

    @property
    def told(self) -> list[dict[str, object]]:
        """Everything that promoters were told."""
        return [told for race in self.races for each in race.rounds for told in each.told.values()]

    @property
    def errors(self) -> list[str]:
        """The errors that promoters saw."""
        return [error for race in self.races for each in race.rounds for error in each.errors]

    @property
    def misread(self) -> int:
        """How often the reader saw what it must not see."""
        return sum(len(race.misread) for race in self.races)

    @property
    def lost(self) -> int:
        """How many promotions were told that another one won."""
        return sum(told["result"] == "lost" for told in self.told)

    @property
    def slowest(self) -> float:
        """Seconds that the slowest promotion took."""
        return max(float(str(told["seconds"])) for told in self.told)

    @property
    def looks(self) -> int:
        """How often the reader asked."""
        return sum(race.looks for race in self.races)

    def row(self, *, plain: bool) -> list[object]:
        """Return a row of the table."""
        one_live = f"{self.one_live}" if self.one_live == self.rounds else f"**{self.one_live}**"
        cells: list[object] = [self.version, TITLES[self.store], self.pointer, self.rounds, one_live]
        if not plain:
            cells.append(self.lost)
        cells += [f"{self.slowest:.1f} s", len(self.errors)]
        if not plain:
            cells += [self.looks, self.misread]
        return cells


@dataclass(slots=True)
class Findings:
    """Everything that was found: with this library, with plain MLflow, and the servers that did not start."""

    ours: list[Tally] = field(default_factory=list)
    plain: list[Tally] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """Where this library did not keep its promise."""
        bad = [each for each in self.ours if each.one_live < each.rounds or each.errors or each.misread]
        return [f"{each.row(plain=False)} {each.errors[:3]}" for each in bad]

    def parts(self) -> dict[str, str]:
        """Return the generated parts of the page."""
        head = ["server", "database", "pointer", "rounds", "one live", "lost", "slowest", "errors", "looks", "misread"]
        short = [title for title in head if title not in {"lost", "looks", "misread"}]
        errors = sorted({shortened(error) for each in self.plain for error in each.errors})
        plain = [table(short, [each.row(plain=True) for each in self.plain])]
        if errors:
            plain.append("\n".join(f"- `{each}`" for each in errors[:5]))
        if self.failed:
            plain.append(table(["MLflow does not run on"], [[each] for each in self.failed]))
        return {
            "races: conditions": table(["condition", "value"], [today(), cores(), ("clients", ", ".join(MAJORS))]),
            "races": table(head, [each.row(plain=False) for each in self.ours]),
            "races of plain MLflow": "\n\n".join(plain),
        }


def shortened(text: str) -> str:
    """Return an error in one line, without the names that were made up."""
    line = re.sub(r"race-[0-9a-f]+", "NAME", " ".join(text.split())).replace("`", "'").replace("|", "/")
    return line if len(line) <= LONGEST_ERROR else f"{line[:LONGEST_ERROR]}..."


@dataclass(slots=True)
class Course:
    """Where races are run: the processes, how many rounds, and what was found so far."""

    racing: Racers
    options: argparse.Namespace
    directory: Path
    findings: Findings = field(default_factory=Findings)
    started: float = field(default_factory=time.monotonic)

    def run(self, version: str, store: str, new_database: NewDatabase) -> None:
        """Run every race of one server on one database."""
        directory = self.directory / f"{version}-{store}"
        backend = new_database(f"mlflow_{uuid.uuid4().hex[:12]}")
        try:
            with serve(python_of(version), directory, version=version, backend=backend, workers=WORKERS) as server:
                for pointer in POINTERS:
                    self._race(server.uri, version, store, pointer)
        except ServerFailed as error:
            lines = DATABASE_ERROR.findall(str(error)) or str(error).splitlines()
            self.findings.failed.append(f"MLflow {version} on {TITLES[store]}: `{shortened(lines[-1])}`")
            self._say(self.findings.failed[-1])

    def _race(self, uri: str, version: str, store: str, pointer: str) -> None:
        """Run the rounds of one pointer, with this library and without it."""
        often = pointer == "stage" and store == "postgresql"
        rounds = self.options.rounds_stage if often else self.options.rounds
        plain_rounds = rounds if self.options.plain_rounds is None else self.options.plain_rounds
        for kept, count, plain in ((self.findings.ours, rounds, False), (self.findings.plain, plain_rounds, True)):
            if count == 0:
                continue
            tally = Tally(version, store, pointer)
            for some in parts(count):
                tally.races.append(race(self.racing, uri, pointer, some, plain=plain))
            kept.append(tally)
            self._say(f"{'plain' if plain else 'ours '} {tally.row(plain=plain)}")

    def _say(self, text: str) -> None:
        """Print one line on how far it is."""
        print(f"{time.monotonic() - self.started:5.0f} s  {text}", file=sys.stderr, flush=True)


def parts(rounds: int) -> Iterator[int]:
    """Yield the rounds of each model."""
    for first in range(0, rounds, ROUNDS_OF_ONE_MODEL):
        yield min(ROUNDS_OF_ONE_MODEL, rounds - first)


def python_of(version: str) -> Path:
    """Return the Python of an environment with one row's MLflow and the drivers of the databases."""
    return environment(mlflow_table.row(version), install=[*mlflow_table.requirements(), "psycopg2-binary", "pymysql"])


def run(options: argparse.Namespace) -> Findings:
    """Run every race that the options ask for."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prodpointer-races-")))
        package = unpacked(mlflow_table.ROOT, directory)
        running = stack.enter_context(racers(python_of, directory / "logs", package))
        course = Course(running, options, directory)
        stores: dict[str, NewDatabase] = {
            "postgresql": stack.enter_context(postgres(directory / "postgresql")).create,
            "sqlite": lambda name: f"sqlite:///{directory / name}.db",
        }
        if options.mariadb:
            try:
                stores["mariadb"] = stack.enter_context(mariadb()).create
            except NoMariaDB as error:
                course.findings.failed.append(f"MariaDB was asked for, and {error}")
        for version in MAJORS:
            for store, new_database in stores.items():
                if options.store in (None, store):
                    course.run(version, store, new_database)
        return course.findings


def main(arguments: Sequence[str]) -> int:
    """Run the races and write the page; return 0 where this library kept its promise."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers are ended, whoever ends this
    parser = argparse.ArgumentParser(prog="benchmarks.one_live_version", description="Many promoters that meet.")
    parser.add_argument("--rounds-stage", type=int, default=200, help="rounds for the stage on PostgreSQL")
    parser.add_argument("--rounds", type=int, default=40, help="rounds for every other combination")
    parser.add_argument("--plain-rounds", type=int, help="rounds of plain MLflow; as many by default")
    parser.add_argument("--store", choices=TITLES, help="only this database")
    parser.add_argument("--mariadb", action="store_true", help="MariaDB too, from the system's package")
    parser.add_argument("--print", action="store_true", help="print the page and leave docs/reliability.md as it is")
    options = parser.parse_args(arguments)
    findings = run(options)
    write_or_print(RELIABILITY, findings.parts(), only_print=options.print)
    print("\n".join(findings.broken) if findings.broken else "one version was live after every round", file=sys.stderr)
    return 1 if findings.broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
