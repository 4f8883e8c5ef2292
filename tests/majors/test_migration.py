"""Migration on real servers of both majors: its cost, its failures, and what plain clients load."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

import prodpointer
from prodpointer.migration.apply import PairResult
from prodpointer.migration.bridge import Bridge
from prodpointer.migration.migration import Migration, flatten, run_name
from tests import mlflow_table
from tests.majors.conftest import Job
from tests.proxy import Answer, Drop, Fault, Hang, Proxy, everything, first, on_path, proxy
from tests.servers import Server

TWO, THREE = mlflow_table.newest_of_major(2).version, mlflow_table.newest_of_major(3).version
MODELS = 16
REQUESTS_A_MODEL = 8
SECONDS = 60.0


@pytest.fixture
def between(server: Server) -> Iterator[Proxy]:
    """A real proxy before the server."""
    with proxy(server.uri) as found:
        yield found


@pytest.fixture
def prefix() -> str:
    """What the names of a fleet of one test begin with."""
    return f"fleet{uuid.uuid4().hex[:10]}"


def fill(uri: str, prefix: str, models: int, *, staging: bool = True) -> list[str]:
    """Make models of three versions as jobs of MLflow 2 leave them: 3 in Production, 2 in Staging, 1 archived."""
    client = MlflowClient(uri)
    names = [f"{prefix}-{number:03d}" for number in range(models)]
    for name in names:
        client.create_registered_model(name)
        for _ in range(3):
            client.create_model_version(name, "s3://models/bundle")
        for version, stage in ((1, "Archived"), (3, "Production"), *(((2, "Staging"),) if staging else ())):
            to_stage(client, name, version, stage)
    return names


def to_stage(client: MlflowClient, name: str, version: int, stage: str) -> None:
    """Move a version to a stage as plain MLflow does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, that stages are deprecated
        client.transition_model_version_stage(name, str(version), stage)


def migration(uri: str, prefix: str, **options: Any) -> Migration:
    """Return the verbs over the fleet of one test."""
    return Migration(tracking_uri=uri, models=[f"{prefix}-*"], **options)


def applied(found: Migration, **options: Any) -> list[PairResult]:
    """Apply a new plan and return the results."""
    return flatten(found.apply(found.plan(), run_name(), **options))


