"""A limit for all that a thread receives, however slowly it comes.

The timeouts of ``requests`` bound the wait for each next byte, so an answer of one byte in a while lasts for ever, and
urllib3 offers no limit for a whole answer. Closing the connection from another thread ends the wait.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_LOOK_AGAIN = 0.02  # seconds: between two looks, or two reads, the thread may begin to receive again


@contextmanager
def cut_off(after: float, *, due: Callable[[], bool] = lambda: True) -> Iterator[threading.Event]:
    """Close the connection from which this thread is receiving once its time is over, until the block ends.

    Parameters
    ----------
    after
        Seconds until the first look, and then every few milliseconds.
    due
        Tells at each look whether the connection is to be closed.

    Yields an event that is set once a connection was to be closed: what was received may be half of an answer.
    """
    receiver, cut, ended, ending = threading.get_ident(), threading.Event(), threading.Event(), threading.Lock()

    def watch() -> None:
        pause = after
        while not ended.wait(pause):
            if due():
                with ending:  # so that nothing is closed that the thread receives from after the block
                    if not ended.is_set():
                        cut.set()
                        hang_up(receiver)
            pause = _LOOK_AGAIN if cut.is_set() else after

    # Where no thread can be started, as at the end of the interpreter, the limit for each byte remains.
    with suppress(RuntimeError):
        threading.Thread(target=watch, name="prodpointer-deadline", daemon=True).start()
    try:
        yield cut
    finally:
        with ending:
            ended.set()


def hang_up(thread_id: int, *, within: Callable[[object], bool] | None = None) -> None:
    """Close the connection from which a thread is receiving, where it is receiving.

    Neither requests nor urllib3 hands out a connection before its answer has begun, and a connection without
    keep-alive belongs to the answer alone then. The socket is found where the thread is.

    Parameters
    ----------
    thread_id
        The thread.
    within
        Tells of what a method is that is being called whether the connection may be closed; by default it may.
    """
    sock, allowed = None, within is None
    frame: FrameType | None = sys._current_frames().get(thread_id)  # noqa: SLF001  # its one, documented name
    while frame is not None and (sock is None or not allowed):
        owner = frame.f_locals.get("self")
        if sock is None:
            found = getattr(owner, "_sock", None) if isinstance(owner, socket.SocketIO) else owner
            sock = found if isinstance(found, socket.socket) else None
        allowed = allowed or (within is not None and within(owner))
        frame = frame.f_back
    if sock is not None and allowed:
        with suppress(OSError):  # closed meanwhile
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not that of TLS, which forgets its state under the reader
