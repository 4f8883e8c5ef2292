"""Sends the events of an outbox in order, and each again until its receiver took it."""

from __future__ import annotations

import random
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from prodpointer.watch.cursor import Cursor, Pending

LONGEST_PAUSE = 300.0
"""Seconds at most until an event is sent again."""

_FIRST_PAUSE = 1.0
_AT_ONCE = 50  # events of one model before those of the next


class NotTaken(Exception):
    """A receiver did not take an event.

    Parameters
    ----------
    why
        The reason, as it is shown.
    by_event
        Whether it is about this event: those of other models are sent all the same. Else the receiver takes none.
    after
        Seconds after which the receiver wants to be asked again, where it says so.
    """

    def __init__(self, why: str, *, by_event: bool, after: float = 0.0) -> None:
        super().__init__(why)
        self.by_event = by_event
        self.after = after


class Receiver(Protocol):
    """Where events go."""

    one_by_one: bool
    """Whether each event is noted as taken before the next one is sent; else a few at a time."""

    @abstractmethod
    def send(self, document: Mapping[str, Any]) -> None:
        """Return once the receiver took an event; raise ``NotTaken`` if it did not."""


@dataclass(frozen=True)
class Failure:
    """An event that was not taken: why, and the seconds until it is sent again."""

    document: Mapping[str, Any]
    why: str
    again_in: float


@dataclass
class _Pause:
    """How often something failed in a row, and until when it is left alone."""

    failures: int = 0
    until: float = 0.0

    def lengthen(self, now: float, after: float, spread: Callable[[float, float], float]) -> float:
        """Note a failure, and return the seconds of the pause: twice as long each time, and never quite the same."""
        longest = min(LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self.failures, 20))
        pause = min(LONGEST_PAUSE, max(after, spread(longest / 2, longest)))
        self.failures += 1
        self.until = now + pause
        return pause


class Delivery:
    """Sends what is in the outbox of a cursor to one receiver, the events of each model in their order.

    Parameters
    ----------
    cursor
        What is to be sent.
    receiver
        Where it goes.
    failed
        Called for each attempt that failed.
    clock, spread
        The time in seconds, and what draws a pause between two bounds.
    """

    def __init__(
        self,
        cursor: Cursor,
        receiver: Receiver,
        *,
        failed: Callable[[Failure], object],
        clock: Callable[[], float] = time.monotonic,
        spread: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._cursor = cursor
        self._receiver = receiver
        self._failed = failed
        self._clock = clock
        self._spread = spread
        self._all = _Pause()
        self._models: dict[str, _Pause] = {}

    @property
    def next_try(self) -> float | None:
        """When the clock says that something may be sent again, None where nothing is left to send."""
        tries = [self._ready_at(name) for name in self._cursor.waiting_models()]
        return min(tries, default=None)

    def send_due(self, stopped: threading.Event, until: float) -> None:
        """Send what may be sent now, until ``stopped`` is set, the clock says ``until``, or nothing is left."""
        while not stopped.is_set() and self._clock() < until:
            now = self._clock()
            ready = [name for name in self._cursor.waiting_models() if self._ready_at(name) <= now]
            if not ready:
                return
            ready.sort(key=self._failures)  # so that what a receiver chokes on holds up no other model
            for name in ready:
                if stopped.is_set() or self._clock() >= until or self._all.until > self._clock():
                    break
                self._send_some(name, stopped, until)

    def _ready_at(self, name: str) -> float:
        """Return when the clock says that the next event of a model may be sent."""
        pause = self._models.get(name)
        return max(self._all.until, pause.until if pause else 0.0)

    def _failures(self, name: str) -> int:
        """Return how often events of a model failed since one was taken."""
        return self._models[name].failures if name in self._models else 0

    def _send_some(self, name: str, stopped: threading.Event, until: float) -> None:
        """Send the next events of one model, up to one that is not taken."""
        taken: list[Pending] = []
        try:
            for pending in self._cursor.pending(name, _AT_ONCE):
                self._receiver.send(pending.document)
                taken.append(pending)
                self._all = _Pause()
                self._models.pop(name, None)
                if self._receiver.one_by_one:
                    self._cursor.taken([taken.pop()])
                if stopped.is_set() or self._clock() >= until:
                    break
        except NotTaken as refusal:
            own = self._models.setdefault(name, _Pause())
            pause = own if refusal.by_event else self._all
            again_in = pause.lengthen(self._clock(), refusal.after, self._spread)
            own.failures += not refusal.by_event
            self._failed(Failure(pending.document, str(refusal), again_in))
        finally:
            self._cursor.taken(taken)
