"""A command as a receiver: what it is given, and what its end means."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from prodpointer.errors import InvalidName
from prodpointer.watch.delivery import NotTaken
from prodpointer.watch.receivers import Command

EVENT = {
    "id": "evt_1",
    "name": "café",
    "alias": "production",
    "kind": "withdraw",
    "state": "done",
    "from_version": 3,
    "to_version": None,
    "at": "2026-11-30T12:00:00+00:00",
    "by": "ada",
    "reason": "drops $(rm -rf /) recommendations",
}


def test_a_command_gets_the_event_on_its_standard_input(tmp_path: Path) -> None:
    """All of it, as one line of JSON."""
    Command(f"tee '{tmp_path / 'event.json'}'").send(EVENT)
    assert json.loads((tmp_path / "event.json").read_text(encoding="utf-8")) == EVENT


def test_a_command_gets_the_main_values_in_its_environment(tmp_path: Path) -> None:
    """Nothing is empty."""
    Command(f"sh -c 'env > \"{tmp_path / 'env'}\"'").send(EVENT)
    lines = (tmp_path / "env").read_text(encoding="utf-8").splitlines()
    own = dict(line.split("=", 1) for line in lines if line.startswith("PRODPOINTER_EVENT_"))
    assert own == {
        "PRODPOINTER_EVENT_ID": "evt_1",
        "PRODPOINTER_EVENT_NAME": "café",
        "PRODPOINTER_EVENT_ALIAS": "production",
        "PRODPOINTER_EVENT_KIND": "withdraw",
        "PRODPOINTER_EVENT_STATE": "done",
        "PRODPOINTER_EVENT_FROM_VERSION": "3",
        "PRODPOINTER_EVENT_TO_VERSION": "",
        "PRODPOINTER_EVENT_AT": "2026-11-30T12:00:00+00:00",
        "PRODPOINTER_EVENT_BY": "ada",
    }


def test_another_exit_code_than_0_takes_nothing() -> None:
    """The event is about to be sent again, and other models are not held up."""
    with pytest.raises(NotTaken, match="exit code 3") as refusal:
        Command("sh -c 'exit 3'").send(EVENT)
    assert refusal.value.by_event


def test_a_command_that_reads_nothing_may_take_an_event() -> None:
    """Its standard input may be closed before the event is written."""
    Command("true").send({**EVENT, "reason": "x" * 1_000_000})


def test_a_command_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    """A shell's child does not go on."""
    began = time.monotonic()
    with pytest.raises(NotTaken, match="did not end within"):
        Command(f"sh -c 'sleep 30; touch {tmp_path / 'late'}'", timeout=0.3).send(EVENT)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("command", "why"),
    [("no-such-program --x", "'no-such-program' is not found"), ("", "is not found"), ("sh '", "Invalid command")],
)
def test_a_command_that_cannot_be_run_is_an_error_at_once(command: str, why: str) -> None:
    """Before anything is read from the registry."""
    with pytest.raises(InvalidName, match=why):
        Command(command)


def test_a_command_that_cannot_be_read_is_not_shown() -> None:
    """Its arguments may hold a secret."""
    with pytest.raises(InvalidName, match="Invalid command: No closing quotation") as refusal:
        Command("curl -H 'Token: abc123")
    assert "abc123" not in str(refusal.value)


def test_a_command_that_has_gone_is_tried_again(tmp_path: Path) -> None:
    """It is replaced, for instance, while the watcher runs; then it takes no event at all."""
    script = tmp_path / "notify"
    script.write_text(f"#!{sys.executable}\n")
    script.chmod(0o755)
    command = Command(str(script))
    script.unlink()
    with pytest.raises(NotTaken, match="cannot be run: No such file") as refusal:
        command.send(EVENT)
    assert not refusal.value.by_event
