"""The upgrade of a registry filled by MLflow 2.2.2 and 2.22.5 to MLflow 3, without downtime.

The jobs and services are processes that live from before the upgrade until after it, with the same library code on
three MLflow versions. One run of the day is written down, and each test reads one fact from it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import mlflow_table
from tests.majors.conftest import STORES, Job, NewDatabase, asking
from tests.servers import Server, free_port, serve

OLDEST = "2.2.2"
TWO = mlflow_table.newest_of_major(2).version
THREE = mlflow_table.newest_of_major(3).version
CLIENTS = (OLDEST, TWO, THREE)
FOLLOWERS = (TWO, THREE)
MODEL = "news"
PAYLOADS = {1: "first", 2: "second", 3: "third", 4: "fourth"}
FOLLOW_SECONDS = 60.0

Python = Callable[[str], Path]


@dataclass(frozen=True, slots=True)
class Move:
    """One promotion after the upgrade: the pointers moved or the error, the status then, and what everybody loads."""

    version: int
    pointers: list[str] | str
    status: dict[str, Any]
    ours: dict[str, Any]
    plain: dict[tuple[str, str], Any]


@dataclass(slots=True)
class Day:
    """What was written down; by client version where several looked."""

    before: dict[str, Any] = field(default_factory=dict)
    down: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    believed: dict[str, list[str]] = field(default_factory=dict)
    promoted: Move | None = None
    rolled_back: Move | None = None
    rolled_back_by_the_oldest: Move | None = None
    promoted_by: dict[str, Move] = field(default_factory=dict)
    woken: Move | None = None
    seen: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Site:
    """One registry at one address, and the processes that use it."""

    job: Job
    service: Job
    sleeper: Job
    python_of: Python
    database: str
    directory: Path
    port: int

    @property
    def uri(self) -> str:
        """Return the address that every client knows."""
        return f"http://127.0.0.1:{self.port}"

    def served_by(self, version: str) -> AbstractContextManager[Server]:
        """Run the server of one MLflow version on the registry's database, files and address."""
        return serve(self.python_of(version), self.directory, version=version, backend=self.database, port=self.port)

    def upgrade(self, version: str) -> None:
        """Upgrade the database as MLflow's documentation says."""
        command = [str(self.python_of(version)), "-m", "mlflow", "db", "upgrade", self.database]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"})

    def ask(self, version: str, verb: str, argument: object = None) -> Any:
        """Give a task to the job of one MLflow version."""
        return self.job(version, self.uri, MODEL, verb, argument)

    def register(self, version: str, number: int) -> None:
        """Register the next version from one client."""
        assert self.ask(version, "register", PAYLOADS[number]) == number

    def look(self) -> dict[str, Any]:
        """Return the live version and what it loads, for each client."""
        return {each: [self.ask(each, "live_version"), self.ask(each, "load_production")] for each in CLIENTS}

    def seen(self, version: str) -> Any:
        """Return what the service of one MLflow version saw so far."""
        return self.service(version, self.uri, MODEL, "seen_by_service")

    def followed(self, number: int) -> None:
        """Return once each service has loaded a version."""
        deadline = time.monotonic() + FOLLOW_SECONDS
        for each in FOLLOWERS:
            while (found := self.seen(each)) and [found["versions"][-1:], found["payloads"][-1:]] != [
                [number],
                [loaded(number)],
            ]:
                assert time.monotonic() < deadline, found
                time.sleep(0.2)

    def promote(self, version: str, number: int, *, by: Job | None = None) -> Move:
        """Promote from the process of one client and let everybody look."""
        return self.looked((by or self.job)(version, self.uri, MODEL, "promote", number), number)

    def roll_back(self, version: str, number: int) -> Move:
        """Roll back from the process of one client, to what ought to be that version, and let everybody look."""
        return self.looked(self.ask(version, "rollback"), number)

    def looked(self, answer: Any, number: int) -> Move:
        """Return a move with what everybody sees after it."""
        pointers = answer if isinstance(answer, str) else answer["pointers"]
        plain = {
            (each, how): self.ask(each, "plain_load", how)
            for each, how in ((OLDEST, "/Production"), (TWO, "/Production"), (THREE, "@production"))
        }
        move = Move(number, pointers, self.ask(THREE, "status"), self.look(), plain)
        if pointers != answer:  # an error is for the tests to tell; the services have nothing to follow
            self.followed(number)
        return move


