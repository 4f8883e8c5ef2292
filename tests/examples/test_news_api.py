"""The news service of ``examples/news_api``: a real process with a real MLflow server, tested over HTTP."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import mlflow_table
from tests.examples.service import EXAMPLE, FOLLOW_EVERY, Service, environment, publish_nonsense, run, running, train
from tests.mlflow_table import ROOT
from tests.proxy import Hang, Proxy, on_path, proxy
from tests.servers import Server, free_port, serve

NEWEST = mlflow_table.newest_of_major(3).version
MODEL = "news-recommender"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server that lives through the tests that do not stop it."""
    with serve(sys.executable, tmp_path_factory.mktemp("registry"), version=NEWEST) as found:
        yield found


@pytest.fixture
def network(server: Server) -> Iterator[Proxy]:
    """The network before the server."""
    with proxy(server.uri) as found:
        yield found


@pytest.fixture
def settings(tmp_path: Path, network: Proxy) -> dict[str, str]:
    """The environment of the pipeline, of the operator and of the service, with a model of this test's own."""
    return follow(tmp_path, network.uri, NEWSRECO_MODEL=f"news-{uuid.uuid4().hex[:12]}")


def follow(directory: Path, uri: str, **settings: str) -> dict[str, str]:
    """Return the environment of a service that follows a registry."""
    return environment(
        directory, MLFLOW_TRACKING_URI=uri, NEWSRECO_USE_REGISTRY="1", NEWSRECO_FOLLOW_EVERY=FOLLOW_EVERY, **settings
    )


def operate(settings: dict[str, str], verb: str) -> None:
    """Run a verb of the command line on the model."""
    run([sys.executable, "-m", "prodpointer", verb, settings["NEWSRECO_MODEL"]], ROOT, settings)


def items(service: Service, user: str) -> list[str]:
    """Return what is recommended to a user."""
    answer = service.get(f"/recommend/{user}")
    assert answer.status == 200, answer
    return list(answer.json["items"])


# Without a registry


def test_without_anything_it_trains_at_the_start(tmp_path: Path) -> None:
    """A service without a registry and without a pickle trains, is ready, and has no version."""
    with running(tmp_path, environment(tmp_path)) as service:
        assert len(items(service, "user-1")) == 5
        assert service.get("/readyz").status == 200
        assert service.live() == {
            "name": MODEL,
            "source": "trained at the start",
            "version": None,
            "state": "READY",
            "age": None,
            "last_error": None,
        }
        assert service.get("/history").json == {"events": [], "age": None}


def test_a_local_pickle_is_served(tmp_path: Path) -> None:
    """Without a registry the pickle is served: what it recommends is not what a model trained at the start does."""
    settings = environment(tmp_path)
    assert "wrote newsreco.pkl" in train(tmp_path, settings, "--weeks", "8", "--pickle", "newsreco.pkl")
    with running(tmp_path, settings) as service:
        assert service.live()["source"] == "file newsreco.pkl"
        recommended = items(service, "user-1")
    with running(tmp_path, {**settings, "NEWSRECO_PICKLE": "other.pkl"}) as fresh:
        assert items(fresh, "user-1") != recommended


def test_an_unknown_user_gets_popular_articles(tmp_path: Path) -> None:
    """There is no unknown user: strangers get the same articles, any text is a name, a silly limit is refused."""
    with running(tmp_path, environment(tmp_path)) as service:
        assert items(service, "nobody") == items(service, "%3Cscript%3E") != items(service, "user-1")
        assert len(service.get("/recommend/user-1?limit=20").json["items"]) == 20
        assert service.get("/recommend/user-1?limit=0").status == 422


def test_a_registry_that_never_was_is_named(tmp_path: Path) -> None:
    """A service that finds neither its registry nor a verified copy ends with a message that says where it looked."""
    settings = environment(tmp_path, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}", NEWSRECO_USE_REGISTRY="1")
    with pytest.raises(AssertionError, match="RegistryUnavailable") as failed, running(tmp_path, settings):
        pass
    assert settings["MLFLOW_TRACKING_URI"] in str(failed.value)


# With a registry


