"""Progress of a run: a bar on a terminal, plain lines elsewhere, never on standard output."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from prodpointer.cli import progress
from prodpointer.cli.progress import show_progress


def test_results_are_passed_through(capsys: pytest.CaptureFixture[str]) -> None:
    """Every result is yielded, and nothing is printed on standard output."""
    assert list(show_progress(iter("abc"), 3, "apply")) == ["a", "b", "c"]
    assert capsys.readouterr().out == ""


def test_a_short_run_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The line has the count, the total and the time."""
    list(show_progress(range(3), 4, "apply"))
    assert re.fullmatch(r"apply: 3 of 4 models in \d+\.\d s\n", capsys.readouterr().err)


def test_a_long_run_shows_rate_and_remaining_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line every few seconds, not for each model."""
    monkeypatch.setattr(progress, "_INTERVAL", 0.0)
    list(show_progress(range(2), 8, "apply"))
    line = capsys.readouterr().err.splitlines()[0]
    assert re.fullmatch(r"apply: 1 of 8 models, [\d.]+ models/s, \d+ s left", line)


def test_a_terminal_has_a_bar() -> None:
    """The bar has the count, the rate and the remaining time."""
    ours, theirs = pty.openpty()
    show = "from prodpointer.cli.progress import show_progress; list(show_progress(range(40), 40, 'apply'))"
    done = subprocess.run([sys.executable, "-c", show], check=True, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", os.read(ours, 2**16).decode())
    os.close(ours)
    assert done.stdout == b""
    assert "40/40" in text
    assert "models/s" in text
    assert re.search(r"\d:\d\d:\d\d", text)
