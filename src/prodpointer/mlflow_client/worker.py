"""A time limit for calls that have none of their own.

MLflow tries again for minutes and cannot be told otherwise without changing the settings of the whole process (61 s up
to 2.9, 246 s on 2.22.5 and 3.17.2, to a server that refuses). So a call is made on a thread of its own, and given up.
"""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import Any, TypeVar

from prodpointer.mlflow_client.deadline import hang_up
from prodpointer.mlflow_client.workspaces import InWorkspace

T = TypeVar("T")

_LOOK_AGAIN = 0.05  # seconds between two looks at what a call has done
_PATIENCE = 120.0  # seconds that MLflow waits for the next byte of an answer

LEFT_AT_MOST = 4
"""So many downloads may be left behind and go on by themselves; each writes into a directory of its own."""

_lanes: dict[str, Lane] = {}


class NoAnswer(Exception):
    """A call was given up; it may still arrive."""


class Lane:
    """The calls to one registry or store: one at a time, each within a time, and never two of them left behind.

    A call that is given up goes on by itself, on a daemon thread, until MLflow gives up too. While there is one, the
    next call waits for its end rather than become the second.
    """

    def __init__(self) -> None:
        """Make a lane with nobody on it."""
        self._turn = threading.Condition()
        self._busy = False
        self._left: tuple[Future[Any], ...] = ()

    @property
    def left_behind(self) -> int:
        """How many calls that were given up are still going on."""
        return sum(not call.done() for call in self._left)

    def call(self, work: Callable[[], T], *, timeout: float) -> T:
        """Return what ``work`` returns, or raise what it raises, or ``NoAnswer`` after ``timeout`` seconds.

        Waiting for calls of other threads does not count, as long as they are answered.
        """
        began = time.monotonic()
        self._take_turn(timeout)
        try:
            # The caller that waited for a call without an answer shares its failure, and waits no second time.
            deadline = (began if self.left_behind else time.monotonic()) + timeout
            self._wait_for_left(deadline, timeout)
            call, thread = begin(work)
            self._unless_ended(call, thread, max(0.0, deadline - time.monotonic()))
        finally:
            self._end_turn()
        if not call.done():
            raise NoAnswer(f"no answer within {timeout:g} s; the call goes on by itself and may still arrive")
        return call.result()

    def watched(self, work: Callable[[], T], *, timeout: float, progress: Callable[[], object]) -> T:
        """Return what ``work`` returns, however long it takes, while ``progress()`` changes within ``timeout`` seconds.

        Such calls do not wait for each other. One that stands still is given up once fewer than ``LEFT_AT_MOST`` are
        left behind; it is left behind too where ``progress()`` raises or the waiting is interrupted.
        """
        self._wait_for_left(time.monotonic() + timeout, timeout, LEFT_AT_MOST)
        call, _ = begin(work)
        try:
            seen, since = progress(), time.monotonic()
            while not _ended(call, _LOOK_AGAIN):
                if (now := progress()) != seen:
                    seen, since = now, time.monotonic()
                elif time.monotonic() - since > timeout and self.left_behind < LEFT_AT_MOST:
                    raise NoAnswer(f"no byte within {timeout:g} s; the call goes on by itself")
        finally:
            self._leave_unless_ended(call)
        return call.result()

    def _take_turn(self, timeout: float) -> None:
        """Wait until no other thread calls; not longer than ``timeout`` where one of them was not answered."""
        began = time.monotonic()
        with self._turn:
            while self._busy:
                self._turn.wait(_LOOK_AGAIN)
                if self.left_behind and time.monotonic() - began > timeout:
                    raise NoAnswer(f"other calls had no answer for {timeout:g} s")
            self._busy = True

    def _end_turn(self) -> None:
        """Let the next thread call."""
        with self._turn:
            self._busy = False
            self._turn.notify()

    def _unless_ended(self, call: Future[Any], thread: threading.Thread, seconds: float) -> None:
        """Wait for a call; one that does not end, also because the waiting is interrupted, is left behind."""
        try:
            wait([call], seconds)
        finally:
            self._leave_unless_ended(call)
            if not call.done():
                threading.Thread(target=_end_reading, args=(call, thread), name="prodpointer-end", daemon=True).start()

    def _leave_unless_ended(self, call: Future[Any]) -> None:
        """Remember a call for which nobody waits any more, where it goes on."""
        with self._turn:
            self._left = tuple(each for each in (*self._left, call) if not each.done())

    def _wait_for_left(self, deadline: float, timeout: float, at_most: int = 1) -> None:
        """Wait until fewer than so many calls are left behind."""
        while len(left := [call for call in self._left if not call.done()]) >= at_most:
            if not wait(left, max(0.0, deadline - time.monotonic()), FIRST_COMPLETED).done:
                raise NoAnswer(f"an earlier call has no answer yet, nor within {timeout:g} s more")


class InTime(InWorkspace):
    """Something of MLflow's whose methods are called on the lane to a registry, each within a time.

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
        """Bind the four; nothing is called yet."""
        super().__init__(inner, workspace)
        self._uri = uri
        self._timeout = timeout

    def _call(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, called in the workspace on the lane."""
        return lane_to(self._uri).call(partial(super()._call, work), timeout=self._timeout)


def begin(work: Callable[[], T]) -> tuple[Future[T], threading.Thread]:
    """Begin a call on a daemon thread of its own, with what the caller's thread knows of its context."""
    call: Future[T] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            call.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001  # raised again by whoever waits for the result
            # Raised again while another error is handled it would lose its context, which may be all that tells.
            error.__cause__ = error.__cause__ or error.__context__
            call.set_exception(error)

    # Not an executor's: the interpreter waits at its end for those of an executor.
    thread = threading.Thread(target=run, name="prodpointer-call", daemon=True)
    thread.start()
    return call, thread


def _end_reading(call: Future[Any], thread: threading.Thread) -> None:
    """Close the connection of a call that was given up once its answer begins, until the call ends.

    Before that MLflow would send the request again on another connection, and a write that the server is busy with
    would be done twice; so a server that is silent has the time that MLflow gives it.
    """
    until = time.monotonic() + _PATIENCE
    while not _ended(call, _LOOK_AGAIN):
        if thread.ident is not None:
            hang_up(thread.ident, within=None if time.monotonic() > until else _has_begun)


def _has_begun(owner: object) -> bool:
    """Tell whether something is an answer of which the status is here."""
    from http.client import HTTPResponse

    return isinstance(owner, HTTPResponse) and isinstance(owner.status, int)


def _ended(call: Future[Any], seconds: float) -> bool:
    """Wait for a call and tell whether it has ended."""
    return bool(wait([call], seconds).done)


def lane_to(uri: str) -> Lane:
    """Return the lane of this process to a registry."""
    return _lanes.setdefault(uri, Lane())


def _forget() -> None:
    """Forget the calls of the parent process: their threads are not in this one."""
    _lanes.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, where no process is forked
    os.register_at_fork(after_in_child=_forget)