def test_it_follows_a_server_through_its_death(tmp_path: Path) -> None:
    """One process serves version 1, then 2 once that is promoted, goes on when the server is killed, and recovers."""
    port = free_port()
    settings = follow(tmp_path, f"http://127.0.0.1:{port}")
    with ExitStack() as stack:
        with serve(sys.executable, tmp_path / "registry", version=NEWEST, port=port) as server:
            assert f"version 1 of {MODEL} is live" in train(tmp_path, settings)
            service = stack.enter_context(running(tmp_path, settings))
            first = service.becomes(version=1, state="READY", source="registry", last_error=None)
            assert 0 <= first["age"] < 10
            before = service.get("/recommend/user-1").json
            assert before["version"] == 1

            train(tmp_path, settings, "--weeks", "3", "--reason", "more clicks")
            service.becomes(version=2, state="READY")
            after = service.get("/recommend/user-1").json
            assert after["version"] == 2
            assert after["items"] != before["items"]

        # The server was killed, by its pid.
        stale = service.becomes(version=2, state="STALE")
        assert server.uri in stale["last_error"]
        assert service.get("/recommend/user-1").json == after
        assert service.get("/readyz").status == 200
        assert service.get("/healthz").json == {"status": "alive", "state": "STALE"}
        assert service.live()["age"] >= stale["age"] > 0

        with serve(sys.executable, tmp_path / "registry", version=NEWEST, port=port):
            service.becomes(version=2, state="READY", last_error=None)


def test_the_history_is_that_of_the_registry(network: Proxy, settings: dict[str, str], tmp_path: Path) -> None:
    """`/history` has every move with who and why, the newest first, and is still there when the registry is not."""
    train(tmp_path, settings, "--reason", "first")
    train(tmp_path, settings, "--weeks", "2", "--reason", "second")
    with running(tmp_path, settings) as service:
        service.becomes(version=2, state="READY")
        found = service.get("/history").json
        assert [(event["to_version"], event["reason"]) for event in found["events"]] == [(2, "second"), (1, "first")]
        assert {(event["kind"], event["state"]) for event in found["events"]} == {("promote", "done")}
        assert all(event["by"] and event["at"] for event in found["events"])
        network.refuse()
        service.becomes(state="STALE")
        later = service.get("/history").json
        assert later["events"] == found["events"]
        assert later["age"] > found["age"]


def test_the_registry_is_not_asked_for_each_page(network: Proxy, settings: dict[str, str], tmp_path: Path) -> None:
    """However often `/history` is asked for, the registry is asked at most every five seconds."""
    train(tmp_path, settings)
    with running(tmp_path, {**settings, "NEWSRECO_FOLLOW_EVERY": "600"}) as service:
        service.becomes(version=1, state="READY")
        assert len(service.get("/history").json["events"]) == 1
        before = network.count
        ages = [service.get("/history").json["age"] for _ in range(20)]
        assert ages == sorted(ages)
        assert network.count == before


def test_a_registry_that_hangs_delays_no_request(network: Proxy, settings: dict[str, str], tmp_path: Path) -> None:
    """While the registry takes requests and answers none, recommendations come at once and the history in a second."""
    train(tmp_path, settings)
    with running(tmp_path, settings) as service:
        service.becomes(version=1, state="READY")
        known = service.get("/history").json["events"]
        network.when(on_path(""), Hang(60))
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            started = time.monotonic()
            assert len(items(service, "user-1")) == 5
            assert service.get("/history").json["events"] == known
            assert time.monotonic() - started < 2.5
        service.becomes(version=1, state="STALE")


def test_it_starts_again_without_the_registry(network: Proxy, settings: dict[str, str], tmp_path: Path) -> None:
    """A service that starts while the registry is down serves the verified copy of this machine, and says STALE."""
    train(tmp_path, settings)
    with running(tmp_path, settings) as service:
        service.becomes(version=1, state="READY")
    network.refuse()
    with running(tmp_path, settings) as service:
        service.becomes(version=1, state="STALE")
        assert len(items(service, "user-1")) == 5
        assert service.get("/readyz").status == 200
        assert service.get("/history").json == {"events": [], "age": None}
        network.listen()
        service.becomes(version=1, state="READY")
        assert len(service.get("/history").json["events"]) == 1


