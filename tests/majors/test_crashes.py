"""A promoter killed before each of its requests, and after the last: the live version, and how the rest is repaired.

What it leaves after a request is what it leaves before the next one, so every point of a promotion is met.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest

import prodpointer
from prodpointer import PointerStatus, Promotion, RegisteredModel
from tests.majors.processes import listening
from tests.majors.racing import POINTERS
from tests.proxy import Drop, Proxy, proxy
from tests.servers import Server

OLD, NEW, NEXT = 1, 2, 3
KILLED = -signal.SIGKILL
Promoter = subprocess.Popen[str]


@dataclass(frozen=True)
class Crash:
    """What a promotion of version 2 over version 1 left when it was killed before one of its requests.

    ``ended`` is what its process ended with, ``seen`` the version that plain MLflow takes for live by each pointer;
    ``repaired`` the status after a repair, ``followed`` that after a promotion of version 3 instead.
    """

    request: int
    ended: int
    status: PointerStatus
    history: list[Promotion]
    seen: dict[str, set[int]]
    repaired: PointerStatus
    closed: list[Promotion]
    followed: PointerStatus


@pytest.fixture(scope="module")
def promoter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Promoter]:
    """A process of this MLflow that promotes in children."""
    log = tmp_path_factory.mktemp("promoter") / "log"
    with listening(Path(sys.executable), "stopped.py", log) as process:
        yield process


@pytest.fixture(scope="module", params=POINTERS)
def crashes(request: pytest.FixtureRequest, server: Server, promoter: Promoter) -> list[Crash]:
    """Every crash of a promotion under one pointer."""
    with proxy(server.uri) as between, quiet():
        found: list[Crash] = []
        while not found or found[-1].ended != 0:
            found.append(crash(server, between, promoter, request.param, len(found) + 1))
            assert len(found) < 50
        return found


@contextmanager
def quiet() -> Iterator[None]:
    """Pointers that a crash left apart are what this is about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def crash(server: Server, between: Proxy, promoter: Promoter, pointer: str, request: int) -> Crash:
    """Kill two promotions before the same request; repair after the one, promote after the other."""
    first, second = fresh(server, pointer, f"{request}-a"), fresh(server, pointer, f"{request}-b")
    ended = killed(between, promoter, first.name, pointer, request)
    killed(between, promoter, second.name, pointer, request)
    status, history, seen = first.status(), first.history(), plain(server, first.name)
    repaired = first.repair()
    second.promote(NEXT)
    return Crash(request, ended, status, history, seen, repaired, first.history(), second.status())


def fresh(server: Server, pointer: str, mark: str) -> RegisteredModel:
    """Return a model of three versions whose first is live by one kind of pointer."""
    name = f"crash-{pointer}-{mark}"
    client = mlflow.MlflowClient(server.uri)
    client.create_registered_model(name)
    for _ in range(NEXT):
        client.create_model_version(name, "s3://crash/nothing")
    kind: Any = pointer
    model = prodpointer.connect(name, tracking_uri=server.uri, pointer=kind)
    model.promote(OLD)
    return model


def killed(between: Proxy, promoter: Promoter, name: str, pointer: str, request: int) -> int:
    """Let a child promote through the proxy, kill it before one request passes, and return what it ended with."""
    given, taken = promoter.stdin, promoter.stdout
    assert given is not None
    assert taken is not None
    given.write(json.dumps([between.uri, name, pointer, NEW]) + "\n")
    given.flush()
    child = int(taken.readline())

    passing = itertools.count(1)

    def kill(method: str, path: str) -> bool:
        if next(passing) != request:
            return False
        os.kill(child, signal.SIGKILL)
        return True

    between.when(kill, Drop())
    given.write("\n")
    given.flush()
    ended = int(taken.readline())
    between.heal()
    return ended


def plain(server: Server, name: str) -> dict[str, set[int]]:
    """Return what plain MLflow takes for live, by each pointer that is set."""
    client = mlflow.MlflowClient(server.uri)
    alias = {int(at) for each, at in client.get_registered_model(name).aliases.items() if each == "production"}
    found = client.search_model_versions(f"name='{name}'")
    stage = {int(version.version) for version in found if version.current_stage == "Production"}
    return {pointer: at for pointer, at in (("alias", alias), ("stage", stage)) if at}


def test_every_request_is_met(crashes: list[Crash]) -> None:
    """Each promotion but the last one was killed, and there were as many as a promotion sends requests."""
    assert [each.ended for each in crashes] == [KILLED] * (len(crashes) - 1) + [0]
    assert len(crashes) > 8


def test_the_old_version_or_the_new_one_is_live(crashes: list[Crash]) -> None:
    """Wherever it was killed one of the two is live: the old one at first, from some request on the new one."""
    live = [each.status.live for each in crashes]
    assert live == [OLD] * live.count(OLD) + [NEW] * live.count(NEW)
    assert (live[0], live[-1]) == (OLD, NEW)


def test_the_status_shows_the_truth(crashes: list[Crash]) -> None:
    """What the status says of both pointers is what plain MLflow sees, and they agree only where it is one version."""
    for each in crashes:
        told = {"alias": {each.status.alias} - {None}, "stage": set(each.status.in_stage)}
        assert {pointer: at for pointer, at in told.items() if at} == each.seen
        assert each.status.agreed == (set().union(*each.seen.values()) == {each.status.live})


def test_a_stopped_promotion_is_a_visible_intent(crashes: list[Crash]) -> None:
    """Where a pointer has moved there is an event of it, done or still an intent: no move of ours is unrecorded."""
    for each in crashes:
        assert "unrecorded" not in [event.kind for event in each.history]
        if each.status.live == NEW:
            assert NEW in [event.to_version for event in each.history]


def test_a_repair_makes_the_rest_follow(crashes: list[Crash]) -> None:
    """After a repair the pointers agree on what was live before it, and no intent is open."""
    for each in crashes:
        assert (each.repaired.live, each.repaired.agreed) == (each.status.live, True)
        assert [event.state for event in each.closed if event.state == "intended"] == []


def test_the_record_after_a_repair_tells_what_is_live(crashes: list[Crash]) -> None:
    """The last done event of the repaired record is what is live."""
    for each in crashes:
        assert [event for event in each.closed if event.state == "done"][-1].to_version == each.status.live


def test_the_next_promotion_needs_no_repair(crashes: list[Crash]) -> None:
    """Another promotion over what was left makes its version live by every pointer in use."""
    for each in crashes:
        assert (each.followed.live, each.followed.agreed) == (NEXT, True)
        assert {each.followed.alias, *each.followed.in_stage} - {None} == {NEXT}
