"""A service with two teams in one process: ``tenant.py live URI RUN`` while the server runs, then ``down URI``.

It prints what it found as one JSON document. Whatever MLflow is installed, the workspace comes from this library.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import mlflow

import prodpointer

NAME = "churn"
TEAMS = ("team-a", "team-b")
NEVER = "never-was"


def connected(uri: str, workspace: str | None) -> prodpointer.RegisteredModel:
    """Return the model of one workspace."""
    return prodpointer.connect(NAME, tracking_uri=uri, registry_uri=uri, workspace=workspace, timeout=20)


def outcome(work: Callable[[], Any]) -> Any:
    """Return what a call returns, or the name of its error."""
    try:
        return work()
    except prodpointer.ProdpointerError as error:
        return type(error).__name__


def activate(workspace: str) -> None:
    """Make a workspace the active one, as other code of the process may at any time."""
    if hasattr(mlflow, "set_workspace"):
        mlflow.set_workspace(workspace)
    os.environ["MLFLOW_WORKSPACE"] = workspace


def in_thread(work: Callable[[], Any]) -> Any:
    """Return what a call returns on a thread with a context of its own, in which a third workspace is active."""
    found: list[Any] = []

    def run() -> None:
        before = os.environ.get("MLFLOW_WORKSPACE")
        activate("third")
        found.append(work())
        if before is not None:
            os.environ["MLFLOW_WORKSPACE"] = before

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def live(uri: str, run_id: str) -> dict[str, Any]:
    """Work for both teams while other code changes every setting of MLflow's."""
    a, b = (connected(uri, team) for team in TEAMS)
    facts: dict[str, Any] = {"shown": [repr(a), repr(b)]}

    def loaded() -> list[Any]:
        return [a.load_production(), b.load_production()]

    facts["loaded"] = loaded()
    with a.follow(0.2) as live_a, b.follow(0.2) as live_b:
        facts["ready"] = [live_a.wait_ready(20), live_b.wait_ready(20)]
        activate("team-b")
        mlflow.set_tracking_uri("http://127.0.0.1:1")
        mlflow.set_registry_uri("http://127.0.0.1:1")
        os.environ["MLFLOW_TRACKING_URI"] = os.environ["MLFLOW_REGISTRY_URI"] = "http://127.0.0.1:1"
        facts["after"] = loaded()
        facts["promoted"] = a.promote(2).to_version
        until = time.monotonic() + 20
        while live_a.version != 2 and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)  # two looks of the other one
        facts["followed"] = [live_a.model, live_b.model]
        facts["states"] = [str(live_a.state), str(live_b.state)]
        facts["in_thread"] = in_thread(loaded)
        number = a.register(run_id, "bundle")
        facts["registered"] = [number > 2, outcome(lambda: b.version(number))]
    facts["pointers"] = [a.live_version(), b.live_version()]
    facts["history"] = [len(a.history()) > 1, len(b.history())]
    facts["active"] = repr(connected(uri, None))
    facts["none"] = outcome(lambda: connected(uri, "").production())
    facts["never"] = outcome(lambda: connected(uri, NEVER))
    facts["odd"] = outcome(lambda: connected(uri, "Team A"))
    facts["rolled_back"] = a.rollback().to_version
    facts["last"] = loaded()
    return facts


def down(uri: str) -> dict[str, Any]:
    """Load what is known of each workspace while the server is down."""
    facts: dict[str, Any] = {}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        facts["known"] = [connected(uri, team).load_production(on_unavailable="last-known-good") for team in TEAMS]
    facts["told"] = [str(each.message) for each in told if each.category is prodpointer.LastKnownGoodWarning]
    for name, workspace in (("never", NEVER), ("none", "")):
        facts[name] = outcome(lambda: connected(uri, workspace).load_production(on_unavailable="last-known-good"))  # noqa: B023
    return facts


if __name__ == "__main__":
    answer = live(*sys.argv[2:]) if sys.argv[1] == "live" else down(*sys.argv[2:])
    print("\n" + json.dumps(answer))