def test_a_version_that_does_not_load_is_not_served(settings: dict[str, str], tmp_path: Path) -> None:
    """A live version that recommends nothing leaves the last good one in place: ERROR, and ready all the same."""
    train(tmp_path, settings)
    with running(tmp_path, settings) as service:
        service.becomes(version=1, state="READY")
        publish_nonsense(tmp_path, settings)
        failed = service.becomes(version=1, state="ERROR")
        assert failed["last_error"]
        assert service.get("/readyz").status == 200
        assert service.get("/statusz").status == 503
        assert service.get("/recommend/user-1").json["version"] == 1
        operate(settings, "rollback")
        service.becomes(version=1, state="READY", last_error=None)
        assert service.get("/statusz").json == {"state": "READY", "version": 1}


def test_a_withdrawal_is_seen(settings: dict[str, str], tmp_path: Path) -> None:
    """With nothing live the service is alive and not ready, and serves again after a rollback."""
    train(tmp_path, settings)
    with running(tmp_path, settings) as service:
        service.becomes(version=1, state="READY")
        operate(settings, "withdraw")
        service.becomes(version=None, state="NOT_READY")
        assert service.get("/readyz").status == 503
        assert service.get("/recommend/user-1").status == 503
        assert service.get("/healthz").status == 200
        operate(settings, "rollback")
        service.becomes(version=1, state="READY")
        assert service.get("/readyz").status == 200


def test_a_worse_model_is_refused_by_the_gate(settings: dict[str, str], tmp_path: Path) -> None:
    """A model that was trained on less is registered, refused with both numbers, and never served."""
    train(tmp_path, settings, "--weeks", "4")
    with pytest.raises(AssertionError, match=r"not live: .*hit_rate_at_5"):
        train(tmp_path, settings, "--weeks", "1")
    with running(tmp_path, settings) as service:
        service.becomes(version=1, state="READY")


# The page, and the README


def test_the_page_is_one_file(tmp_path: Path) -> None:
    """`/` is a page that loads nothing else, with a place for the version, its state, its age and its history."""
    with running(tmp_path, environment(tmp_path)) as service:
        found = service.get("/")
    assert found.status == 200
    assert {"version", "state", "age", "since", "history"} <= set(re.findall(r'id="([a-z-]+)"', found.body))
    assert re.findall(r'(?:src|href)="(?!data:)|https?://|@import|url\(', found.body) == []
    assert re.findall(r'ask\(["`]/([a-z]+)', found.body) == ["recommend", "live", "history"]


def test_the_page_reads_what_the_service_gives(settings: dict[str, str], tmp_path: Path) -> None:
    """Every place that the page's script writes to is in the page, every field that it reads is in an answer."""
    train(tmp_path, settings)
    with running(tmp_path, settings) as service:
        service.becomes(version=1, state="READY")
        (event,) = service.get("/history").json["events"]
        live = service.live()
        page = service.get("/").body
    assert set(re.findall(r'(?:by|show)\("([a-z-]+)"', page)) <= set(re.findall(r'id="([a-z-]+)"', page))
    assert set(re.findall(r"\bserved\.(\w+)", page)) <= set(live)
    assert set(re.findall(r"\bevent\.(\w+)", page)) <= set(event)
    assert live["state"] in re.findall(r"^  ([A-Z_]+): ", page, re.MULTILINE)


def commands() -> list[str]:
    """Return the commands of the README's first block."""
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    return readme.partition("```\n")[2].partition("```")[0].splitlines()


def test_the_three_commands_of_the_readme_work(tmp_path: Path) -> None:
    """In a copy of the checkout and an empty environment the three commands, as they stand, serve version 1.

    The libraries are those that this environment installed from the example's requirements, at the day it is bound to.
    """
    install, publish, start = commands()
    checkout = tmp_path / "checkout"
    for part in ("src", "examples", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        (checkout / part).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / part, checkout / part)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    (libraries,) = {path for path in map(Path, sys.path) if path.name == "site-packages"}
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "libraries-of-the-day.pth").write_text(f"{libraries}\n")
    settings = environment(tmp_path)
    settings["PATH"] = f"{tmp_path / 'venv' / 'bin'}:{settings['PATH']}"

    run(["/bin/sh", "-c", install], checkout, settings)
    run(["/bin/sh", "-c", "python -c \"import prodpointer as p; assert 'venv' in p.__file__\""], checkout, settings)
    assert f"version 1 of {MODEL} is live" in run(["/bin/sh", "-c", publish], checkout, settings)
    with running(checkout, settings, start) as service:
        service.becomes(version=1, state="READY", source="registry")
        assert len(items(service, "user-1")) == 5
