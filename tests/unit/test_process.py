"""Process-wide settings of a command: the effect of signals on a run."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from prodpointer.cli.signals import stopped_by_signals

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_stops_a_run_and_says_what_it_waits_for(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    """A run that goes on with what is in flight tells so at once, and is not interrupted."""
    stopped = threading.Event()
    with stopped_by_signals(stopped):
        os.kill(os.getpid(), number)
        assert stopped.wait(10)
    output, errors = capfd.readouterr()
    assert output == ""  # which may be one JSON document
    assert errors == "\nStopping after the models in progress. Press Ctrl-C again to interrupt them.\n"


def test_a_run_may_name_what_is_in_progress(capfd: pytest.CaptureFixture[str]) -> None:
    """Not every command has models in progress."""
    with stopped_by_signals(threading.Event(), "Stopping after the event."):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
    assert capfd.readouterr().err == "\nStopping after the event.\n"


def test_a_second_ctrl_c_interrupts() -> None:
    """A second Ctrl-C interrupts at once."""
    stopped = threading.Event()

    def press() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)  # which a handler that raises ends

    with stopped_by_signals(stopped):
        stopped.set()
        with pytest.raises(KeyboardInterrupt):
            press()


def test_the_handlers_before_are_put_back() -> None:
    """After a run a signal does what it did before."""
    before = [signal.getsignal(number) for number in SIGNALS]
    with stopped_by_signals(threading.Event()):
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before
