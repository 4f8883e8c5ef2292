"""The whole registry in pages, and what plain MLflow is told about one pointer: the questions of a migration."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from prodpointer.mlflow_border import entities
from prodpointer.mlflow_border.registry import Registry
from prodpointer.mlflow_border.translation import error_code
from prodpointer.records import ModelVersion

VERSIONS_PAGE = 5_000
"""Versions of one page: about 5 MB of JSON with the record of a few moves each."""

# So that a version that changes meanwhile stays on its page; the search of 2.0.1 has neither pages nor an order.
_BY_NAME = ["name ASC", "version_number ASC"]
# An alias that is not set, and from 3.10.0 on one of a model that does not exist (measured).
_NOTHING_THERE = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")


def version_pages(registry: Registry) -> Iterator[list[ModelVersion]]:
    """Yield each page of the versions of all models."""
    with registry.asking("list the versions of all models"):
        yield from registry.version_pages("", max_results=VERSIONS_PAGE, order_by=_BY_NAME)


def tag_model(registry: Registry, name: str, key: str, value: str | None) -> None:
    """Set one tag of a registered model, or delete it where the value is None; one that is not there is no error."""
    with registry.asking(f"tag the registered model {name!r}", missing=lambda: registry.no_model(name), name=name):
        rest = registry.written_by_rest
        if value is not None:
            (rest.tag_model if rest else registry.client.set_registered_model_tag)(name, key, value)
        else:
            (rest.untag_model if rest else registry.client.delete_registered_model_tag)(name, key)


def plain_alias(registry: Registry, name: str, alias: str) -> int | None:
    """Return the version that plain MLflow loads for ``models:/name@alias``, asked as plain clients ask, or None.

    Another way than the one by which this library reads, so that a mistake of the one shows in the other.
    """
    from mlflow.exceptions import MlflowException

    with registry.asking(f"read the alias {alias!r} of {name!r}", name=name):
        try:
            if (rest := registry.rest) is not None:
                return entities.number_from_json(rest.get_by_alias(name, alias))
            return entities.version_number(registry.client.get_model_version_by_alias(name, alias).version)
        except MlflowException as error:
            if error_code(error) not in _NOTHING_THERE:
                raise
            return None


def plain_stage(registry: Registry, name: str, stage: str) -> int | None:
    """Return the version that plain MLflow loads for ``models:/name/stage``, asked as plain clients ask, or None."""
    with registry.asking(f"read the stage {stage} of {name!r}", missing=lambda: registry.no_model(name), name=name):
        if (rest := registry.rest) is not None:
            found = entities.numbers_from_json(rest.get_latest(name, stage))
        else:
            found = [entities.version_number(version.version) for version in _latest(registry, name, stage)]
        return found[0] if found else None


def _latest(registry: Registry, name: str, stage: str) -> Any:
    """Ask MLflow's client for the newest version of a stage; its method warns on every call from 2.9.0 on."""
    from mlflow import MlflowClient

    asked = inspect.unwrap(MlflowClient.get_latest_versions)
    return registry.called(asked, name, [stage])
