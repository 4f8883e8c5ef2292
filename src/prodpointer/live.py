"""A handle that follows the pointer: it asks, downloads, verifies, loads and tries beside what serves, then swaps."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable
from enum import Enum
from typing import Any, Literal, final

from prodpointer.delivery import Target
from prodpointer.errors import (
    AccessDenied,
    LoadFailed,
    ModelNotFound,
    ProdpointerError,
    RegistryUnavailable,
)
from prodpointer.loading import NO_ANSWER, HowToLoad, Loading
from prodpointer.records import ModelReply
from prodpointer.selection import View

OnWithdraw = Literal["none", "keep"]

_log = logging.getLogger("prodpointer")
_SHORTEST = 1 / 16  # of the interval: the first pause of an outage
_MOST_SKIPPED = 16  # intervals until a version that failed to load is tried again
_handles: weakref.WeakSet[Live] = weakref.WeakSet()


class State(str, Enum):
    """How a :class:`Live` is.

    ``NOT_READY`` has nothing to serve: nothing is live, or nothing was loaded yet. ``READY`` serves what the registry
    says is live. ``STALE`` serves what was live when the registry last answered. ``ERROR`` has a live version that
    cannot be served, or may not ask, or has been stale for too long; what served before still does.
    """

    NOT_READY = "NOT_READY"
    READY = "READY"
    STALE = "STALE"
    ERROR = "ERROR"

    def __str__(self) -> str:
        """Return the state's name."""
        return self.value


