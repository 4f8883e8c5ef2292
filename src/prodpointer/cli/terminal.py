"""Standard output and standard error: a terminal or not, in colour or not, and the sign that a command waits."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import click

Meaning = Literal["", "good", "warning", "bad", "title", "aside"]
"""What a colour says; the text beside it says the same, for those who see no colour."""

_STYLES: dict[Meaning, dict[str, str | bool]] = {
    "": {},
    "good": {"fg": "green"},
    "warning": {"fg": "yellow"},
    "bad": {"fg": "red", "bold": True},
    "title": {"bold": True},
    "aside": {"dim": True},
}
_MOMENT = 0.5  # seconds that a command may take without a sign of it
_INTERVAL = 0.2  # seconds between two looks at what a command waits for


def is_terminal(*, err: bool = False) -> bool:
    """Tell whether a person reads standard output, or standard error."""
    stream = sys.stderr if err else sys.stdout
    return stream.isatty()


def may_ask() -> bool:
    """Tell whether a person can be asked: who reads standard error, and types."""
    return is_terminal(err=True) and sys.stdin is not None and sys.stdin.isatty()


def can_redraw(*, err: bool = False) -> bool:
    """Tell whether what was drawn there can be drawn again: on a terminal that is not a dumb one."""
    return is_terminal(err=err) and os.environ.get("TERM") != "dumb"


def has_colour(*, err: bool = False) -> bool:
    """Tell whether to print in colour: as ``NO_COLOR`` says, then ``FORCE_COLOR``, else on a terminal that has some."""
    if os.environ.get("NO_COLOR"):
        return False
    return os.environ.get("FORCE_COLOR", "0") not in ("", "0") or can_redraw(err=err)


def paint(text: str, meaning: Meaning, *, err: bool = False) -> str:
    """Return a text in the colour of its meaning, where there is colour."""
    return click.style(text, **_STYLES[meaning]) if meaning and has_colour(err=err) else text  # type: ignore[arg-type]


def can_write(text: str, *, err: bool = False) -> bool:
    """Tell whether the encoding of standard output, or of standard error, has all of a text."""
    try:
        text.encode(_encoding(err=err))
    except UnicodeEncodeError:
        return False
    return True


def write(text: str = "", *, err: bool = False, end: str = "\n") -> None:
    """Write a text; what the encoding of the stream does not have is written in letters that it has."""
    stop_waiting()
    if not can_write(text, err=err):
        encoding = _encoding(err=err)
        text = text.replace("→", "->").encode(encoding, "backslashreplace").decode(encoding)
    click.echo(text + end, nl=False, err=err, color=True if has_colour(err=err) else None)


def _encoding(*, err: bool) -> str:
    """Return the encoding of standard output, or of standard error."""
    return (sys.stderr if err else sys.stdout).encoding or "utf-8"


class _Spinner:
    """A sign on standard error that a command waits, from a moment after its start until it prints anything."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to wait; the sign appears only if nothing was printed for a moment."""
        self.stop()
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._show, args=(self._stopped,), name="prodpointer-spinner", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Remove the sign, so that something can be printed."""
        self._stopped.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _show(self, stopped: threading.Event) -> None:
        """Show the sign until it is stopped, and what is waited for."""
        if stopped.wait(_MOMENT):
            return
        from rich.console import Console

        with Console(stderr=True).status(_waited_for()) as status:
            while not stopped.wait(_INTERVAL):
                status.update(_waited_for())


def _waited_for() -> str:
    """Return what takes the time: MLflow's import, until its client is there, else the registry."""
    client = sys.modules.get("mlflow.tracking.client")
    return "Asking the registry" if client is not None and hasattr(client, "MlflowClient") else "Importing MLflow"


_spinner = _Spinner()


@contextmanager
def waiting(*, as_json: bool) -> Iterator[None]:
    """Show on a terminal that a command waits, until it prints anything or the block ends.

    It is shown neither if standard error is not a terminal nor if a program reads the JSON.
    """
    if can_redraw(err=True) and not (as_json and not is_terminal()):
        _spinner.start()
    try:
        yield
    finally:
        stop_waiting()


def stop_waiting() -> None:
    """Remove the sign that the command waits, before anything is printed and before a question."""
    _spinner.stop()
