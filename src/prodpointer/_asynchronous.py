"""The verbs for asyncio: each is the verb itself, on a thread, with its parameters.

The threads are daemons of their own and not an executor's, for which a loop waits at its end, and they run in a copy of
the caller's context. What a cancelled task leaves behind is the same for every verb of a kind: one that only reads is
stopped, and one that writes is completed, or has not begun.
"""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

from prodpointer._cancellation import Cancelled, cancelled_by
from prodpointer._text import text_of
from prodpointer.errors import without_credentials
from prodpointer.mlflow_client import begin, cut_off_requests
from prodpointer.serving.follow import Live

if TYPE_CHECKING:
    import asyncio  # slow to import, and there already where a coroutine runs

P = ParamSpec("P")
R = TypeVar("R")

_STOP_WITHIN = 1.0  # seconds that a cancelled read or load has to end; a loader cannot be stopped, and goes on

_log = logging.getLogger("prodpointer")


class AsyncVerb(Generic[P, R]):
    """A verb of a registered model as a coroutine function; see :func:`awaited`."""

    def __init__(self, awaited: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]) -> None:
        self._awaited = awaited

    def __get__(self, model: Any, owner: type | None = None) -> Callable[P, Coroutine[Any, Any, R]]:
        """Return the coroutine function of a model."""
        bound: Callable[P, Coroutine[Any, Any, R]] = self._awaited.__get__(model, owner)
        return bound


def awaited(
    verb: Callable[Concatenate[Any, P], R], *, writes: bool = False
) -> Callable[[Callable[[Any], None]], AsyncVerb[P, R]]:
    """Return what makes a coroutine function of a method: it gives its name and docstring, ``verb`` all else.

    Parameters
    ----------
    verb
        The method.
    writes
        Whether it changes the registry, so that a task that is cancelled meanwhile waits for its end.
    """

    def make(twin: Callable[[Any], None]) -> AsyncVerb[P, R]:
        async def run(model: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
            writing = f"{verb.__name__} of {model.name!r}" if writes else ""
            return await in_thread(functools.partial(verb, model, *args, **kwargs), writing=writing)

        return AsyncVerb(_named(run, twin, verb))

    return make


class AsyncFollow(Generic[P]):
    """``follow`` for ``async with``; see :func:`followed`."""

    def __init__(self, following: Callable[Concatenate[Any, P], AbstractAsyncContextManager[Live]]) -> None:
        self._following = following

    def __get__(self, model: Any, owner: type | None = None) -> Callable[P, AbstractAsyncContextManager[Live]]:
        """Return the function of a model."""
        bound: Callable[P, AbstractAsyncContextManager[Live]] = self._following.__get__(model, owner)
        return bound


def followed(follow: Callable[Concatenate[Any, P], Live]) -> Callable[[Callable[[Any], None]], AsyncFollow[P]]:
    """Return what makes an ``async with`` of ``follow``: entering follows, leaving closes, neither blocks the loop."""

    def make(twin: Callable[[Any], None]) -> AsyncFollow[P]:
        @asynccontextmanager
        async def following(model: Any, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Live]:
            live = follow(model, *args, **kwargs)  # starts a thread, and sends no request
            try:
                yield live
            finally:
                await live.aclose()

        return AsyncFollow(_named(following, twin, follow))

    return make


def awaitable(function: Callable[P, R]) -> Callable[[Callable[[], None]], Callable[P, Coroutine[Any, Any, R]]]:
    """Return what makes a coroutine function of a function that only reads."""

    def make(twin: Callable[[], None]) -> Callable[P, Coroutine[Any, Any, R]]:
        async def run(*args: P.args, **kwargs: P.kwargs) -> R:
            return await in_thread(functools.partial(function, *args, **kwargs))

        return _named(run, twin, function)

    return make


async def in_thread(work: Callable[[], R], *, writing: str = "") -> R:
    """Return what ``work`` returns on a thread, or raise what it raises, while the loop goes on.

    Where the task is cancelled, downloads stop and requests that wait are cut off, and the cancellation is raised
    within a second; after the end of work that writes, whose name is ``writing``.
    """
    import asyncio

    cancelled = threading.Event()

    def run() -> R:
        with cancelled_by(cancelled):
            return work()

    call, thread_id = begin(run)
    done = asyncio.wrap_future(call)
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        cancelled.set()
        if not writing:
            cut_off_requests(thread_id)
        await _end_of(done, None if writing else _STOP_WITHIN)
        done.add_done_callback(functools.partial(_note_end, writing=writing))
        raise


async def _end_of(done: asyncio.Future[Any], seconds: float | None) -> None:
    """Wait until a call has ended, or for so many seconds, also where the task is cancelled again."""
    import asyncio

    loop = asyncio.get_running_loop()
    until = None if seconds is None else loop.time() + seconds
    while not done.done() and (until is None or loop.time() < until):
        with suppress(asyncio.CancelledError):
            await asyncio.wait([done], timeout=None if until is None else max(0.0, until - loop.time()))


def _note_end(done: asyncio.Future[Any], *, writing: str) -> None:
    """Take the result of a call whose task was cancelled, and log the result of a write."""
    error = None if done.cancelled() else done.exception()  # which asyncio would report as never retrieved
    if not writing or done.cancelled():
        return
    if isinstance(error, Cancelled):
        _log.info("%s was cancelled before it wrote anything", writing)
    elif error is not None:
        _log.warning("%s failed, and its task was cancelled: %s", writing, without_credentials(text_of(error)))
    else:
        _log.warning("%s was completed, though its task was cancelled", writing)


F = TypeVar("F", bound=Callable[..., Any])


def _named(made: F, twin: Callable[..., None], verb: Callable[..., Any]) -> F:
    """Return a function with the name and docstring of one and the parameters of another."""
    functools.update_wrapper(made, twin)
    made.__dict__["__signature__"] = inspect.signature(verb)
    return made
