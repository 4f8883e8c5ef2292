"""The record of moves as it is written: tags of the version that holds an event."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from prodpointer.errors import AccessDenied, RegistryError
from prodpointer.history import log, record
from prodpointer.mlflow_client import Registry
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.types import ModelVersion, Promotion

_COLLISIONS = 3  # of promoters that make the same tag at the same moment


def draft_event(
    snapshot: ModelSnapshot, to: int | None, version: ModelVersion | None = None, *, at: datetime
) -> Promotion:
    """Return an intended move with an id after every event there is; who, why and which pointers the caller adds.

    Parameters
    ----------
    snapshot
        The model as it is.
    to, version
        The version that it moves to, and what is known of it where it is newer than the snapshot.
    at
        The time by the registry's clock.
    """
    version = version or (None if to is None else snapshot.version(to))
    holder = snapshot.version(snapshot.live or 0) if to is None else version
    return Promotion(
        name=snapshot.reply.name,
        from_version=snapshot.live,
        to_version=to,
        pointers=(),
        at=at,
        by="",
        event=log.next_id(snapshot.events),
        alias=snapshot.rule.alias,
        state="intended",
        sha256=version.sha256 if version else None,
        after=snapshot.last_done,
        holder_created_at=holder.created_at if holder else None,
        passing=snapshot.passing,
    )


def write_event(registry: Registry, event: Promotion, holder: ModelVersion) -> ModelVersion:
    """Write an event to the version that holds it, as it was read last, and return the version as it is then."""
    return apply_changes(registry, record.changes(event, holder, registry.now()), holder)


def apply_changes(registry: Registry, changes: record.Changes, version: ModelVersion) -> ModelVersion:
    """Write and remove tags of a version, and return it as it is then."""
    for key, text in changes.write.items():
        _tag(registry, version, key, text)
    with suppress(AccessDenied):  # deleting a tag is a right of its own in MLflow's basic-auth (2.22.5, 3.17.2)
        for key in changes.remove:
            registry.untag_version(version.name, version.version, key)
    return changes.applied_to(version)


def _tag(registry: Registry, version: ModelVersion, key: str, text: str) -> None:
    """Set a tag, again where another promoter made it at the same moment: databases refuse the second one."""
    if not any(_is_set(registry, version, key, text) for _ in range(_COLLISIONS)):
        registry.tag_version(version.name, version.version, key, text)


def _is_set(registry: Registry, version: ModelVersion, key: str, text: str) -> bool:
    """Set a tag; return False where another client did at that moment."""
    try:
        registry.tag_version(version.name, version.version, key, text)
    except RegistryError as error:
        if error.code != "BAD_REQUEST":
            raise
        return False
    return True


def make_findable(registry: Registry, versions: Sequence[ModelVersion]) -> list[ModelVersion]:
    """Give a tag that a search finds to versions whose events were written without one; return those as they are then.

    From the oldest on, and the live one of a model is mostly the newest: what was interrupted is noticed there.
    """
    hidden = [each for each in versions if not record.is_found(each)]
    return [apply_changes(registry, record.changes_to_find(each), each) for each in hidden]


def remove_impossible(registry: Registry, versions: Sequence[ModelVersion]) -> list[tuple[int, str]]:
    """Delete the tags that no promotion can have written, and return them: of each its version and key."""
    removed = []
    with suppress(AccessDenied):
        for number, key in record.read_record(versions).impossible:
            registry.untag_version(versions[0].name, number, key)
            removed.append((number, key))
    return removed
