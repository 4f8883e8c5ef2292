"""A registry that is down: detected in time, while last-known-good is served."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import prodpointer
from prodpointer import (
    AccessDenied,
    LastKnownGoodWarning,
    ModelNotFound,
    RegisteredModel,
    RegistryError,
    RegistryUnavailable,
)
from tests.conformance.conftest import Registry, model_behind
from tests.proxy import Answer, Cut, Drip, Fault, Hang, Proxy, everything, on_path

TIMEOUT = 2.0
SLACK = 1.0  # what the contract adds to the timeout
HANGING = Hang(60)

FRESH = """
import sys, time, warnings
warnings.simplefilter("ignore")
import mlflow, prodpointer
from mlflow import MlflowClient
from mlflow.tracking._model_registry.utils import _get_store
began = time.monotonic()
model = prodpointer.connect(sys.argv[1], tracking_uri=sys.argv[2], timeout=float(sys.argv[3]))
found = model.load_production(on_unavailable="last-known-good")
print(found["ranker"], time.monotonic() - began)
"""


@pytest.fixture
def news(served: Registry, between: Proxy) -> RegisteredModel:
    """A model with two versions, the first of them live and loaded, behind the proxy."""
    model = model_behind(between, served, 2, timeout=TIMEOUT)
    model.promote(1)
    assert model.load_production()["ranker"] == 1
    return model


def take_down(between: Proxy, how: str) -> None:
    """Make the registry refuse, or say nothing."""
    if how == "refuses":
        between.refuse()
    else:
        between.when(everything, HANGING)


def seconds(verb: Callable[[], object]) -> float:
    """Return how long a verb takes to find that the registry is down."""
    began = time.monotonic()
    with pytest.raises(RegistryUnavailable):
        verb()
    return time.monotonic() - began


VERBS: dict[str, Callable[[RegisteredModel], object]] = {
    "load_production": lambda news: news.load_production(),
    "production": lambda news: news.production(),
    "status": lambda news: news.status(),
    "promote": lambda news: news.promote(2),
    "withdraw": lambda news: news.withdraw(),
    "register": lambda news: news.register("0" * 32, "bundle"),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("how", ["refuses", "hangs"])
def test_a_registry_that_is_down_is_detected_in_time(
    news: RegisteredModel, between: Proxy, how: str, verb: str
) -> None:
    """Every verb says ``RegistryUnavailable`` within the timeout, where MLflow would try for minutes."""
    take_down(between, how)
    assert seconds(lambda: VERBS[verb](news)) < TIMEOUT + SLACK


@pytest.mark.parametrize("verb", ["promote", "register", "load_production", "history"])
def test_a_registry_that_is_back_answers_at_once(
    news: RegisteredModel, served: Registry, between: Proxy, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Nothing that failed while the registry was down holds up what is called after it, however long MLflow retries."""
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", between.uri)
    calls: dict[str, Callable[[], object]] = {
        "promote": lambda: news.promote(2),
        "register": lambda: news.register(served.runs[0], "bundle", sha256=served.digests[0]),
        "load_production": news.load_production,
        "history": news.history,
    }
    time.sleep(1.1)  # what the registry is was asked a moment ago, and is asked again
    between.refuse()
    assert seconds(calls[verb]) < TIMEOUT + SLACK
    between.listen()
    began = time.monotonic()
    calls[verb]()
    assert time.monotonic() - began < TIMEOUT + SLACK


@pytest.mark.parametrize("how", ["refuses", "hangs"])
def test_connecting_to_a_registry_that_is_down(
    between: Proxy, news: RegisteredModel, forgetful: None, how: str
) -> None:
    """Without anything to fall back to, connecting says in time that the registry is down."""
    prodpointer.mlflow_client.capabilities.forget()
    take_down(between, how)
    assert seconds(lambda: prodpointer.connect("another", tracking_uri=between.uri, timeout=TIMEOUT)) < TIMEOUT + SLACK


@pytest.mark.parametrize("how", ["refuses", "hangs"])
def test_the_last_known_good_is_loaded_in_time(news: RegisteredModel, between: Proxy, how: str) -> None:
    """While the registry is down the last verified live version is loaded, and the warning says how old it is."""
    take_down(between, how)
    began = time.monotonic()
    with pytest.warns(LastKnownGoodWarning, match=r"Version 1 .* was live 0:00:\d\d ago") as warned:
        assert news.load_production(on_unavailable="last-known-good")["ranker"] == 1
    assert time.monotonic() - began < (TIMEOUT + SLACK if how == "hangs" else 2.0)
    assert warned[0].filename == __file__


@pytest.mark.parametrize("how", ["refuses", "hangs"])
def test_a_new_process_starts_with_the_last_known_good(news: RegisteredModel, between: Proxy, how: str) -> None:
    """A service that starts while the registry is down is asked to wait once for it, not for each question."""
    take_down(between, how)
    answer = subprocess.run(
        [sys.executable, "-c", FRESH, news.name, between.uri, str(TIMEOUT)], capture_output=True, text=True, check=True
    )
    found, took = answer.stdout.split()
    assert found == "1"
    assert float(took) < (TIMEOUT + SLACK if how == "hangs" else 2.0)


