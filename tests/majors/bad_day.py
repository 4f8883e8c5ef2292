"""A bad day: promotions and faults of every kind, while services of both majors read what they follow."""

from __future__ import annotations

import os
import pickle
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

import prodpointer
from tests.majors.processes import listening
from tests.majors.racing import MAJORS, Racer
from tests.proxy import Answer, Corrupt, Cut, Drop, Fault, Hang, Matches, Proxy, everything, on_path, proxy
from tests.servers import Server, serve

GOOD = tuple(range(1, 9))
BAD = (9, 10)  # a pickle that raises, a model that fails its warm-up
SIZE = 300_000  # bytes of padding, so that a download can break off
SLACK = 1.0  # seconds to load a model and to be asked
FAULTS = ("refuses", "hangs", "drops", "answers 500", "corrupts", "breaks off", "is killed", "disk is full")


@dataclass(slots=True)
class Day:
    """What happened: the promotions with their times, the faults, and what each service read."""

    every: float
    promotions: list[tuple[float, int]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    back_after: float = 0.0

    @property
    def reads(self) -> int:
        """How often a model was read."""
        return sum(report["reads"] for report in self.reports)

    @property
    def failed(self) -> list[str]:
        """The reads that found no model."""
        return [error for report in self.reports for error in report["failed"]]

    @property
    def wrong(self) -> list[tuple[float, int]]:
        """What a service served that was not promoted by then, or is no good."""
        begun = {version: at for at, version in reversed(self.promotions)}
        return [
            (at, number)
            for report in self.reports
            for at, number in report["seen"]
            if number in BAD or at < begun.get(number, float("inf"))
        ]

    @property
    def swaps(self) -> int:
        """How often a service took on another version."""
        return sum(len(report["seen"]) - 1 for report in self.reports)

    @property
    def kept(self) -> bool:
        """Whether the promise was kept: no failed read, no wrong version, and the last one served in two intervals."""
        return not self.failed and not self.wrong and self.back_after <= 2 * self.every + SLACK


class Registry:
    """A server that can be killed and comes back where it was, with a proxy in front of it."""

    def __init__(self, python: Path, version: str, directory: Path, stack: ExitStack) -> None:
        """Start both."""
        self._python, self._version, self._directory = python, version, directory
        self._running = ExitStack()
        stack.enter_context(self._running)
        self.server = self._start(None)
        self.proxy: Proxy = stack.enter_context(proxy(self.server.uri))

    def _start(self, port: int | None) -> Server:
        """Start the server, on a port that its clients know already."""
        serving = serve(self._python, self._directory, version=self._version, port=port)
        return self._running.enter_context(serving)

    def kill(self) -> None:
        """End the server as a machine that loses its power does."""
        with suppress(ProcessLookupError):
            os.killpg(self.server.pid, signal.SIGKILL)

    def restart(self) -> None:
        """Start a server in the place of the one that was killed."""
        self._running.close()
        self.server = self._start(int(self.server.uri.rpartition(":")[2]))


def registered(uri: str, name: str) -> prodpointer.RegisteredModel:
    """Register the good versions and the bad ones."""
    client = MlflowClient(uri)
    experiment = client.create_experiment(name)
    model = prodpointer.connect(name, tracking_uri=uri, timeout=30)
    for number in (*GOOD, *BAD):
        bundle = {"number": number, "bad": number == BAD[1], "padding": os.urandom(SIZE)}
        content = b"cno_such_module\nThing\n." if number == BAD[0] else pickle.dumps(bundle)
        run_id = client.create_run(experiment).info.run_id
        with tempfile.TemporaryDirectory() as scratch, environment_variable("MLFLOW_TRACKING_URI", uri):
            (Path(scratch) / "bundle").mkdir()
            (Path(scratch) / "bundle" / "newsreco.pkl").write_bytes(content)
            client.log_artifacts(run_id, scratch)
        assert model.register(run_id, "bundle") == number
    return model


@contextmanager
def environment_variable(name: str, value: str) -> Iterator[None]:
    """Set a variable until the block ends: old clients find a server's artifacts by it."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


@contextmanager
def fault(kind: str, registry: Registry, services: Sequence[Racer]) -> Iterator[None]:
    """Make a fault until the block ends."""
    faults: dict[str, tuple[Matches, Fault]] = {
        "hangs": (everything, Hang(3600)),
        "drops": (everything, Drop()),
        "answers 500": (everything, Answer(500, b"{}")),
        "corrupts": (on_path("newsreco.pkl"), Corrupt(50)),
        "breaks off": (on_path("newsreco.pkl"), Cut(SIZE // 2)),
    }
    if kind in faults:
        registry.proxy.when(*faults[kind])
    elif kind == "refuses":
        registry.proxy.refuse()
    elif kind == "is killed":
        registry.kill()
    else:
        for service in services:
            service.ask("disk", True)
    try:
        yield
    finally:
        registry.proxy.heal()
        registry.proxy.listen()
        if kind == "is killed":
            registry.restart()
        if kind == "disk is full":
            for service in services:
                service.ask("disk", False)


def bad_day(
    python_of: Callable[[str], Path],
    directory: Path,
    *,
    version: str,
    seconds: float,
    every: float,
    package: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Day:
    """Let services of both majors follow a model through promotions and faults, and return what they read.

    Parameters
    ----------
    python_of
        Gives the Python of an environment with an MLflow.
    directory
        Where the server, the caches and the logs are.
    version
        The server's MLflow.
    seconds
        How long the day is; each kind of fault comes at least once, however short it is.
    every
        The interval of the services.
    package
        Where this library is, if not in the environments.
    tell
        Called with each fault.
    """
    day = Day(every)
    chance = random.Random(20261124)  # the same day each time
    with ExitStack() as stack:
        registry = Registry(python_of(version), version, directory / "server", stack)
        model = registered(registry.server.uri, f"news-{version}")
        promote(day, model, GOOD[0])
        services = []
        for major in MAJORS:
            log = directory / f"service-{major}.log"
            with environment_variable("PRODPOINTER_CACHE_DIR", str(directory / f"cache-{major}")):
                process = stack.enter_context(listening(python_of(major), "follower.py", log, package))
            services.append(Racer(process, log))
            services[-1].ask("follow", registry.proxy.uri, model.name, every, 2 * every)
        began, left = time.monotonic(), list(FAULTS)
        while left or time.monotonic() - began < seconds:
            kind = left.pop(0) if left else chance.choice(FAULTS)
            tell(kind)
            day.faults.append(kind)
            with fault(kind, registry, services):
                if kind != "is killed":
                    promote(day, model, chance.choice((*GOOD, *BAD)))
                time.sleep(every * chance.uniform(1, 3))
            time.sleep(every * chance.uniform(0, 2))
        final = next(number for number in GOOD if number != model.live_version())
        with fault("refuses", registry, services):
            promote(day, model, final)
            time.sleep(3 * every)
        back = time.monotonic()
        while any(service.ask("report")["version"] != final for service in services):
            if time.monotonic() - back > 60:
                break
            time.sleep(0.02)
        day.back_after = time.monotonic() - back
        day.reports = [service.ask("report") for service in services]
    return day


def promote(day: Day, model: prodpointer.RegisteredModel, version: int) -> None:
    """Promote by the short way, past the proxy, and write down when it began."""
    day.promotions.append((time.time(), version))
    model.promote(version)
