"""Two concurrent rollbacks."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from prodpointer import ExpectationFailed, ModelVersion
from prodpointer.mlflow_client.registry import Registry
from tests.integration.conftest import Lab


def test_two_rollbacks_at_the_same_moment_go_back_once(lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one who has looked first and moves last is refused, and does not go back from where the other one went."""
    model = lab.model(name, 3)
    for version in (1, 2, 3):
        model.promote(version)
    real = Registry.versions

    def versions_then_another_rollback(registry: Registry, name: str, tag: str | None = None) -> Sequence[ModelVersion]:
        monkeypatch.setattr(Registry, "versions", real)
        found = real(registry, name, tag)
        model.rollback()
        return found

    monkeypatch.setattr(Registry, "versions", versions_then_another_rollback)
    with pytest.raises(ExpectationFailed):
        model.rollback()
    assert model.live_version() == 2
