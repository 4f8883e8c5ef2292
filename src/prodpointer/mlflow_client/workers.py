"""A few threads that are kept, for requests that do not depend on each other."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
U = TypeVar("U")

MOST = 4
"""Threads at most, in each process."""


class _Workers:
    """Daemon threads, started when there is work and kept: the interpreter waits at its end for an executor's."""

    def __init__(self) -> None:
        """Begin without threads."""
        self._waiting: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._starting = threading.Lock()
        self._started = 0

    def begin(self, work: Callable[[], U]) -> Future[U]:
        """Begin to work with the caller's context, once a thread is idle."""
        call: Future[U] = Future()
        context = contextvars.copy_context()
        self._waiting.put((call, lambda: context.run(work)))
        if not self._idle.acquire(blocking=False):
            with self._starting:
                if self._started < MOST:
                    threading.Thread(target=self._run, name="prodpointer-worker", daemon=True).start()
                    self._started += 1
        return call

    def _run(self) -> None:
        """Work for ever."""
        while True:
            call, work = self._waiting.get()
            if call.set_running_or_notify_cancel():
                try:
                    call.set_result(work())
                except BaseException as error:  # noqa: BLE001  # raised again by the caller
                    call.set_exception(error)
            del call, work  # or they would live until there is more work
            self._idle.release()


_workers = _Workers()


def at_the_same_time(one: Callable[[], T], other: Callable[[], U]) -> tuple[T, U]:
    """Return what both return; what the first raises is raised without waiting for the other.

    The other is called on a thread that is kept, or here after the first where no thread was idle.
    """
    call = _workers.begin(other)
    try:
        found = one()
    except BaseException:
        call.cancel()
        raise
    return found, (other() if call.cancel() else call.result())


if hasattr(os, "register_at_fork"):  # not on Windows, where no process is forked
    os.register_at_fork(after_in_child=_workers.__init__)  # type: ignore[misc]  # the threads are not in the child
