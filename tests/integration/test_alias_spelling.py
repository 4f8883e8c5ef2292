"""An alias is found without regard to case, and created in the caller's spelling."""

from __future__ import annotations

import pytest

from tests.integration.conftest import HAS_ALIASES, Lab

SPELLINGS = ["Champion", "champion", "CHAMPION"] if HAS_ALIASES else []


def aliases(lab: Lab, name: str) -> dict[str, int]:
    """Return the aliases of a model, as plain MLflow tells."""
    found = lab.client.get_registered_model(name).aliases
    return {alias: int(version) for alias, version in found.items()}


@pytest.mark.parametrize("alias", SPELLINGS)
def test_a_new_alias_is_written_as_given(lab: Lab, name: str, alias: str) -> None:
    """Plain readers of ``models:/name@Champion`` find it."""
    lab.model(name, 1, alias=alias).promote(1)
    assert aliases(lab, name) == {alias: 1}


@pytest.mark.parametrize("alias", SPELLINGS)
def test_an_alias_that_is_set_keeps_its_spelling(lab: Lab, name: str, alias: str) -> None:
    """There is one alias and one history, whatever spelling moves it."""
    lab.model(name, 2, alias="Champion").promote(1)
    other = lab.model(name, 0, alias=alias)
    other.promote(2)
    assert aliases(lab, name) == {"Champion": 2}
    assert [event.to_version for event in other.history()] == [1, 2]