def pointers(uri: str, name: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return what plain MLflow tells: aliases, and the stages in use by version."""
    client = MlflowClient(uri)
    found = client.search_model_versions(f"name='{name}'")
    stages = {each.version: each.current_stage for each in found if each.current_stage != "None"}
    return dict(client.get_registered_model(name).aliases), stages


CARRIED = ({"production": "3", "staging": "2"}, {"1": "Archived", "2": "Staging", "3": "Production"})


def test_a_plan_costs_pages(between: Proxy, prefix: str) -> None:
    """One request for the page of models and one for the page of versions, however many models there are."""
    fill(between.uri, prefix, MODELS)
    found = migration(between.uri, prefix)
    between.clear()
    assert found.plan().counts["SAFE"] == MODELS
    paths = [path.partition("?")[0] for _, path in between.requests]
    assert set(paths) == {"/api/2.0/mlflow/registered-models/search", "/api/2.0/mlflow/model-versions/search"}
    assert len(paths) == 2


def test_applying_costs_little_for_each_model(between: Proxy, prefix: str) -> None:
    """Looked at, recorded, moved, read back and closed, for two aliases."""
    names = fill(between.uri, prefix, MODELS)
    found = migration(between.uri, prefix)
    plan = found.plan()
    between.clear()
    assert {step.outcome for step in flatten(found.apply(plan, run_name()))} == {"moved"}
    assert between.count <= REQUESTS_A_MODEL * MODELS
    assert [name for name in names if pointers(between.uri, name) != CARRIED] == []


def test_one_alias_costs_five_requests(between: Proxy, prefix: str) -> None:
    """The model, the intent, the alias, the model again, the end of the event."""
    fill(between.uri, prefix, 1, staging=False)
    found = migration(between.uri, prefix)
    plan = found.plan()
    between.clear()
    list(found.apply(plan, run_name()))
    assert between.count == 5


def test_the_end_of_a_window_without_a_stage_costs_six_requests(between: Proxy, prefix: str) -> None:
    """The model, the intent, the two tags of the window, the model again, the end of the event; past the pages."""
    (name,) = fill(between.uri, prefix, 1, staging=False)
    applied(migration(between.uri, prefix))
    to_stage(MlflowClient(between.uri), name, 3, "Archived")
    list(migration(between.uri, prefix).start(run_name()))
    found = migration(between.uri, prefix, mapping={"Staging": "skip"})
    results = found.finish(run_name())
    between.clear()
    assert [step.outcome for step in flatten(results)] == ["moved"]
    assert between.count == 6


def test_verifying_asks_two_endpoints_of_plain_clients(between: Proxy, prefix: str) -> None:
    """For each stage and alias of each model, beside the page of models."""
    fill(between.uri, prefix, 2)
    applied(migration(between.uri, prefix))
    between.clear()
    found = list(migration(between.uri, prefix).verify())
    assert [check.problem for result in found for check in result.value or ()] == [""] * 4
    asked = [path.partition("?")[0].rpartition("/")[2] for _, path in between.requests]
    assert sorted(asked) == ["alias"] * 4 + ["get-latest-versions"] * 4 + ["search"]


def test_a_sweep_costs_a_page(between: Proxy, prefix: str) -> None:
    """A quiet fleet is one request; a model that moved, a few more."""
    names = fill(between.uri, prefix, MODELS)
    applied(migration(between.uri, prefix))
    bridge = Bridge(migration(between.uri, prefix), "bridge")
    bridge.sweep()
    between.clear()
    assert bridge.sweep().looked_at == 0
    assert between.count == 1
    to_stage(MlflowClient(between.uri), names[0], 3, "Archived")
    to_stage(MlflowClient(between.uri), names[0], 1, "Production")
    between.clear()
    assert [step.to_version for step in bridge.sweep().steps] == [1]
    assert between.count <= 1 + REQUESTS_A_MODEL


class Sometimes:
    """Matches each so-many-th request that changes or reads one model."""

    def __init__(self, every: int) -> None:
        """Count from the beginning."""
        self._count = itertools.count(1)
        self._every = every

    def __call__(self, method: str, path: str) -> bool:
        """Tell whether this is one of them."""
        return next(self._count) % self._every == 0


BUSY = [
    Answer(429, b"slow down"),
    Answer(500, b'{"error_code": "INTERNAL_ERROR", "message": "oops"}'),
    Answer(503),
    Drop(),
    Drop(delivered=True),
]


@pytest.mark.parametrize("fault", BUSY, ids=["429", "500", "503", "dropped", "dropped-after"])
def test_a_busy_server_fails_no_model(
    between: Proxy, prefix: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every ninth answer is a failure, and every model is migrated, each with one done event."""
    monkeypatch.setattr("prodpointer.migration.fleet._FIRST_PAUSE", 0.02)
    names = fill(between.uri, prefix, 6)
    found = migration(between.uri, prefix)
    plan = found.plan()
    between.when(Sometimes(9), fault)
    steps = flatten(found.apply(plan, run_name()))
    between.heal()
    assert {step.outcome for step in steps} <= {"moved", "closed", "nothing"}, steps
    applied(found)  # what was done, and not closed before it was looked at again
    assert [name for name in names if pointers(between.uri, name) != CARRIED] == []
    for name in names:
        history = prodpointer.connect(name, tracking_uri=between.uri).history()
        assert [(event.kind, event.state) for event in history] == [("migrate", "done")]


def test_a_dead_server_stops_a_run_at_its_budget(between: Proxy, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many failures and no more."""
    monkeypatch.setattr("prodpointer.migration.fleet._FIRST_PAUSE", 0.001)
    fill(between.uri, prefix, 12, staging=False)
    found = migration(between.uri, prefix, most_failures=2, timeout=1.0, at_once=2)
    plan = found.plan()
    between.refuse()
    results = list(found.apply(plan, run_name()))
    assert 3 <= len(results) <= 5
    assert {type(result.error) for result in results} == {prodpointer.RegistryUnavailable}


def test_a_refused_right_is_a_failure_of_its_model(between: Proxy, prefix: str) -> None:
    """One model that may not be moved fails by itself, and is left without an alias."""
    names = fill(between.uri, prefix, 4, staging=False)
    found = migration(between.uri, prefix)
    plan = found.plan()
    refused = json.dumps({"error_code": "PERMISSION_DENIED", "message": "no"}).encode()
    between.when(first(1, on_path("registered-models/alias", "POST")), Answer(403, refused))
    steps = flatten(found.apply(plan, run_name()))
    assert sorted(step.outcome for step in steps if step.outcome != "nothing") == ["failed", "moved", "moved", "moved"]
    assert sum("production" in pointers(between.uri, name)[0] for name in names) == 3


def test_plain_clients_of_both_majors_load_what_is_live(server: Server, job: Job, prefix: str) -> None:
    """By the stage with MLflow 2, by the alias with MLflow 3: before, in the window, after each promotion of either."""
    name = f"{prefix}-news"
    for number in (1, 2, 3):
        job(THREE, server.uri, name, "register", f"bundle {number}")
    job(TWO, server.uri, name, "plain_promote", 1)
    assert job(TWO, server.uri, name, "plain_load", "/Production") == {"payload": "bundle 1"}
    found = migration(server.uri, prefix)
    flatten(found.start(run_name()))
    applied(found)
    for version, client in ((1, None), (2, TWO), (3, THREE), (1, THREE)):
        if client is not None:
            job(client, server.uri, name, "promote", version)
        expected = {"payload": f"bundle {version}"}
        assert job(TWO, server.uri, name, "plain_load", "/Production") == expected
        assert job(THREE, server.uri, name, "plain_load", "@production") == expected
    assert [step.outcome for step in flatten(found.finish(run_name()))] == ["moved", "nothing"]
    assert job(THREE, server.uri, name, "plain_load", "@production") == {"payload": "bundle 1"}
    assert job(TWO, server.uri, name, "live_version") == 1


def command(uri: str, prefix: str, verb: str, *arguments: object) -> list[str]:
    """Return the command of a process that works on the fleet of one test."""
    options = ["--tracking-uri", uri, "migrate", verb, "--models", f"{prefix}-*", *map(str, arguments)]
    return [sys.executable, "-m", "prodpointer", *options]


def test_the_bridge_carries_moves_of_plain_jobs(server: Server, job: Job, prefix: str, tmp_path: Path) -> None:
    """A process left running: what a job of either major moves shows on the other side, and SIGTERM ends it cleanly."""
    name = fill(server.uri, prefix, 1)[0]
    applied(migration(server.uri, prefix))
    log = tmp_path / "bridge.log"
    with (
        log.open("w") as out,
        subprocess.Popen(command(server.uri, prefix, "bridge", "--every", 0.2), stdout=out, stderr=out) as process,
    ):
        try:
            wait_for(lambda: "bridge" in log.read_text())
            job(TWO, server.uri, name, "plain_promote", 1)
            wait_for(lambda: pointers(server.uri, name)[0]["production"] == "1")
            job(THREE, server.uri, name, "plain_alias", 2)
            wait_for(lambda: pointers(server.uri, name)[1]["2"] == "Production")
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0, log.read_text()
    moved = [line for line in log.read_text().splitlines() if "moved the" in line]
    assert [re.findall(r"moved the (\w+) to version (\d)", line) for line in moved] == [
        [("alias", "1")],
        [("stage", "2")],
    ]
    kinds = [event.kind for event in prodpointer.connect(name, tracking_uri=server.uri).history()]
    assert kinds == ["migrate", "bridge", "unrecorded", "bridge"]


def wait_for(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_that_is_killed_again_and_again_loses_nothing(server: Server, between: Proxy, prefix: str) -> None:
    """Killed in the middle of its writes, four times; what was in flight alone is done again."""
    names = fill(server.uri, prefix, MODELS, staging=False)
    for kill in range(4):
        killed_after(between, prefix, writes=5 + 4 * kill)
    assert subprocess.run(command(between.uri, prefix, "apply"), check=False, capture_output=True).returncode == 0
    again = 0
    for name in names:
        assert pointers(server.uri, name) == ({"production": "3"}, {"1": "Archived", "3": "Production"})
        history = prodpointer.connect(name, tracking_uri=server.uri).history()
        assert {(event.kind, event.state) for event in history} == {("migrate", "done")}
        again += len(history) - 1
    assert again == 0  # what was begun was taken up by its intent


def killed_after(between: Proxy, prefix: str, writes: int) -> None:
    """Run ``apply`` in a process and kill it as it sends its so-many-th write."""
    passing = itertools.count(1)
    reached = threading.Event()

    def reach(method: str, path: str) -> bool:
        if method != "GET" and next(passing) == writes:
            reached.set()
            return True
        return False

    between.when(reach, Hang(SECONDS))
    with subprocess.Popen(
        command(between.uri, prefix, "apply"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        assert reached.wait(SECONDS)
        os.kill(process.pid, signal.SIGKILL)
    between.heal()


def test_a_run_that_is_told_to_stop_ends_what_it_began(server: Server, between: Proxy, prefix: str) -> None:
    """SIGTERM: the models in flight are whole, nothing is left open, and it says how to go on."""
    names = fill(server.uri, prefix, MODELS, staging=False)
    between.when(everything, Hang(0.05))
    with subprocess.Popen(
        command(between.uri, prefix, "apply", "--at-once", 2), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: any("registered-models/alias" in path for _, path in between.requests))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=SECONDS)
    between.heal()
    assert (process.returncode, "Stopped by a signal" in out) == (1, True), err
    states = [states_of(server.uri, name) for name in names]
    assert 0 < states.count(["done"]) < MODELS
    assert states.count(["done"]) + states.count([]) == MODELS


def states_of(uri: str, name: str) -> Sequence[str]:
    """Return the states of a model's events."""
    return [event.state for event in prodpointer.connect(name, tracking_uri=uri).history()]


def test_a_promotion_of_a_stage_takes_an_alias_along_that_appears_meanwhile(
    server: Server, between: Proxy, prefix: str
) -> None:
    """A migration sets the alias between the look of a promotion and its move: both name one version in the end."""
    (name,) = fill(between.uri, prefix, 1, staging=False)
    client = MlflowClient(server.uri)
    meanwhile = itertools.count()

    def migrate(method: str, path: str) -> bool:
        if "transition-stage" in path and next(meanwhile) == 0:
            client.set_registered_model_alias(name, "production", "3")
        return False

    between.when(migrate, Drop())
    model = prodpointer.connect(name, tracking_uri=between.uri)
    if server.version == THREE:  # there a stage alone gets the alias of its own accord, so that two set it
        with pytest.raises(prodpointer.PromotionLost):
            model.promote(1)
        assert pointers(between.uri, name)[0]["production"] == "3"
        assert model.status().agreed
        return
    move = model.promote(1)
    aliases, stages = pointers(between.uri, name)
    assert (aliases["production"], stages["1"], stages["3"]) == ("1", "Production", "Archived")
    assert (move.state, set(move.pointers)) == ("done", {"alias", "stage"})
