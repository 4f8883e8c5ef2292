"""A promoter in a separate process with its own MLflow: it answers each command with a line of JSON.

It promotes at a given moment, by this library or as plain MLflow does, or it watches what is live.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import warnings
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

import prodpointer

POLL_SECONDS = 0.01


class Reader:
    """A reader that asks for the live version again and again, and writes down each change it sees."""

    def __init__(self, model: prodpointer.RegisteredModel) -> None:
        self.model = model
        self.looks = 0
        self.seen: list[Any] = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self) -> None:
        """Ask until it is stopped."""
        while not self.stopped.wait(POLL_SECONDS):
            try:
                found: Any = self.model.live_version()
            except prodpointer.ProdpointerError as error:
                found = f"{type(error).__name__}: {error}"
            self.looks += 1
            if not self.seen or self.seen[-1] != found:
                self.seen.append(found)

    def stop(self) -> dict[str, Any]:
        """Stop, and return what was seen, without repetitions."""
        self.stopped.set()
        self.thread.join()
        return {"seen": self.seen, "looks": self.looks}


MODELS: dict[str, prodpointer.RegisteredModel] = {}
CLIENTS: dict[str, mlflow.MlflowClient] = {}
READERS: dict[str, Reader] = {}


def make(uri: str, name: str, versions: int) -> None:
    """Make a registered model with as many versions, none of them live."""
    client = mlflow.MlflowClient(uri)
    client.create_registered_model(name)
    for _ in range(versions):
        client.create_model_version(name, "s3://models/newsreco.pkl")


def connect(uri: str, name: str, pointer: str) -> None:
    """Connect to a model before the moment comes, and look at it once."""
    MODELS[name] = prodpointer.connect(name, tracking_uri=uri, pointer=pointer)  # type: ignore[arg-type]
    MODELS[name].live_version()
    CLIENTS[name] = mlflow.MlflowClient(uri)


def watch(name: str) -> None:
    """Start a reader."""
    READERS[name] = Reader(MODELS[name])


def watched(name: str) -> dict[str, Any]:
    """Stop the reader and return what it saw."""
    return READERS.pop(name).stop()


def promote(name: str, version: int, moment: float) -> dict[str, Any]:
    """Promote at a given moment and return the result."""
    model, started = MODELS[name], waited_for(moment)
    try:
        move = model.promote(version, reason="a race")
        found: dict[str, Any] = {"result": "done", "event": move.event}
    except prodpointer.PromotionLost as lost:
        found = {"result": "lost", "winner": lost.winner}
    except prodpointer.ProdpointerError as error:
        found = {"result": "error", "text": f"{type(error).__name__}: {error}"}
    return {**found, "seconds": time.monotonic() - started}


def promote_plainly(name: str, pointer: str, version: int, moment: float) -> dict[str, Any]:
    """Promote at a given moment with plain MLflow, and return the result."""
    client, started = CLIENTS[name], waited_for(moment)
    found: dict[str, Any] = {"result": "done"}
    try:
        if pointer != "stage":
            client.set_registered_model_alias(name, "production", str(version))
        if pointer != "alias":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # MLflow's own, that stages are deprecated
                client.transition_model_version_stage(name, str(version), "Production", archive_existing_versions=True)
    except MlflowException as error:
        found = {"result": "error", "text": f"{type(error).__name__}: {error}"}
    return {**found, "seconds": time.monotonic() - started}


def waited_for(moment: float) -> float:
    """Return when the moment has come, with the time on another clock."""
    time.sleep(max(0.0, moment - time.time()))
    return time.monotonic()


def look(name: str) -> dict[str, Any]:
    """Return what is live as plain MLflow sees it: every version in Production, and what the alias names."""
    client = CLIENTS[name]
    versions = client.search_model_versions(f"name='{name}'")
    aliases = client.get_registered_model(name).aliases
    return {
        "in_production": sorted(int(each.version) for each in versions if each.current_stage == "Production"),
        "alias": int(aliases["production"]) if "production" in aliases else None,
    }


def history(name: str) -> list[dict[str, Any]]:
    """Return the moves of a model, oldest first, as far as a race is concerned."""
    return [
        {"kind": each.kind, "state": each.state, "version": each.to_version, "event": each.event}
        for each in MODELS[name].history()
    ]


ORDERS = {each.__name__: each for each in (make, connect, watch, watched, promote, promote_plainly, look, history)}


def main() -> None:
    """Follow orders until there are no more; what MLflow prints goes to standard error."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        order, *arguments = json.loads(line)
        print(json.dumps(ORDERS[order](*arguments)), file=answers, flush=True)


if __name__ == "__main__":
    main()
