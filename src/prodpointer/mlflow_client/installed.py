"""The MLflow that this process imports, and what it has."""

from __future__ import annotations

from packaging.version import Version


def client_version() -> Version:
    """Return the version of the installed MLflow."""
    from mlflow.version import VERSION

    return Version(VERSION)


def knows_logged_models() -> bool:
    """Tell whether this client is one of MLflow 3: one of MLflow 2 cannot load a logged model."""
    from mlflow import MlflowClient

    return hasattr(MlflowClient, "search_logged_models")


def keeps_workspaces() -> bool:
    """Tell whether this client keeps workspaces in a database that it opens itself (3.10 and later)."""
    try:
        from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES
    except ImportError:
        return False
    return bool(MLFLOW_ENABLE_WORKSPACES.get())
