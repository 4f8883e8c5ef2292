"""The events of all models as documents, one after the other, however many they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from prodpointer.errors import ModelNotFound, ProdpointerError
from prodpointer.mlflow_client import ask_again_after, probe_capabilities
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.types import ModelReply
from prodpointer.watch.changes import PointerRecord, list_changes
from prodpointer.watch.documents import document_of, event_id, source_of
from prodpointer.watch.listing import OF_ONE_MODEL, Watched, slim


def export(
    watched: Watched,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    failed: Callable[[str, ProdpointerError], object],
) -> Iterator[dict[str, Any]]:
    """Yield every event of the models that are looked at, model by model, each model's in the order of its record.

    A document is the one that ``watch`` sends, with the same id. In memory are the pointers of all models, and the
    versions of one page.

    Parameters
    ----------
    watched
        The registry, the models and the pointers.
    since, until
        The time of the first event, and a time that the last one is before.
    failed
        Called for each model that cannot be read; the others are exported.
    """
    probe_capabilities(watched.registry, max_age=ask_again_after(watched.registry))
    replies = {reply.name: slim(reply) for page in watched.replies() for reply in page}
    watched.check_names(replies)
    for reply in watched.records(replies):
        try:
            snapshots = _read(watched, reply)
        except ModelNotFound:  # deleted meanwhile
            continue
        except OF_ONE_MODEL as error:
            failed(reply.name, error)
            continue
        yield from _documents(watched, snapshots, since, until)


def export_model(
    watched: Watched, name: str, *, since: datetime | None = None, until: datetime | None = None
) -> Iterator[dict[str, Any]]:
    """Yield every event of one model, as :func:`export` does."""
    yield from _documents(watched, watched.read(name), since, until)


def _read(watched: Watched, reply: ModelReply) -> list[ModelSnapshot]:
    """Return a snapshot for each pointer of a model; read once more where something moved between its two parts."""
    if reply.versions is None:
        return watched.read(reply.name)
    capabilities = probe_capabilities(watched.registry, max_age=ask_again_after(watched.registry))
    snapshots = watched.snapshots(reply, capabilities)
    records = (PointerRecord.of(each, None) for each in snapshots)
    return snapshots if all(each.explains_live for each in records) else watched.read(reply.name)


def _documents(
    watched: Watched, snapshots: list[ModelSnapshot], since: datetime | None, until: datetime | None
) -> Iterator[dict[str, Any]]:
    """Yield the events of the pointers of one model."""
    addresses = watched.registry.addresses
    source = source_of(addresses.identity, addresses.workspace)
    pointers = [(each, PointerRecord.of(each, addresses.workspace)) for each in snapshots]
    changes = [change for each, pointer in pointers for change in list_changes(pointer, each.now)]
    created_at = snapshots[0].reply.created_at if snapshots else None
    for change in sorted(changes, key=lambda each: each.order):
        event = change.event
        if (since is None or event.at >= since) and (until is None or event.at < until):
            yield document_of(event, event_id(source, event, created_at, change.key), addresses.shown)
