"""What an interrupted promotion leaves in the history."""

from __future__ import annotations

import pytest

from prodpointer import RegistryUnavailable
from prodpointer.mlflow_client.registry import Registry
from tests.integration.conftest import HAS_ALIASES, Lab


def unavailable(*_: object) -> None:
    """Fail as a registry that went away does."""
    raise RegistryUnavailable("No answer.")


@pytest.mark.parametrize("pointer", ["alias", "stage", "both"] if HAS_ALIASES else ["stage"])
def test_a_promotion_is_recorded_before_it_moves_anything(
    lab: Lab, name: str, pointer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the registry goes away before the first move, the intent is there, and the old version is live."""
    model = lab.model(name, 2, pointer=pointer)
    model.promote(1)
    with monkeypatch.context() as patch:
        for move in ("set_alias", "move_to_stage"):
            patch.setattr(Registry, move, unavailable)
        with pytest.raises(RegistryUnavailable):
            model.promote(2)
    last = model.history()[-1]
    assert (last.to_version, last.state, model.live_version()) == (2, "intended", 1)
