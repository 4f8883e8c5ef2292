"""The spans of the verbs, read with OpenTelemetry's own exporter, and what they log."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from prodpointer import PointerStatus, Promotion, RegistryError
from prodpointer._telemetry import annotate, observed

NOW = datetime(2026, 11, 30, 12, 4, tzinfo=timezone.utc)


class Model:
    """A model whose verbs return what they are given."""

    _labels = {"model": "news", "alias": "production", "workspace": None}  # noqa: RUF012  # read alone

    @observed
    def promote(self, version: int, *, result: Any = None, dry_run: bool = False) -> Any:
        """Return or raise the result."""
        if isinstance(result, BaseException):
            raise result
        return result

    @observed
    def load_production(self) -> int:
        """Return an object that is a number."""
        annotate(version=3)
        return 42

    @observed
    def register(self, run_id: str, *, dry_run: bool = False) -> int:
        """Return a version."""
        return 7

    @observed
    def compare(self, a: int, b: int) -> None:
        """Return nothing."""


def move(**values: Any) -> Promotion:
    """Return a promotion of version 2."""
    made: dict[str, Any] = {"by": "ada", "reason": "weekly retrain", "event": "000007", **values}
    return Promotion("news", 1, made.pop("to", 2), ("alias",), NOW, **made)


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """The exporter of the process' own provider, which can be set once."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture(autouse=True)
def _no_spans_before(exporter: InMemorySpanExporter) -> None:
    """Begin without spans."""
    exporter.clear()


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    """Return the one span there is."""
    (span,) = exporter.get_finished_spans()
    return span


def test_a_verb_is_a_span(exporter: InMemorySpanExporter) -> None:
    """With the model, the versions and the event; what is not known is left out."""
    Model().promote(2, result=move())
    span = only(exporter)
    assert span.name == "prodpointer.promote"
    assert dict(span.attributes or {}) == {
        "prodpointer.model": "news",
        "prodpointer.alias": "production",
        "prodpointer.version": 2,
        "prodpointer.from_version": 1,
        "prodpointer.event": "000007",
    }
    assert span.status.status_code is trace.StatusCode.UNSET


def test_the_number_of_a_new_version_is_told(exporter: InMemorySpanExporter) -> None:
    """What ``register`` returns is a version."""
    Model().register("run")
    assert dict(only(exporter).attributes or {})["prodpointer.version"] == 7


@pytest.mark.parametrize("call", [lambda: Model().register("run", dry_run=True), lambda: Model().compare(1, 2)])
def test_only_a_version_that_exists_is_an_attribute(exporter: InMemorySpanExporter, call: Callable[[], object]) -> None:
    """A dry run makes none, and of two that are compared neither is the one."""
    call()
    assert "prodpointer.version" not in dict(only(exporter).attributes or {})


def test_the_version_that_is_asked_for_is_an_attribute(exporter: InMemorySpanExporter) -> None:
    """Also where the verb fails."""
    with pytest.raises(RegistryError):
        Model().promote(2, result=RegistryError("Could not read the model."))
    assert dict(only(exporter).attributes or {})["prodpointer.version"] == 2


def test_a_loaded_object_is_no_version(exporter: InMemorySpanExporter) -> None:
    """An object may be a number; the version is told from within."""
    Model().load_production()
    assert dict(only(exporter).attributes or {})["prodpointer.version"] == 3


def test_an_error_is_recorded_without_credentials(exporter: InMemorySpanExporter) -> None:
    """Its class, its text and its traceback, also what other libraries say of it."""
    error = RegistryError("Could not read the model.")
    error.__cause__ = ValueError("http://ada:s3cret@registry:5000 said no")
    with pytest.raises(RegistryError):
        Model().promote(2, result=error)
    span = only(exporter)
    (event,) = span.events
    told = dict(event.attributes or {})
    assert dict(span.attributes or {})["error.type"] == told["exception.type"] == "RegistryError"
    assert span.status.status_code is trace.StatusCode.ERROR
    assert "Could not read the model." in str(span.status.description)
    assert "registry:5000 said no" in str(told["exception.stacktrace"])
    assert "s3cret" not in span.to_json()


class Unspeakable(Exception):  # as a library may name its own
    """An error that cannot be shown."""

    def __str__(self) -> str:
        """Raise another error."""
        raise RuntimeError("no text")


