"""Limits for one example: CPU time, wall time, and memory."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

CPU_SECONDS = 5.0
TRACED = 8  # times as long where each line is traced, as for coverage
SECONDS = 60.0  # for what waits, on a machine that does other things as well
BYTES = 512 * 1024**2


class TooSlow(BaseException):
    """An example took longer than it may; nothing that handles errors handles this."""


@contextmanager
def bounded() -> Iterator[None]:
    """Interrupt the block where it takes too long, and let it take no more than so much memory; on Linux alone."""
    if sys.platform != "linux":
        yield
        return
    slower = TRACED if sys.gettrace() is not None else 1
    timers = {
        signal.SIGPROF: (signal.ITIMER_PROF, CPU_SECONDS * slower),
        signal.SIGALRM: (signal.ITIMER_REAL, SECONDS),
    }
    before = {number: signal.signal(number, _interrupt) for number in timers}
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    try:
        with _memory(BYTES):
            yield
    finally:
        for timer, _ in timers.values():
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """End the example."""
    raise TooSlow(signal.Signals(number).name)


@contextmanager
def _memory(more: int) -> Iterator[None]:
    """Let the process take so many bytes more than it has."""
    import resource

    if sys.platform != "linux":
        yield
        return
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
