"""The page that many projects write for themselves: register a run's file, promote it, load what is live, go back.

``benchmarks.side_by_side`` measures this library against it, so it is written as such pages are, and no slower: one
request where one will do, nothing looked at twice, nothing recorded.
"""

from __future__ import annotations

import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

NOTHING_LIVE = frozenset({"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"})


def register(run_id: str, artifact_file: str, name: str) -> int:
    """Register a file of a run as a new version and return its number."""
    client = mlflow.MlflowClient()
    with suppress(MlflowException):  # it exists
        client.create_registered_model(name)
    return int(client.create_model_version(name, f"runs:/{run_id}/{artifact_file}", run_id=run_id).version)


def promote(version: int, name: str, alias: str = "production") -> None:
    """Set the alias."""
    mlflow.MlflowClient().set_registered_model_alias(name, alias, str(version))


def live_version(name: str, alias: str = "production") -> Any:
    """Return the version behind the alias, or None when there is none."""
    try:
        return mlflow.MlflowClient().get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in NOTHING_LIVE:
            return None
        raise


def load_production(name: str, alias: str = "production") -> Any:
    """Return the live bundle, or None when nothing is live."""
    version = live_version(name, alias)
    return None if version is None else unpickled(version)


def rollback(name: str, alias: str = "production") -> None:
    """Promote the version before the live one, by its number."""
    promote(int(live_version(name, alias).version) - 1, name, alias)


def promote_to_stage(version: int, name: str, stage: str = "Production") -> None:
    """Move the version into the stage and archive what was there: the page of MLflow 2."""
    client = mlflow.MlflowClient()
    client.transition_model_version_stage(name, str(version), stage, archive_existing_versions=True)


def live_in_stage(name: str, stage: str = "Production") -> Any:
    """Return the newest version in the stage, or None."""
    found = mlflow.MlflowClient().get_latest_versions(name, [stage])
    return found[0] if found else None


def load_from_stage(name: str, stage: str = "Production") -> Any:
    """Return the bundle in the stage, or None when nothing is in it."""
    version = live_in_stage(name, stage)
    return None if version is None else unpickled(version)


def roll_stage_back(name: str, stage: str = "Production") -> None:
    """Promote the version before the one in the stage, by its number."""
    promote_to_stage(int(live_in_stage(name, stage).version) - 1, name, stage)


def unpickled(version: Any) -> Any:
    """Download a version's file and unpickle it; the download is left where it is."""
    with Path(mlflow.artifacts.download_artifacts(artifact_uri=version.source)).open("rb") as file:
        return pickle.load(file)
