"""What real verbs tell the log and OpenTelemetry's own exporters, which come with the newest MLflow of each major."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import prodpointer
from prodpointer import RegisteredModel, RegistryUnavailable, VersionNotFound
from tests.integration.conftest import Lab
from tests.integration.stub import document, registry, stub


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """The exporter of the process' own provider, which can be set once."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture(scope="module")
def reader() -> InMemoryMetricReader:
    """The reader of the process' own metrics, which can be set once."""
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    return reader


@pytest.fixture
def news(lab: Lab, name: str, tmp_path: Path, exporter: InMemorySpanExporter) -> RegisteredModel:
    """A model with two versions, before any span."""
    model = lab.model(name, 2, cache_dir=tmp_path / "cache")
    exporter.clear()
    return model


def spans(exporter: InMemorySpanExporter, model: str) -> list[tuple[str, object]]:
    """Return the verb and the version of each span of a model."""
    found = [(each.name, dict(each.attributes or {})) for each in exporter.get_finished_spans()]
    return [
        (name.removeprefix("prodpointer."), told.get("prodpointer.version"))
        for name, told in found
        if name.startswith("prodpointer.") and told["prodpointer.model"] == model
    ]


def test_each_verb_is_one_span(news: RegisteredModel, exporter: InMemorySpanExporter, tmp_path: Path) -> None:
    """With the version that it found, loaded or moved to."""
    news.promote(1)
    news.promote(2)
    news.production()
    news.live_version()
    news.status()
    news.history()
    news.rollback()
    news.load_production()
    news.pull(tmp_path / "here")
    news.adopt(2)
    news.repair()
    news.withdraw()
    assert spans(exporter, news.name) == [
        ("promote", 1),
        ("promote", 2),
        ("production", 2),
        ("live_version", 2),
        ("status", 2),
        ("history", None),
        ("rollback", 1),
        ("load_production", 1),
        ("pull", 1),
        ("adopt", 2),
        ("repair", 1),
        ("withdraw", None),
    ]


def test_a_promotion_names_its_event(news: RegisteredModel, exporter: InMemorySpanExporter) -> None:
    """So that a trace leads to the record."""
    event = news.promote(1).event
    assert dict(exporter.get_finished_spans()[-1].attributes or {})["prodpointer.event"] == event


def test_a_refused_verb_is_an_error(news: RegisteredModel, exporter: InMemorySpanExporter) -> None:
    """With the name of the error and the version that was asked for."""
    with pytest.raises(VersionNotFound):
        news.promote(9)
    told = dict(exporter.get_finished_spans()[-1].attributes or {})
    assert (told["error.type"], told["prodpointer.version"]) == ("VersionNotFound", 9)


def test_a_follower_is_measured_until_it_is_closed(news: RegisteredModel, reader: InMemoryMetricReader) -> None:
    """With what OpenTelemetry's reader finds when it asks."""

    def versions() -> list[object]:
        data = reader.get_metrics_data()
        scopes = [] if data is None else data.resource_metrics[0].scope_metrics
        found = [metric for scope in scopes for metric in scope.metrics if metric.name == "prodpointer.follow.version"]
        points = [point for metric in found for point in metric.data.data_points]
        return [each.value for each in points if dict(each.attributes)["prodpointer.model"] == news.name]

    news.promote(2)
    with news.follow(60) as live:
        assert live.wait_ready(10)
        deadline = time.monotonic() + 10
        while live.stats().checks == 0:
            assert time.monotonic() < deadline, "in time"
            time.sleep(0.005)
        assert versions() == [2]
    assert versions() == []


def test_a_promotion_is_logged(news: RegisteredModel, caplog: pytest.LogCaptureFixture) -> None:
    """At INFO, by whom and why."""
    caplog.set_level(logging.INFO, "prodpointer")
    news.promote(1, by="ada", reason="weekly retrain")
    assert caplog.messages == [f"{news.name}@production: nothing → 1 by ada: weekly retrain"]


def test_each_request_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG with method, path, status and time, and nothing of the query."""
    with stub(lambda _, request: registry()(request)) as server:
        model = prodpointer.connect("secret-model", tracking_uri=server.uri)
        caplog.set_level(logging.DEBUG, "prodpointer")
        with pytest.raises(prodpointer.ModelNotFound):
            model.live_version()
    (line,) = caplog.messages
    start, _, rest = line.partition(": 404 in ")
    assert start == f"GET {server.uri}/api/2.0/mlflow/registered-models/get"
    assert rest.endswith(" ms")
    assert 0 <= float(rest.removesuffix(" ms")) < 60_000


def test_no_credential_is_logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one in the address, nor one that MLflow sends."""
    caplog.set_level(logging.DEBUG, "prodpointer")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0psecret")
    with stub(lambda _, request: registry()(request)) as server:
        address = server.uri.replace("http://", "http://ada:s3cret@")
        with pytest.raises(prodpointer.ModelNotFound):
            prodpointer.connect("news", tracking_uri=address).live_version()
    assert "registered-models/get: 404" in caplog.text
    assert "s3cret" not in caplog.text
    assert "t0psecret" not in caplog.text


def test_a_request_without_an_answer_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """With the class of what went wrong in place of a status."""
    caplog.set_level(logging.DEBUG, "prodpointer")
    with stub(lambda running, _: running.slowly(document({}), 0.2)) as server, pytest.raises(RegistryUnavailable):
        prodpointer.connect("news", tracking_uri=server.uri, timeout=0.5).live_version()
    assert ": NoAnswer in " in caplog.text


def test_a_call_of_mlflows_client_is_logged(news: RegisteredModel, caplog: pytest.LogCaptureFixture) -> None:
    """What reads a database has a name and a time."""
    caplog.set_level(logging.DEBUG, "prodpointer")
    news.live_version()
    assert any(each.startswith("MlflowClient.get_registered_model: done in ") for each in caplog.messages)


def test_no_handler_is_installed() -> None:
    """Which messages are shown, and where, is the application's choice."""
    assert logging.getLogger("prodpointer").handlers == []
