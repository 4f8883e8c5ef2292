"""Sweeps and deliveries in turn, until they are stopped."""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from prodpointer.errors import ProdpointerError, RegistryError, RegistryUnavailable
from prodpointer.watch.delivery import Delivery
from prodpointer.watch.sweep import Sweeper, Swept


def default_cursor(identity: str, alias: str | None, globs: Sequence[str]) -> Path:
    """Return the file of the cursor for one registry, its models and pointers, in the user's state directory."""
    from platformdirs import user_state_path  # slow to import

    watched = hashlib.sha256(json.dumps([identity, alias, sorted(globs)]).encode()).hexdigest()[:16]
    return user_state_path("prodpointer") / "watch" / f"{watched}.cursor"


def run(
    sweeper: Sweeper,
    delivery: Delivery,
    stopped: threading.Event,
    *,
    every: float,
    swept: Callable[[Swept], object],
    failed: Callable[[ProdpointerError], object],
) -> None:
    """Sweep every so many seconds, and send in between; a registry that does not answer ends neither.

    Parameters
    ----------
    sweeper, delivery
        What finds events and what sends them.
    stopped
        Ends it, after the model that is being read or the event that is being sent.
    every
        Seconds from the end of one sweep to the beginning of the next: sending has them however long a sweep takes.
    swept, failed
        Called after each sweep, with what it did or why it failed.
    """
    while not stopped.is_set():
        try:
            swept(sweeper.sweep(stopped.is_set))
        except (RegistryUnavailable, RegistryError) as error:
            failed(error)
        until = time.monotonic() + every
        while True:
            delivery.send_due(stopped, until)
            next_try = delivery.next_try
            pause = min(until, math.inf if next_try is None else next_try) - time.monotonic()
            if stopped.wait(max(0.0, pause)) or time.monotonic() >= until:
                break
