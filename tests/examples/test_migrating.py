"""The output on the migration playbook is real."""

from __future__ import annotations

from tests.examples.migrating import BLOCK, PAGE, page_now


def test_every_command_prints_what_the_page_shows() -> None:
    """Run in order on a fresh server; ``nox -s migrating`` writes the page anew."""
    assert page_now() == PAGE.read_text(encoding="utf-8")


def test_every_verb_is_on_the_page() -> None:
    """No command of ``migrate`` is left out."""
    commands = " ".join(block["body"] for block in BLOCK.finditer(PAGE.read_text(encoding="utf-8")))
    for verb in ("plan", "find", "start", "apply", "verify", "bridge", "finish", "runs", "undo"):
        assert f"$ prodpointer migrate {verb}" in commands
