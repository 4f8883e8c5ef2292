"""The record of moves as it is written: each event a tag of the version that holds it, older ones packed together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from prodpointer.errors import AccessDenied
from prodpointer.history import log
from prodpointer.mlflow_client import Registry
from prodpointer.types import ModelVersion, Promotion


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
