"""Fault injection: promotions and faults while services of both majors read the model that they follow."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from packaging.version import Version

import prodpointer
from tests.majors.processes import listening
from tests.majors.racing import MAJORS, Racer
from tests.proxy import Answer, Corrupt, Cut, Drop, Fault, Hang, Matches, Proxy, everything, on_path, proxy
from tests.servers import Server, serve

GOOD = tuple(range(1, 9))
BAD = (9, 10)  # a pickle that raises, a model that fails its warm-up
ENDING = (11, 12, 13, 14)  # a pickle that ends the process, models whose warm-up ends, interrupts or cancels it
RAISING = {10: "error", 12: "exit", 13: "interrupt", 14: "cancelled"}
SIZE = 300_000  # bytes of padding, so that a download can break off
SLACK = 1.0  # seconds to load a model and to be asked
FAULTS = ("refuses", "hangs", "drops", "answers 500", "corrupts", "breaks off", "is killed", "disk is full")
MORE_FAULTS = (
    "loader ends",
    "forks in an outage",
    "store refuses",
    "clock jumps",
    "few descriptors",
    "speaks to another team",
    "home is read-only",
)
"""What a long day has as well."""

OF_ROOT = ("cache of another user", "cache is read-only")
"""What root alone can make."""

TEAMS = ("team-a", "team-b")
SMALL = 16 * 1024**2  # bytes of the file system that holds the caches
DAY = 86_400.0
NOBODY = 65_534

Other = tuple[str, "str | None"]
"""Address and workspace of another team's registry."""


