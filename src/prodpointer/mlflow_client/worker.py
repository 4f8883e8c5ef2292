"""Calls on threads of their own, for what has no time limit and for requests that do not depend on each other.

MLflow retries for minutes and cannot be stopped without changing the settings of the whole process (61 s up to 2.9,
246 s on 2.22.5 and 3.17.2, for a host that refuses), and so do the libraries of stores. Such a call runs on a daemon
thread, which is abandoned once its time is over. Requests to a server need none of this: see ``rest``.
"""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from prodpointer.mlflow_client.deadline import cut_off_abandoned
from prodpointer.mlflow_client.workspaces import InWorkspace

T = TypeVar("T")
U = TypeVar("U")

_LOOK_AGAIN = 0.05  # seconds between two looks at what a call has done
_PATIENCE = 120.0  # seconds that MLflow waits for the next byte of an answer

MOST_ABANDONED = 4
"""Downloads that may be abandoned and still run; each writes into a directory of its own."""

MOST_THREADS = 4
"""Threads at most, in each process, for requests made at the same time."""

_workers: dict[str, Worker] = {}


class NoAnswer(Exception):
    """A call timed out; it may still arrive."""


class Worker:
    """The calls to one registry or store: one at a time, each within a time limit, and never two abandoned ones.

    An abandoned call runs on, on its daemon thread, until MLflow stops retrying or its answer begins, which is not
    read. The next call waits for its end.
    """

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._busy = False
        self._abandoned: tuple[Future[Any], ...] = ()

    @property
    def abandoned(self) -> int:
        """How many abandoned calls still run."""
        return sum(not call.done() for call in self._abandoned)

    def call(self, work: Callable[[], T], *, timeout: float) -> T:
        """Return what ``work`` returns, or raise what it raises, or ``NoAnswer`` after ``timeout`` seconds.

        Waiting for calls of other threads does not count, as long as they are answered.
        """
        began = time.monotonic()
        self._take_turn(timeout)
        try:
            # A caller that waited for a call without an answer shares its failure, and waits no second time.
            deadline = (began if self.abandoned else time.monotonic()) + timeout
            self._wait_for_abandoned(deadline, timeout)
            call, thread_id = begin(work)
            try:
                wait([call], max(0.0, deadline - time.monotonic()))
            finally:  # also where the waiting is interrupted
                self._abandon_unless_done(call)
                if not call.done():
                    cut_off_abandoned(call, thread_id, patience=_PATIENCE)
        finally:
            self._end_turn()
        if not call.done():
            raise NoAnswer(f"no answer within {timeout:g} s; the call cannot be cancelled and may still succeed")
        return call.result()

    def watch(self, work: Callable[[], T], *, timeout: float, progress: Callable[[], object]) -> T:
        """Return what ``work`` returns, however long it takes, while ``progress()`` changes within ``timeout`` seconds.

        Such calls do not wait for each other. One without progress is abandoned while fewer than ``MOST_ABANDONED``
        are; so is one whose ``progress()`` raises, or whose caller is interrupted.
        """
        self._wait_for_abandoned(time.monotonic() + timeout, timeout, MOST_ABANDONED)
        call, _ = begin(work)
        try:
            seen, since = progress(), time.monotonic()
            while not wait([call], _LOOK_AGAIN).done:
                if (now := progress()) != seen:
                    seen, since = now, time.monotonic()
                elif time.monotonic() - since > timeout and self.abandoned < MOST_ABANDONED:
                    raise NoAnswer(f"no byte within {timeout:g} s")
        finally:
            self._abandon_unless_done(call)
        return call.result()

    def _take_turn(self, timeout: float) -> None:
        """Wait until no other thread calls; not longer than ``timeout`` where one of them was not answered."""
        began = time.monotonic()
        with self._turn:
            while self._busy:
                self._turn.wait(_LOOK_AGAIN)
                if self.abandoned and time.monotonic() - began > timeout:
                    raise NoAnswer(f"other calls had no answer for {timeout:g} s")
            self._busy = True

    def _end_turn(self) -> None:
        with self._turn:
            self._busy = False
            self._turn.notify()

    def _abandon_unless_done(self, call: Future[Any]) -> None:
        with self._turn:
            self._abandoned = tuple(each for each in (*self._abandoned, call) if not each.done())

    def _wait_for_abandoned(self, deadline: float, timeout: float, at_most: int = 1) -> None:
        """Wait until fewer than so many abandoned calls still run."""
        while len(running := [call for call in self._abandoned if not call.done()]) >= at_most:
            if not wait(running, max(0.0, deadline - time.monotonic()), FIRST_COMPLETED).done:
                raise NoAnswer(f"an earlier call has no answer yet, nor within {timeout:g} s more")


