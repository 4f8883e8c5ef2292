"""How far a run is: a bar on a terminal, plain lines elsewhere, and never on standard output."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from prodpointer.cli import progress
from prodpointer.cli.progress import told


def test_what_comes_is_what_came(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is held back, and standard output stays clean."""
    assert list(told(iter("abc"), 3, "apply")) == ["a", "b", "c"]
    assert capsys.readouterr().out == ""


def test_a_short_run_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """What was done, of how many, in which time."""
    list(told(range(3), 4, "apply"))
    assert re.fullmatch(r"apply: 3 of 4 models in \d+\.\d s\n", capsys.readouterr().err)


def test_a_long_run_tells_rate_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Now and then, not for each model."""
    monkeypatch.setattr(progress, "_A_WHILE", 0.0)
    list(told(range(2), 8, "apply"))
    line = capsys.readouterr().err.splitlines()[0]
    assert re.fullmatch(r"apply: 1 of 8 models, [\d.]+ a second, \d+ s left", line)


def test_a_terminal_has_a_bar() -> None:
    """With the count, the rate and the time left."""
    ours, theirs = pty.openpty()
    show = "from prodpointer.cli.progress import told; list(told(range(40), 40, 'apply'))"
    done = subprocess.run([sys.executable, "-c", show], check=True, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", os.read(ours, 2**16).decode())
    os.close(ours)
    assert done.stdout == b""
    assert "40/40" in text
    assert "models/s" in text
    assert re.search(r"\d:\d\d:\d\d", text)
