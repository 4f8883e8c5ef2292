"""A job in a separate process with its own MLflow: it reads tasks and writes answers, each a line of JSON."""

from __future__ import annotations

import json
import pickle
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import mlflow

import prodpointer

POLL_SECONDS = 0.2


class Service:
    """A service that asks one and the same model object again and again, and writes down each change it sees."""

    def __init__(self, uri: str, name: str) -> None:
        self.model = prodpointer.connect(name, tracking_uri=uri)
        self.versions: list[Any] = []
        self.payloads: list[Any] = []
        threading.Thread(target=self.poll, daemon=True).start()

    def poll(self) -> None:
        """Ask until the process ends."""
        while True:
            for verb, seen in ((self.model.live_version, self.versions), (self.model.load_production, self.payloads)):
                try:
                    found: Any = verb()
                except prodpointer.ProdpointerError as error:
                    found = type(error).__name__
                if not seen or seen[-1] != found:
                    seen.append(found)
            time.sleep(POLL_SECONDS)


SERVICES: dict[str, Service] = {}


def serve_model(uri: str, name: str, _: str) -> Any:
    """Start a service that lives as long as the process."""
    SERVICES[name] = Service(uri, name)


def seen_by_service(_: str, name: str, __: str) -> Any:
    """Return what the service saw so far, without repetitions, and which registry it believes it has."""
    service = SERVICES[name]
    believed = service.model.selection.registry_version
    return {"versions": service.versions, "payloads": service.payloads, "registry_version": believed}


def register(uri: str, name: str, payload: str) -> Any:
    """Log a bundle in a new run and register it."""
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    run_id = client.create_run("0").info.run_id
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "newsreco.pkl").write_bytes(pickle.dumps({"payload": payload}))
        client.log_artifacts(run_id, scratch, "bundle")
    mlflow.set_tracking_uri(None)
    return prodpointer.connect(name, tracking_uri=uri).register(run_id, "bundle")


def plain_load(uri: str, name: str, how: str) -> Any:
    """Load as plain MLflow does, by ``/Production`` or ``@production``."""
    mlflow.set_tracking_uri(uri)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, that stages are deprecated
        found = Path(mlflow.artifacts.download_artifacts(f"models:/{name}{how}"))
    return pickle.loads((found / "newsreco.pkl").read_bytes())


def plain_promote(uri: str, name: str, version: str) -> Any:
    """Promote as a pipeline written for MLflow 2 does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = mlflow.MlflowClient(uri)
        client.transition_model_version_stage(name, version, "Production", archive_existing_versions=True)


def plain_alias(uri: str, name: str, version: str) -> Any:
    """Promote as a pipeline written for MLflow 3 does."""
    mlflow.MlflowClient(uri).set_registered_model_alias(name, "production", version)


def plain_fill(uri: str, name: str, _: str) -> Any:
    """Open a database as plain MLflow does, which makes or upgrades it, and put a model with a live version there."""
    client = mlflow.MlflowClient(uri)
    client.create_registered_model(name, tags={"owner": "news"})
    client.create_model_version(name, "s3://models/newsreco.pkl")
    client.set_registered_model_alias(name, "production", "1")
    plain_promote(uri, name, "1")


def connect(uri: str, name: str, options: str) -> Any:
    """Connect with these options of ``connect``, a JSON text, and return what is live."""
    return prodpointer.connect(name, tracking_uri=uri, **json.loads(options)).live_version()


def registry_version(uri: str, name: str, _: str) -> Any:
    """Return which MLflow the registry has, as far as this process knows."""
    return prodpointer.connect(name, tracking_uri=uri).selection.registry_version


def ours(uri: str, name: str, verb: str, argument: str | None) -> Any:
    """Call a verb of this library and return what it gave, as JSON can hold it."""
    model = prodpointer.connect(name, tracking_uri=uri)
    found = getattr(model, verb)(argument) if argument is not None else getattr(model, verb)()
    return found.as_json() if hasattr(found, "as_json") else found


VERBS = {
    "connect": connect,
    "plain_alias": plain_alias,
    "plain_fill": plain_fill,
    "plain_load": plain_load,
    "plain_promote": plain_promote,
    "register": register,
    "registry_version": registry_version,
    "seen_by_service": seen_by_service,
    "serve_model": serve_model,
}


def answer(uri: str, name: str, verb: str, argument: str | None) -> dict[str, Any]:
    """Execute one task and return its result, or the name of a prodpointer error."""
    try:
        given = VERBS[verb](uri, name, argument or "") if verb in VERBS else ours(uri, name, verb, argument)
    except prodpointer.ProdpointerError as error:
        return {"mlflow": mlflow.__version__, "error": type(error).__name__, "text": str(error)}
    return {"mlflow": mlflow.__version__, "given": given}


def main() -> None:
    """Answer tasks until there are no more; what MLflow prints goes to standard error."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(answer(*json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
