"""Tables on terminals of several widths and in a pipe, and colours that mean something."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading

import pytest

from prodpointer.cli import terminal
from prodpointer.cli.output import move_line, print_error, print_history, print_statuses, say
from prodpointer.cli.tables import Cell, Column, print_table
from prodpointer.errors import ProdpointerError
from prodpointer.types import PointerStatus, Promotion, utc_from_millis

AT = utc_from_millis(1_796_000_000_000)
assert AT is not None
REASON = "the weekly retrain on the clicks of November, which the editors asked for"
EVENTS = [
    Promotion("news", None, 3, ("alias",), AT, "ada", "first"),
    Promotion("news", 3, 14, ("alias", "stage"), AT, "ada (https://ci.example.com/jobs/17)", REASON),
]
STATUS = PointerStatus("news-recommender", 14, 14, 3, False, "both", EVENTS[1], mismatch="the alias names version 14")
ESCAPE = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Make standard output and standard error what a person reads, without colours."""
    monkeypatch.setattr(terminal, "is_terminal", lambda **_: True)
    monkeypatch.setattr("prodpointer.cli.tables.is_terminal", lambda **_: True)
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.mark.usefixtures("on_terminal")
@pytest.mark.parametrize("columns", [40, 60, 80, 100, 160])
def test_a_table_fits_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No line is longer than the terminal is wide, and no time or number is broken."""
    monkeypatch.setenv("COLUMNS", str(columns))
    print_history(EVENTS)
    print_statuses([STATUS])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= columns
    assert out.count("2026-11-29 17:33:20") + out.count("2026-11-30 00:53:20") >= 2
    assert "3 → 14" in out
    assert set(REASON.split()) <= set(out.split())


@pytest.mark.usefixtures("on_terminal")
def test_a_narrow_terminal_has_blocks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the columns do not fit each row is a block of lines, with an empty line between two."""
    monkeypatch.setenv("COLUMNS", "30")
    print_table(["model", "live", "pointer"], [["a-model-of-a-longname", "1", "alias"], ["churn", "2", "both"]])
    first = "model    a-model-of-a-longname\nlive     1\npointer  alias\n"
    wanted = f"{first}\nmodel    churn\nlive     2\npointer  both\n"
    assert capsys.readouterr().out == wanted


@pytest.mark.usefixtures("on_terminal")
def test_optional_columns_give_way(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Before a table becomes blocks it has fewer columns."""
    monkeypatch.setenv("COLUMNS", "20")
    print_table(["model", Column("digest", optional=True)], [["churn", "0123456789abcdef"]])
    assert capsys.readouterr().out == "model\nchurn\n"


@pytest.mark.usefixtures("on_terminal")
def test_wide_letters_are_aligned(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A letter that takes two columns of a terminal counts as two."""
    monkeypatch.setenv("COLUMNS", "80")
    print_table(["model", "live"], [["新聞", "1"], ["news", "2"]])
    assert capsys.readouterr().out == "model  live\n新聞   1\nnews   2\n"


def test_a_pipe_has_tabs_and_a_header(capsys: pytest.CaptureFixture[str]) -> None:
    """One line per row; what separates stands in no cell, and nothing is cut."""
    rows = [["churn", "a\tb\nc " + "x" * 300]]
    print_table(
        ["model", Column("why", wraps=True), Column("there", only="pipe"), Column("no", only="terminal")],
        [[*rows[0], "yes", "no"]],
    )
    assert capsys.readouterr().out == f"model\twhy\tthere\nchurn\ta b c {'x' * 300}\tyes\n"


def test_an_empty_table_has_a_header_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads no rows; what people read goes to standard error."""
    print_table(["model"], [], empty="There are none.")
    assert capsys.readouterr() == ("model\n", "There are none.\n")


def test_a_pipe_is_never_in_colour(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """``FORCE_COLOR`` colours messages; a cell that a program reads has no codes in it."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    print_table(["live"], [[Cell("1", "good")]])
    say("1 is live", meaning="good")
    assert capsys.readouterr().out == "live\n1\n\x1b[32m1 is live\x1b[0m\n"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "0"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": ""}, True),
    ],
)
def test_the_variables_decide_on_colour(
    variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``NO_COLOR`` before ``FORCE_COLOR``, each where it is not empty; a pipe has none by itself."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert terminal.has_colour() is expected


def test_a_terminal_shows_what_is_live_and_what_disagrees_in_colour() -> None:
    """What is live is green, what disagrees is yellow, and the words say the same."""
    code = (
        "from prodpointer.cli.tables import Cell, print_table;"
        "print_table(['live', 'agreed'], [[Cell('1', 'good'), Cell('no', 'warning')]])"
    )
    out = run_on_terminal(code, TERM="xterm")
    assert "\x1b[32m1\x1b[0m" in out
    assert "\x1b[33mno\x1b[0m" in out
    assert ESCAPE.sub("", out).split() == ["live", "agreed", "1", "no"]
    assert "\x1b" not in run_on_terminal(code, TERM="dumb")


def run_on_terminal(code: str, **variables: str) -> str:
    """Run Python with a terminal as its output and errors, and return what it shows."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    environment = {**kept, "COLUMNS": "80", **variables}
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", code], stdout=theirs, stderr=theirs, env=environment, check=True)
    os.close(theirs)
    out = os.read(ours, 2**16).decode()
    os.close(ours)
    return out


def test_a_terminal_shows_that_a_command_waits() -> None:
    """The sign appears after a moment on standard error and is gone before anything is printed."""
    code = (
        "import time; from prodpointer.cli import terminal; from prodpointer.cli.output import say\n"
        "terminal._MOMENT = 0.01\n"
        "with terminal.waiting(as_json=False):\n"
        "    time.sleep(0.6); say('done')"
    )
    out = run_on_terminal(code, TERM="xterm")
    assert "Importing MLflow" in out
    assert ESCAPE.sub("", out).rstrip().endswith("done")
    assert "Importing" not in run_on_terminal(code, TERM="dumb")


def test_a_command_whose_json_is_piped_shows_no_sign(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where standard error is a terminal."""
    monkeypatch.setattr(terminal, "is_terminal", lambda *, err=False: err)
    monkeypatch.setenv("TERM", "xterm")
    with terminal.waiting(as_json=True):
        assert not spins()
    with terminal.waiting(as_json=False):
        assert spins()
    assert capsys.readouterr() == ("", "")


def spins() -> bool:
    """Tell whether a sign is shown, or will be after a moment."""
    return any(thread.name == "prodpointer-spinner" for thread in threading.enumerate())


@pytest.mark.usefixtures("on_terminal")
def test_a_job_is_shown_without_its_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which is long, and in the JSON; in a pipe it is there."""
    monkeypatch.setenv("COLUMNS", "160")
    print_history(EVENTS)
    assert "  ada (CI)  " in capsys.readouterr().out
    monkeypatch.setattr("prodpointer.cli.tables.is_terminal", lambda **_: False)
    print_history(EVENTS)
    assert "\tada (https://ci.example.com/jobs/17)\t" in capsys.readouterr().out


def test_a_move_is_a_line() -> None:
    """What moved from where to where, which pointers, by whom and why."""
    assert move_line(EVENTS[0]) == "news@production: none → 3 (alias) by ada: first"


def test_an_error_is_a_fact_a_place_and_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    """Each on a line of its own."""
    print_error(ProdpointerError("It is so.", where="here", next_step="Do this."))
    print_error(ProdpointerError("It is so."), about="churn")
    wanted = "error: It is so.\n  where: here\n  next:  Do this.\nerror: churn: It is so.\n"
    assert capsys.readouterr() == ("", wanted)