def test_an_error_without_a_text_is_the_one_that_is_raised(exporter: InMemorySpanExporter) -> None:
    """Recording it raises no other."""
    with pytest.raises(Unspeakable):
        Model().promote(2, result=Unspeakable())
    assert dict(only(exporter).attributes or {})["error.type"] == "Unspeakable"


def test_a_verb_is_below_the_callers_span(exporter: InMemorySpanExporter) -> None:
    """A deployment job sees the promotion in its own trace."""
    with trace.get_tracer("job").start_as_current_span("deploy") as job:
        Model().promote(2, result=move())
    span = exporter.get_finished_spans()[0]
    assert span.parent is not None
    assert span.parent.span_id == job.get_span_context().span_id


def test_the_callers_span_stays_as_it_is(exporter: InMemorySpanExporter) -> None:
    """What is told from within a verb belongs to the verb's span, and outside of one to none."""
    with trace.get_tracer("job").start_as_current_span("deploy") as job:
        Model().load_production()
        annotate(version=9)
    assert dict(job.attributes or {}) == {}


@pytest.mark.parametrize(
    ("moved", "line"),
    [
        (move(), "news@production: 1 → 2 by ada: weekly retrain"),
        (move(reason=""), "news@production: 1 → 2 by ada"),
        (move(to=None, kind="withdraw"), "news@production: 1 → nothing by ada (withdraw): weekly retrain"),
        (move(kind="rollback", reason="a\u202eb"), "news@production: 1 → 2 by ada (rollback): a\\u202eb"),
    ],
)
def test_a_move_is_logged(caplog: pytest.LogCaptureFixture, moved: Promotion, line: str) -> None:
    """At INFO, in one line, fit for a terminal."""
    caplog.set_level(logging.INFO, "prodpointer")
    Model().promote(2, result=moved)
    assert [(each.name, each.levelname, each.message) for each in caplog.records] == [("prodpointer", "INFO", line)]


def test_a_repair_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Each thing that was put right."""
    caplog.set_level(logging.INFO, "prodpointer")
    status = PointerStatus("news", 2, 2, 2, True, "both", None, mended=("the stage Production: 1 → 2",))
    Model().promote(2, result=status)
    assert caplog.messages == ["news@production: repaired: the stage Production: 1 → 2"]


@pytest.mark.parametrize("options", [{"dry_run": True}, {}])
def test_what_moves_nothing_is_not_logged(caplog: pytest.LogCaptureFixture, options: dict[str, bool]) -> None:
    """A dry run, and the promotion of what is live already."""
    caplog.set_level(logging.INFO, "prodpointer")
    pointers = ("alias",) if options else ()
    moved = Promotion("news", 1, 2, pointers, NOW, "ada")
    Model().promote(2, result=moved, **options)
    assert caplog.messages == []


RUN = """
import sys
import prodpointer
from prodpointer._telemetry import annotate, observed
from prodpointer.serving.metrics import Labels, METRICS, count, watch

class Model:
    _labels = {"model": "news", "alias": "production", "workspace": None}

    @observed
    def register(self):
        annotate(version=1)
        return 1

assert Model().register() == 1
count(Labels("news", "production", "", ""), swaps=1)
assert [list(each.points()) for each in METRICS if each.field == "swaps"][0][0][2] == 1.0
print(sorted(name for name in sys.modules if name.startswith(("opentelemetry", "prometheus_client"))))
"""


ABSENT = "import sys; sys.modules['opentelemetry'] = sys.modules['prometheus_client'] = None\n"


@pytest.mark.parametrize("before", ["", ABSENT], ids=["installed", "absent"])
def test_nothing_is_imported_that_the_application_has_not(before: str) -> None:
    """Verbs and followers work without OpenTelemetry and Prometheus, and import neither where they are installed."""
    answer = subprocess.run([sys.executable, "-c", before + RUN], capture_output=True, text=True, check=True)
    expected = ["opentelemetry", "prometheus_client"] if before else []
    assert answer.stdout.strip() == str(expected)


def test_a_missing_prometheus_names_the_extra() -> None:
    """The one module that needs its client says what to install."""
    code = "import sys; sys.modules['prometheus_client'] = None; import prodpointer.prometheus"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'prodpointer[prometheus]'" in answer.stderr