@final
class Live:
    """The live object of a registered model, kept current by a thread; :meth:`RegisteredModel.follow` makes it.

    ``model`` is the object to serve, None where there is none; reading it is reading an attribute, and asks nobody.
    ``version`` is its number, and ``serving`` both at once: around a swap two reads may see one of each side.

    Parameters
    ----------
    loading
        What reads and loads.
    how
        How bytes become an object.
    every
        Seconds between two looks at the pointer.
    warm_up
        Called with a new object before it serves; what it raises keeps the object from serving.
    on_change
        Called with the number before and the number after each swap, on the thread.
    on_withdraw
        ``"keep"`` goes on with the object of a version that was withdrawn.
    max_stale
        Seconds without an answer of the registry after which ``STALE`` becomes ``ERROR``; None for never.
    stopped
        Set to end the thread.
    """

    def __init__(
        self,
        loading: Loading,
        how: HowToLoad,
        *,
        every: float,
        warm_up: Callable[[Any], object] | None,
        on_change: Callable[[int | None, int | None], object] | None,
        on_withdraw: OnWithdraw,
        max_stale: float | None,
        stopped: threading.Event,
        failed: RegistryUnavailable | None = None,
    ) -> None:
        """Begin to follow, on a daemon thread."""
        self.model: Any = None
        self.version: int | None = None
        self.serving: tuple[Any, int | None] = (None, None)
        self._loading = loading
        self._how = how
        self._every = every
        self._warm_up = warm_up
        self._on_change = on_change
        self._keep = on_withdraw == "keep"
        self._max_stale = max_stale
        self._stopped = stopped
        self._failed_before = failed
        self._changed = threading.Condition()
        self._state = State.NOT_READY
        self._error: ProdpointerError | None = None
        self._confirmed: float | None = None  # time.time() of the last answer of the registry
        self._serves: tuple[str, int] | None = None
        self._bad: tuple[str, int] | None = None
        self._bad_error: ProdpointerError | None = None
        self._skip = 0
        self._bad_polls = 0
        self._unanswered_looks = 0
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._follow, name=f"prodpointer-follow-{loading.name}", daemon=True)
        _handles.add(self)
        self._thread.start()

    def __repr__(self) -> str:
        """Return what it follows and how it is."""
        return f"<Live {self._loading.name!r} version {self.version}: {self.state}>"

    def __enter__(self) -> Live:
        """Return the handle; it stops following when the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop following."""
        self.close()

    @property
    def state(self) -> State:
        """How the handle is; see :class:`State`."""
        too_old = self._max_stale is not None and (self.age or 0.0) > self._max_stale
        return State.ERROR if self._state is State.STALE and too_old else self._state

    @property
    def age(self) -> float | None:
        """Seconds since the registry last said what is live; None where it never did.

        Of a version that was loaded while the registry was down, since an earlier process was told.
        """
        return None if self._confirmed is None else max(0.0, time.time() - self._confirmed)

    @property
    def last_error(self) -> ProdpointerError | None:
        """Why the last look did not end with the live version being served; None after one that did."""
        return self._error

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until there is an object to serve, ``timeout`` seconds at most, and tell whether there is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._serves is not None or self._is_over, timeout) and (
                self._serves is not None
            )

    def close(self) -> None:
        """Stop following and wait for the thread; ``model`` stays what it is."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()
        if self._pid == os.getpid() and threading.current_thread() is not self._thread:
            self._thread.join()

    @property
    def _is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self._stopped.is_set() or self._pid != os.getpid()

    def _follow(self) -> None:
        """Look at the pointer again and again, until told to stop; nothing that happens ends it."""
        while not self._stopped.is_set():
            try:
                self._look()
            except Exception as error:  # noqa: BLE001  # whatever a loader or a library does, the service goes on
                self._note(State.ERROR, _as_ours(error))
            self._stopped.wait(self._pause() * random.uniform(0.8, 1.0))  # noqa: S311  # so that services do not ask at once

    def _pause(self) -> float:
        """Return the seconds until the next look: in an outage few at first, then twice as many each time."""
        if self._unanswered_looks == 0:
            return self._every
        return min(self._every, self._every * _SHORTEST * float(2 ** (self._unanswered_looks - 1)))

    def _look(self) -> None:
        """Look once, and make what is live serve."""
        try:
            failed, self._failed_before = self._failed_before, None
            if failed is not None:
                raise failed
            reply, seen = self._loading.asked()
        except ModelNotFound as error:
            self._note(State.NOT_READY if self._serves is None else State.ERROR, error)
        except NO_ANSWER as error:
            self._unanswered_looks = min(self._unanswered_looks + 1, 16)
            self._unanswered(error)
        except AccessDenied as error:
            self._note(State.ERROR, error)
        else:
            self._answered(reply, seen)

    def _answered(self, reply: ModelReply, seen: View) -> None:
        """Make what the registry named serve, and nothing that it did not name begin to."""
        try:
            target = self._loading.target_in(reply, seen, lambda _: None)
        except NO_ANSWER as error:  # to a second question
            self._unanswered_looks = min(self._unanswered_looks + 1, 16)
            self._note(State.NOT_READY if self._serves is None else State.STALE, error)
            return
        self._confirmed, self._unanswered_looks = time.time(), 0
        if target is None:
            self._withdrawn()
        elif (target.created, target.number) == self._serves:
            self._loading.saw_live(target)
            self._note(State.READY, None)
        elif self._is_due(target):
            self._take(target)
        else:
            self._note(State.ERROR, self._bad_error)

    def _is_due(self, target: Target) -> bool:
        """Tell whether a version is to be tried: one that failed to load is skipped for a while, longer each time."""
        if (target.created, target.number) != self._bad:
            self._bad, self._skip, self._bad_polls = None, 0, 0
            return True
        self._skip -= 1
        return self._skip < 0

    def _take(self, target: Target) -> None:
        """Bring a version here, load and try it beside what serves, then swap; a bad one changes nothing."""
        try:
            with self._loading.delivery.delivered(target, verify=self._how.verify, warn=_log_unverified) as found:
                model = self._how.loaded(*found)
            self._try(model, target.number)
        except Exception as error:  # noqa: BLE001  # a pickle and a warm-up may raise anything
            ours = _as_ours(error)
            self._bad, self._bad_error = (target.created, target.number), ours
            self._bad_polls += 1
            # What may have gone wrong on the way here is tried again at the next look.
            again = not isinstance(ours, LoadFailed)
            self._skip = 0 if again else min(_MOST_SKIPPED, 2**self._bad_polls - 1)
            self._note(State.ERROR, ours)
            return
        self._loading.saw_live(target)
        self._swap(model, (target.created, target.number), State.READY, None)

    def _try(self, model: Any, number: int) -> None:
        """Let a new object warm up; ``LoadFailed`` where it cannot."""
        if self._warm_up is None:
            return
        try:
            self._warm_up(model)
        except Exception as error:  # a warm-up is the caller's code
            raise LoadFailed(
                f"Version {number} of {self._loading.name!r} failed its warm-up: {type(error).__name__}: {error}.",
                next_step="It does not serve. Promote a version that works, or roll back.",
            ) from error

    def _withdrawn(self) -> None:
        """Serve nothing any more, unless told to keep what there is."""
        self._bad = None
        if self._serves is None:
            self._note(State.NOT_READY, None)
        elif self._keep:
            self._note(State.READY, None)
        else:
            self._swap(None, None, State.NOT_READY, None)

    def _unanswered(self, error: ProdpointerError) -> None:
        """Go on with what serves; at the beginning, with the last-known-good version."""
        last = self._loading.delivery.last_known_good() if self._serves is None else None
        try:
            model = None if last is None else self._loading.loaded_last(last, self._how, error)
        except NO_ANSWER:  # its bytes are damaged, or nobody recorded their digest and that is required
            last = None
        if last is None and self._serves is None:
            self._note(State.NOT_READY, self._loading.without_last_known_good(error))
            return
        if last is None:
            self._note(State.STALE, error)
            return
        self._try(model, last.version)
        if self._confirmed is None:
            self._confirmed = last.at.timestamp()
        self._swap(model, (last.created, last.version), State.STALE, error)

    def _swap(self, model: Any, serves: tuple[str, int] | None, state: State, error: ProdpointerError | None) -> None:
        """Let another object serve, and tell."""
        before = self.version
        number = None if serves is None else serves[1]
        self.serving = (model, number)  # one store, so that who reads both reads what belongs together
        self.model, self.version = model, number
        self._serves, self._bad = serves, None
        self._note(state, error)
        if self._on_change is not None:
            try:
                self._on_change(before, self.version)
            except Exception:  # noqa: BLE001  # the caller's, which is no reason not to serve
                _log.exception("on_change of %r failed", self._loading.name)

    def _note(self, state: State, error: ProdpointerError | None) -> None:
        """Take on a state, and wake who waits for one."""
        if error is not None and (state is not self._state or type(error) is not type(self._error)):
            _log.warning("%s of %r: %s", state, self._loading.name, error)
        with self._changed:
            self._state, self._error = state, error
            self._changed.notify_all()

    def _forked(self) -> None:
        """Say in a forked process that nobody follows there: threads stay behind."""
        self._changed = threading.Condition()
        self._state = State.ERROR
        self._error = ProdpointerError(
            f"This process was forked from one that follows {self._loading.name!r}, and no thread came along.",
            next_step="Call follow() after the fork, in each worker.",
        )


def _as_ours(error: Exception) -> ProdpointerError:
    """Return an error of ours; what else is raised on the thread is somebody else's code that failed."""
    if isinstance(error, ProdpointerError):
        return error
    return LoadFailed(f"Following failed: {type(error).__name__}: {error}")


def _log_unverified(model: str, version: int) -> None:
    """Log what a caller would be warned of: nobody sees the warnings of a thread."""
    _log.warning("version %s of %r carries no digest, so nobody can say whether its bytes changed", version, model)


def _tell_forked() -> None:
    """Tell every handle of a forked process."""
    for handle in list(_handles):
        handle._forked()  # noqa: SLF001  # of this module


if hasattr(os, "register_at_fork"):  # not on Windows, where no process is forked
    os.register_at_fork(after_in_child=_tell_forked)
