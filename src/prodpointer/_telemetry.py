"""What the verbs tell the log and OpenTelemetry.

OpenTelemetry asks libraries to use its API alone and to leave the choice of an SDK to the application, whose global
provider counts. So there is nothing to switch on here. It is not imported either: an application that traces has
imported it, and where none has, its API would do nothing.
"""

from __future__ import annotations

import logging
import sys
import traceback
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from importlib import metadata
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from prodpointer._text import text_of, visible
from prodpointer.errors import without_credentials
from prodpointer.types import ModelVersion, PointerStatus, Promotion, Pulled

P = ParamSpec("P")
T = TypeVar("T")

SCOPE = "prodpointer"
"""The name of the tracer, of the meter and of the logger, and the start of every name below them."""

_log = logging.getLogger(SCOPE)
_current: ContextVar[Any] = ContextVar("prodpointer_span", default=None)
_NUMBERED = ("register", "live_version")  # the verbs that return the number of a version
_OF_A_VERSION = ("version", "promote", "adopt")  # the verbs whose first argument is the number of a version


class Labelled(Protocol):
    """What has verbs."""

    @property
    @abstractmethod
    def _labels(self) -> Mapping[str, str | None]:
        """The model, its alias and its workspace, None where there is none."""


M = TypeVar("M", bound=Labelled)


def observed(verb: Callable[Concatenate[M, P], T]) -> Callable[Concatenate[M, P], T]:
    """Log what a verb moves, and record a span of it where the application traces."""
    name = verb.__name__

    @wraps(verb)
    def call(model: M, /, *args: P.args, **options: P.kwargs) -> T:
        labels = model._labels  # noqa: SLF001  # for this decorator
        is_dry = bool(options.get("dry_run"))
        asked = options.get("version", args[0] if args else None) if name in _OF_A_VERSION else None
        with _span(name, labels, asked):
            result = verb(model, *args, **options)
            if not (is_dry and name in _NUMBERED):  # a version that would be made
                annotate(**_facts_of(name, result))
        if not is_dry:
            _log_moves(f"{labels['model']}@{labels['alias']}", result)
        return result

    return call


def annotate(**facts: Any) -> None:
    """Add facts to the span of the verb that runs now, if there is one; None values are left out."""
    span = _current.get()
    if span is not None:
        span.set_attributes(_attributes(facts))


@cache
def library_version() -> str:
    """Return the version of this library."""
    return metadata.version("prodpointer")


@contextmanager
def _span(verb: str, labels: Mapping[str, str | None], version: object) -> Iterator[None]:
    """Record a span until the block ends, with the error that ends it."""
    if "opentelemetry.trace" not in sys.modules:
        yield
        return
    from opentelemetry import trace

    facts = {**labels, "version": version if isinstance(version, int) else None}
    with trace.get_tracer(SCOPE, library_version()).start_as_current_span(
        f"{SCOPE}.{verb}", attributes=_attributes(facts), record_exception=False, set_status_on_exception=False
    ) as span:
        token = _current.set(span)
        try:
            yield
        except BaseException as error:
            kind, text = type(error).__qualname__, without_credentials(text_of(error))
            span.set_attribute("error.type", kind)
            span.set_status(trace.Status(trace.StatusCode.ERROR, text))
            # Not record_exception: what other libraries say of their errors may hold credentials.
            stack = without_credentials("".join(traceback.format_exception(error)))
            exception = {"exception.type": kind, "exception.message": text, "exception.stacktrace": stack}
            span.add_event("exception", exception)
            raise
        finally:
            _current.reset(token)


def _attributes(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts under the names of their attributes."""
    return {f"{SCOPE}.{name}": value for name, value in facts.items() if value is not None}


def _facts_of(verb: str, result: object) -> dict[str, Any]:
    """Return what the result of a verb says of versions and events."""
    if isinstance(result, Promotion):
        return {"version": result.to_version, "from_version": result.from_version, "event": result.event}
    if isinstance(result, PointerStatus):
        return {"version": result.live}
    if isinstance(result, ModelVersion | Pulled):
        return {"version": result.version}
    return {"version": result} if verb in _NUMBERED else {}


def _log_moves(label: str, result: object) -> None:
    """Log what a verb moved."""
    if isinstance(result, Promotion) and result.pointers and result.state == "done":
        kind = "" if result.kind == "promote" else f" ({result.kind})"
        moved = (label, result.from_version or "nothing", result.to_version or "nothing")
        reason = f": {visible(result.reason)}" if result.reason else ""
        _log.info("%s: %s → %s by %s%s%s", *moved, visible(result.by), kind, reason)
    elif isinstance(result, PointerStatus):
        for each in result.mended:
            _log.info("%s: repaired: %s", label, each)
