"""The options of what moves something: who, why, dry runs, questions; names and patterns that match nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from prodpointer import RegisteredModel
from prodpointer.cli import moves
from prodpointer.errors import InvalidName, RegistryUnavailable
from tests.integration.conftest import NEW_POINTER, Answer, Command, Lab


@pytest.fixture
def at(cli: Command, lab: Lab) -> Command:
    """Return a function that runs a command on the session's registry."""
    return lambda *arguments: cli("--tracking-uri", lab.uri, *arguments)


def test_who_and_why_are_recorded(at: Command, lab: Lab, name: str) -> None:
    """Of each kind of move."""
    model = lab.model(name, 2)
    by = ("--by", "ada", "--reason", "drill")
    answers = [at("promote", name, "1", *by), at("promote", name, "2", *by), at("rollback", name, *by)]
    answers.append(at("withdraw", name, *by))
    assert [answer.exit_code for answer in answers] == [0] * 4
    assert [(event.by, event.reason) for event in model.history()] == [("ada", "drill")] * 4
    assert answers[0].out == f"{name}@production: none → 1 ({NEW_POINTER}) by ada: drill\n"


def test_a_dry_run_says_so_and_moves_nothing(at: Command, lab: Lab, name: str) -> None:
    """As text and as JSON."""
    model = lab.model(name, 2)
    model.promote(1)
    answer = at("promote", name, "2", "--dry-run", "--by", "ada")
    assert (answer.exit_code, answer.out) == (0, f"dry run: {name}@production: 1 → 2 ({NEW_POINTER}) by ada\n")
    document = at("withdraw", name, "--dry-run", "--json").document
    assert (document["dry_run"], document["state"], document["event"]) == (True, "intended", None)
    assert (model.live_version(), len(model.history())) == (1, 1)


def test_a_dry_run_that_is_refused_ends_as_the_real_one(at: Command, lab: Lab, name: str) -> None:
    """With 3."""
    lab.model(name).promote(1)
    assert at("promote", name, "1", "--expected", "none", "--dry-run").exit_code == 3


def test_a_dry_registration_makes_no_version(at: Command, lab: Lab, name: str) -> None:
    """It says which one would be made."""
    model = lab.model(name)
    run_id = lab.run({"bundle/model.pkl": b""})
    assert at("register", name, run_id, "bundle", "--dry-run").out == f"dry run: {name}: registered version 2\n"
    assert at("register", name, run_id, "gone", "--dry-run").exit_code == 1
    assert [version.version for version in [model.version(1)]] == [1]
    assert at("register", name, run_id, "bundle", "--json").document["version"] == 2


def test_a_version_that_is_reused_is_not_registered(at: Command, lab: Lab, name: str) -> None:
    """The text says what happened, and the document too."""
    run_id = lab.run({"bundle/model.pkl": b""})
    command = ("register", name, run_id, "bundle", "--if-exists", "reuse")
    assert at(*command).out.startswith(f"{name}: registered version 1, ")
    assert at(*command).out.startswith(f"{name}: reused version 1, ")
    assert at(*command, "--json").document["reused"] is True


