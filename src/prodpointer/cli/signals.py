"""Process-wide settings while a command runs: warnings, logs and signal handlers."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prodpointer.cli.output import print_warning
from prodpointer.errors import without_credentials

_STOPPING = "Stopping after the models in progress. Press Ctrl-C again to interrupt them."
_PROGRESS_BARS = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"


@contextmanager
def quiet() -> Iterator[None]:
    """Print warnings as one line each, and silence MLflow's schema-migration log and progress bars."""
    disabled, bars = logging.root.manager.disable, os.environ.get(_PROGRESS_BARS)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        logging.disable(logging.INFO)
        os.environ.setdefault(_PROGRESS_BARS, "false")  # MLflow shows them if tqdm is installed
        try:
            yield
        finally:
            logging.disable(disabled)
            if bars is None:
                os.environ.pop(_PROGRESS_BARS, None)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Let SIGTERM interrupt like Ctrl-C, so that temporary models are deleted."""
    with _handled(signal.default_int_handler, signal.SIGTERM):
        yield


@contextmanager
def stopped_by_signals(stopped: threading.Event, stopping: str = _STOPPING) -> Iterator[None]:
    """Let SIGTERM and Ctrl-C stop a run after what is in progress, and say so; a second Ctrl-C interrupts it."""
    said = f"\n{stopping}\n".encode()

    def stop(number: int, _: object) -> None:
        if stopped.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stopped.set()
        os.write(2, said)  # print() is not reentrant in a signal handler

    with _handled(stop, signal.SIGTERM, signal.SIGINT):
        yield


@contextmanager
def _handled(handler: Callable[[int, Any], Any], *numbers: signal.Signals) -> Iterator[None]:
    """Handle signals with a function until the block ends."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous or signal.SIG_DFL)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Print a warning to standard error; other libraries' warnings start with their class."""
    kind = "" if category.__module__.startswith("prodpointer") else f"{category.__name__}: "
    print_warning(f"{kind}{without_credentials(str(message))}")