def test_an_invalid_answer_falls_back_too(news: RegisteredModel, between: Proxy) -> None:
    """A registry that answers with errors of its own is down as well."""
    between.when(everything, Answer(500, b"{}"))
    with pytest.raises(RegistryError):
        news.load_production()
    with pytest.warns(LastKnownGoodWarning):
        assert news.load_production(on_unavailable="last-known-good")["ranker"] == 1


def test_a_gateway_without_upstream_is_down(news: RegisteredModel, between: Proxy) -> None:
    """What a gateway says in the registry's place is no answer, however long it says that one should wait."""
    between.when(everything, Answer(503, b"{}"))
    assert seconds(news.load_production) < TIMEOUT + SLACK


def test_refused_access_is_not_an_outage(news: RegisteredModel, between: Proxy) -> None:
    """Who may not ask what is live gets nothing, also nothing old."""
    between.when(on_path("registered-models/get"), Answer(403, b'{"error_code": "PERMISSION_DENIED"}'))
    with pytest.raises(AccessDenied):
        news.load_production(on_unavailable="last-known-good")


@pytest.mark.parametrize("seen_by", ["withdraw", "load_production", "a deleted model"])
def test_a_known_withdrawal_disables_last_known_good(
    news: RegisteredModel, between: Proxy, served: Registry, seen_by: str
) -> None:
    """What this machine knows to be withdrawn does not come back in an outage."""
    beside = prodpointer.connect(news.name, tracking_uri=served.uri, cache_dir=served.files / "another machine")
    if seen_by == "withdraw":
        news.withdraw()
    elif seen_by == "load_production":
        beside.withdraw()
        assert news.load_production() is None
    else:
        served.plain.delete_registered_model(news.name)
        with pytest.raises(ModelNotFound):
            news.load_production()
    between.refuse()
    with pytest.raises(RegistryUnavailable):
        news.load_production(on_unavailable="last-known-good")


def test_a_damaged_last_known_good_is_not_loaded(news: RegisteredModel, between: Proxy, cache_directory: Path) -> None:
    """Bytes that changed on this machine are no fallback either."""
    (file,) = cache_directory.rglob("newsreco.pkl")
    file.write_bytes(pickle.dumps("forged"))
    between.refuse()
    with pytest.raises(RegistryUnavailable):
        news.load_production(on_unavailable="last-known-good")


def test_an_answer_is_never_overruled(news: RegisteredModel, between: Proxy) -> None:
    """Where the registry names a version whose bytes cannot be had, no other version is loaded in its place."""
    news.promote(2)
    between.when(on_path("mlflow-artifacts"), Answer(503))
    with pytest.raises(RegistryUnavailable):
        news.load_production(on_unavailable="last-known-good")


def test_an_unreachable_new_version_keeps_the_previous_one(news: RegisteredModel, between: Proxy) -> None:
    """Where a new version never came here and the registry is silent then, the last verified live version is loaded."""
    news.promote(2)
    between.when(on_path("mlflow-artifacts"), Answer(503))
    with pytest.raises(RegistryUnavailable):
        news.load_production()
    between.refuse()
    with pytest.warns(LastKnownGoodWarning, match="Version 1 .* Version 2 went live since then"):
        assert news.load_production(on_unavailable="last-known-good")["ranker"] == 1


@pytest.mark.parametrize("fault", [Cut(10), Hang(60)], ids=["broken off", "silent"])
def test_half_a_download_is_no_download(
    news: RegisteredModel, between: Proxy, cache_directory: Path, fault: Fault
) -> None:
    """A download that breaks off or stands still is ``RegistryUnavailable``, not wrong bytes; nothing of it is kept."""
    news.promote(2)
    between.when(on_path("newsreco.pkl"), fault)
    assert seconds(news.load_production) < 3 * TIMEOUT + SLACK
    assert len(list(cache_directory.rglob("newsreco.pkl"))) == 1
    between.heal()
    assert news.load_production()["ranker"] == 2


def test_a_slow_download_has_no_total_limit(news: RegisteredModel, between: Proxy) -> None:
    """A download is bounded by silence, not by its length."""
    news.promote(2)
    between.when(on_path("newsreco.pkl"), Drip(10, TIMEOUT / 4))
    began = time.monotonic()
    assert news.load_production()["ranker"] == 2
    assert time.monotonic() - began > TIMEOUT


def test_no_call_is_left_behind(news: RegisteredModel, served: Registry, between: Proxy) -> None:
    """A request to a server that says nothing ends in time for every caller, on no thread of its own."""
    settings, before = dict(os.environ), threading.enumerate()
    between.when(on_path("runs/get"), HANGING)

    def registering() -> None:
        with pytest.raises(RegistryUnavailable):
            news.register(served.runs[0], "bundle", sha256=served.digests[0])

    callers = [threading.Thread(target=registering) for _ in range(4)]
    began = time.monotonic()
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert time.monotonic() - began < TIMEOUT + SLACK
    assert not [each for each in threading.enumerate() if each.name == "prodpointer-call" and each not in before]
    assert dict(os.environ) == settings