class InTime(InWorkspace):
    """Something of MLflow's whose methods are called by a registry's worker, each within a time limit.

    Parameters
    ----------
    inner, workspace
        As for :class:`InWorkspace`.
    uri
        The registry's URI.
    timeout
        Seconds for each call.
    """

    def __init__(self, inner: Any, workspace: str | None, uri: str, timeout: float) -> None:
        super().__init__(inner, workspace)
        self._uri = uri
        self._timeout = timeout

    def _call(self, work: Callable[[], T]) -> T:
        return worker_for(self._uri).call(partial(super()._call, work), timeout=self._timeout)


def begin(work: Callable[[], T]) -> tuple[Future[T], int]:
    """Begin a call on a daemon thread of its own, in the caller's context; return it and the number of the thread."""
    call: Future[T] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            call.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001  # raised again for the caller that waits for the result
            # Raised again while another error is handled it would lose its context, which may hold the only reason.
            error.__cause__ = error.__cause__ or error.__context__
            call.set_exception(error)

    # Not an executor's: the interpreter waits at its end for those of an executor.
    thread = threading.Thread(target=run, name="prodpointer-call", daemon=True)
    thread.start()
    return call, thread.ident or 0  # which a thread that was started has


def worker_for(uri: str) -> Worker:
    """Return this process's worker for a registry or a store."""
    return _workers.setdefault(uri, Worker())


class _Pool:
    """Daemon threads, started when there is work and kept: the interpreter waits at its end for an executor's."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._starting = threading.Lock()
        self._started = 0

    def begin(self, work: Callable[[], U]) -> Future[U]:
        """Begin to work in the caller's context, once a thread is idle."""
        call: Future[U] = Future()
        context = contextvars.copy_context()
        self._waiting.put((call, lambda: context.run(work)))
        if not self._idle.acquire(blocking=False):
            with self._starting:
                if self._started < MOST_THREADS:
                    threading.Thread(target=self._run, name="prodpointer-worker", daemon=True).start()
                    self._started += 1
        return call

    def _run(self) -> None:
        while True:
            call, work = self._waiting.get()
            if call.set_running_or_notify_cancel():
                try:
                    call.set_result(work())
                except BaseException as error:  # noqa: BLE001  # raised again by the caller
                    call.set_exception(error)
            del call, work  # or they would live until there is more work
            self._idle.release()


_pool = _Pool()


def run_together(one: Callable[[], T], other: Callable[[], U]) -> tuple[T, U]:
    """Return what both return; what the first raises is raised without waiting for the other.

    The other is called on a thread that is kept, or here after the first where no thread was idle.
    """
    call = _pool.begin(other)
    try:
        found = one()
    except BaseException:
        call.cancel()
        raise
    return found, (other() if call.cancel() else call.result())


if hasattr(os, "register_at_fork"):  # not on Windows, where no process is forked; the threads are not in the child
    os.register_at_fork(after_in_child=_workers.clear)
    os.register_at_fork(after_in_child=_pool.__init__)  # type: ignore[misc]
