"""Output on a stream whose encoding does not have every character."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from prodpointer.cli.migrate_output import _print_long_json
from prodpointer.cli.output import print_json
from prodpointer.cli.registry import _say_state
from prodpointer.cli.tables import print_table
from prodpointer.cli.watch import _print_line

NAME = "ニュース→1 €"
PRINTED: dict[str, Callable[[], Any]] = {
    "document": lambda: print_json({"name": NAME}),
    "long document": lambda: _print_long_json({"name": NAME}, "models", [{"name": NAME}]),
    "event": lambda: _print_line({"name": NAME}),
}


@pytest.fixture(params=["ascii", "cp1252"])
def printed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], str]:
    """Return a function that returns what another one prints on a standard output of an encoding."""

    def run(action: Callable[[], Any]) -> str:
        stream = io.BytesIO()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", io.TextIOWrapper(stream, encoding=request.param, write_through=True))
            action()
            return stream.getvalue().decode(request.param)

    return run


@pytest.mark.parametrize("kind", PRINTED)
def test_json_has_every_character(kind: str, printed: Callable[[Callable[[], Any]], str]) -> None:
    """As an escape where the encoding does not have it."""
    assert json.loads(printed(PRINTED[kind]))["name"] == NAME


def test_a_table_is_printed(printed: Callable[[Callable[[], Any]], str]) -> None:
    """An arrow as ASCII, other characters as escapes."""
    lines = printed(lambda: print_table(["model"], [["1 → 2"], ["ニ"]])).split("\n")
    assert lines == ["model", "1 -> 2", "\\u30cb", ""]


def test_the_screen_of_the_doctor_is_printed(printed: Callable[[Callable[[], Any]], str]) -> None:
    """A model's name may be in it."""
    assert printed(lambda: _say_state("ok  ニ")) == "ok  \\u30cb\n"
