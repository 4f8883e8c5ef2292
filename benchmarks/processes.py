"""The contenders in processes of their own: how long an import, a page of help and a first answer take.

``benchmarks.side_by_side`` runs them with the Python of each MLflow; a registry that is dead is a port that refuses
connections, or takes them and says nothing.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.proxy import Hang, Proxy, everything

from benchmarks.measurements import FIRST, HELP, IMPORT, NO_STORE, OURS, REFUSED, Measurement, spread

IMPORTED = {OURS: "prodpointer", "by hand": "benchmarks.by_hand", "MLflow": "mlflow", "modelctl": "modelctl"}
HELPED = {OURS: "prodpointer", "MLflow": "mlflow", "modelctl": "modelctl"}
LIVE = {
    OURS: f"{OURS}-alias-model-5_KB",
    "by hand": "by_hand-alias-file-5_KB",
    "MLflow": "MLflow-alias-model-5_KB",
    "modelctl": "modelctl-alias-file-5_KB",
}
"""The registered model of each contender that has the smallest bundle live."""

BETWEEN_STARTS = 1 / 75  # of the limit, so that the imports of one do not slow the other down


@dataclass(frozen=True)
class Machine:
    """Processes of one MLflow: its Python, their environment, a directory for their files, and who takes part."""

    version: str
    python: Path
    env: Mapping[str, str]
    directory: Path
    contenders: Sequence[str]

    def run(self, *arguments: str, limit: float = 600.0) -> tuple[float, int | None]:
        """Run one and return its seconds and its exit code, None where it had to be ended."""
        command = [str(self.python), *arguments]
        began = time.perf_counter()
        with (self.directory / "processes.log").open("ab") as log:
            try:
                code = subprocess.run(
                    command, cwd=self.directory, env=dict(self.env), stdout=log, stderr=log, timeout=limit, check=False
                ).returncode
            except subprocess.TimeoutExpired:
                return limit, None
        return time.perf_counter() - began, code

    def asked(self, by: str, do: str, uri: str, limit: float = 600.0) -> tuple[float, int | None]:
        """Let a contender answer or load in a new process."""
        return self.run("-m", "benchmarks.new_process", by, do, uri, LIVE[by], limit=limit)

    def measurement(self, operation: str, by: str, times: list[float], ended: str = "", size: str = "") -> Measurement:
        """Return what some processes took."""
        return Measurement(self.version, NO_STORE, operation, "", size, by, None, spread(times), len(times), ended)


def started(machine: Machine, uri: str, runs: int) -> Iterator[Measurement]:
    """Yield what imports, pages of help and first answers take, in turns; of several, the first is not measured."""
    commands: dict[tuple[str, str], tuple[str, ...]] = {}
    for by in machine.contenders:
        commands[IMPORT, by] = ("-c", f"import {IMPORTED[by]}")
        if by in HELPED:
            commands[HELP, by] = ("-m", HELPED[by], "--help")
        commands[FIRST, by] = ("-m", "benchmarks.new_process", by, "read", uri, LIVE[by])
    times: dict[tuple[str, str], list[float]] = {what: [] for what in commands}
    for number in range(runs + 1) if runs > 1 else [1]:  # a trial need not be exact
        for what, command in commands.items():
            took, code = machine.run(*command)
            if code != 0:
                raise AssertionError(f"{command} ended with {code}; see {machine.directory / 'processes.log'}")
            if number:
                times[what].append(took)
    for (operation, by), each in times.items():
        yield machine.measurement(operation, by, each)


@dataclass
class Dead:
    """A registry that was alive when this library looked last, and is dead now, in one of two ways."""

    machine: Machine
    operation: str
    between: Proxy
    found: list[Measurement] = field(default_factory=list)

    def die(self, runs: int) -> None:
        """Let this library load what is live, then let the registry die, and measure this library's first answers."""
        took, code = self.machine.asked(OURS, "load", self.between.uri)
        if code != 0:
            raise AssertionError(f"nothing was loaded; see {self.machine.directory / 'processes.log'}")
        if self.operation == REFUSED:
            self.between.refuse()
        else:
            self.between.when(everything, Hang(24 * 3600))
        times = []
        for _ in range(runs):
            took, code = self.machine.asked(OURS, "load", self.between.uri)
            if code != 0:
                raise AssertionError(f"no first answer; see {self.machine.directory / 'processes.log'}")
            times.append(took)
        self.found.append(self.machine.measurement(self.operation, OURS, times))

    def ask(self, by: str, limit: float) -> None:
        """Measure how long another contender tries, once."""
        took, code = self.machine.asked(by, "load", self.between.uri, limit)
        ended = "no end" if code is None else "" if code == 0 else "error"
        self.found.append(self.machine.measurement(self.operation, by, [took], ended))


def ask_others(dead: Sequence[Dead], limit: float) -> None:
    """Let the other contenders ask dead registries, all at once since they mostly wait."""
    with ThreadPoolExecutor(max_workers=32) as pool:
        asked = []
        for each in dead:
            for by in each.machine.contenders:
                if by != OURS:
                    asked.append(pool.submit(each.ask, by, limit))
                    time.sleep(limit * BETWEEN_STARTS)
        for one in asked:
            one.result()
