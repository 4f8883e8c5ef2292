"""The MLflow at hand."""

from __future__ import annotations


def installed_version() -> str:
    """Return the version of the MLflow that this process imports."""
    from mlflow.version import VERSION

    return str(VERSION)
