"""Functions with the signatures that many projects wrote by hand, over MLflow's own environment variables."""

from __future__ import annotations

from typing import Any

from prodpointer.connection import connect
from prodpointer.errors import ModelNotFound
from prodpointer.types import Promotion


def register(run_id: str, artifact_file: str, name: str) -> int:
    """Register a run's artifact as a new version of ``name`` and return its number.

    See :meth:`RegisteredModel.register` for parameters and errors.
    """
    return connect(name).register(run_id, artifact_file)


def promote(version: int | str, name: str, alias: str = "production") -> Promotion:
    """Make ``version`` of ``name`` live under ``alias``.

    See :meth:`RegisteredModel.promote` for parameters and errors.
    """
    return connect(name, alias=alias).promote(version)


def rollback(name: str, alias: str = "production") -> Promotion:
    """Make the version of ``name`` live under ``alias`` that was live before.

    See :meth:`RegisteredModel.rollback` for the errors.
    """
    return connect(name, alias=alias).rollback()


def load_production(name: str, alias: str = "production") -> Any:
    """Return the live object of ``name``, or None when nothing is live, also for a model never registered.

    See :meth:`RegisteredModel.load_production` for the errors.
    """
    try:
        return connect(name, alias=alias).load_production()
    except ModelNotFound:
        return None
