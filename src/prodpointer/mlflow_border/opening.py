"""Opening a registry, so that nothing is changed or made by accident."""

from __future__ import annotations

from prodpointer.errors import RegistryUnavailable, RegistryUnsupported
from prodpointer.mlflow_border.addresses import Addresses, Place, addresses, place_of, sqlite_file
from prodpointer.mlflow_border.database import prepare_database
from prodpointer.mlflow_border.registry import DownRegistry, Registry


def open_registry(
    tracking_uri: str | None,
    registry_uri: str | None,
    *,
    timeout: float,
    create_database: bool | None,
    upgrade_database: bool,
    workspace: str | None = None,
    even_if_down: bool = False,
    at_once: bool = False,
) -> Registry:
    """Return the registry that MLflow's settings and these arguments name.

    Parameters
    ----------
    tracking_uri, registry_uri
        As MLflow takes them; None for its own settings.
    timeout
        Seconds for each request.
    create_database
        Whether an empty or missing database may get MLflow's schema; None means yes for SQLite URIs that somebody
        chose and no for all else.
    upgrade_database
        Whether an older schema may be upgraded in place.
    workspace
        The workspace of a server that has some; None for the one that is active in MLflow now.
    even_if_down
        Whether a registry that cannot be reached is no error here but in each call that asks it.
    at_once
        Whether many calls are made at once; see :class:`Registry`.

    Raises
    ------
    RegistryUnsupported, SchemaMismatch, RegistryUnavailable
        Before anything is opened or made.
    """
    found = addresses(tracking_uri, registry_uri, workspace)
    _refuse_file_store(found)

    def prepare() -> None:
        for uri in dict.fromkeys((found.registry_uri, found.tracking_uri)):
            if place_of(uri) is Place.DATABASE:
                chosen = found.chosen and sqlite_file(uri) is not None
                may_create = chosen if create_database is None else create_database
                prepare_database(uri, create=may_create, upgrade=upgrade_database, timeout=timeout)

    try:
        prepare()
        return Registry(found, timeout=timeout, at_once=at_once)
    except RegistryUnavailable as failure:
        if not even_if_down:
            raise
        return DownRegistry(found, timeout=timeout, prepare=prepare, failure=failure)


def _refuse_file_store(found: Addresses) -> None:
    """Raise ``RegistryUnsupported`` for a plain file store, which some MLflow versions take and others refuse.

    Measured: 2.0.1 has no registry there, 2.1.0 to 3.12.0 keep one, 3.13.0 and later refuse it. An upgrade would take
    the registry away, so it is refused everywhere.
    """
    if place_of(found.registry_uri) is Place.FILES:
        raise RegistryUnsupported(
            "A plain file store is no model registry to rely on: MLflow 2.0 and 3.13 and later refuse it.",
            where=found.shown,
            next_step="Set MLFLOW_TRACKING_URI to a server (http://host:5000) or a database (sqlite:///registry.db).",
        )