@dataclass(slots=True)
class Day:
    """What happened: the promotions with their times, the faults, and what each service read."""

    every: float
    promotions: list[tuple[float, int]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    back_after: float = 0.0
    broken: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    real_disk: bool = False

    @property
    def reads(self) -> int:
        """How often a model was read."""
        return sum(report["reads"] for report in self.reports)

    @property
    def failed(self) -> list[str]:
        """The reads that found no model, and what else a service could not do."""
        return [*self.broken, *(error for report in self.reports for error in report["failed"])]

    @property
    def foreign(self) -> int:
        """How many reads found a model of another team."""
        return sum(int(report["foreign"]) for report in self.reports)

    @property
    def wrong(self) -> list[tuple[float, int]]:
        """What a service served that was not promoted by then, or is no good."""
        begun = {version: at for at, version in reversed(self.promotions)}
        return [
            (at, number)
            for report in self.reports
            for at, number in report["seen"]
            if number in (*BAD, *ENDING) or at < begun.get(number, float("inf"))
        ]

    @property
    def swaps(self) -> int:
        """How often a service took on another version."""
        return sum(len(report["seen"]) - 1 for report in self.reports)

    @property
    def kept(self) -> bool:
        """Whether the promise was kept: nothing failed, wrong or left, and the last version served in two intervals."""
        bad = self.failed or self.wrong or self.foreign or self.left
        return not bad and self.back_after <= 2 * self.every + SLACK


class Registry:
    """A server that can be killed and comes back where it was, with a proxy in front of it.

    With ``workspaces`` each team has one of its own there.
    """

    def __init__(self, python: Path, version: str, directory: Path, stack: ExitStack, *, workspaces: bool) -> None:
        """Start both."""
        self._python, self._version, self._directory = python, version, directory
        self._options = ("--enable-workspaces",) if workspaces else ()
        self._running = ExitStack()
        stack.enter_context(self._running)
        self.server = self._start(None)
        self.proxy: Proxy = stack.enter_context(proxy(self.server.uri))

    def _start(self, port: int | None) -> Server:
        """Start the server, on a port that its clients know already."""
        serving = serve(self._python, self._directory, version=self._version, port=port, extra_args=self._options)
        return self._running.enter_context(serving)

    def kill(self) -> None:
        """End the server as a machine that loses its power does."""
        with suppress(ProcessLookupError):
            os.killpg(self.server.pid, signal.SIGKILL)

    def restart(self) -> None:
        """Start a server in the place of the one that was killed."""
        self._running.close()
        self.server = self._start(int(self.server.uri.rpartition(":")[2]))


def registered(
    uri: str, name: str, team: str, workspace: str | None, numbers: Sequence[int] = (*GOOD, *BAD, *ENDING)
) -> prodpointer.RegisteredModel:
    """Register the good versions and the bad ones."""
    with variables(MLFLOW_TRACKING_URI=uri, MLFLOW_WORKSPACE=workspace):
        client = MlflowClient(uri)
        if workspace is not None:
            client.create_workspace(workspace)
        experiment = client.create_experiment(name)
        model = prodpointer.connect(name, tracking_uri=uri, timeout=30, workspace=workspace)
        for number in numbers:
            bundle = {"number": number, "bad": RAISING.get(number), "team": team, "padding": os.urandom(SIZE)}
            content = {BAD[0]: b"cno_such_module\nThing\n.", ENDING[0]: b"csys\nexit\n(tR."}.get(number)
            run_id = client.create_run(experiment).info.run_id
            with tempfile.TemporaryDirectory() as scratch:
                (Path(scratch) / "bundle").mkdir()
                (Path(scratch) / "bundle" / "newsreco.pkl").write_bytes(content or pickle.dumps(bundle))
                client.log_artifacts(run_id, scratch)
            assert model.register(run_id, "bundle") == number
    return model


@contextmanager
def variables(**wanted: str | None) -> Iterator[None]:
    """Set variables of the environment, or take them away, until the block ends.

    Old clients find a server's artifacts by one.
    """
    before = {name: os.environ.pop(name, None) for name in wanted}
    os.environ.update({name: value for name, value in wanted.items() if value is not None})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def small_disk(directory: Path, wanted: bool) -> Iterator[bool]:
    """Put a directory on a small file system of its own until the block ends, and tell whether that was possible."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL},mode=0755", "tmpfs", str(directory)]
    there = wanted and os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield there
    finally:
        if there:
            subprocess.run(["umount", "--lazy", str(directory)], check=True)


def left_in(directory: Path) -> list[str]:
    """Return what is in the caches below a directory that neither is an entry nor belongs to one."""
    begun = (".partial-", ".gone-", ".new-")
    return [str(path.relative_to(directory)) for path in directory.rglob("*") if path.name.startswith(begun)]


class Faults:
    """The faults of one day.

    Parameters
    ----------
    day
        Where what goes wrong is written down.
    registry
        What the services follow.
    services
        The processes.
    caches
        The directory with their caches.
    other
        Address and workspace of the other team's registry, None where there is none.
    """

    def __init__(
        self,
        day: Day,
        *,
        registry: Registry,
        services: Sequence[Racer],
        caches: Path,
        other: Other | None,
    ) -> None:
        """Bind all."""
        self._day = day
        self._registry = registry
        self._services = services
        self._caches = caches
        self._other = other
        self._rules: dict[str, tuple[Matches, Fault]] = {
            "hangs": (everything, Hang(3600)),
            "forks in an outage": (everything, Hang(3600)),
            "drops": (everything, Drop()),
            "answers 500": (everything, Answer(500, b"{}")),
            "store refuses": (on_path("newsreco.pkl"), Answer(403, b"{}")),
            "corrupts": (on_path("newsreco.pkl"), Corrupt(50)),
            "breaks off": (on_path("newsreco.pkl"), Cut(SIZE // 2)),
        }

    @contextmanager
    def fault(self, kind: str) -> Iterator[None]:
        """Make a fault until the block ends."""
        if kind in self._rules:
            self._registry.proxy.when(*self._rules[kind])
        elif kind == "refuses":
            self._registry.proxy.refuse()
        elif kind == "is killed":
            self._registry.kill()
        with self._on_this_machine(kind):
            try:
                yield
            finally:
                self._while_it_lasts(kind)
                self._registry.proxy.heal()
                self._registry.proxy.listen()
                if kind == "is killed":
                    self._registry.restart()

    def _while_it_lasts(self, kind: str) -> None:
        """Do what belongs to the end of a fault."""
        if kind == "forks in an outage":
            self._day.broken += [error for error in self._all_do("fork") if error]
        elif kind == "clock jumps":
            ages = [report["age"] for report in self._all_do("report")]
            self._day.broken += [f"an answer is {age} s old" for age in ages if not 0 <= age < DAY / 2]

    @contextmanager
    def _on_this_machine(self, kind: str) -> Iterator[None]:
        """Make what is wrong with the machine of the services until the block ends."""
        orders: dict[str, tuple[str, list[Any], list[Any]]] = {
            "few descriptors": ("descriptors", [True], [False]),
            "clock jumps": ("clock", [random.choice((DAY, -DAY))], [0.0]),
            "speaks to another team": ("elsewhere", list(self._other or ()), [None, None]),
        }
        if kind == "disk is full" and self._day.real_disk:
            with self._ballast():
                yield
        elif kind == "disk is full":
            with self._told("disk", [True], [False]):
                yield
        elif kind in orders:
            with self._told(*orders[kind]):
                yield
        elif kind == "cache of another user":
            with self._owned_by(NOBODY):
                yield
        elif kind == "cache is read-only":
            with self._remounted():
                yield
        else:
            yield

    @contextmanager
    def _told(self, order: str, begin: list[Any], end: list[Any]) -> Iterator[None]:
        """Give all services one order before the block and one behind it."""
        self._all_do(order, *begin)
        try:
            yield
        finally:
            self._all_do(order, *end)

    @contextmanager
    def _ballast(self) -> Iterator[None]:
        """Fill the file system of the caches to the last byte."""
        ballast = self._caches / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(64 * 1024))
        try:
            yield
        finally:
            ballast.unlink()

    @contextmanager
    def _owned_by(self, user: int) -> Iterator[None]:
        """Give the caches to another user."""
        everything_there = [path for cache in self._caches.iterdir() for path in (cache, *cache.iterdir())]
        for path in everything_there:
            os.chown(path, user, -1)
        try:
            yield
        finally:
            for path in everything_there:
                os.chown(path, os.geteuid(), -1)

    @contextmanager
    def _remounted(self) -> Iterator[None]:
        """Let the file system of the caches be read alone, once no file there is open for writing."""
        for _ in range(100):
            if self._remount("ro"):
                break
            time.sleep(0.1)
        else:
            self._day.broken.append("a file of the cache stays open for writing")
        try:
            yield
        finally:
            self._remount("rw")

    def _remount(self, how: str) -> bool:
        """Tell whether the file system of the caches could be mounted anew."""
        command = ["mount", "-o", f"remount,{how}", str(self._caches)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def _all_do(self, order: str, *arguments: object) -> list[Any]:
        """Give one order to every service and return the answers."""
        for service in self._services:
            service.give(order, *arguments)
        return [service.answer() for service in self._services]


def visit(
    day: Day,
    python: Path,
    model: prodpointer.RegisteredModel,
    directory: Path,
    *,
    where: dict[str, Any],
    package: Path | None,
) -> None:
    """Load what is live in a process that can write neither to its home nor to a cache, and leave nothing behind."""
    scratch, log = directory / "visit", directory / "visit.log"
    scratch.mkdir(exist_ok=True)
    # Nobody can make a directory in /proc, root included.
    home = {"HOME": "/proc", "XDG_CACHE_HOME": "/proc/cache", "PRODPOINTER_CACHE_DIR": None, "TMPDIR": str(scratch)}
    with variables(**home), listening(python, "follower.py", log, package) as process:
        found = Racer(process, log).ask("load", where, model.name, 3)
    live = model.live_version()
    day.broken += [f"loaded {each} with a home that is read-only" for each in found if each != [live, TEAMS[0]]]
    day.left += [f"{path.name} of a process with a home that is read-only" for path in scratch.iterdir()]


def in_workspace(workspace: str | None) -> dict[str, Any]:
    """Return the argument of ``connect`` that names a workspace, where there is one."""
    return {} if workspace is None else {"workspace": workspace}


def bad_day(
    python_of: Callable[[str], Path],
    directory: Path,
    *,
    version: str,
    seconds: float,
    every: float,
    package: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
    long: bool = False,
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
    long
        Whether there is another team beside the services', in a workspace of the same server or on a server of its
        own, and ``MORE_FAULTS`` come too.
    """
    day = Day(every)
    chance = random.Random(20261124)  # the same day each time
    workspaces = long and Version(version) >= Version("3.10")
    workspace = TEAMS[0] if workspaces else None
    numbers = (*GOOD, *BAD, *(ENDING if long else ()))
    with ExitStack() as stack:
        caches = directory / "caches"
        registry = Registry(python_of(version), version, directory / "server", stack, workspaces=workspaces)
        model = registered(registry.server.uri, f"news-{version}", TEAMS[0], workspace, numbers)
        other = other_team(registry.server, directory, stack, model.name, workspace=workspaces) if long else None
        promote(day, model, GOOD[0])
        day.real_disk = stack.enter_context(small_disk(caches, wanted=long))
        services = []
        for major in MAJORS:
            log, scratch = directory / f"service-{major}.log", directory / f"scratch-{major}"
            scratch.mkdir()
            with variables(PRODPOINTER_CACHE_DIR=str(caches / f"cache-{major}"), TMPDIR=str(scratch)):
                process = stack.enter_context(listening(python_of(major), "follower.py", log, package))
            services.append(Racer(process, log))
            where = {"tracking_uri": registry.proxy.uri, "timeout": 2 * every} | in_workspace(workspace)
            services[-1].ask("follow", where, model.name, every, TEAMS[0])
        faults = Faults(day, registry=registry, services=services, caches=caches, other=other)
        kinds = (*FAULTS, *MORE_FAULTS, *(OF_ROOT if day.real_disk else ())) if long else FAULTS
        began, left = time.monotonic(), list(kinds)
        while left or time.monotonic() - began < seconds:
            kind = left.pop(0) if left else chance.choice(kinds)
            tell(kind)
            day.faults.append(kind)
            with faults.fault(kind):
                if kind == "home is read-only":
                    where = {"tracking_uri": registry.server.uri, "timeout": 30} | in_workspace(workspace)
                    for major in MAJORS:
                        visit(day, python_of(major), model, directory, where=where, package=package)
                elif kind != "is killed":
                    promote(day, model, chance.choice(ENDING if kind == "loader ends" else (*GOOD, *BAD)))
                time.sleep(every * chance.uniform(1, 3))
            time.sleep(every * chance.uniform(0, 2))
        end(day, model, faults, services)
        if long:
            day.left += [each for service in services for each in service.ask("leave")]
            day.left += left_in(caches)
    day.left += [f"{path.name} of a service" for path in directory.glob("scratch-*/*")]
    return day


def end(day: Day, model: prodpointer.RegisteredModel, faults: Faults, services: Sequence[Racer]) -> None:
    """Promote once more while the registry refuses, and wait until every service serves that version."""
    final = next(number for number in GOOD if number != model.live_version())
    with faults.fault("refuses"):
        promote(day, model, final)
        time.sleep(3 * day.every)
    back = time.monotonic()
    while any(service.ask("report")["version"] != final for service in services):
        if time.monotonic() - back > 60:
            break
        time.sleep(0.02)
    day.back_after = time.monotonic() - back
    day.reports = [service.ask("report") for service in services]


def other_team(server: Server, directory: Path, stack: ExitStack, name: str, *, workspace: bool) -> Other:
    """Make a model of the same name with the same numbers for another team; return its address and workspace."""
    if not workspace:
        server = stack.enter_context(serve(server.python, directory / "other", version=server.version))
    other = server.uri, TEAMS[1] if workspace else None
    registered(other[0], name, TEAMS[1], other[1], GOOD).promote(GOOD[-1])
    return other


def promote(day: Day, model: prodpointer.RegisteredModel, version: int) -> None:
    """Promote by the short way, past the proxy, and write down when it began."""
    day.promotions.append((time.time(), version))
    model.promote(version)
