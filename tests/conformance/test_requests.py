"""The number of requests of each operation, counted at a proxy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

import prodpointer
from prodpointer import PromotionLost, RegisteredModel, RegistryUnavailable
from prodpointer.connection import registered_model_names
from prodpointer.mlflow_client.registry import Registry as Border
from prodpointer.types import ModelReply, ModelVersion
from tests.conformance.conftest import HAS_ALIASES, IS_THREE, Registry, model_behind
from tests.proxy import Answer, Hang, Proxy, everything, on_path


@pytest.fixture
def news(served: Registry, between: Proxy) -> RegisteredModel:
    """A model with two versions behind the proxy."""
    return model_behind(between, served, 2)


def asked(between: Proxy, verb: Callable[[], object]) -> int:
    """Return how many requests a verb sends."""
    between.clear()
    verb()
    return between.count


def test_a_registry_is_asked_for_its_version_once(news: RegisteredModel, between: Proxy) -> None:
    """However often a process connects, and whatever it does, it asks once."""
    for _ in range(3):
        prodpointer.connect(news.name, tracking_uri=between.uri).promote(1)
        prodpointer.connect("another", tracking_uri=between.uri)
    assert [path for _, path in between.requests].count("/version") == 1


def test_the_live_number_costs_one_request(news: RegisteredModel, between: Proxy) -> None:
    """One request tells the live number; that there is none is believed only when it was said twice."""
    assert asked(between, news.live_version) == 2
    news.promote(1)
    assert asked(between, news.live_version) == 1


def test_the_live_version_costs_two_requests(news: RegisteredModel, between: Proxy) -> None:
    """The live version with its tags costs at most two requests."""
    news.promote(1)
    assert asked(between, news.production) <= 2


def test_a_dangling_alias_costs_no_more(news: RegisteredModel, between: Proxy, served: Registry) -> None:
    """Nothing live is found out in two requests too, where the live version was deleted."""
    if HAS_ALIASES:
        served.set_alias(news.name, "production", 1)
    else:
        news.promote(1)
    served.plain.delete_model_version(news.name, "1")
    assert asked(between, news.production) <= 2


def test_a_list_of_models_asks_first_what_the_registry_is(between: Proxy, forgetful: None) -> None:
    """The list of all models is asked of a registry that has said what it is, within the timeout."""
    registered_model_names(tracking_uri=between.uri)
    assert between.requests[0] == ("GET", "/version")


def test_a_status_costs_two_requests(news: RegisteredModel, between: Proxy) -> None:
    """Both pointers, whether they agree, and the last event cost two requests."""
    news.promote(1)
    assert asked(between, news.status) == 2


SHAPES = ("alias", "stage", "both") if HAS_ALIASES else ("stage",)
MOST = {"alias": 7, "stage": 9, "both": 11}


@pytest.mark.parametrize("pointer", SHAPES)
def test_moves_cost_few_requests(between: Proxy, served: Registry, pointer: str) -> None:
    """A promotion of another version, a withdrawal, and a rollback, which also looks whether the artifact is there."""
    news = model_behind(between, served, 2, pointer=pointer)
    news.promote(1)
    assert asked(between, lambda: news.promote(2)) == MOST[pointer]
    assert asked(between, news.rollback) <= MOST[pointer] + 1
    assert asked(between, news.withdraw) <= MOST[pointer]


@pytest.mark.skipif(not HAS_ALIASES, reason="an alias is moved by one request")
def test_a_promotion_waits_for_five_round_trips(between: Proxy, served: Registry) -> None:
    """Reads that do not depend on each other are sent at the same time, on threads that are kept."""
    news = model_behind(between, served, 2, pointer="alias")
    news.promote(1)
    threads = {each.name for each in threading.enumerate()}
    delay = 0.25
    between.when(everything, Hang(delay))
    began = time.monotonic()
    news.promote(2)
    assert 5 * delay <= time.monotonic() - began < 7 * delay
    assert {each.name for each in threading.enumerate()} - threads <= {"prodpointer-deadline"}


def test_a_promotion_between_two_reads_is_seen(
    between: Proxy, served: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the reads that are sent at the same time either may be answered first."""
    news = model_behind(between, served, 2)
    served.plain.delete_model_version(news.name, "2")
    other = prodpointer.connect(news.name, tracking_uri=served.uri)
    other.promote(1)
    read = threading.Event()
    real_model, real_versions = Border.model, Border.versions

    def versions(border: Border, name: str, tag: str | None = None) -> list[ModelVersion]:
        found = real_versions(border, name, tag)
        read.set()
        return found

    def model_after_a_promotion(border: Border, name: str, **options: bool) -> ModelReply:
        monkeypatch.setattr(Border, "model", real_model)
        assert read.wait(10)
        source, run_id, tags = served.registered[2]
        served.plain.create_model_version(name, source, run_id, tags)
        other.promote(3)
        return real_model(border, name, **options)

    monkeypatch.setattr(Border, "versions", versions)
    monkeypatch.setattr(Border, "model", model_after_a_promotion)
    moves = news.history()
    assert [move.to_version for move in moves] == [1, 3]


