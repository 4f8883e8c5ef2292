"""From a name to a registered model in the registry that MLflow's settings name, and the four drop-in functions."""

from __future__ import annotations

import logging
import os
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from prodpointer._asynchronous import awaitable
from prodpointer.artifacts.cache import Cache
from prodpointer.errors import InvalidName, ModelNotFound, RegistryUnavailable
from prodpointer.mlflow_client import Place, Registry, open_registry, probe_capabilities
from prodpointer.pointers.rule import POINTER_VARIABLE, Rule, known_pointer
from prodpointer.promotion.statuses import Statuses, read_statuses
from prodpointer.registered_model import RegisteredModel
from prodpointer.serving.load import NO_ANSWER
from prodpointer.types import Pointer, Promotion
from prodpointer.validation import alias_name, model_name, stage_for

OnOutage = Literal["raise", "last-known-good", "none"]

_log = logging.getLogger("prodpointer")


def connect(
    name: str,
    *,
    tracking_uri: str | None = None,
    registry_uri: str | None = None,
    workspace: str | None = None,
    pointer: Pointer = "auto",
    alias: str = "production",
    stages: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    cache_dir: str | Path | None = None,
    create_database: bool | None = None,
    upgrade_database: bool = False,
    allowed_hosts: Iterable[str] | None = None,
) -> RegisteredModel:
    """Return the registered model ``name``, having made sure that there is a registry and what it can do.

    Parameters
    ----------
    name
        Name of the registered model. It need not exist: ``register`` creates it, the reading verbs say so.
    tracking_uri, registry_uri
        As MLflow takes them; by default MLflow's own environment variables and settings.
    workspace
        The workspace of a server that runs with ``--enable-workspaces`` (MLflow 3.10 and later); by default the one
        that is active in MLflow at this moment (``mlflow.set_workspace``, ``MLFLOW_WORKSPACE``), and ``""`` for none.
        The handle stays in it: each request names it, from every client version.
    pointer
        ``auto`` (an alias where one is set, a stage where one is set, for a new model whichever belongs to the
        registry's major version), or ``alias``, ``stage`` or ``both`` to override. The model's tag
        ``prodpointer.pointer`` and then ``PRODPOINTER_POINTER`` override ``auto``.
    alias
        Name of the pointer. One that is set is found without regard to case; a new one is written as given.
    stages
        Which stage an alias stands for, beside ``{"production": "Production", "staging": "Staging"}``.
    timeout
        Seconds that each request to the registry may take. Downloads may take as long as they like while bytes come.
    cache_dir
        Where verified downloads are kept; by default ``PRODPOINTER_CACHE_DIR``, else the user's cache directory.
    create_database
        Whether an empty or missing database may get MLflow's schema; by default only an SQLite file that was
        named may.
    upgrade_database
        Whether a database of an older MLflow may be upgraded in place. Older servers cannot start on it afterwards.
    allowed_hosts
        Hosts (``"files.example.com"``, ``"files:5000"``) from which artifacts may be read beside the tracking server
        and the registry; by default those in ``PRODPOINTER_ALLOWED_HOSTS``. They are asked without credentials.

    Raises
    ------
    InvalidName
        The name, alias, stage, pointer or host is invalid.
    RegistryUnavailable, AccessDenied, RegistryUnsupported, SchemaMismatch
        There is no registry to use; nothing was touched. One that is down is no error where this machine has a
        last-known-good version of the model: loading and following begin with it, all else says then what is wrong.
    """
    checked = model_name(name)
    rule = rule_for(alias, stages, pointer)
    registry = open_registry(
        tracking_uri,
        registry_uri,
        timeout=timeout,
        create_database=create_database,
        upgrade_database=upgrade_database,
        workspace=workspace,
        even_if_down=True,
        hosts=allowed_hosts,
    )
    _check_levels(checked, registry)
    model = RegisteredModel(checked, registry, rule, Cache(cache_dir))
    try:
        probe_capabilities(registry)
    except RegistryUnavailable as failure:
        model._note_outage(failure)  # noqa: SLF001  # of no use to callers
    return model


@awaitable(connect)
def aconnect() -> None:
    """Return what :func:`connect` does, while the loop of asyncio goes on; the parameters are the same."""


def registered_model_names(
    *,
    tracking_uri: str | None = None,
    registry_uri: str | None = None,
    workspace: str | None = None,
    timeout: float = 10.0,
) -> list[str]:
    """Return the names of all registered models in order, prompts left out; no database is made.

    Parameters
    ----------
    tracking_uri, registry_uri, workspace, timeout
        As for :func:`connect`.

    Raises
    ------
    RegistryUnavailable, AccessDenied, RegistryUnsupported, SchemaMismatch
        As for :func:`connect`.
    """
    registry = open_registry(tracking_uri, registry_uri, timeout=timeout, workspace=workspace)
    probe_capabilities(registry)  # raises where what answers is not a registry, which might list nothing
    return registry.names()


