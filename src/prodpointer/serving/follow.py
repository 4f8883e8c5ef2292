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
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, final, get_args

from prodpointer._text import text_of
from prodpointer.artifacts.fetch import Target
from prodpointer.artifacts.last_known_good import VersionKey
from prodpointer.errors import (
    AccessDenied,
    InvalidName,
    LoadFailed,
    ModelNotFound,
    ProdpointerError,
    RegistryUnavailable,
    without_credentials,
)
from prodpointer.mlflow_client import begin, cut_off_requests
from prodpointer.pointers.snapshot import ModelSnapshot
from prodpointer.serving.load import NO_ANSWER, Loading, LoadOptions
from prodpointer.serving.metrics import count, forget, watch
from prodpointer.serving.state import LiveStats, State
from prodpointer.types import ModelReply, called

OnWithdraw = Literal["none", "keep"]

_log = logging.getLogger("prodpointer")
_SHORTEST = 1 / 16  # of the interval: the first pause of an outage
_LONGEST_PAUSE = 600.0  # seconds until a version that failed is tried again, or an interval where that is longer
_DOUBLED_AT_MOST = 30  # times; by then every pause is the longest
_A_MOMENT = 0.001  # seconds
_ASYNC_LOOK_AGAIN = 0.02  # seconds between two looks of a coroutine that waits for the first object
_CLOSE_WITHIN = 1.0  # seconds that closing waits for a thread that may hang in the caller's code or in a request
_READ = ("model", "version", "serving")  # the attributes that a service reads
_handles: weakref.WeakSet[Live] = weakref.WeakSet()


@dataclass
class _Failures:
    """How often a version failed, by kind of error: the last error, and when the version is tried again."""

    error: ProdpointerError
    due: float
    counts: Counter[type[ProdpointerError]] = field(default_factory=Counter)


class _Loaded(NamedTuple):
    """An object that is about to serve, how long it took to get it, and the size of its artifact."""

    model: Any
    seconds: float
    size: int


