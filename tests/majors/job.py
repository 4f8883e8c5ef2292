"""A job with a process and an MLflow of its own: it reads tasks and writes answers, each a line of JSON."""

from __future__ import annotations

import json
import pickle
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import mlflow

import prodpointer


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


def ours(uri: str, name: str, verb: str, argument: str | None) -> Any:
    """Call a verb of this library and return what it gave, as JSON can hold it."""
    model = prodpointer.connect(name, tracking_uri=uri)
    found = getattr(model, verb)(argument) if argument is not None else getattr(model, verb)()
    return found.as_json() if hasattr(found, "as_json") else found


def answer(uri: str, name: str, verb: str, argument: str | None) -> dict[str, Any]:
    """Do one thing and return what came of it, an error of this library by its name."""
    verbs = {"register": register, "plain_load": plain_load, "plain_promote": plain_promote}
    try:
        given = verbs[verb](uri, name, argument or "") if verb in verbs else ours(uri, name, verb, argument)
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