def test_a_promotion_costs_four_reads_and_three_writes(news: RegisteredModel, between: Proxy) -> None:
    """A promotion looks, records what it intends, moves, looks again and records that it is done.

    By stage it also reads the versions after its move, and archives the version before. A version that is neither the
    newest nor was live before is read by itself; before the first promotion all versions of a small model are read.
    """
    if HAS_ALIASES:
        news = prodpointer.connect(news.name, tracking_uri=between.uri, pointer="alias")
    alone = int(HAS_ALIASES)  # else it is the newest version in no stage
    for version, archived, more in ((2, 0, 1), (1, 1, alone), (2, 1, 0)):
        by_stage = 0 if HAS_ALIASES else 1 + archived
        assert asked(between, partial(news.promote, version)) == 7 + by_stage + more


def test_promoting_the_live_version_costs_two_requests(news: RegisteredModel, between: Proxy) -> None:
    """Nothing to move is found out without a write; by stage one request more finds whether it is alone there."""
    pointers = news.promote(2).pointers
    assert asked(between, lambda: news.promote(2)) == 2 + ("stage" in pointers)


def test_an_upgraded_server_is_noticed_before_a_write(
    news: RegisteredModel, between: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the answer is old, a write asks the registry for its version again, and what it says now counts."""
    told = news.selection.registry_version
    other = (
        "2.2.9" if IS_THREE else "2.2.8"
    )  # a registry without aliases, which every row of the table can stand in for
    between.when(on_path("/version"), Answer(200, other.encode(), "text/plain"))
    assert news.selection.registry_version == told
    monkeypatch.setattr("prodpointer.mlflow_client.capabilities._ASK_AGAIN_AFTER", 0.0)
    assert news.promote(1).pointers == ("stage",)
    assert news.selection.registry_version == other


def test_a_registry_that_failed_is_asked_again(news: RegisteredModel, between: Proxy) -> None:
    """After a connection failed, the next question is what the registry is: it may come back as another version."""
    between.refuse()
    with pytest.raises(RegistryUnavailable):
        news.production()
    between.listen()
    between.clear()
    news.production()
    assert "/version" in [path for _, path in between.requests]


def test_an_overtaken_promotion_is_lost(news: RegisteredModel, between: Proxy, served: Registry) -> None:
    """A job that promotes between the write and the read-back wins: PromotionLost names its version."""
    written = threading.Event()

    def overtake(method: str, path: str) -> bool:
        if "/alias" in path or "/transition-stage" in path:
            written.set()
        elif written.is_set() and "registered-models/get" in path and method == "GET":
            written.clear()
            other.promote(2)
        return False

    other = prodpointer.connect(news.name, tracking_uri=served.uri)
    between.when(overtake, Answer(500))
    with pytest.raises(PromotionLost, match=r"lost a race: version 2 is live \(event ") as lost:
        news.promote(1)
    assert lost.value.winner == 2
    assert lost.value.event == other.history()[-1].event
    assert [(move.to_version, move.state) for move in news.history()] == [(1, "lost"), (2, "done")]
    assert other.live_version() == 2
