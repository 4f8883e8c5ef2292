"""An MLflow without aliases refuses a migration by name."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Command, Lab


@pytest.mark.parametrize("verb", [("plan",), ("start",), ("apply",), ("verify",), ("undo",), ("bridge", "--once")])
def test_a_registry_before_aliases_is_refused(cli: Command, lab: Lab, verb: tuple[str, ...]) -> None:
    """One line that says what is missing and what to do; nothing is touched."""
    before = lab.file.read_bytes()
    answer = cli("--tracking-uri", lab.uri, "migrate", *verb)
    assert (answer.exit_code, answer.out) == (1, "")
    assert "There are no aliases here" in answer.err
    assert "2.3.0" in answer.err
    assert lab.file.read_bytes() == before


def test_ending_stages_is_refused(cli: Command, lab: Lab) -> None:
    """Nobody would find anything."""
    answer = cli("--tracking-uri", lab.uri, "migrate", "finish", "--models", "*")
    assert (answer.exit_code, "There are no aliases here" in answer.err) == (1, True)
