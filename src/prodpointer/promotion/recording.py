"""The record of moves as it is written: each event a tag of the version that holds it, older ones packed together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timezone

from prodpointer.errors import AccessDenied
from prodpointer.history import log
from prodpointer.mlflow_client import Registry
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.types import ModelVersion, Promotion


def draft_event(snapshot: ModelSnapshot, to: int | None, version: ModelVersion | None = None) -> Promotion:
    """Return an intended move with an id after every event there is; who, why and which pointers the caller adds.

    ``version`` is the one that it moves to, where it is newer than the snapshot.
    """
    version = version or (None if to is None else snapshot.version(to))
    holder = snapshot.version(snapshot.live or 0) if to is None else version
    return Promotion(
        name=snapshot.reply.name,
        from_version=snapshot.live,
        to_version=to,
        pointers=(),
        at=datetime.now(timezone.utc),
        by="",
        event=log.next_id(snapshot.events),
        alias=snapshot.rule.alias,
        state="intended",
        sha256=version.sha256 if version else None,
        after=snapshot.last_done,
        holder_created_at=holder.created_at if holder else None,
        passing=snapshot.passing,
    )


def write_event(registry: Registry, event: Promotion, text: str) -> None:
    """Write the tag of one event; a move from nothing to nothing is held by no version."""
    if event.held_by is not None:
        registry.tag_version(event.name, event.held_by, f"{log.EVENT_TAG}{event.event}", text)


def keep_small(registry: Registry, version: ModelVersion) -> None:
    """Pack the older events of a version where there are many."""
    packed = log.packing(version)
    if packed is None:
        return
    for key, text in packed.write.items():
        registry.tag_version(version.name, version.version, key, text)
    there = registry.version(version.name, version.version).tags
    if all(there.get(key) == text for key, text in packed.write.items()):
        with suppress(AccessDenied):  # deleting a tag is a right of its own in MLflow's basic-auth (2.22.5, 3.17.2)
            for key in packed.remove:
                registry.untag_version(version.name, version.version, key)


def remove_impossible(registry: Registry, versions: Sequence[ModelVersion]) -> list[tuple[int, str]]:
    """Delete the tags that no promotion can have written, and return them: of each its version and key."""
    removed = []
    with suppress(AccessDenied):
        for number, key in log.record(versions).impossible:
            registry.untag_version(versions[0].name, number, key)
            removed.append((number, key))
    return removed
