"""What a command changes in its own process for a time: how warnings and logs show, and what a signal does."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from prodpointer._text import visible
from prodpointer.errors import without_credentials

_STOPPING = b"\nStopping after the models in flight; Ctrl-C once more interrupts these too.\n"
_PROGRESS_BARS = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"


@contextmanager
def quiet() -> Iterator[None]:
    """Show warnings as one line each, and keep MLflow's migration log and progress bars away from the results."""
    disabled, bars = logging.root.manager.disable, os.environ.get(_PROGRESS_BARS)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        logging.disable(logging.INFO)
        os.environ.setdefault(_PROGRESS_BARS, "false")  # MLflow shows them wherever tqdm is installed
        try:
            yield
        finally:
            logging.disable(disabled)
            if bars is None:
                os.environ.pop(_PROGRESS_BARS, None)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Let SIGTERM interrupt like Ctrl-C, so that what was made for a moment is removed."""
    with _handled(signal.default_int_handler, signal.SIGTERM):
        yield


@contextmanager
def stopped_by_signals(stopped: threading.Event) -> Iterator[None]:
    """Let SIGTERM and Ctrl-C stop a run after the models in flight, and say so; a second Ctrl-C interrupts."""

    def stop(number: int, _: object) -> None:
        if stopped.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stopped.set()
        os.write(2, _STOPPING)  # a handler may meet a print that is under way

    with _handled(stop, signal.SIGTERM, signal.SIGINT):
        yield


@contextmanager
def _handled(handler: Callable[[int, Any], Any], *numbers: signal.Signals) -> Iterator[None]:
    """Let a function handle some signals until the block ends."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous or signal.SIG_DFL)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Print a warning to standard error: this library's as it is, others by their kind."""
    kind = "" if category.__module__.startswith("prodpointer") else f"{category.__name__}: "
    click.echo(visible(f"warning: {kind}{without_credentials(str(message))}"), err=True)
