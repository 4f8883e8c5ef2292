"""Cached state of one model belongs to no other model, registry or workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from prodpointer.artifacts.cache import Cache
from prodpointer.artifacts.last_known_good import VersionKey
from prodpointer.artifacts.notes import PointerNotes
from prodpointer.mlflow_client.uris import Addresses

POINTER = "production by auto"
SERVER = "http://mlflow.example"


@pytest.mark.parametrize(("registry", "model"), [(SERVER, "other"), ("http://other.example", "news")])
def test_a_last_known_good_version_belongs_to_one_model_of_one_registry(
    tmp_path: Path, registry: str, model: str
) -> None:
    """Another model, or one of the same name in another registry, has none from it."""
    cache = Cache(tmp_path)
    PointerNotes(cache.of(SERVER, "news"), POINTER).note_verified(VersionKey("1", 1))
    assert PointerNotes(cache.of(SERVER, "news"), POINTER).read().verified is not None
    assert PointerNotes(cache.of(registry, model), POINTER).read().verified is None


def test_each_workspace_of_a_server_is_a_registry_of_its_own() -> None:
    """Two teams on one server share nothing that is kept by the registry's identity."""
    identities = {
        Addresses(SERVER, SERVER, chosen=True, workspace=team).identity for team in (None, "team-a", "team-b")
    }
    assert len(identities) == 3
