"""The metrics of followers, read with OpenTelemetry's own reader and with Prometheus' own client."""

from __future__ import annotations

import gc
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import metrics as api
from opentelemetry.metrics import NoOpMeter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest

from prodpointer import LiveStats, State
from prodpointer.prometheus import Collector
from prodpointer.serving import metrics
from prodpointer.serving.metrics import Labels
from tests.mlflow_table import ROOT

NEWS = Labels("news", "production", "", "http://registry:5000")
TEAM = Labels("news", "staging", "team-a", "http://registry:5000")
READY = LiveStats(State.READY, 3, 2.5, load_seconds=0.25, bytes=21)


class Handle:
    """What a follower says of itself."""

    def __init__(self, stats: LiveStats) -> None:
        """Say this."""
        self.said = stats

    def stats(self) -> LiveStats:
        """Say it."""
        return self.said


@pytest.fixture(scope="module")
def reader() -> InMemoryMetricReader:
    """The reader of the process' own provider, which can be set once."""
    reader = InMemoryMetricReader()
    api.set_meter_provider(MeterProvider([reader]))
    return reader


@pytest.fixture(autouse=True)
def _nothing_followed() -> Iterator[None]:
    """Leave no handle and no total to another test."""
    yield
    metrics._forget_parent()  # noqa: SLF001  # what a forked process does


@pytest.fixture
def handle() -> Handle:
    """A handle that is measured."""
    handle = Handle(READY)
    metrics.watch(handle, NEWS)
    metrics.count(NEWS, swaps=1, checks=4, failures=0)
    return handle


def observed(reader: InMemoryMetricReader) -> dict[str, dict[str, Any]]:
    """Return the metrics of the library by name: unit, kind and each point's attributes and value."""
    found = reader.get_metrics_data()
    scopes = [] if found is None else found.resource_metrics[0].scope_metrics
    return {
        metric.name: {
            "unit": metric.unit,
            "kind": type(metric.data).__name__ + (" up" if getattr(metric.data, "is_monotonic", False) else ""),
            "points": {tuple(sorted(dict(point.attributes).items())): point.value for point in metric.data.data_points},
        }
        for scope in scopes
        if scope.scope.name == "prodpointer"
        for metric in scope.metrics
    }


def exposed() -> list[str]:
    """Return the lines that Prometheus reads, comments left out."""
    registry = CollectorRegistry()
    registry.register(Collector())
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


ATTRIBUTES = (
    ("prodpointer.alias", "production"),
    ("prodpointer.model", "news"),
    ("prodpointer.registry", "http://registry:5000"),
)


@pytest.mark.usefixtures("handle")
@pytest.mark.parametrize(
    ("name", "unit", "kind", "value"),
    [
        ("version", "{version}", "Gauge", 3),
        ("age", "s", "Gauge", 2.5),
        ("load.duration", "s", "Gauge", 0.25),
        ("artifact.size", "By", "Gauge", 21),
        ("swaps", "{swap}", "Sum up", 1),
        ("checks", "{check}", "Sum up", 4),
        ("failures", "{check}", "Sum up", 0),
    ],
)
def test_opentelemetry_reads_each_metric(
    reader: InMemoryMetricReader, name: str, unit: str, kind: str, value: float
) -> None:
    """Under its name, with its unit and the attributes of the model; a workspace that is not named is left out."""
    found = observed(reader)[f"prodpointer.follow.{name}"]
    assert (found["unit"], found["kind"]) == (unit, kind)
    assert found["points"] == {ATTRIBUTES: value}


@pytest.mark.usefixtures("handle")
def test_opentelemetry_reads_the_state(reader: InMemoryMetricReader) -> None:
    """One series for each state, 1 for the one there is."""
    found = observed(reader)["prodpointer.follow.status"]
    assert (found["unit"], found["kind"]) == ("1", "Sum")
    states = {dict(attributes)["prodpointer.state"]: value for attributes, value in found["points"].items()}
    assert states == {"NOT_READY": 0, "READY": 1, "STALE": 0, "ERROR": 0}


@pytest.mark.usefixtures("handle")
def test_prometheus_reads_each_metric() -> None:
    """Under the names that it gives to those of OpenTelemetry, with base units."""
    labels = 'alias="production",model="news",registry="http://registry:5000",workspace=""'
    start = "prodpointer_follow_"
    expected = {
        f"{start}version{{{labels}}} 3.0",
        f"{start}age_seconds{{{labels}}} 2.5",
        f"{start}load_duration_seconds{{{labels}}} 0.25",
        f"{start}artifact_size_bytes{{{labels}}} 21.0",
        f"{start}swaps_total{{{labels}}} 1.0",
        f"{start}checks_total{{{labels}}} 4.0",
        f"{start}failures_total{{{labels}}} 0.0",
    }
    assert expected <= set(exposed())


@pytest.mark.usefixtures("handle")
def test_prometheus_reads_the_state() -> None:
    """One series for each state, 1 for the one there is."""
    states = {line.split('state="')[1].replace('",workspace=""}', "") for line in exposed() if "_status" in line}
    assert states == {"NOT_READY 0.0", "READY 1.0", "STALE 0.0", "ERROR 0.0"}