def test_a_version_whose_digest_cannot_be_read_is_registered(
    at: Command, lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that is tried again would register another one."""

    def down(*_: object) -> None:
        raise RegistryUnavailable("The registry did not answer.")

    monkeypatch.setattr(RegisteredModel, "version", down)
    answer = at("register", name, lab.run({"bundle/model.pkl": b""}), "bundle", "--json")
    assert (answer.exit_code, answer.document["version"], answer.document["sha256"]) == (0, 1, None)
    assert answer.err.startswith("warning: the digest of version 1 could not be read: The registry did not answer.")


def test_an_unknown_choice_makes_no_version(lab: Lab, name: str) -> None:
    """Of ``if_exists``: it does not silently mean a new version."""
    choice: Any = "resue"
    with pytest.raises(InvalidName, match="Invalid if_exists='resue'"):
        lab.model(name, 0).register("no-run", "bundle", if_exists=choice)


def test_an_owner_can_be_named(at: Command, lab: Lab, name: str) -> None:
    """``register --by`` is the owner."""
    at("register", name, lab.run({"bundle/model.pkl": b""}), "bundle", "--by", "grace")
    assert lab.model(name, 0).version(1).tags["prodpointer.owner"] == "grace"


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], list[str]]:
    """Return a function that puts a person who answers before the terminal, and keeps what was asked."""

    def answer(yes: bool) -> list[str]:
        asked: list[str] = []

        def confirm(text: str, **_: object) -> bool:
            asked.append(text)
            return yes

        monkeypatch.setattr(moves, "may_ask", lambda: True)
        monkeypatch.setattr("click.confirm", confirm)
        return asked

    return answer


def test_a_withdrawal_asks_on_a_terminal(
    at: Command, lab: Lab, name: str, answering: Callable[[bool], list[str]]
) -> None:
    """No is an answer: nothing is withdrawn, and the exit code is 1."""
    model = lab.model(name)
    model.promote(1)
    asked = answering(False)
    answer = at("withdraw", name, "--by", "ada")
    assert (answer.exit_code, answer.out, model.live_version()) == (1, "", 1)
    assert answer.err.splitlines() == [f"{name}@production: 1 → none ({NEW_POINTER}) by ada", "Nothing was changed."]
    assert len(asked) == 1
    answering(True)
    assert (at("withdraw", name).exit_code, model.live_version()) == (0, None)


def test_only_the_version_that_was_asked_about_is_withdrawn(
    at: Command, lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another one went live before the answer, it stays live, and the exit code is 3."""
    model = lab.model(name, 2)
    model.promote(1)
    monkeypatch.setattr(moves, "may_ask", lambda: True)
    monkeypatch.setattr(moves, "ask", lambda _: model.promote(2))
    assert (at("withdraw", name).exit_code, model.live_version()) == (3, 2)


def test_a_withdrawal_may_expect_a_version(at: Command, lab: Lab, name: str) -> None:
    """As a promotion may."""
    model = lab.model(name)
    model.promote(1)
    assert [at("withdraw", name, "--expected", each).exit_code for each in ("none", "2", "1")] == [3, 3, 0]
    assert model.live_version() is None


@pytest.mark.parametrize("option", ["--yes", "-y", "--dry-run"])
def test_a_withdrawal_that_is_meant_does_not_ask(
    option: str, at: Command, lab: Lab, name: str, answering: Callable[[bool], list[str]]
) -> None:
    """With ``--yes``, and where nothing is written."""
    lab.model(name).promote(1)
    asked = answering(False)
    assert (at("withdraw", name, option).exit_code, asked) == (0, [])


def test_a_withdrawal_in_a_pipe_does_not_ask(at: Command, lab: Lab, name: str) -> None:
    """A job goes on as before."""
    lab.model(name).promote(1)
    assert at("withdraw", name).exit_code == 0


def test_a_pattern_names_several_models(at: Command, lab: Lab, name: str) -> None:
    """Each model once, and a name that looks like a pattern is a name where it exists."""
    for suffix in ("a", "b", "[ab]"):
        lab.model(f"{name}-{suffix}", 0)._registry.create_model(f"{name}-{suffix}")  # noqa: SLF001
    found = at("status", f"{name}-?", f"{name}-a", "--json").document["models"]
    assert [each["name"] for each in found] == [f"{name}-a", f"{name}-b"]
    [only] = at("status", f"{name}-[ab]", "--json").document["models"]
    assert only["name"] == f"{name}-[ab]"


@pytest.mark.parametrize("pattern", ["{}-nothing", "{}-*"])
def test_what_matches_nothing_is_wrong_usage(pattern: str, at: Command, name: str) -> None:
    """With 2 and the name: a typo is no success."""
    answer: Answer = at("status", pattern.format(name))
    assert (answer.exit_code, answer.out) == (2, "")
    assert pattern.format(name) in answer.err


@pytest.mark.parametrize(
    "command", ["promote {} 1", "rollback {}", "withdraw {}", "repair {}", "history {}", "pull {} x"]
)
def test_each_command_refuses_a_model_that_does_not_exist(command: str, at: Command, name: str) -> None:
    """With 2."""
    answer = at(*command.format(name).split())
    assert (answer.exit_code, f"'{name}' does not exist" in answer.err) == (2, True)
