"""Whether the task that awaits the work of this thread was cancelled: see ``_asynchronous``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_flag: ContextVar[threading.Event | None] = ContextVar("prodpointer_cancelled", default=None)


class Cancelled(Exception):
    """The task was cancelled before anything was moved; no caller gets it."""


@contextmanager
def cancelled_by(flag: threading.Event) -> Iterator[None]:
    """Let a flag say, within the block and the threads that it starts, that the work was cancelled."""
    token = _flag.set(flag)
    try:
        yield
    finally:
        _flag.reset(token)


def cancel_check() -> Callable[[], bool]:
    """Return what tells whether the work of this moment was cancelled; other threads may call it."""
    flag = _flag.get()
    return flag.is_set if flag is not None else lambda: False


def raise_if_cancelled() -> None:
    """Raise ``Cancelled`` where the work was cancelled: before what has to be completed once it has begun."""
    if cancel_check()():
        raise Cancelled
