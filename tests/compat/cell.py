"""One client with one registry, in a separate process and environment: what works, as one line of JSON.

``python cell.py try URI SEEDS`` tries the laws and what plain MLflow does beside them; ``python cell.py open URI``
looks whether a database may be opened; ``python cell.py seed URI NAME`` registers a flavor model as plain MLflow does.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
import secrets
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

# Failures that MLflow would repeat for minutes take seconds; where runs are not logged to the registry, nothing is.
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"

import mlflow

import prodpointer
from prodpointer.diagnostics.conformance import check_registry

NEVER = "does not exist anywhere"
LOADER = """
class Constant:
    def __init__(self, text):
        self.text = text

    def predict(self, model_input, params=None):
        return [self.text]


def _load_pyfunc(path):
    with open(path) as file:
        return Constant(file.read())
"""


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Let plain MLflow's process-wide settings name a server, which its ``models:/`` URIs need."""
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)


def logged(uri: str, name: str, log: Callable[..., object], **model: Any) -> str:
    """Log and register a model as plain MLflow does and return the run."""
    known = inspect.signature(log).parameters
    place = {"name" if "name" in known else "artifact_path": "model"}
    with reaching(uri), mlflow.start_run() as run:
        log(pip_requirements=["mlflow"], registered_model_name=name, **place, **model)
    return str(run.info.run_id)


def loader_of(name: str) -> str:
    """Return the module that loads the model of a name; one of its own, since many are loaded in one process."""
    return f"loader_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def log_model(uri: str, name: str) -> str:
    """Log and register a model that says its name, made without any pickle."""
    log = mlflow.pyfunc.log_model
    with tempfile.TemporaryDirectory() as scratch:
        code, data = Path(scratch, f"{loader_of(name)}.py"), Path(scratch, "text.txt")
        code.write_text(LOADER)
        data.write_text(name)
        sys.path.insert(0, scratch)  # some versions import the loader while they log
        paths = {"code_paths" if "code_paths" in inspect.signature(log).parameters else "code_path": [str(code)]}
        try:
            return logged(uri, name, log, loader_module=code.stem, data_path=str(data), **paths)
        finally:
            sys.path.remove(scratch)


def log_sklearn(uri: str, name: str) -> str:
    """Log and register a scikit-learn model as its flavor does by default; it says 1."""
    sklearn = importlib.import_module("mlflow.sklearn")
    dummy = importlib.import_module("sklearn.dummy").DummyClassifier(strategy="constant", constant=1)
    return logged(uri, name, sklearn.log_model, sk_model=dummy.fit([[0], [1]], [0, 1]))


def predicted(uri: str, name: str) -> str:
    """Return what the live flavor model of a name says, loaded by this library."""
    model = prodpointer.connect(name, tracking_uri=uri).load_production(trusted=[loader_of(name)])
    pandas = importlib.import_module("pandas")
    return str(next(iter(model.predict(pandas.DataFrame({"x": [1]})))))


def check_equal(found: object, wanted: object) -> None:
    """Fail unless both are the same."""
    if found != wanted:
        raise ValueError(f"{found!r} instead of {wanted!r}")


def logging_models(uri: str, scratch: str) -> None:
    """Plain log_model logs and registers; this library registers the same run's model, promotes both and loads them."""
    run = log_model(uri, scratch)
    model = prodpointer.connect(scratch, tracking_uri=uri)
    for version in (1, model.register(run, "model")):
        model.promote(version)
        check_equal(predicted(uri, scratch), scratch)


def seed_says(uri: str, name: str, said: str) -> None:
    """Load a live model that another client logged by this library."""
    check_equal(predicted(uri, name), said)


def plain_pointer(uri: str, name: str, pointer: str, suffix: str) -> None:
    """Plain MLflow downloads the directory that is live by a pointer which this library moved."""
    directory_live_by(uri, name, pointer)
    with reaching(uri):
        found = Path(mlflow.artifacts.download_artifacts(f"models:/{name}{suffix}"))
    check_equal((found / "text.txt").read_text(), name)


def plain_list(uri: str, name: str) -> None:
    """Plain MLflow lists a model that exists."""
    found = [model.name for model in mlflow.MlflowClient(uri).search_registered_models(max_results=1000)]
    check_equal(name in found, True)


def directory_live_by(uri: str, name: str, pointer: str) -> None:
    """Register a directory by this library and make it live by one kind of pointer."""
    client = mlflow.MlflowClient(uri)
    run = client.create_run("0").info.run_id
    with tempfile.TemporaryDirectory() as scratch, reaching(uri):
        Path(scratch, "text.txt").write_text(name)
        client.log_artifacts(run, scratch, "bundle")
    kind: Any = pointer
    model = prodpointer.connect(name, tracking_uri=uri, pointer=kind)
    model.promote(model.register(run, "bundle"))


def outcome(task: Callable[[], object]) -> str:
    """Return what became of a task: empty where it worked, else the error's name and code; its text is printed."""
    try:
        task()
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        return f"{type(error).__name__} {getattr(error, 'error_code', '')}".strip()
    return ""


def beside(uri: str, seeds: list[str], aliases: bool) -> dict[str, str]:
    """Return what of plain MLflow, and of models that others logged, does not work in this pair, by name."""
    fresh = f"plain-{secrets.token_hex(4)}"
    tasks: dict[str, Callable[[], object]] = {
        "plain stage": lambda: plain_pointer(uri, f"{fresh}-stage", "stage", "/Production"),
        "plain list": lambda: plain_list(uri, f"{fresh}-stage"),
        "log_model": lambda: logging_models(uri, f"{fresh}-logged"),
    }
    if aliases:
        tasks["plain alias"] = lambda: plain_pointer(uri, f"{fresh}-alias", "alias", "@production")
    for each in seeds:
        said = "1" if each.startswith("sklearn") else each
        tasks[each] = partial(seed_says, uri, each, said)
    found = {name: outcome(task) for name, task in tasks.items()}
    return {name: text for name, text in found.items() if text}


def try_pair(uri: str, seeds: str) -> dict[str, Any]:
    """Try the laws on a registry, and what there is beside them."""
    found = check_registry(tracking_uri=uri)
    can = found.outcomes.get("alias") == "works"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limits = {} if uri.startswith("sqlite") else beside(uri, [seed for seed in seeds.split(",") if seed], can)
    return {**found.as_json(), "limits": limits}


def open_database(uri: str) -> dict[str, Any]:
    """Connect to a database that some MLflow made, and say how that was refused or that it was not."""
    try:
        prodpointer.connect(NEVER, tracking_uri=uri)
    except prodpointer.ProdpointerError as error:
        return {"refused": type(error).__name__}
    return {"refused": ""}


def seed(uri: str, name: str) -> dict[str, Any]:
    """Register a flavor model as plain MLflow does, and make it live."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        failure = outcome(lambda: (log_sklearn if name.startswith("sklearn") else log_model)(uri, name))
        if not failure:
            prodpointer.connect(name, tracking_uri=uri).promote(1)
    return {"failure": failure}


def main() -> None:
    """Do what the arguments say; what MLflow prints goes to standard error."""
    answers, sys.stdout = sys.stdout, sys.stderr
    task, *arguments = sys.argv[1:]
    tasks: dict[str, Callable[..., dict[str, Any]]] = {"try": try_pair, "open": open_database, "seed": seed}
    found = tasks[task](*arguments)
    print(json.dumps({"mlflow": mlflow.__version__, **found}), file=answers, flush=True)


if __name__ == "__main__":
    main()
