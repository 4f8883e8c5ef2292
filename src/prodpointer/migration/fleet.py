"""All registered models at once: read in pages, worked on a few at a time, with patience for a server that is busy."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from operator import attrgetter
from typing import Generic, TypeVar

from prodpointer.errors import ModelNotFound, ProdpointerError, RegistryError, RegistryUnavailable
from prodpointer.history.record import holds_events
from prodpointer.mlflow_client import Registry
from prodpointer.pointers.rule import Rule
from prodpointer.types import ModelReply, ModelVersion

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 8
"""Models worked on at a time: what a small server stands."""

MOST_FAILURES = 20
"""Models that may fail before a run stops by itself."""

_TRIES = 6
_FIRST_PAUSE = 0.5  # seconds, after the first answer that says the server is busy; then twice as long, and so on
_LONGEST_PAUSE = 15.0
_A_CHECK = 0.2  # seconds between two checks of whether to stop


def check_patterns(names: Iterable[str], globs: Sequence[str], where: str) -> None:
    """Raise ``ModelNotFound`` for patterns that match no registered model, such as a name with a typing error."""
    known = list(names)
    unmatched = [glob for glob in globs if not any(fnmatchcase(name, glob) for name in known)]
    if unmatched:
        raise ModelNotFound(
            f"No registered model matches {' or '.join(map(repr, unmatched))}.",
            where=where,
            next_step="`prodpointer status` lists the models. Names are compared with case.",
        )


def models_like(registry: Registry, globs: Sequence[str]) -> Iterator[ModelReply]:
    """Yield the registered models whose name one of the patterns matches, prompts left out; a request a page.

    Parameters
    ----------
    registry
        The registry.
    globs
        Patterns as a shell has them, such as ``"news-*"``; none match every model.
    """
    for page in registry.model_pages():
        for reply in page:
            if not globs or any(fnmatchcase(reply.name, glob) for glob in globs):
                yield reply


def read_fleet(registry: Registry, globs: Sequence[str], rules: Sequence[Rule]) -> list[ModelReply]:
    """Return the models whose name a pattern matches, by name, each with the versions that matter for a migration.

    They are those in a stage or under an alias of the rules, and those that hold events. It takes a request for each
    page of models and for each page of versions, and none for a single model.
    """
    replies = {reply.name: reply for reply in models_like(registry, globs)}
    kept: dict[str, list[ModelVersion]] = {name: [] for name in replies}
    stages = {rule.stage for rule in rules}
    aliases = {rule.alias for rule in rules}
    for page in registry.version_pages() if replies else ():
        for version in page:
            reply = replies.get(version.name)
            if reply is not None and (version.stage in stages or _matters(version, reply, aliases)):
                kept[version.name].append(version)
    by_number = attrgetter("version")
    return [replace(replies[name], versions=tuple(sorted(kept[name], key=by_number))) for name in sorted(replies)]


def _matters(version: ModelVersion, reply: ModelReply, aliases: set[str]) -> bool:
    """Tell whether a version holds events or is what an alias names."""
    if holds_events(version):
        return True
    return any(number == version.version and alias.lower() in aliases for alias, number in reply.aliases.items())


@dataclass(frozen=True)
class Result(Generic[T, R]):
    """The result of one of many: ``value``, or the error that it ended with."""

    item: T
    value: R | None
    error: ProdpointerError | None = None


class Patience:
    """What all workers of one run know of the server: while it is busy, all of them wait."""

    def __init__(self, stopped: threading.Event) -> None:
        """Begin with a server that is not busy; ``stopped`` ends the waiting."""
        self._stopped = stopped
        self._until = 0.0
        self._lock = threading.Lock()

    def call(self, work: Callable[[T], R], item: T) -> R:
        """Return what ``work`` returns, again and later where the server answers 429 or 5xx or not at all.

        The work may run twice for one item, so it has to find out by itself what is left to do.
        """
        for attempt in range(_TRIES):
            self._wait()
            try:
                return work(item)
            except (RegistryUnavailable, RegistryError) as error:
                if attempt == _TRIES - 1 or self._stopped.is_set() or not _passing(error):
                    raise
                pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)
                with self._lock:
                    self._until = max(self._until, time.monotonic() + pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _wait(self) -> None:
        """Wait until the server may be asked again, not all to the same moment."""
        while (seconds := self._until - time.monotonic()) > 0 and not self._stopped.is_set():
            self._stopped.wait(seconds + random.uniform(0.0, _A_CHECK))  # noqa: S311  # a pause, no secret


def _passing(error: ProdpointerError) -> bool:
    """Tell whether an error may be over in a moment."""
    return isinstance(error, RegistryUnavailable) or getattr(error, "code", "") == "INTERNAL_ERROR"


def each_of(
    items: Iterable[T],
    work: Callable[[T], R],
    *,
    at_once: int = AT_ONCE,
    most_failures: int = MOST_FAILURES,
    stopped: threading.Event | None = None,
) -> Iterator[Result[T, R]]:
    """Yield what becomes of each item, as it is done; a few are worked on at a time.

    Parameters
    ----------
    items
        What to work on.
    work
        What to do with each; it may be called again for the same item.
    at_once
        How many are in flight.
    most_failures
        So many may fail; with one more nothing new is begun, and what is in flight is still yielded.
    stopped
        Set from outside, it has the same effect.
    """
    stop = stopped or threading.Event()
    patience = Patience(stop)
    waiting, failures = iter(items), 0
    flying: dict[Future[R], T] = {}
    with ThreadPoolExecutor(at_once, thread_name_prefix="prodpointer-fleet") as pool:
        while True:
            while len(flying) < at_once and not stop.is_set() and failures <= most_failures:
                try:
                    item = next(waiting)
                except StopIteration:
                    break
                flying[pool.submit(patience.call, work, item)] = item
            if not flying:
                return
            for ended in wait(flying, timeout=_A_CHECK, return_when=FIRST_COMPLETED).done:
                item = flying.pop(ended)
                error = ended.exception()
                if error is not None and not isinstance(error, ProdpointerError):
                    raise error
                failures += error is not None
                yield Result(item, None if error else ended.result(), error)
