"""A handle that follows the pointer: it downloads, verifies and loads beside the object that serves, then swaps."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import traceback
import weakref
from collections import Counter
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, final

from prodpointer.artifacts.fetch import Target
from prodpointer.artifacts.last_known_good import VersionKey
from prodpointer.errors import (
    AccessDenied,
    LoadFailed,
    ModelNotFound,
    ProdpointerError,
    RegistryUnavailable,
    without_credentials,
)
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.serving.load import NO_ANSWER, Loading, LoadOptions
from prodpointer.types import ModelReply, called

OnWithdraw = Literal["none", "keep"]

_log = logging.getLogger("prodpointer")
_SHORTEST = 1 / 16  # of the interval: the first pause of an outage
_LONGEST_PAUSE = 600.0  # seconds until a version that failed is tried again, or an interval where that is longer
_DOUBLED_AT_MOST = 30  # times; by then every pause is the longest
_CLOSE_WITHIN = 3.0  # seconds that closing waits for a thread that may hang in the caller's code or in a request
_handles: weakref.WeakSet[Live] = weakref.WeakSet()


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


@dataclass
class _Failures:
    """How often a version failed, by kind of error: the last error, and when the version is tried again."""

    error: ProdpointerError
    due: float
    counts: Counter[type[ProdpointerError]] = field(default_factory=Counter)


@final
class Live:
    """The live object of a registered model, kept current by a thread; :meth:`RegisteredModel.follow` makes it.

    ``model`` is the object to serve, None where there is none; reading it is reading an attribute, without a request.
    ``version`` is its number, and ``serving`` both at once: around a swap, two reads may return a mixed pair.
    The options are those of ``follow``.
    """

    def __init__(
        self,
        loading: Loading,
        options: LoadOptions,
        *,
        every: float,
        warm_up: Callable[[Any], object] | None,
        on_change: Callable[[int | None, int | None], object] | None,
        on_withdraw: OnWithdraw,
        max_stale: float | None,
        stopped: threading.Event,
        failed: RegistryUnavailable | None = None,
    ) -> None:
        self.model: Any = None
        self.version: int | None = None
        self.serving: tuple[Any, int | None] = (None, None)
        self._loading = loading
        self._options = options
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
        self._confirmed: float | None = None  # time.monotonic() of the last answer of the registry
        self._serves: VersionKey | None = None
        self._named: VersionKey | None = None  # by the last answer
        self._bad: dict[VersionKey, _Failures] = {}
        self._unanswered_checks = 0
        self._ended = False
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._follow, name=f"prodpointer-follow-{loading.name}", daemon=True)
        _handles.add(self)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Live {self._loading.name!r} version {self.version}: {self.state}>"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(
            f"Cannot pickle or copy a Live of {self._loading.name!r}: a thread of this process keeps it current. "
            "Give the other process the RegisteredModel and call follow() there, or give it the object, live.model."
        )

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def state(self) -> State:
        """The state; see :class:`State`."""
        return State.ERROR if self._is_dead or self._is_too_old else self._state

    @property
    def age(self) -> float | None:
        """Seconds since the registry last said what is live; None where it never did.

        For a version that was loaded while the registry was down: since it was last seen live on this machine.
        """
        return None if self._confirmed is None else time.monotonic() - self._confirmed

    @property
    def last_error(self) -> ProdpointerError | None:
        """Why the live version does not serve after the last check; None where it does."""
        if self._is_dead:
            return ProdpointerError(
                f"The thread that follows {self._loading.name!r} has ended.", next_step="Call follow() again."
            )
        if self._error is None and self._is_too_old:
            return RegistryUnavailable(
                f"The registry has not said for {self.age:.0f} s what is live of {self._loading.name!r}, and max_stale "
                f"is {self._max_stale:g} s.",
                next_step="The last check has not ended: look at the registry, the artifact store and the loader.",
            )
        return self._error

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until there is an object to serve, ``timeout`` seconds at most, and tell whether there is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._serves is not None or self._is_over, timeout) and (
                self._serves is not None
            )

    def close(self) -> None:
        """Stop following and wait a few seconds for the thread; ``model`` stays what it is."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()
        if self._pid == os.getpid() and threading.current_thread() is not self._thread:
            self._thread.join(_CLOSE_WITHIN)
            if self._thread.is_alive():
                _log.warning("following %r was stopped; its last check is still running", self._loading.name)

    @property
    def _is_over(self) -> bool:
        """Whether nothing will change from now on."""
        return self._stopped.is_set() or self._ended or self._pid != os.getpid()

    @property
    def _is_dead(self) -> bool:
        """Whether the thread ended and the handle was not closed."""
        return self._ended and not self._stopped.is_set()

    @property
    def _is_too_old(self) -> bool:
        """Whether the last answer of the registry is older than the caller allows."""
        age = self.age
        return self._max_stale is not None and age is not None and age > self._max_stale

    def _follow(self) -> None:
        """Check the pointer until the handle is closed; no exception ends the thread."""
        try:
            while not self._stopped.is_set():
                try:
                    self._check()
                except BaseException as error:  # noqa: BLE001  # any, SystemExit too: the thread goes on
                    self._note(State.ERROR, _detach(error))
                self._stopped.wait(self._pause() * random.uniform(0.8, 1.0))  # noqa: S311  # so that services do not ask at once
        finally:  # an exception that was injected into the thread, for instance
            self._ended = True
            with self._changed:
                self._changed.notify_all()
            if self._is_dead:
                _log.error("the thread that follows %r has ended", self._loading.name)

    def _pause(self) -> float:
        """Return the seconds until the next check: few at the start of an outage, then twice as many each time."""
        if self._unanswered_checks == 0:
            return self._every
        return min(self._every, self._every * _SHORTEST * float(2 ** (self._unanswered_checks - 1)))

    def _check(self) -> None:
        """Check the pointer once, and serve the live version."""
        try:
            failed, self._failed_before = self._failed_before, None
            if failed is not None:
                raise failed
            reply, seen = self._loading.ask()
        except ModelNotFound as error:
            self._note(State.NOT_READY if self._serves is None else State.ERROR, error)
        except NO_ANSWER as error:
            self._unanswered_checks = min(self._unanswered_checks + 1, 16)
            self._serve_last_known_good(error)
        except AccessDenied as error:
            self._note(State.ERROR, error)
        else:
            self._answered(reply, seen)

    def _answered(self, reply: ModelReply, seen: ModelSnapshot) -> None:
        """Serve the version that the registry named; no other version starts to serve."""
        try:
            target = self._loading.find_target(reply, seen, lambda _: None)
        except NO_ANSWER as error:  # to the second request
            self._unanswered_checks = min(self._unanswered_checks + 1, 16)
            self._note(State.NOT_READY if self._serves is None else State.STALE, error)
            return
        self._confirmed, self._unanswered_checks = time.monotonic(), 0
        named = None if target is None else target.key
        if named != self._named:
            self._named = named
            self._bad.clear()  # a move is a reason to retry at once
        if target is None:
            self._stop_serving()
        elif named == self._serves:
            self._loading.delivery.note_verified(target.key)
            self._note(State.READY, None)
        else:
            self._take(target)

    def _take(self, target: Target) -> None:
        """Load a version and warm it up beside what serves, then swap; a version that fails changes nothing."""
        if not self._is_due(target.key):
            return
        try:
            model = self._load(target)
            self._try(model, target.key)
        except BaseException as error:  # noqa: BLE001  # a pickle and a warm-up may raise anything
            self._fail(target.key, error)
            return
        self._loading.delivery.note_verified(target.key)
        self._swap(model, target.key, State.READY, None)

    def _load(self, target: Target) -> Any:
        """Return the object of a version, downloaded if necessary."""
        verify = self._options.verify
        with self._loading.delivery.deliver(target, verify=verify, warn=_log_unverified) as entry:
            return self._options.load(entry)

    def _is_due(self, key: VersionKey) -> bool:
        """Tell whether a version is to be tried; the state is ``ERROR`` until one that failed is retried."""
        failures = self._bad.get(key)
        if failures is None or time.monotonic() >= failures.due:
            return True
        self._note(State.ERROR, failures.error)
        return False

    def _fail(self, key: VersionKey, error: BaseException) -> None:
        """Keep why a version failed and when to retry it: at the next check first, then after longer pauses."""
        ours = _detach(error)
        failures = self._bad.setdefault(key, _Failures(ours, 0.0))
        failures.counts[type(ours)] += 1
        count = failures.counts[type(ours)]
        pause = self._every * float(2 ** min(count - 2, _DOUBLED_AT_MOST)) if count > 1 else 0.0
        failures.error = ours
        failures.due = time.monotonic() + min(pause, max(self._every, _LONGEST_PAUSE))
        if count == 1 and isinstance(ours, LoadFailed):
            _log.warning("version %s of %r failed:\n%s", key.version, self._loading.name, _traceback_of(error))
        self._note(State.ERROR, ours)

    def _try(self, model: Any, key: VersionKey) -> None:
        if self._warm_up is None:
            return
        try:
            self._warm_up(model)
        except BaseException as error:  # a warm-up is the caller's code
            raise LoadFailed(
                f"Version {key.version} of {self._loading.name!r} failed its warm-up: {_text_of(error)}.",
                next_step="It does not serve. Promote a version that works, or roll back.",
            ) from error

    def _stop_serving(self) -> None:
        """Stop serving after a withdrawal, unless the caller keeps what serves."""
        if self._serves is None:
            self._note(State.NOT_READY, None)
        elif self._keep:
            self._note(State.READY, None)
        else:
            self._swap(None, None, State.NOT_READY, None)

    def _serve_last_known_good(self, error: ProdpointerError) -> None:
        """Go on with what serves; at the start, serve the last-known-good version."""
        if self._serves is not None:
            self._note(State.STALE, error)
            return
        last = self._loading.delivery.last_known_good()
        if last is None:
            self._note(State.NOT_READY, self._loading.explain_no_last_known_good(error))
            return
        if not self._is_due(last.key):
            return
        try:
            model = self._loading.load_last(last, self._options, error)
            self._try(model, last.key)
        except BaseException as failure:  # noqa: BLE001  # as in _take; for damaged bytes it is ``error`` again
            self._fail(last.key, failure)
            return
        if self._confirmed is None:
            self._confirmed = time.monotonic() - max(0.0, time.time() - last.at.timestamp())
        self._swap(model, last.key, State.STALE, error)

    def _swap(self, model: Any, serves: VersionKey | None, state: State, error: ProdpointerError | None) -> None:
        """Let another object serve, and call ``on_change``; after ``close`` nothing changes."""
        if self._stopped.is_set():
            return
        before = self.version
        number = None if serves is None else serves.version
        self.serving = (model, number)  # one store, so that both belong together
        self.model, self.version = model, number
        self._serves = serves
        self._bad.clear()
        self._note(state, error)
        if self._on_change is not None:
            try:
                self._on_change(before, self.version)
            except BaseException as raised:  # noqa: BLE001  # the caller's, which is no reason not to serve
                _log.exception("on_change of %r failed", self._loading.name)
                failure = LoadFailed(
                    f"on_change of {self._loading.name!r} raised {type(raised).__name__}.",
                    next_step=f"{called(self.version).capitalize()} serves. Fix on_change; the log has the traceback.",
                )
                self._note(State.ERROR, failure)

    def _note(self, state: State, error: ProdpointerError | None) -> None:
        """Set the state, and wake the threads that wait for one."""
        if self._stopped.is_set():
            return
        if error is not None and (state is not self._state or type(error) is not type(self._error)):
            _log.warning("%s of %r: %s", state, self._loading.name, error)
        with self._changed:
            self._state, self._error = state, error
            self._changed.notify_all()

    def _mark_forked(self) -> None:
        """Set the state of a forked process, where no thread follows: threads stay in the parent."""
        self._changed = threading.Condition()  # the locks of the parent may be held by its threads
        if self._stopped.is_set():
            return
        self._stopped = threading.Event()
        self._state = State.ERROR
        self._error = ProdpointerError(
            f"This process was forked from one that follows {self._loading.name!r}; threads do not survive a fork.",
            next_step="Call follow() after the fork, in each worker.",
        )
        # On its own thread: a logging handler may wait for ever for a lock that was held at the fork.
        threading.Thread(target=_log.error, args=("%s", self._error), name="prodpointer-forked", daemon=True).start()


def _detach(error: BaseException) -> ProdpointerError:
    """Return an error to keep, without traceback and cause: their frames would keep the objects of a failed version.

    An exception that is not this library's comes from the caller's code or a library.
    """
    if isinstance(error, ProdpointerError):
        return copy(error)
    return LoadFailed(f"Following failed: {_text_of(error)}.")


def _text_of(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001  # whatever its __str__ raises
        return type(error).__name__


def _traceback_of(error: BaseException) -> str:
    """Return an exception's traceback as text, which keeps no object."""
    return without_credentials("".join(traceback.format_exception(type(error), error, error.__traceback__)))


def _log_unverified(model: str, version: int) -> None:
    """Log what a caller would be warned of: warnings of a thread go unseen."""
    _log.warning("version %s of %r has no recorded digest; its integrity cannot be verified", version, model)


def _mark_forked() -> None:
    """Mark every handle of a forked process."""
    for handle in list(_handles):
        handle._mark_forked()  # noqa: SLF001  # of this module


if hasattr(os, "register_at_fork"):  # not on Windows, where no process is forked
    os.register_at_fork(after_in_child=_mark_forked)
