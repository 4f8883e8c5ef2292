"""The metrics of followers for Prometheus; needs the extra ``prometheus``.

``prometheus_client.REGISTRY.register(prodpointer.prometheus.Collector())`` adds them to what a service exposes.
"""

from __future__ import annotations

from collections.abc import Iterable

try:
    from prometheus_client import registry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
except ModuleNotFoundError as _missing:
    raise ModuleNotFoundError(
        "prometheus_client is not installed. Install the extra: pip install 'prodpointer[prometheus]'.",
        name=_missing.name,
    ) from _missing

from prodpointer._telemetry import SCOPE
from prodpointer.serving import metrics

_UNITS = {"s": "_seconds", "By": "_bytes"}
_LABELS = metrics.Labels._fields


class Collector(registry.Collector):  # type: ignore[misc]  # skipped by the checker, see pyproject.toml
    """Collects what the followers of this process counted, when it is asked; it has no thread.

    Each series has the labels ``model``, ``alias``, ``workspace`` and ``registry``. Several followers of one pointer
    share a series, whose gauges are those of the one in the worst state.
    """

    def collect(self) -> Iterable[Metric]:
        """Yield each metric with its series."""
        for metric in metrics.METRICS:
            family = _family(metric)
            for labels, state, value in metric.points():
                family.add_metric([*labels, *([] if state is None else [state])], value)
            yield family

    def describe(self) -> Iterable[Metric]:
        """Yield each metric without a series, so that registering it reads no follower."""
        return map(_family, metrics.METRICS)


def _family(metric: metrics.Metric) -> CounterMetricFamily | GaugeMetricFamily:
    """Return a metric under the name that Prometheus gives to OpenTelemetry's."""
    name = f"{SCOPE}.{metric.name}".replace(".", "_") + _UNITS.get(metric.unit, "")
    labels = (*_LABELS, "state") if metric.kind == "states" else _LABELS
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return kind(name, f"{metric.description}.", labels=labels)
