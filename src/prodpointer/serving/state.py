"""The state of a follower, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class State(str, Enum):
    """The state of a :class:`Live`.

    ``NOT_READY`` has nothing to serve: nothing is live, or nothing was loaded yet. ``READY`` serves what the registry
    says is live. ``STALE`` serves what was live when the registry last answered. ``ERROR``: the live version cannot be
    served, access was refused, the last answer is too old, the thread has ended, or ``on_change`` raised at the last
    check. What served before still does.
    """

    NOT_READY = "NOT_READY"
    READY = "READY"
    STALE = "STALE"
    ERROR = "ERROR"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class LiveStats:
    """What a :class:`Live` has done so far, and what it does next; :meth:`Live.stats` returns it.

    ``swaps`` counts the objects that began to serve, and the withdrawals after which nothing did; ``last_swap`` is the
    time of the last one, in UTC. ``checks`` counts the checks of the pointer that have ended, ``failures`` those among
    them after which ``last_error`` was set. ``load_seconds`` and ``bytes`` are about the version that serves: how long
    its download, verification, loading and warm-up took together, and the size of its artifact. ``next_check`` is the
    number of seconds until the next check begins: 0 during one, None where there is no next one.
    """

    state: State = State.NOT_READY
    version: int | None = None
    age: float | None = None
    checks: int = 0
    failures: int = 0
    swaps: int = 0
    last_swap: datetime | None = None
    load_seconds: float | None = None
    bytes: int | None = None
    next_check: float | None = None
