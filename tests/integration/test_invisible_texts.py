"""Invisible characters: refused in new names and texts, accepted in old ones, escaped when printed."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Callable

import pytest

from prodpointer._text import HIDDEN, INVISIBLE, visible
from prodpointer.artifacts.register import callers_tags
from prodpointer.cli.output import print_json, say
from prodpointer.errors import InvalidName
from prodpointer.validation import model_name, new_model_name, plain_text
from tests.integration.conftest import Lab

HIDING = {
    "zero-width space": "\u200b",
    "word joiner": "\u2060",
    "mark of byte order": "\ufeff",
    "soft hyphen": "\u00ad",
    "tag": "\U000e0041",
    "unassigned tag": "\U000e0000",
    "private": "\ue000",
    "private plane": "\U000f0001",
}
JOINERS = {"joiner": "\u200d", "non-joiner": "\u200c"}
# Signs of Arabic, Syriac and Kaithi that are drawn around the digits after them.
DRAWN = re.compile(r"[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"

every = pytest.mark.parametrize("bad", HIDING.values(), ids=HIDING)


def test_every_character_of_these_kinds_is_known() -> None:
    """By Unicode's own table, as old or new as this Python has it."""
    kinds = {"Cf", "Co", "Cs"}
    characters = (chr(code) for code in range(sys.maxunicode + 1))
    missed = [
        character
        for character in characters
        if unicodedata.category(character) in kinds and not INVISIBLE.match(character) and not DRAWN.match(character)
    ]
    assert missed == []
    assert re.findall(f"[{HIDDEN}]", "\ufe0f\u0301 \u00a0\u3000aé\U0001f680") == []


@every
def test_what_is_not_seen_is_refused_in_new_texts(bad: str) -> None:
    """In names, tags and every text that is given."""
    attempts: list[Callable[[], object]] = [
        lambda: plain_text(f"a{bad}b", "The reason"),
        lambda: new_model_name(f"a{bad}b"),
        lambda: callers_tags({"k": f"a{bad}b"}),
    ]
    for attempt in attempts:
        with pytest.raises(InvalidName, match="invisible character"):
            attempt()


@pytest.mark.parametrize("joiner", JOINERS.values(), ids=JOINERS)
def test_joiners_are_refused_in_new_names(joiner: str) -> None:
    """Two names that look the same would be two models."""
    with pytest.raises(InvalidName, match="invisible character"):
        new_model_name(f"m{joiner}")


@pytest.mark.parametrize("text", [PERSIAN, FAMILY])
def test_joiners_stay_in_texts(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Some scripts and emoji need them, also where they are printed."""
    assert plain_text(text, "The reason") == text
    say(text)
    print_json({"reason": text})
    assert capsys.readouterr().out.count(text) == 2


def test_a_joiner_that_joins_nothing_is_escaped() -> None:
    """It could only hide in a name."""
    assert visible("m\u200d \u200cx") == "m\\u200d \\u200cx"


@every
def test_a_program_reads_what_was_written(bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON codes such characters, in halves where one code is not enough."""
    print_json({"name": f"m{bad}"})
    printed = capsys.readouterr().out
    assert bad not in printed
    assert json.loads(printed)["name"] == f"m{bad}"


@every
def test_a_text_shows_that_something_is_there(bad: str) -> None:
    """As an escape."""
    assert visible(f"m{bad}") == f"m{bad.encode('unicode_escape').decode()}"


def test_no_model_with_such_a_name_is_made(lab: Lab, name: str) -> None:
    """It is refused before anything is written."""
    with pytest.raises(InvalidName, match="invisible character"):
        lab.model(f"{name}\u200b", 1)
    assert lab.client.search_registered_models(f"name LIKE '{name}%'") == []


def test_a_model_that_has_such_a_name_is_read(lab: Lab, name: str) -> None:
    """Another tool made it, and its versions go on."""
    named = f"{name}\u200b"
    assert model_name(named) == named
    lab.client.create_registered_model(named)
    model = lab.model(named, 1)
    model.promote(1)
    assert model.live_version() == 1


@pytest.mark.parametrize("field", ["reason", "by"])
def test_a_promotion_with_such_a_text_moves_nothing(lab: Lab, name: str, field: str) -> None:
    """It is refused before anything is written."""
    model = lab.model(name, 1)
    given = {"reason": "", "by": None, field: "a\u200bb"}
    with pytest.raises(InvalidName, match="invisible character"):
        model.promote(1, **given)  # type: ignore[arg-type]
    assert model.history() == []
