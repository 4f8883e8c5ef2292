"""Text from a registry is printed without effect on the terminal, and such text is not written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from prodpointer._text import visible
from prodpointer.artifacts.register import callers_tags
from prodpointer.cli.output import print_history, print_json, print_statuses, say
from prodpointer.errors import InvalidName, ProdpointerError
from prodpointer.history.record import EVENT_TAG, event_text
from prodpointer.types import PointerStatus, Promotion
from prodpointer.validation import model_name, new_model_name, plain_text
from tests.integration.conftest import HAS_ALIASES, IS_THREE, Answer, Command, Lab

ACTING = {
    "colour": "\x1b[31m",
    "link": "\x1b]8;;http://evil\x07",
    "null": "\0",
    "backspace": "\b",
    "return": "\rall is well",
    "delete": "\x7f",
    "c1": "\x9b31m",
    "override": "\u202e",
    "isolate": "\u2067",
    "mark": "\u200f",
    "line": "\u2028",
}
every = pytest.mark.parametrize("bad", ACTING.values(), ids=ACTING)


@every
def test_what_a_terminal_acts_on_is_refused_in_new_texts(bad: str) -> None:
    """In names, tags and every text that is given."""
    for attempt in (
        lambda: plain_text(f"a{bad}b", "The reason"),
        lambda: new_model_name(f"a{bad}b"),
        lambda: callers_tags({"k": f"a{bad}b"}),
    ):
        with pytest.raises(InvalidName, match="control character"):
            attempt()


@pytest.mark.parametrize(
    "text", ["", "two\nlines", "two\r\nlines", "a\ttab", "\u00fcn\u00ef \U0001f680", "\u05e9\u05dc"]
)
def test_every_other_text_is_taken(text: str) -> None:
    """Lines, tabs and all alphabets are texts."""
    assert plain_text(text, "The reason") == text


def test_a_model_that_has_such_a_name_can_be_asked_for() -> None:
    """Another tool may have made it."""
    assert model_name("news\u202e") == "news\u202e"


@pytest.mark.parametrize("field", ["reason", "by"])
def test_a_promotion_with_such_a_text_moves_nothing(lab: Lab, name: str, field: str) -> None:
    """It is refused before anything is written."""
    model = lab.model(name)
    refused: dict[str, str] = {field: "a\x1b[31m"}
    with pytest.raises(InvalidName, match="control character"):
        model.promote(1, reason=refused.get("reason", ""), by=refused.get("by"))
    assert model.history() == []


@every
def test_what_is_printed_is_escaped(bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As text, in tables and in JSON no such character arrives."""
    event = Promotion("m", None, 1, ("alias",), datetime.now(timezone.utc), f"b{bad}", f"r{bad}")
    say(f"error: {bad}", err=True)
    print_history([event])
    print_statuses([PointerStatus(f"n{bad}", 1, 1, 2, False, "alias", event, mismatch=f"d{bad}")])
    print_json(event.as_json())
    printed = "".join(capsys.readouterr())
    assert not set(bad) & set(ACTING_CHARACTERS) & set(printed)
    assert visible(f"r{bad}") in printed


ACTING_CHARACTERS = {character for bad in ACTING.values() for character in bad if not character.isprintable()}


def test_what_is_half_a_character_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """A text that is no Unicode is escaped, as text and as JSON."""
    say("\ud800")
    print_json({"name": "\ud800"})
    out, _ = capsys.readouterr()
    assert out.startswith("\\ud800\n")


@every
def test_a_program_reads_what_was_written(bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON escapes such characters, and parsing it restores them."""
    print_json({"reason": bad})
    assert json.loads(capsys.readouterr().out)["reason"] == bad


@pytest.fixture
def at(cli: Command, lab: Lab) -> Callable[..., Answer]:
    """Return a function that runs a command on the registry of the unit tests."""
    return lambda *arguments: cli("--tracking-uri", lab.uri, *arguments)


def test_an_event_of_another_tool_reaches_no_terminal(lab: Lab, name: str, at: Callable[..., Answer]) -> None:
    """A tag cannot write escape codes into the terminal of a reader."""
    model = lab.model(name)
    moved = replace(model.promote(1), reason="\x1b]0;owned\x07", by="\u202eada")
    lab.client.set_model_version_tag(name, "1", f"{EVENT_TAG}{moved.event}", event_text(moved))
    answers = [at("history", name), at("history", name, "--json"), at("status", name), at("status", name, "--json")]
    assert not set("\x1b\x07\u202e") & set("".join(answer.out for answer in answers))


def test_an_unrecorded_move_says_so_in_json(lab: Lab, name: str, at: Callable[..., Answer]) -> None:
    """A program tells a lost promotion from a done one, and a move by another tool from both."""
    model = lab.model(name, 2)
    model.promote(1)
    if IS_THREE:
        lab.client.set_registered_model_alias(name, "production", "2")
    else:
        lab.to_stage(name, 1, "Archived")
        lab.to_stage(name, 2, "Production")
    first, second = at("history", name, "--json").document["events"]
    wanted = {"kind": "promote", "state": "done", "alias": "production", "source": "prodpointer"}
    assert wanted.items() <= first.items()
    assert first["sha256"] == model.version(1).sha256
    assert (second["kind"], second["source"]) == ("unrecorded", "unrecorded")


def test_two_versions_in_a_stage_show_in_json(lab: Lab, name: str, at: Callable[..., Answer]) -> None:
    """A program sees every version in the stage."""
    lab.model(name, 2)
    for number in (1, 2):
        lab.to_stage(name, number, "Production")
    answer = at("status", name, "--json")
    [found] = answer.document["models"]
    assert (found["in_stage"], found["dangling"], answer.exit_code) == ([1, 2], False, 4)


def test_every_document_says_its_version(lab: Lab, at: Callable[..., Answer], name: str) -> None:
    """It is the first key, also of the documents that are printed piece by piece."""
    lab.model(name)
    for command in (["status", name], *([["migrate", "undo"]] if HAS_ALIASES else []), ["doctor"]):
        assert next(iter(json.loads(at(*command, "--json").out))) == "schema_version"


def test_an_error_is_escaped(at: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's words are in the text of an error."""

    def fail(*_: object, **__: object) -> None:
        raise ProdpointerError("the server said \x1b[2J")

    monkeypatch.setattr("prodpointer.cli.options.Settings.statuses", fail)
    assert at("status").err == "error: the server said \\x1b[2J\n"