def registered_model_statuses(
    *,
    tracking_uri: str | None = None,
    registry_uri: str | None = None,
    workspace: str | None = None,
    pointer: Pointer = "auto",
    alias: str = "production",
    stages: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    names: Container[str] | None = None,
) -> Statuses:
    """Yield the status of every registered model by name, or the error of a model that cannot be read.

    It costs requests for pages of models and versions, not for models; no database is made.

    Parameters
    ----------
    names
        The models that are wanted; by default all of them.
    tracking_uri, registry_uri, workspace, pointer, alias, stages, timeout
        As for :func:`connect`.

    Raises
    ------
    RegistryUnavailable, AccessDenied, RegistryUnsupported, SchemaMismatch, InvalidName
        As for :func:`connect`.
    """
    rule = rule_for(alias, stages, pointer)
    registry = open_registry(tracking_uri, registry_uri, timeout=timeout, workspace=workspace)
    return read_statuses(registry, rule, names)


def _check_levels(name: str, registry: Registry) -> None:
    """Raise ``InvalidName`` for a name in Unity Catalog that is not of three levels: MLflow would complete it."""
    if registry.place is Place.UNITY_CATALOG and len([part for part in name.split(".") if part.strip()]) != 3:
        raise InvalidName(
            f"Invalid model name {name!r} for Unity Catalog.",
            where=registry.addresses.shown,
            next_step="Give all three levels: catalog.schema.model.",
        )


def rule_for(alias: str, stages: Mapping[str, str] | None, pointer: str) -> Rule:
    """Return the rule that these arguments and the environment make, or raise ``InvalidName``."""
    folded = alias_name(alias)
    argument = known_pointer(pointer, "the argument pointer=")
    environment = os.environ.get(POINTER_VARIABLE)
    return Rule(
        alias=folded,
        stage=stage_for(folded, stages),
        argument=None if argument == "auto" else argument,
        environment=known_pointer(environment, f"the environment variable {POINTER_VARIABLE}") if environment else None,
        written=alias,
    )


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
    return _load(name, alias, "raise")


@dataclass(frozen=True)
class DropIn:
    """The four drop-in functions with defaults; :func:`prodpointer.drop_in` makes it.

    Each call connects with MLflow's settings at that moment, as the functions do.
    """

    name: str
    artifact_file: str
    alias: str = "production"
    on_unavailable: OnOutage = "raise"

    def register(self, run_id: str, artifact_file: str | None = None, name: str | None = None) -> int:
        """Register a run's artifact as a new version and return its number; see :func:`prodpointer.register`."""
        return register(run_id, artifact_file or self.artifact_file, name or self.name)

    def promote(self, version: int | str, name: str | None = None, alias: str | None = None) -> Promotion:
        """Make ``version`` live; see :func:`prodpointer.promote`."""
        return promote(version, name or self.name, alias or self.alias)

    def rollback(self, name: str | None = None, alias: str | None = None) -> Promotion:
        """Make the version live that was live before; see :func:`prodpointer.rollback`."""
        return rollback(name or self.name, alias or self.alias)

    def load_production(self, name: str | None = None, alias: str | None = None) -> Any:
        """Return the live object, or None when nothing is live, also for a model never registered.

        In an outage ``on_unavailable`` decides; see :func:`prodpointer.drop_in`.
        """
        return _load(name or self.name, alias or self.alias, self.on_unavailable)


def drop_in(name: str, *, artifact_file: str, alias: str = "production", on_unavailable: OnOutage = "raise") -> DropIn:
    """Return an object with ``register``, ``promote``, ``load_production`` and ``rollback`` and their defaults.

    It replaces the page of code that many projects wrote by hand:
    ``registry = prodpointer.drop_in("news-recommender", artifact_file="newsreco.pkl")``, then
    ``registry.register(run_id)``, ``registry.promote(version)`` and ``registry.load_production()``. No request is sent
    before one of them is called.

    Parameters
    ----------
    name, alias
        The registered model and the name of its pointer.
    artifact_file
        The file or directory below a run's artifacts.
    on_unavailable
        What ``load_production`` does while the registry or its store of artifacts does not answer: ``"raise"`` the
        error, load the ``"last-known-good"`` version as :meth:`RegisteredModel.load_production` does, or return None
        (``"none"``), which is logged as a warning. Refused access, wrong bytes and a file that does not load are
        raised in any case.

    Raises
    ------
    InvalidName
        The name, alias or `on_unavailable` is invalid.
    """
    if on_unavailable not in get_args(OnOutage):
        raise InvalidName(
            f"Invalid on_unavailable={on_unavailable!r}.", next_step="Use 'raise', 'last-known-good' or 'none'."
        )
    alias_name(alias)
    return DropIn(model_name(name), artifact_file, alias, on_unavailable)


def _load(name: str, alias: str, on_unavailable: OnOutage) -> Any:
    """Return the live object of a model, or None; what happens in an outage is the caller's choice."""
    known_good: Literal["raise", "last-known-good"] = "raise" if on_unavailable == "none" else on_unavailable
    try:
        return connect(name, alias=alias).load_production(on_unavailable=known_good)
    except ModelNotFound:
        return None
    except NO_ANSWER as error:
        if on_unavailable != "none":
            raise
        _log.warning("%s@%s: the registry is down, load_production returns None: %s", name, alias, error)
        return None
