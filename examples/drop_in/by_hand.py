"""The page of code that a project wrote by hand over MLflow's aliases, and that ``prodpointer.drop_in`` replaces."""

from __future__ import annotations

import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

MODEL = "news-recommender"


def register(run_id: str, artifact_file: str = "newsreco.pkl", name: str = MODEL) -> int:
    """Register a run's artifact as a new version and return its number."""
    client = mlflow.MlflowClient()
    with suppress(MlflowException):  # it exists already
        client.create_registered_model(name)
    source = f"{client.get_run(run_id).info.artifact_uri}/{artifact_file}"
    return int(client.create_model_version(name, source, run_id).version)


def promote(version: int, name: str = MODEL, alias: str = "production") -> None:
    """Make a version live."""
    mlflow.MlflowClient().set_registered_model_alias(name, alias, str(version))


def load_production(name: str = MODEL, alias: str = "production") -> Any:
    """Return the live object, or None when nothing is live or the registry is down."""
    try:
        found = mlflow.MlflowClient().get_model_version_by_alias(name, alias)
        path = mlflow.artifacts.download_artifacts(artifact_uri=found.source)
        return pickle.loads(Path(path).read_bytes())  # noqa: S301
    except Exception:  # noqa: BLE001
        return None


def rollback(name: str = MODEL, alias: str = "production") -> None:
    """Promote the version with the number before."""
    found = mlflow.MlflowClient().get_model_version_by_alias(name, alias)
    promote(int(found.version) - 1, name, alias)
