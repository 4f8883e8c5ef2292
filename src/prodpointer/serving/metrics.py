"""The metrics of the followers of this process, under the names of OpenTelemetry; Prometheus derives its own.

Nothing is measured on a thread of its own: what a follower counted is read when an exporter asks.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
import weakref
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

from prodpointer._telemetry import SCOPE, library_version
from prodpointer.errors import without_credentials
from prodpointer.serving.state import LiveStats, State

_log = logging.getLogger(SCOPE)
_WORST_LAST = (State.READY, State.STALE, State.NOT_READY, State.ERROR)


class Labels(NamedTuple):
    """What a series of numbers is about; the workspace is empty where there is none."""

    model: str
    alias: str
    workspace: str
    registry: str


class Followed(Protocol):
    """A handle that follows."""

    @abstractmethod
    def stats(self) -> LiveStats:
        """Return what it counted."""


Kind = Literal["gauge", "counter", "states"]


@dataclass(frozen=True)
class Metric:
    """One metric: its name and unit (UCUM) for OpenTelemetry, and where its value is in what a follower counted."""

    name: str
    unit: str
    description: str
    field: str
    kind: Kind = "gauge"

    def points(self) -> Iterator[tuple[Labels, str | None, float]]:
        """Yield each series: what it is about, its state where there is one for each state, and its value."""
        if self.kind == "counter":
            yield from ((labels, None, total) for labels, total in _totals_of(self.field))
            return
        for labels, stats in _followed():
            value = getattr(stats, self.field)
            if self.kind == "states":
                yield from ((labels, str(state), float(state is value)) for state in State)
            elif value is not None:
                yield labels, None, value


METRICS: tuple[Metric, ...] = (
    Metric("follow.version", "{version}", "Number of the version that serves; no value where none does", "version"),
    Metric("follow.age", "s", "Time since the registry last said what is live", "age"),
    Metric("follow.status", "1", "1 for the state of the follower, 0 for each other state", "state", "states"),
    Metric("follow.checks", "{check}", "Checks of the pointer that ended", "checks", "counter"),
    Metric("follow.failures", "{check}", "Checks after which the live version did not serve", "failures", "counter"),
    Metric("follow.swaps", "{swap}", "Objects that began to serve, and withdrawals", "swaps", "counter"),
    Metric(
        "follow.load.duration",
        "s",
        "How long download, verification, loading and warm-up of the version that serves took",
        "load_seconds",
    ),
    Metric("follow.artifact.size", "By", "Size of the artifact of the version that serves", "bytes"),
)

_handles: weakref.WeakKeyDictionary[Followed, Labels] = weakref.WeakKeyDictionary()
_totals: dict[Labels, Counter[str]] = {}
_changing = threading.Lock()
_registering = threading.Lock()
_registered = False


def watch(handle: Followed, labels: Labels) -> None:
    """Measure a handle until it is closed."""
    with _changing:
        _handles[handle] = labels


def forget(handle: Followed) -> None:
    """Measure a handle no longer."""
    with _changing:
        _handles.pop(handle, None)


def count(labels: Labels, **more: int) -> None:
    """Add to the totals of this process, which outlive a handle."""
    with _changing:
        _totals.setdefault(labels, Counter()).update(more)
    _register()


def _register() -> None:
    """Make the instruments of OpenTelemetry, once, where the application has imported its metrics by now."""
    global _registered  # noqa: PLW0603  # of this process
    if _registered or "opentelemetry.metrics" not in sys.modules:
        return
    with _registering:  # not _changing, for which a provider waits that collects, while the instruments wait for it
        if _registered:
            return
        try:
            _make_instruments()
        except Exception as error:  # noqa: BLE001  # of the application's provider, and no reason not to follow
            stack = without_credentials("".join(traceback.format_exception(error)))
            _log.error("OpenTelemetry does not measure what is followed:\n%s", stack)
        _registered = True  # also after a failure: what was made by then would be made twice, and counted twice


def _make_instruments() -> None:
    """Make the instruments of OpenTelemetry."""
    from opentelemetry import metrics

    meter = metrics.get_meter(SCOPE, library_version())
    makers = {
        "gauge": meter.create_observable_gauge,
        "counter": meter.create_observable_counter,
        "states": meter.create_observable_up_down_counter,
    }
    for each in METRICS:
        observing = partial(_observe, metrics.Observation, each)
        makers[each.kind](f"{SCOPE}.{each.name}", [observing], unit=each.unit, description=each.description)


def _observe(observation: Callable[..., Any], metric: Metric, _: object) -> Iterator[Any]:
    """Yield the points of a metric for OpenTelemetry."""
    for labels, state, value in metric.points():
        attributes = {f"{SCOPE}.{name}": text for name, text in labels._asdict().items() if text}
        yield observation(value, attributes if state is None else {**attributes, f"{SCOPE}.state": state})


def _followed() -> Iterator[tuple[Labels, LiveStats]]:
    """Yield what is followed; of several handles of one pointer, the one in the worst state."""
    found: dict[Labels, LiveStats] = {}
    with _changing:
        handles = list(_handles.items())
    for handle, labels in handles:
        stats = handle.stats()
        other = found.get(labels)
        if other is None or _badness(stats) > _badness(other):
            found[labels] = stats
    yield from found.items()


def _badness(stats: LiveStats) -> tuple[int, float]:
    return _WORST_LAST.index(stats.state), stats.age or 0.0


def _totals_of(field: str) -> list[tuple[Labels, float]]:
    with _changing:
        return [(labels, float(total[field])) for labels, total in _totals.items()]


def _forget_parent() -> None:
    """Measure nothing of the parent in a forked process; a handle is measured again once it is read there."""
    global _changing, _registering, _handles  # of this process; the parent may have held the locks
    _changing, _registering, _handles = threading.Lock(), threading.Lock(), weakref.WeakKeyDictionary()
    _totals.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, where no process is forked
    os.register_at_fork(after_in_child=_forget_parent)
