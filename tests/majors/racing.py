"""Races: concurrent promoters of both majors in separate processes, and one process that reads."""

from __future__ import annotations

import json
import random
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import mlflow_table
from tests.majors.processes import listening

MAJORS = (mlflow_table.newest_of_major(2).version, mlflow_table.newest_of_major(3).version)
POINTERS = ("alias", "stage", "both")
PROMOTERS_PER_MAJOR = 4
PROMOTERS = PROMOTERS_PER_MAJOR * len(MAJORS)
LEAD_SECONDS = 0.1
SPREAD_SECONDS = 0.5


class Racer:
    """One process, and the orders it is given."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        """Bind a running process and the file that holds what it printed."""
        self._process = process
        self._log = log

    def give(self, order: str, *arguments: object) -> None:
        """Give an order without waiting."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([order, *arguments]) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Return the answer to the oldest order that has not been answered."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._log.read_text()[-3000:]
        return json.loads(line)

    def ask(self, order: str, *arguments: object) -> Any:
        """Give an order and return its answer."""
        self.give(order, *arguments)
        return self.answer()


@dataclass(frozen=True, slots=True)
class Racers:
    """The promoters, and the reader beside them; each lives through every race."""

    promoters: Sequence[Racer]
    reader: Racer

    def all_do(self, order: str, *arguments: object) -> list[Any]:
        """Give one order to every promoter and return the answers."""
        for each in self.promoters:
            each.give(order, *arguments)
        return [each.answer() for each in self.promoters]


@contextmanager
def racers(python_of: Callable[[str], Path], directory: Path, package: Path | None = None) -> Iterator[Racers]:
    """Run the processes until the block ends; ``package`` is where this library is, if not in the environments."""
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:

        def start(version: str, called: str) -> Racer:
            log = directory / f"{called}.log"
            return Racer(stack.enter_context(listening(python_of(version), "promoter.py", log, package)), log)

        numbered = [(version, number) for version in MAJORS for number in range(PROMOTERS_PER_MAJOR)]
        promoters = [start(version, f"{version}-{number}") for version, number in numbered]
        yield Racers(promoters, start(MAJORS[-1], "reader"))


@dataclass(frozen=True, slots=True)
class Round:
    """What one round led to: by version what its promoter was told, and what was live when all had returned."""

    told: dict[int, dict[str, Any]]
    in_production: list[int]
    alias: int | None
    history: list[dict[str, Any]]

    def with_result(self, result: str) -> list[int]:
        """Return the versions whose promoters were told so: done, lost or error."""
        return [version for version, told in self.told.items() if told["result"] == result]

    @property
    def errors(self) -> list[str]:
        """What promoters were told that is neither done nor lost."""
        return [told["text"] for told in self.told.values() if told["result"] == "error"]

    def live(self, pointer: str) -> list[int | None]:
        """Return everything that is live, as plain MLflow sees it: one version where all is well."""
        in_stage: list[int | None] = [*self.in_production] or [None]
        named = {*(in_stage if pointer != "alias" else []), *([self.alias] if pointer != "stage" else [])}
        return sorted(named, key=lambda version: version or 0)


@dataclass(frozen=True, slots=True)
class Race:
    """The rounds of one model, and what the reader saw from before the first one until after the last."""

    pointer: str
    versions: range
    rounds: list[Round] = field(default_factory=list)
    seen: list[int | str | None] = field(default_factory=list)
    looks: int = 0

    @property
    def misread(self) -> list[int | str | None]:
        """What the reader must never see: errors, unknown versions, and nothing live after the first promotion."""
        after_nothing = self.seen[1:] if self.seen[:1] == [None] else self.seen
        return [each for each in after_nothing if each not in self.versions]


def race(racing: Racers, uri: str, pointer: str, rounds: int, *, plain: bool = False) -> Race:
    """Create a model and let every promoter promote another version of it in each round, at the same time.

    Two rounds begin at one moment for all, the next two within the time that a promotion takes, so that some come
    while others are half way, and so on. Each round promotes other versions than the one before, higher and lower ones
    in turn, so that every promotion moves the pointer; the first round finds nothing live.
    """
    name = f"race-{uuid.uuid4().hex[:12]}"
    versions = range(1, 2 * PROMOTERS + 1)
    racing.reader.ask("make", uri, name, len(versions))
    racing.all_do("connect", uri, name, pointer)
    racing.reader.ask("connect", uri, name, pointer)
    racing.reader.ask("watch", name)
    played = []
    for number in range(rounds):
        half = versions[:PROMOTERS] if number % 2 == 0 else versions[PROMOTERS:]
        turned = [half[(number + place) % PROMOTERS] for place in range(PROMOTERS)]
        start = time.time() + LEAD_SECONDS
        spread = 0.0 if number % 4 < 2 else SPREAD_SECONDS
        moments = [start + random.uniform(0.0, spread) for _ in turned]
        played.append(_round(racing, name, pointer, dict(zip(turned, moments, strict=True)), plain=plain))
    read = racing.reader.ask("watched", name)
    return Race(pointer, versions, played, read["seen"], read["looks"])


def _round(racing: Racers, name: str, pointer: str, moments: Mapping[int, float], *, plain: bool) -> Round:
    """Let each promoter promote its version at its moment, wait for all, and look."""
    for each, (version, moment) in zip(racing.promoters, moments.items(), strict=True):
        if plain:
            each.give("promote_plainly", name, pointer, version, moment)
        else:
            each.give("promote", name, version, moment)
    told = {version: each.answer() for each, version in zip(racing.promoters, moments, strict=True)}
    found = racing.reader.ask("look", name)
    history = [] if plain else racing.reader.ask("history", name)
    return Round(told, found["in_production"], found["alias"], history)
