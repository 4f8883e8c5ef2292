"""What the side by side benchmark measured, as values and as lines of ``docs/benchmarks.json``."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests import mlflow_table

PAGE = mlflow_table.ROOT / "docs" / "benchmarks.md"
RESULTS = PAGE.with_suffix(".json")

READ, READ_TAGS, PROMOTE, ROLLBACK, HISTORY = "live_version", "production", "promote", "rollback", "history"
FILE_COLD, FILE_WARM = "load a file, cold", "load a file, warm"
MODEL_COLD, MODEL_WARM = "load a model, cold", "load a model, warm"
FILE_RESTED, MODEL_RESTED = "load a file, after a pause", "load a model, after a pause"
PAUSE = 0.3
"""Seconds without work before a load after a pause."""

LIVE_MODEL = "live.model"
IMPORT, HELP, FIRST = "import", "--help", "first answer of a process"
REFUSED, HANGING = "first answer, registry refuses", "first answer, registry hangs"

OURS = "prodpointer"
CONTENDERS = (OURS, "by hand", "MLflow", "modelctl")
SIZES = {"5 KB": 5_000, "5 MB": 5_000_000, "500 MB": 500_000_000}
LARGE = "500 MB"
"""Loaded a few times, with one database, and not counted."""

STORES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
NO_STORE = ""
"""The store of what no database has a part in."""


class Place(NamedTuple):
    """One thing that is measured: what is done, with which pointer, with how large a bundle."""

    operation: str
    pointer: str = ""
    size: str = ""

    def __str__(self) -> str:
        """Return it in words."""
        return ", ".join(part for part in self if part)


class World(NamedTuple):
    """Where it is measured: the version of client and server, and the database."""

    version: str
    store: str

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.version} {STORES.get(self.store, '')}".strip()


class Spread(NamedTuple):
    """The quartiles of some times, in seconds."""

    low: float
    median: float
    high: float


def spread(times: Sequence[float]) -> Spread:
    """Return the quartiles of some times, to four digits."""
    quartiles = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else [times[0]] * 3
    return Spread(*(float(f"{each:.4g}") for each in quartiles))


@dataclass(frozen=True)
class Measurement:
    """One place in one world, done by one contender.

    ``requests`` is None where none were counted; ``seconds`` are quartiles of ``runs`` times; ``ended`` says how it
    ended where that was not with a result.
    """

    version: str
    store: str
    operation: str
    pointer: str
    size: str
    by: str
    requests: int | None
    seconds: Spread
    runs: int
    ended: str = ""

    @property
    def place(self) -> Place:
        """What was done."""
        return Place(self.operation, self.pointer, self.size)

    @property
    def world(self) -> World:
        """Where it was done."""
        return World(self.version, self.store)


@dataclass(frozen=True)
class Results:
    """Everything of one run: how it was made, and what was measured."""

    made: dict[str, Any]
    measured: list[Measurement] = field(default_factory=list)

    def __iter__(self) -> Iterator[Measurement]:
        """Yield each measurement."""
        return iter(self.measured)

    @property
    def worlds(self) -> list[World]:
        """The servers and databases, in the order in which they were measured."""
        return list(dict.fromkeys(each.world for each in self if each.store))

    @property
    def versions(self) -> list[str]:
        """The MLflow versions."""
        return list(dict.fromkeys(each.version for each in self))

    def places(self, *, processes: bool = False) -> list[Place]:
        """Return what was measured with a database, or what was in processes of its own."""
        return list(dict.fromkeys(each.place for each in self if bool(each.store) is not processes))

    def at(self, world: World, place: Place) -> dict[str, Measurement]:
        """Return what each contender did in one place."""
        return {each.by: each for each in self if each.world == world and each.place == place}

    def write(self, file: Path) -> None:
        """Write it to a file, a line a measurement."""
        lines = [json.dumps(asdict(each), ensure_ascii=False) for each in self]
        made = json.dumps(self.made, ensure_ascii=False)
        body = ",\n".join(lines)
        file.write_text(f'{{"made": {made},\n"measured": [\n{body}\n]}}\n', encoding="utf-8")


def read(file: Path = RESULTS) -> Results:
    """Return what a file holds."""
    found = json.loads(file.read_text(encoding="utf-8"))
    rows = [Measurement(**{**each, "seconds": Spread(*each["seconds"])}) for each in found["measured"]]
    return Results(found["made"], rows)