def test_both_have_the_same_metrics(reader: InMemoryMetricReader, handle: Handle) -> None:
    """What one of them is told the other is told too."""
    names = {name.replace(".", "_") for name in observed(reader)}
    found = {line.partition("{")[0] for line in exposed()}
    assert {name.removesuffix("_total").removesuffix("_seconds").removesuffix("_bytes") for name in found} == names


def test_what_is_not_known_has_no_series() -> None:
    """Before the first answer there is no age, and where nothing serves no version."""
    handle = Handle(LiveStats())
    metrics.watch(handle, NEWS)
    assert {line.partition("{")[0] for line in exposed()} == {"prodpointer_follow_status"}


def test_of_two_followers_of_one_pointer_the_worse_is_told(handle: Handle) -> None:
    """They are one series, and an alert must not miss the one in trouble."""
    other = Handle(LiveStats(State.ERROR, 2, 90.0))
    metrics.watch(other, NEWS)
    found = exposed()
    assert [line.rpartition(" ")[2] for line in found if "age_seconds" in line] == ["90.0"]
    assert [line.rpartition(" ")[2] for line in found if "follow_version" in line] == ["2.0"]


def test_pointers_are_series_of_their_own(handle: Handle) -> None:
    """By model, alias, workspace and registry."""
    other = Handle(LiveStats(State.READY, 7))
    metrics.watch(other, TEAM)
    values = sorted(line.rpartition(" ")[2] for line in exposed() if "follow_version" in line)
    assert values == ["3.0", "7.0"]


def test_totals_stay_when_a_handle_is_closed(handle: Handle) -> None:
    """A counter never falls while the process runs, and a closed handle has no state."""
    metrics.forget(handle)
    assert {line.partition("{")[0] for line in exposed()} == {
        "prodpointer_follow_checks_total",
        "prodpointer_follow_failures_total",
        "prodpointer_follow_swaps_total",
    }


def test_a_handle_that_nothing_refers_to_is_gone() -> None:
    """Measuring keeps no handle in memory."""
    metrics.watch(Handle(READY), NEWS)
    gc.collect()
    assert exposed() == []


def test_registering_reads_no_follower() -> None:
    """A collector is registered before anything is followed, and twice in one process is an error of Prometheus."""
    registry = CollectorRegistry()
    registry.register(Collector())
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(Collector())


@pytest.mark.usefixtures("handle")
def test_the_page_names_each_metric_and_no_other() -> None:
    """Also in its alerts."""
    page = (ROOT / "docs" / "how-to" / "monitoring.md").read_text(encoding="utf-8")
    assert set(re.findall(r"prodpointer_follow_\w+", page)) == {line.partition("{")[0] for line in exposed()}
    assert set(re.findall(r"prodpointer\.follow\.[\w.]*\w", page)) == {
        f"prodpointer.{each.name}" for each in metrics.METRICS
    }


class Provider:
    """A provider that counts what is asked for, slowly, and may fail."""

    def __init__(self, error: Exception | None = None) -> None:
        """Fail with an error, if there is one."""
        self.error = error
        self.asked = 0

    def get_meter(self, *_: object, **__: object) -> NoOpMeter:
        """Return a meter that does nothing."""
        self.asked += 1
        time.sleep(0.02)
        if self.error is not None:
            raise self.error
        return NoOpMeter("prodpointer")


@pytest.fixture
def provided(monkeypatch: pytest.MonkeyPatch) -> Callable[[Provider], None]:
    """Return what makes a provider the process' own, before any instrument is made."""

    def provide(provider: Provider) -> None:
        monkeypatch.setattr(metrics, "_registered", False)
        monkeypatch.setattr(api, "get_meter", provider.get_meter)

    return provide


def test_instruments_are_made_once(provided: Callable[[Provider], None]) -> None:
    """Also where several threads count at once: twice would be counted twice."""
    provider = Provider()
    provided(provider)
    threads = [threading.Thread(target=metrics.count, args=(NEWS,), kwargs={"checks": 1}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert provider.asked == 1


def test_a_provider_that_fails_stops_no_follower(
    provided: Callable[[Provider], None], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, without credentials, and the totals are kept for Prometheus."""
    provided(Provider(RuntimeError("http://ada:s3cret@collector said no")))
    metrics.count(NEWS, checks=1)
    metrics.count(NEWS, checks=1)
    (message,) = caplog.messages
    assert "***@collector said no" in message
    assert [line.rpartition(" ")[2] for line in exposed() if "_checks_" in line] == ["2.0"]


def test_a_reader_that_collects_does_not_wait_for_instruments_that_wait_for_it(
    provided: Callable[[Provider], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider holds a lock of its own while it collects and while it makes an instrument."""
    theirs, collecting = threading.Lock(), threading.Event()

    def get_meter(*_: object, **__: object) -> NoOpMeter:
        collector.start()
        assert collecting.wait(5)
        with theirs:
            return NoOpMeter("prodpointer")

    def collect() -> None:
        with theirs:
            collecting.set()
            exposed()

    collector = threading.Thread(target=collect, daemon=True)
    provided(Provider())
    monkeypatch.setattr(api, "get_meter", get_meter)
    counting = threading.Thread(target=metrics.count, args=(NEWS,), kwargs={"checks": 1}, daemon=True)
    counting.start()
    counting.join(5)
    assert not counting.is_alive()
