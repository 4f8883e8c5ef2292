"""A limit for all that a thread receives, however slowly it comes.

The timeouts of ``requests`` bound the wait for each next byte, so an answer of one byte in a while lasts for ever, and
urllib3 offers no limit for a whole answer. Closing the connection from another thread ends the wait.
"""

from __future__ import annotations

import math
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_LOOK_AGAIN = 0.02  # seconds: between two looks, or two reads, the thread may begin to receive again


@contextmanager
def cut_off(after: float, *, due: Callable[[], bool] = lambda: True) -> Iterator[threading.Event]:
    """Close the connection from which this thread is receiving once its time is over, until the block ends.

    Parameters
    ----------
    after
        Seconds until the first look, and between two looks.
    due
        Tells at each look whether the connection is to be closed.

    Yields an event that is set once a connection was to be closed: what was received may be half of an answer.
    """
    receiver = _Receiver(threading.get_ident(), after, due)
    _watch.add(receiver)
    try:
        yield receiver.cut
    finally:
        _watch.remove(receiver)


def cut_off_abandoned(call: Future[Any], thread_id: int, *, patience: float) -> None:
    """Close each connection of a call that was abandoned, once its answer has begun, or after ``patience`` seconds.

    Before its answer begins MLflow would send a request again on another connection, and a write that the server is
    still busy with would be done twice.
    """
    receiver = _Receiver(thread_id, _LOOK_AGAIN, lambda: True, patience)
    _watch.add(receiver)
    # Called on the call's own thread, whose number no other thread gets before that.
    call.add_done_callback(lambda _: _watch.remove(receiver))


def cut_off_requests(thread_id: int) -> None:
    """Close the connections of the requests that a thread waits for now, as if their time were over.

    Only within a block of :func:`cut_off`: what else the thread receives belongs to other code.
    """
    _watch.cut(thread_id)


class _Receiver:
    """A thread that receives, and when to check it next; for ``patience`` seconds only an answer is closed."""

    def __init__(self, thread_id: int, every: float, due: Callable[[], bool], patience: float = 0.0) -> None:
        now = time.monotonic()
        self.cut = threading.Event()
        self.at = now + every
        self.thread_id = thread_id
        self._every = every
        self._due = due
        self._patient_until = now + patience

    def look(self, now: float) -> None:
        """Close the thread's connection if that is due."""
        if self._due():
            self.cut.set()
            _hang_up(self.thread_id, answers_only=now < self._patient_until)
        self.at = now + (_LOOK_AGAIN if self.cut.is_set() else self._every)

    def cut_now(self) -> None:
        """Make the time be over."""
        self._due, self.at = lambda: True, 0.0


class _Watch:
    """The receivers of this process and the one thread that looks at them.

    A thread for each request would have to be started first, which waits for the interpreter's lock where other threads
    compute. This one ends by itself once there is nothing to check.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._receivers: set[_Receiver] = set()
        self._until = math.inf
        self._runs = False

    def add(self, receiver: _Receiver) -> None:
        """Look at a receiver from now on."""
        with self._changed:
            self._receivers.add(receiver)
            if self._runs:
                if receiver.at < self._until:
                    self._changed.notify()
                return
            # Where no thread can be started, as at the end of the interpreter, the limit for each byte remains.
            with suppress(RuntimeError):
                threading.Thread(target=self._run, name="prodpointer-deadline", daemon=True).start()
                self._runs = True

    def remove(self, receiver: _Receiver) -> None:
        """Look at a receiver no longer: nothing that its thread receives from now on is closed."""
        with self._changed:
            self._receivers.discard(receiver)

    def cut(self, thread_id: int) -> None:
        """Make the time of what a thread receives be over."""
        with self._changed:
            for receiver in list(self._receivers):
                if receiver.thread_id == thread_id:
                    receiver.cut_now()
            self._changed.notify()

    def _run(self) -> None:
        """Look at each receiver in time."""
        with self._changed:
            try:
                while self._receivers:
                    now = time.monotonic()
                    for receiver in self._receivers:
                        if receiver.at <= now:
                            receiver.look(now)
                    self._until = min(receiver.at for receiver in self._receivers)
                    self._changed.wait(max(0.0, self._until - now))
            finally:
                self._runs = False


_watch = _Watch()


def _hang_up(thread_id: int, *, answers_only: bool) -> None:
    """Close the connection from which a thread is receiving, where it is receiving; perhaps only within an answer.

    Neither requests nor urllib3 hands out a connection before its answer has begun, and a connection without
    keep-alive belongs to the answer alone then. The socket is found where the thread is.
    """
    from http.client import HTTPResponse  # slow to import

    found: socket.socket | None = None
    frame: FrameType | None = sys._current_frames().get(thread_id)  # noqa: SLF001  # its one, documented name
    while frame is not None and (found is None or answers_only):
        # A socket that is still to be connected is no object's yet: urllib3 tries each address of a host with "sock".
        owner = frame.f_locals.get("self", frame.f_locals.get("sock"))
        if found is None:
            inner = getattr(owner, "_sock", None) if isinstance(owner, socket.SocketIO) else owner
            found = inner if isinstance(inner, socket.socket) else None
        if isinstance(owner, HTTPResponse) and isinstance(owner.status, int):  # its first line is here
            answers_only = False
        frame = frame.f_back
    if found is not None and not answers_only:
        with suppress(OSError):  # closed meanwhile
            socket.socket.shutdown(found, socket.SHUT_RDWR)  # not that of TLS, which forgets its state meanwhile


if hasattr(os, "register_at_fork"):  # not on Windows, where no process is forked
    # The thread is not in the child, and may have held the lock.
    os.register_at_fork(after_in_child=_watch.__init__)  # type: ignore[misc]  # made anew, where it is
