"""Opening a registry, so that nothing is changed or made by accident."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from prodpointer.errors import RegistryUnavailable, RegistryUnsupported, SchemaMismatch
from prodpointer.mlflow_client.registry import DownRegistry, Registry
from prodpointer.mlflow_client.schema_check import lock_databases, prepare_database
from prodpointer.mlflow_client.uris import (
    Addresses,
    Place,
    place_of,
    read_allowed_hosts,
    resolve_addresses,
    sqlite_file,
)


def open_registry(
    tracking_uri: str | None,
    registry_uri: str | None,
    *,
    timeout: float,
    create_database: bool | None = False,
    upgrade_database: bool = False,
    workspace: str | None = None,
    even_if_down: bool = False,
    hosts: Iterable[str] | None = None,
) -> Registry:
    """Return the registry that MLflow's settings and these arguments name.

    Parameters
    ----------
    tracking_uri, registry_uri
        As MLflow takes them; None for its own settings.
    timeout
        Seconds for each request.
    create_database
        Whether an empty or missing database may get MLflow's schema; None means yes for SQLite URIs that were
        configured and no for all else.
    upgrade_database
        Whether an older schema may be upgraded in place.
    workspace
        The workspace of a server that has some; None for the one that is active in MLflow now.
    even_if_down
        Whether a registry that cannot be reached is no error here but in each call that asks it.
    hosts
        The hosts from which artifacts may be read beside the registry's own; None for those of the environment.

    Raises
    ------
    RegistryUnsupported, SchemaMismatch, RegistryUnavailable
        Before anything is opened or made.
    """
    found = replace(resolve_addresses(tracking_uri, registry_uri, workspace), allowed_hosts=read_allowed_hosts(hosts))
    _refuse_file_store(found)

    prepare = partial(_prepare, found, timeout, create=create_database, upgrade=upgrade_database)
    try:
        with prepare() as changing:
            registry = Registry(found, timeout=timeout)
            if changing:
                registry.open_database()
            return registry
    except RegistryUnavailable as failure:
        if not even_if_down:
            raise
        return DownRegistry(found, timeout=timeout, prepare=prepare, failure=failure)


def reopen_registry(addresses: Addresses, *, timeout: float) -> Registry:
    """Return the registry of a handle that came from another process; the first call that asks it opens it."""
    return DownRegistry(addresses, timeout=timeout, prepare=partial(_prepare, addresses, timeout, create=False))


@contextmanager
def _prepare(found: Addresses, timeout: float, *, create: bool | None, upgrade: bool = False) -> Iterator[bool]:
    """Check the databases before the block opens them, and yield whether opening may change one.

    What would change is checked, and changed, by one process at a time.
    """
    uris = dict.fromkeys((found.registry_uri, found.tracking_uri))
    databases = [uri for uri in uris if place_of(uri) is Place.DATABASE]
    try:
        for uri in databases:
            prepare_database(uri, create=False, upgrade=False, timeout=timeout)
    except (SchemaMismatch, RegistryUnsupported):  # the second also of one that another process has just begun to make
        with lock_databases(databases):
            for uri in databases:
                chosen = found.chosen and sqlite_file(uri) is not None
                prepare_database(uri, create=chosen if create is None else create, upgrade=upgrade, timeout=timeout)
            yield True
    else:
        yield False


def _refuse_file_store(found: Addresses) -> None:
    """Raise ``RegistryUnsupported`` for a plain file store, which some MLflow versions take and others refuse.

    Measured: 2.0.1 has no registry there, 2.1.0 to 3.12.0 keep one, 3.13.0 and later refuse it. An upgrade would take
    the registry away, so it is refused everywhere.
    """
    if place_of(found.registry_uri) is Place.FILES:
        raise RegistryUnsupported(
            "A plain file store cannot be used as a model registry: MLflow 2.0 and 3.13 and later refuse it.",
            where=found.shown,
            next_step="Set MLFLOW_TRACKING_URI to a server (http://host:5000) or a database (sqlite:///registry.db).",
        )
