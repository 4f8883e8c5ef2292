"""The whole registry in pages, and what plain MLflow is told about one pointer: the questions of a migration."""

from __future__ import annotations

from collections.abc import Iterator

from prodpointer.mlflow_client.exceptions import error_code
from prodpointer.mlflow_client.registry import Registry
from prodpointer.types import ModelVersion

# An alias that is not set, and from 3.10.0 on one of a model that does not exist (measured).
_NOTHING_THERE = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")


def version_pages(registry: Registry) -> Iterator[list[ModelVersion]]:
    """Yield each page of the versions of all models."""
    with registry.asking("list the versions of all models"):
        yield from registry.calls.listed_versions(None)


def tag_model(registry: Registry, name: str, key: str, value: str | None) -> None:
    """Set one tag of a registered model, or delete it where the value is None; one that is not there is no error."""
    with registry.asking(f"tag the registered model {name!r}", missing=lambda: registry.no_model(name), name=name):
        if value is not None:
            registry.calls.tag_model(name, key, value)
        else:
            registry.calls.untag_model(name, key)


def plain_alias(registry: Registry, name: str, alias: str) -> int | None:
    """Return the version that plain MLflow loads for ``models:/name@alias``, asked as plain clients ask, or None.

    Another way than the one by which this library reads, so that a mistake of the one shows in the other.
    """
    from mlflow.exceptions import MlflowException

    with registry.asking(f"read the alias {alias!r} of {name!r}", name=name):
        try:
            return registry.calls.plain_alias(name, alias)
        except MlflowException as error:
            if error_code(error) not in _NOTHING_THERE:
                raise
            return None


def plain_stage(registry: Registry, name: str, stage: str) -> int | None:
    """Return the version that plain MLflow loads for ``models:/name/stage``, asked as plain clients ask, or None."""
    with registry.asking(f"read the stage {stage} of {name!r}", missing=lambda: registry.no_model(name), name=name):
        return next(iter(registry.calls.plain_stage(name, stage)), None)