@final
class Live:
    """The live object of a registered model, kept current by a thread; :meth:`RegisteredModel.follow` makes it.

    ``model`` is the object to serve, None where there is none; reading it is reading an attribute, without a request.
    ``version`` is its number, and ``serving`` both at once: around a swap, two reads may return a mixed pair.
    The options are those of ``follow``.

    A forked process inherits the object that serves. It follows by itself from the moment that it first reads the
    handle; until then it has no thread and sends no request.
    """

    def __init__(
        self,
        loading: Loading,
        options: LoadOptions,
        *,
        every: float,
        warm_up: Callable[[Any], object] | None,
        on_change: Callable[[int | None, int | None], object] | None,
        on_state: Callable[[State, State, ProdpointerError | None], object] | None,
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
        self._on_state = on_state
        self._keep = on_withdraw == "keep"
        self._max_stale = max_stale
        self._stopped = stopped
        self._failed_before = failed
        self._changed = threading.Condition()
        self._state = State.NOT_READY
        self._announced = State.NOT_READY  # to on_state
        self._error: ProdpointerError | None = None
        self._failed_since: float | None = None  # time.monotonic() of the first check that failed, READY before
        self._counted = LiveStats()
        self._next_check = 0.0  # time.monotonic()
        self._confirmed: float | None = None  # time.monotonic() of the last answer of the registry
        self._serves: VersionKey | None = None
        self._named: VersionKey | None = None  # by the last answer
        self._bad: dict[VersionKey, _Failures] = {}
        self._unanswered_checks = 0
        self._unexpected: type[BaseException] | None = None  # what the last check failed with
        self._ended = False
        self._inherited: tuple[Any, int | None] | None = None  # in a forked process, until the first read
        self._resuming = threading.Lock()
        self._is_forked = False
        self._thread = self._new_thread()
        _handles.add(self)
        watch(self, loading.labels)
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
        self._resume()
        return State.ERROR if self._is_dead or self._is_too_old else self._state

    @property
    def age(self) -> float | None:
        """Seconds since the registry last said what is live; None where it never did.

        For a version that was loaded while the registry was down: since it was last seen live on this machine.
        """
        self._resume()
        return None if self._confirmed is None else time.monotonic() - self._confirmed

    @property
    def last_error(self) -> ProdpointerError | None:
        """Why the live version does not serve after the last check; None where it does."""
        self._resume()
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

    def stats(self) -> LiveStats:
        """Return what was counted so far, the state, and when the next check begins; no request is sent."""
        state = self.state
        over = self._stopped.is_set() or self._ended
        next_check = None if over else max(0.0, self._next_check - time.monotonic())
        return replace(self._counted, state=state, version=self.version, age=self.age, next_check=next_check)

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Wait until there is an object to serve, ``timeout`` seconds at most, and tell whether there is."""
        self._resume()
        with self._changed:
            return self._changed.wait_for(lambda: self._serves is not None or self._is_over, timeout) and (
                self._serves is not None
            )

    async def await_ready(self, timeout: float | None = None) -> bool:
        """Wait as :meth:`Live.wait_ready` does, while the loop of asyncio goes on."""
        import asyncio  # slow to import, and there already where a coroutine runs

        until = None if timeout is None else time.monotonic() + timeout
        # The thread knows no loop that it could wake: there may be several.
        while not self.wait_ready(0) and not self._is_over and (until is None or time.monotonic() < until):  # noqa: ASYNC110
            await asyncio.sleep(_ASYNC_LOOK_AGAIN)
        return self._serves is not None

    async def aclose(self) -> None:
        """Stop following as :meth:`Live.close` does, while the loop of asyncio goes on."""
        import asyncio

        await asyncio.shield(asyncio.wrap_future(begin(self.close)[0]))

    def close(self) -> None:
        """Stop following, which cancels requests and downloads; ``model`` stays what it is.

        Waits a second at most for what cannot be cancelled: a loader, a warm-up or a database.
        """
        with self._resuming:
            self._stopped.set()
            self._take_over()
        forget(self)
        with self._changed:
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            until = time.monotonic() + _CLOSE_WITHIN
            while self._thread.is_alive() and time.monotonic() < until:
                cut_off_requests(self._thread.ident or 0)  # again: there may be a next one
                self._thread.join(_CLOSE_WITHIN / 20)
            if self._thread.is_alive():
                _log.warning("%s: following was stopped; its last check is still running", self._loading.label)

    @property
    def _is_over(self) -> bool:
        """Whether nothing will change from now on."""
        return self._stopped.is_set() or self._ended

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
        """Check the pointer until the handle is closed; no exception of a check ends the thread."""
        try:
            while not self._stopped.is_set() and threading.current_thread() is self._thread:
                try:
                    self._check()
                except BaseException as error:  # noqa: BLE001  # any, SystemExit too: the thread goes on
                    self._note_unexpected(error)
                else:
                    self._unexpected = None
                self._count(checks=1, failures=0 if self._error is None else 1)
                self._wait(self._pause() * random.uniform(0.8, 1.0))  # noqa: S311  # so that services do not ask at once
        finally:  # an exception that was injected into the thread, for instance
            self._ended = True
            with self._changed:
                self._changed.notify_all()
            if self._is_dead:
                _log.error("%s: the thread that follows has ended", self._loading.label)
                self._announce()

    def _note_unexpected(self, error: BaseException) -> None:
        """Note an error that a check does not expect; the traceback of one of another library is logged once."""
        if not isinstance(error, ProdpointerError) and type(error) is not self._unexpected:
            self._unexpected = type(error)
            _log.error("%s: the check of the pointer failed:\n%s", self._loading.label, _traceback_of(error))
        self._note(State.ERROR, _detach(error))

    def _wait(self, seconds: float) -> None:
        """Wait until the next check is due or the handle is closed; note where the last answer becomes too old."""
        until = self._next_check = time.monotonic() + seconds
        if self._max_stale is not None and self._confirmed is not None:
            fresh = self._confirmed + self._max_stale - time.monotonic()
            if 0.0 <= fresh < seconds and not self._stopped.wait(fresh + _A_MOMENT):
                self._announce()
        self._stopped.wait(max(0.0, until - time.monotonic()))

    def _count(self, **more: int) -> None:
        """Add to what is counted; :meth:`stats` returns values of one moment."""
        counted = self._counted
        self._counted = replace(counted, **{name: getattr(counted, name) + more[name] for name in more})
        count(self._loading.labels, **more)

    def _pause(self) -> float:
        """Return the seconds until the next check: few at the start of an outage, then twice as many each time."""
        if self._unanswered_checks == 0:
            return self._every
        return min(self._every, self._every * _SHORTEST * float(2 ** (self._unanswered_checks - 1)))

    def _check(self) -> None:
        """Check the pointer once, and serve the live version."""
        if self._is_forked:
            self._is_forked = False
            self._loading.leave_inherited_connections()
            _log.info("%s: followed in the forked process %s too", self._loading.label, os.getpid())
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
            loaded = self._try(target.key, partial(self._load, target))
        except BaseException as error:  # noqa: BLE001  # a pickle and a warm-up may raise anything
            self._fail(target.key, error)
            return
        self._loading.delivery.note_verified(target.key)
        self._swap(loaded, target.key, State.READY, None)

    def _load(self, target: Target) -> tuple[Any, int]:
        """Return the object of a version, downloaded if necessary, and the size of its artifact."""
        verify = self._options.verify
        with self._loading.delivery.deliver(target, verify=verify, warn=_log_unverified) as entry:
            return self._options.load(entry), entry.size

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
            _log.warning("%s: version %s failed:\n%s", self._loading.label, key.version, _traceback_of(error))
        self._note(State.ERROR, ours)

    def _try(self, key: VersionKey, load: Callable[[], tuple[Any, int]]) -> _Loaded:
        """Load a version and warm it up."""
        began = time.monotonic()
        model, size = load()
        if self._warm_up is not None:
            try:
                self._warm_up(model)
            except BaseException as error:  # a warm-up is the caller's code
                raise LoadFailed(
                    f"Version {key.version} of {self._loading.name!r} failed its warm-up: {_named(error)}.",
                    next_step="It does not serve. Promote a version that works, or roll back.",
                ) from error
        return _Loaded(model, time.monotonic() - began, size)

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
            loaded = self._try(last.key, partial(self._loading.load_last, last, self._options, error))
        except BaseException as failure:  # noqa: BLE001  # as in _take; for damaged bytes it is ``error`` again
            self._fail(last.key, failure)
            return
        if self._confirmed is None:
            self._confirmed = time.monotonic() - max(0.0, time.time() - last.at.timestamp())
        self._swap(loaded, last.key, State.STALE, error)

    def _swap(
        self, loaded: _Loaded | None, serves: VersionKey | None, state: State, error: ProdpointerError | None
    ) -> None:
        """Let another object serve, and call ``on_change``; after ``close`` nothing changes."""
        if self._stopped.is_set():
            return
        before = self.version
        model = None if loaded is None else loaded.model
        number = None if serves is None else serves.version
        self.serving = (model, number)  # one store, so that both belong together
        self.model, self.version = model, number
        self._note_swap(before, loaded)
        self._serves = serves  # from now on there is one to serve for those that wait, and it is counted
        self._bad.clear()
        self._note(state, error)
        if self._on_change is not None:
            try:
                self._on_change(before, self.version)
            except BaseException as raised:  # noqa: BLE001  # the caller's, which is no reason not to serve
                _log.error("%s: on_change failed:\n%s", self._loading.label, _traceback_of(raised))
                failure = LoadFailed(
                    f"on_change of {self._loading.name!r} raised {type(raised).__name__}.",
                    next_step=f"{called(self.version).capitalize()} serves. Fix on_change; the log has the traceback.",
                )
                self._note(State.ERROR, failure)

    def _note_swap(self, before: int | None, loaded: _Loaded | None) -> None:
        """Count and log a swap."""
        self._counted = replace(
            self._counted,
            last_swap=datetime.now(timezone.utc),
            load_seconds=None if loaded is None else loaded.seconds,
            bytes=None if loaded is None else loaded.size,
        )
        self._count(swaps=1)
        moved = (self._loading.label, before or "nothing", self.version or "nothing")
        if loaded is None:
            _log.warning("%s: %s → %s: withdrawn, nothing serves", *moved)
        else:
            _log.info("%s: %s → %s serves, loaded in %.3g s (%s bytes)", *moved, loaded.seconds, f"{loaded.size:,}")

    def _note(self, state: State, error: ProdpointerError | None) -> None:
        """Set the state, wake the threads that wait for one, and say what changed."""
        if self._stopped.is_set():
            return
        changed = error is not None and (state is not self._state or type(error) is not type(self._error))
        with self._changed:
            self._state, self._error = state, error
            self._changed.notify_all()
        if changed:
            self._log_failure(state, error)
        if state is State.READY:
            self._log_recovery()
        elif error is not None and self._failed_since is None:
            self._failed_since = time.monotonic()
        self._announce()

    def _log_failure(self, state: State, error: ProdpointerError | None) -> None:
        """Log why the live version does not serve: an error where none does."""
        level = logging.ERROR if state is State.ERROR and self._serves is None else logging.WARNING
        _log.log(level, "%s: %s, %s serves: %s", self._loading.label, state, called(self.version), error)

    def _log_recovery(self) -> None:
        """Log that the live version serves again."""
        since, self._failed_since = self._failed_since, None
        if since is not None:
            seconds = time.monotonic() - since
            _log.info("%s: READY after %.3g s, %s serves", self._loading.label, seconds, called(self.version))

    def _announce(self) -> None:
        """Call ``on_state`` where the state has changed; what it raises is logged and ends nothing."""
        before, now = self._announced, self.state
        if now is before:
            return
        self._announced = now
        if self._error is None and self._is_too_old:
            self._log_failure(now, self.last_error)
            self._failed_since = self._failed_since or time.monotonic()
        if self._on_state is None:
            return
        try:
            self._on_state(before, now, self.last_error)
        except BaseException as raised:  # noqa: BLE001  # the caller's, which is no reason not to serve
            _log.error("%s: on_state failed:\n%s", self._loading.label, _traceback_of(raised))

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._follow, name=f"prodpointer-follow-{self._loading.name}", daemon=True)

    def _prepare_forked(self) -> None:
        """Prepare for the first read in a forked process, where the thread of the parent does not run.

        What a service reads is taken from the instance, so that its first read calls ``__getattr__``; all others read
        plain attributes. A thread that starts here would follow in each process that is forked for something else.
        """
        self._changed = threading.Condition()  # the locks of the parent may be held by its threads
        self._resuming = threading.Lock()
        if self._stopped.is_set() or self._ended or self._inherited is not None:
            return
        self._stopped.__init__()  # type: ignore[misc]  # made anew, where the loading knows it
        self._inherited = self.serving
        for name in _READ:
            vars(self).pop(name, None)

    if not TYPE_CHECKING:  # or every misspelled attribute would be Any

        def __getattr__(self, name: str) -> Any:
            """Return what a forked process reads first, and follow there from now on."""
            if name not in _READ:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            self._resume()
            return vars(self)[name]

    def _resume(self) -> None:
        """Follow in a forked process, at the first read."""
        if self._inherited is None:
            return
        with self._resuming:
            if self._inherited is None:  # another thread was first
                return
            self._is_forked = True
            self._thread = self._new_thread()
            self._take_over()
            watch(self, self._loading.labels)
            try:
                self._thread.start()
            except RuntimeError as error:  # no more threads, or the interpreter ends
                self._ended = True
                _log.error("%s: not followed in this forked process: %s", self._loading.label, error)

    def _take_over(self) -> None:
        """Serve what was inherited by a fork."""
        if self._inherited is not None:
            self.serving = self._inherited
            self.model, self.version = self._inherited
            self._inherited = None


def check_follow(every: float, on_withdraw: str, max_stale: float | None) -> None:
    """Raise ``InvalidName`` for options with which nothing can be followed."""
    if not 0 < every <= threading.TIMEOUT_MAX:
        raise InvalidName(f"Invalid every={every!r}.", next_step="`every` must be > 0 (seconds), and finite.")
    if on_withdraw not in get_args(OnWithdraw):
        raise InvalidName(f"Invalid on_withdraw={on_withdraw!r}.", next_step="Use 'none' or 'keep'.")
    if max_stale is not None and not max_stale > 0:
        raise InvalidName(f"Invalid max_stale={max_stale!r}.", next_step="`max_stale` must be > 0 (seconds), or None.")


def _detach(error: BaseException) -> ProdpointerError:
    """Return an error to keep, without traceback and cause: their frames would keep the objects of a failed version.

    An exception that is not this library's comes from the caller's code or a library.
    """
    if isinstance(error, ProdpointerError):
        return copy(error)
    return LoadFailed(f"Following failed: {_named(error)}.")


def _named(error: BaseException) -> str:
    """Return the type of an error and what it says."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _traceback_of(error: BaseException) -> str:
    """Return an exception's traceback as text, which keeps no object."""
    return without_credentials("".join(traceback.format_exception(type(error), error, error.__traceback__)))


def _log_unverified(model: str, version: int) -> None:
    """Log what a caller would be warned of: warnings of a thread go unseen."""
    _log.warning("version %s of %r has no recorded digest; its integrity cannot be verified", version, model)


def _prepare_forked() -> None:
    """Prepare every handle of a forked process."""
    for handle in list(_handles):
        handle._prepare_forked()  # noqa: SLF001  # of this module


if hasattr(os, "register_at_fork"):  # not on Windows, where no process is forked
    os.register_at_fork(after_in_child=_prepare_forked)