def loaded(number: int) -> dict[str, str]:
    """Return what loading a version gives."""
    return {"payload": PAYLOADS[number]}


@pytest.fixture(scope="module", params=STORES)
def site(
    request: pytest.FixtureRequest,
    job: Job,
    python_of: Python,
    new_database: NewDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """A registry that does not run yet; its services and its sleeper are processes beside the jobs."""
    directory = tmp_path_factory.mktemp("registry")
    database = new_database(request.param).uri
    logs = [tmp_path_factory.mktemp(name) for name in ("services", "sleeper")]
    with asking(python_of, logs[0]) as service, asking(python_of, logs[1]) as sleeper:
        yield Site(job, service, sleeper, python_of, database, directory, free_port())


@pytest.fixture(scope="module")
def day(site: Site) -> Day:
    """The day, from the first version to the last promotion."""
    day = Day()
    with site.served_by(OLDEST):
        fill_with_the_oldest(site)
    site.upgrade(TWO)
    with site.served_by(TWO):
        fill_with_two(site, day)
    day.down = {each: site.ask(each, "live_version") for each in CLIENTS}
    site.upgrade(THREE)
    with site.served_by(THREE):
        work_with_three(site, day)
    return day


def fill_with_the_oldest(site: Site) -> None:
    """Register and promote twice, as a pipeline of MLflow 2.2.2 does; the sleeper looks, and goes to sleep."""
    for number in (1, 2):
        site.register(OLDEST, number)
        assert site.ask(OLDEST, "promote", number)["pointers"] == ["stage"]
    assert site.sleeper(THREE, site.uri, MODEL, "live_version") == 2


def fill_with_two(site: Site, day: Day) -> None:
    """Promote a third version, leave a fourth for later and start the services."""
    site.register(TWO, 3)
    assert site.ask(TWO, "promote", 3)["pointers"] == ["stage"]
    site.register(TWO, 4)
    for each in FOLLOWERS:
        site.service(each, site.uri, MODEL, "serve_model")
    site.followed(3)
    day.believed = {each: [site.seen(each)["registry_version"]] for each in FOLLOWERS}
    day.before = site.look()


def work_with_three(site: Site, day: Day) -> None:
    """Look, promote, roll back, and promote from the older clients and from the sleeper too."""
    day.after = site.look()
    site.followed(3)
    for each in FOLLOWERS:
        day.believed[each].append(site.seen(each)["registry_version"])
    day.promoted = site.promote(THREE, 4)
    day.rolled_back = site.roll_back(THREE, 3)
    day.promoted_by = {TWO: site.promote(TWO, 4), OLDEST: site.promote(OLDEST, 3)}
    day.rolled_back_by_the_oldest = site.roll_back(OLDEST, 4)
    site.promote(OLDEST, 3)
    day.seen = {each: site.seen(each) for each in FOLLOWERS}
    day.woken = site.promote(THREE, 4, by=site.sleeper)


def moves(day: Day) -> list[Move]:
    """Return every move after the upgrade by a process that saw it, in order."""
    assert day.promoted is not None
    assert day.rolled_back is not None
    return [day.promoted, day.rolled_back, *day.promoted_by.values()]


@pytest.mark.parametrize("client", CLIENTS)
def test_the_same_version_is_live_before_and_after(day: Day, client: str) -> None:
    """The same process with the same code loads the same live version from the upgraded registry."""
    assert day.before[client] == [3, loaded(3)]
    assert day.after[client] == [3, loaded(3)]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_registry_that_is_down_says_so(day: Day, client: str) -> None:
    """While the server is stopped every client says that the registry is unavailable, not that nothing is live."""
    assert day.down[client] == "RegistryUnavailable"


@pytest.mark.parametrize("client", FOLLOWERS)
def test_nothing_goes_dark(day: Day, client: str) -> None:
    """A service sees each live version in turn and one outage, and never None."""
    assert day.seen[client]["versions"] == [3, "RegistryUnavailable", 3, 4, 3, 4, 3, 4, 3]
    assert day.seen[client]["payloads"] == [
        number if isinstance(number, str) else loaded(number) for number in day.seen[client]["versions"]
    ]


@pytest.mark.parametrize("client", FOLLOWERS)
def test_a_service_notices_the_upgrade(day: Day, client: str) -> None:
    """A running service knows the new server's version without a restart."""
    assert day.believed[client] == [TWO, THREE]


def test_a_promotion_moves_both_pointers(day: Day) -> None:
    """The first promotion on the upgraded registry sets the alias and keeps the stage in agreement."""
    assert day.promoted is not None
    assert day.promoted.pointers == ["alias", "stage"]
    assert [day.promoted.status[key] for key in ("live", "alias", "stage", "agreed")] == [4, 4, 4, True]


def test_a_rollback_goes_to_what_was_live_before_the_upgrade(day: Day) -> None:
    """The record outlives the upgrade: rolling back finds the version that was live before, and moves both pointers."""
    assert day.rolled_back is not None
    assert day.rolled_back.pointers == ["alias", "stage"]
    assert [day.rolled_back.status[key] for key in ("live", "alias", "stage", "agreed")] == [3, 3, 3, True]


def test_a_client_from_before_aliases_rolls_back(day: Day) -> None:
    """The oldest client rolls back to the previous version on both pointers, whichever client promoted last."""
    move = day.rolled_back_by_the_oldest
    assert move is not None
    assert move.pointers == ["alias", "stage"]
    assert [move.status[key] for key in ("live", "alias", "stage", "agreed")] == [4, 4, 4, True]


@pytest.mark.parametrize("client", [OLDEST, TWO])
def test_older_clients_promote_after_the_upgrade(day: Day, client: str) -> None:
    """A pipeline that is still on MLflow 2, from before aliases too, moves both pointers of the upgraded registry."""
    move = day.promoted_by[client]
    assert move.pointers == ["alias", "stage"]
    assert [move.status[key] for key in ("live", "alias", "stage", "agreed")] == [move.version] * 3 + [True]


def test_a_process_that_slept_promotes_too(day: Day) -> None:
    """What last asked a registry without aliases, minutes ago, moves both pointers of what that one has become."""
    assert day.woken is not None
    assert day.woken.pointers == ["alias", "stage"]
    assert [day.woken.status[key] for key in ("live", "alias", "stage", "agreed")] == [4, 4, 4, True]
    assert day.woken.ours == {each: [4, loaded(4)] for each in CLIENTS}


@pytest.mark.parametrize("client", CLIENTS)
def test_each_client_loads_what_was_promoted(day: Day, client: str) -> None:
    """After each move every client of this library loads the version that was promoted."""
    for move in moves(day):
        assert move.ours[client] == [move.version, loaded(move.version)]


@pytest.mark.parametrize(
    ("client", "how"), [(OLDEST, "/Production"), (TWO, "/Production"), (THREE, "@production")], ids=str
)
def test_plain_mlflow_sees_each_new_version(day: Day, client: str, how: str) -> None:
    """Jobs that read the stage with plain MLflow 2, and the alias with plain MLflow 3, load each version promoted."""
    for move in moves(day):
        assert move.plain[client, how] == loaded(move.version)
