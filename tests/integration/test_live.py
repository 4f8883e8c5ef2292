"""The follower with hostile callers, bytes and clocks."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import logging
import os
import pickle
import threading
import time
import weakref
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from prodpointer import Live, LoadFailed, RegisteredModel, State
from prodpointer.mlflow_client.artifact_store import ArtifactStore
from tests.integration.conftest import Lab, silent

EVERY = 0.05


class Silent(Exception):
    """An exception that gives no text."""

    def __str__(self) -> str:
        """Fail."""
        raise SystemExit(3)


RAISED: tuple[type[BaseException], ...] = (
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    BaseException,
    asyncio.CancelledError,
    Silent,
)


class Model:
    """An object that can be referred to weakly."""

    def __init__(self, n: int) -> None:
        """Keep the number."""
        self.n = n


def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    """Wait until a condition holds, and fail where it does not in time."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "in time"
        time.sleep(0.005)


def unpickled(path: Path) -> Any:
    """Load a bundle of the lab."""
    return pickle.loads((path / "model.pkl").read_bytes())


@pytest.fixture
def news(lab: Lab, name: str, tmp_path: Path) -> RegisteredModel:
    """A model with three versions, the first of them live."""
    model = lab.model(name, 3, cache_dir=tmp_path / "cache")
    model.promote(1)
    return model


def broken(lab: Lab, model: RegisteredModel, number: int, content: bytes = b"other bytes") -> None:
    """Change the bytes of a version in its store."""
    run_id = model.version(number).run_id
    assert run_id is not None
    lab.artifact(run_id, "bundle/model.pkl").write_bytes(content)


@pytest.mark.parametrize("raised", RAISED)
@pytest.mark.parametrize("place", ["loader", "warm_up"])
def test_whatever_a_version_raises_is_an_error_of_that_version(
    news: RegisteredModel, raised: type[BaseException], place: str
) -> None:
    """What ends a thread elsewhere ends in ERROR with a reason here, and the next version is followed."""

    def loader(path: Path) -> Any:
        model = unpickled(path)
        if place == "loader" and model["n"] == 2:
            raise raised
        return model

    def warm_up(model: dict[str, int]) -> None:
        if place == "warm_up" and model["n"] == 2:
            raise raised

    with news.follow(EVERY, loader=loader, warm_up=warm_up) as live:
        assert live.wait_ready(10)
        news.promote(2)
        until(lambda: live.state is State.ERROR)
        assert isinstance(live.last_error, LoadFailed)
        assert raised.__name__ in str(live.last_error) or raised is Silent
        assert live.version == 1
        news.promote(3)
        until(lambda: live.version == 3 and live.state is State.READY)


@pytest.mark.parametrize("raised", RAISED)
def test_whatever_on_change_raises_stops_nothing(news: RegisteredModel, raised: type[BaseException]) -> None:
    """The caller's function is told of every swap, whatever it raises."""
    seen: list[int | None] = []

    def told(_: int | None, after: int | None) -> None:
        seen.append(after)
        raise raised

    with news.follow(EVERY, on_change=told) as live:
        until(lambda: seen == [1])
        news.promote(2)
        until(lambda: seen == [1, 2])
        until(lambda: live.state is State.READY)


def test_an_on_change_that_raises_is_an_error_of_its_own(news: RegisteredModel) -> None:
    """It says so until the next look; the new version serves all the same."""

    def told(_: int | None, __: int | None) -> None:
        raise SystemExit(3)

    with news.follow(60, on_change=told) as live:
        until(lambda: live.state is State.ERROR)
        assert "on_change" in str(live.last_error)
        assert (live.version, live.model) == (1, live.serving[0])


def test_a_pickle_that_ends_the_thread_is_an_error(lab: Lab, news: RegisteredModel) -> None:
    """Unpickling may raise what it likes."""
    ending = b"cbuiltins\nexec\n(Vraise SystemExit(3)\ntR."
    number = news.register(lab.run({"bundle/model.pkl": ending}), "bundle")
    with news.follow(EVERY) as live:
        assert live.wait_ready(10)
        news.promote(number)
        until(lambda: live.state is State.ERROR)
        assert "SystemExit" in str(live.last_error)
        assert live.version == 1


def test_a_thread_that_ended_is_an_error(news: RegisteredModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handle whose thread was killed serves what it has and does not say that it is READY."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with news.follow(EVERY) as live:
        assert live.wait_ready(10)
        thread = next(each for each in threading.enumerate() if each.name == f"prodpointer-follow-{news.name}")
        for _ in range(20):  # inside a look it is caught, between two looks it ends the thread
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))
            thread.join(2 * EVERY + 0.03)
            if not thread.is_alive():
                break
        assert not thread.is_alive()
        assert (live.state, live.version) == (State.ERROR, 1)
        assert "has ended" in str(live.last_error)


def test_bytes_that_fail_are_an_error_of_their_version(lab: Lab, news: RegisteredModel) -> None:
    """The registry answers, so that the handle is not STALE, and its age stays that of the last answer."""
    run_id = news.version(2).run_id
    assert run_id is not None
    file = lab.artifact(run_id, "bundle/model.pkl")
    file.unlink()
    file.symlink_to(file)  # there, and not to be read
    with news.follow(EVERY) as live:
        assert live.wait_ready(10)
        news.promote(2)
        until(lambda: live.last_error is not None)
        time.sleep(10 * EVERY)
        assert (live.state, live.version) == (State.ERROR, 1)
        until(lambda: (live.age or 0.0) < 5 * EVERY)


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The downloads from now on."""
    begun: list[str] = []
    plain = ArtifactStore.download

    def counted(store: ArtifactStore, uri: str, destination: Path) -> Path:
        begun.append(uri)
        return plain(store, uri, destination)

    monkeypatch.setattr(ArtifactStore, "download", counted)
    return begun


def test_a_download_that_fails_is_tried_less_and_less_often(
    lab: Lab, news: RegisteredModel, downloads: list[str]
) -> None:
    """Wrong bytes are not fetched again at each look."""
    broken(lab, news, 2)
    with news.follow(EVERY) as live:
        assert live.wait_ready(10)
        downloads.clear()
        news.promote(2)
        until(lambda: len(downloads) == 2)
        time.sleep(30 * EVERY)
        assert 3 <= len(downloads) <= 8


def test_a_move_is_a_reason_to_try_again_at_once(lab: Lab, news: RegisteredModel, downloads: list[str]) -> None:
    """A rollback is followed at the next look, and so is the promotion after it."""
    content = pickle.dumps({"n": 2})
    broken(lab, news, 2)
    with news.follow(EVERY) as live:
        assert live.wait_ready(10)
        news.promote(2)
        until(lambda: len(downloads) == 2 and live.state is State.ERROR)
        broken(lab, news, 2, content)
        for failures in live._bad.values():  # noqa: SLF001  # it would wait for ten minutes
            failures.due += 600
        news.rollback()
        until(lambda: live.state is State.READY)
        news.promote(2)
        until(lambda: live.version == 2)


def test_the_longest_pause_is_bounded(lab: Lab, news: RegisteredModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that failed is tried again for ever."""
    monkeypatch.setattr("prodpointer.serving.follow._LONGEST_PAUSE", 4 * EVERY)
    tried: list[float] = []

    def loader(path: Path) -> Any:
        model = unpickled(path)
        if model["n"] == 2:
            tried.append(time.monotonic())
            raise ValueError("no good")
        return model

    with news.follow(EVERY, loader=loader) as live:
        assert live.wait_ready(10)
        news.promote(2)
        until(lambda: len(tried) >= 12, within=20)
        assert live.version == 1


def test_a_version_that_failed_is_not_kept_in_memory(news: RegisteredModel) -> None:
    """The error that stays names the reason and holds no object of the version."""
    made: dict[int, weakref.ref[Model]] = {}

    def loader(path: Path) -> Model:
        model = Model(unpickled(path)["n"])
        made[model.n] = weakref.ref(model)
        return model

    def warm_up(model: Model) -> None:
        if model.n == 2:
            raise AttributeError("no good", obj=model)

    with news.follow(EVERY, loader=loader, warm_up=warm_up) as live:
        assert live.wait_ready(10)
        news.promote(2)
        until(lambda: live.state is State.ERROR)
        time.sleep(EVERY)
        gc.collect()
        assert "no good" in str(live.last_error)
        assert made[1]() is live.model
        assert made[2]() is None


def test_the_traceback_of_a_version_that_failed_is_logged(
    news: RegisteredModel, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the error keeps no frames, the log tells in which line of the caller's it came up."""

    def my_own_warm_up(model: dict[str, int]) -> None:
        raise ValueError("no good")

    with caplog.at_level(logging.WARNING, "prodpointer"), news.follow(EVERY, warm_up=my_own_warm_up) as live:
        until(lambda: live.state is State.ERROR)
    assert "in my_own_warm_up" in caplog.text
    assert all(record.exc_info is None for record in caplog.records if record.name == "prodpointer")


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_clock_that_is_set_changes_no_age(
    news: RegisteredModel, monkeypatch: pytest.MonkeyPatch, hours: float
) -> None:
    """The age of the last answer is measured by a monotonic clock."""
    with news.follow(60, max_stale=60) as live:
        assert live.wait_ready(10)
        clock = time.time
        monkeypatch.setattr(time, "time", lambda: clock() + hours * 3600)
        assert live.state is State.READY
        assert 0 < (live.age or 0.0) < 10


def test_the_age_of_an_earlier_process_counts(lab: Lab, tmp_path: Path, news: RegisteredModel) -> None:
    """A last-known-good version is as old as the machine's note of it says."""
    assert news.load_production()["n"] == 1
    (note,) = (tmp_path / "cache").rglob("live-*.json")
    at = (datetime.now(timezone.utc) - timedelta(hours=1)).isoformat()
    note.write_text(json.dumps({**json.loads(note.read_text(encoding="utf-8")), "at": at}), encoding="utf-8")
    with silent(lab), news.follow(EVERY) as live:
        assert live.wait_ready(10)
        assert 3600 <= (live.age or 0.0) < 3660


def test_a_last_known_good_that_fails_is_tried_less_and_less_often(lab: Lab, news: RegisteredModel) -> None:
    """A handle that starts in an outage does not load the same bad object at each look."""
    assert news.load_production()["n"] == 1
    tried: list[int] = []

    def warm_up(model: dict[str, int]) -> None:
        tried.append(model["n"])
        raise SystemExit(3)

    with silent(lab), news.follow(EVERY, warm_up=warm_up) as live:
        until(lambda: len(tried) == 2)
        time.sleep(20 * EVERY)
        assert 2 <= len(tried) <= 8
        assert (live.model, live.state) == (None, State.ERROR)
        assert "failed its warm-up: SystemExit" in str(live.last_error)


class Hanging:
    """A loader that hangs at a version until it is let go."""

    def __init__(self, number: int) -> None:
        """Hang at one version."""
        self.number = number
        self.hangs, self.let_go = threading.Event(), threading.Event()

    def __call__(self, path: Path) -> Any:
        """Load a bundle, or hang first."""
        model = unpickled(path)
        if model["n"] == self.number:
            self.hangs.set()
            self.let_go.wait(20)
        return model


def test_a_look_that_hangs_makes_too_old(news: RegisteredModel) -> None:
    """Beyond ``max_stale`` the state is ERROR with a reason, also where the last look said READY and hangs."""
    loader = Hanging(2)
    with news.follow(EVERY, loader=loader, max_stale=2) as live:
        assert live.wait_ready(10)
        news.promote(2)
        assert loader.hangs.wait(10)
        assert live.state is State.READY
        until(lambda: live.state is State.ERROR, within=10)
        assert "max_stale is 2 s" in str(live.last_error)
        loader.let_go.set()
        until(lambda: live.state is State.READY and live.version == 2)


def test_closing_does_not_wait_for_a_look_that_hangs(news: RegisteredModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller goes on, and the object that served stays though the look ends later."""
    monkeypatch.setattr("prodpointer.serving.follow._CLOSE_WITHIN", 0.2)
    loader = Hanging(2)
    live = news.follow(EVERY, loader=loader)
    assert live.wait_ready(10)
    news.promote(2)
    assert loader.hangs.wait(10)
    began = time.monotonic()
    live.close()
    assert time.monotonic() - began < 1
    loader.let_go.set()
    until(lambda: not any(each.name == f"prodpointer-follow-{news.name}" for each in threading.enumerate()))
    assert (live.version, live.model["n"]) == (1, 1)


def in_child(work: Callable[[], str]) -> str:
    """Return the text that a function returns in a forked process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            text = work()
        except BaseException as error:  # noqa: BLE001  # told to the parent
            text = f"{type(error).__name__}: {error}"
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def followers(name: str) -> int:
    """Return how many threads of this process follow a model."""
    return sum(each.name == f"prodpointer-follow-{name}" for each in threading.enumerate())


@forks
def test_a_forked_process_follows_from_its_first_read_on(news: RegisteredModel) -> None:
    """What served goes on, nothing follows before it is read, and from then on moves are followed."""
    with news.follow(EVERY) as live:
        assert live.wait_ready(10)

        def child() -> str:
            before = followers(news.name)
            seen = [live.model["n"], live.version, str(live.state)]
            news.promote(2)
            until(lambda: live.version == 2 and live.state is State.READY)
            return json.dumps([before, *seen, live.model["n"], followers(news.name)])

        assert json.loads(in_child(child)) == [0, 1, 1, "READY", 2, 1]


@forks
@pytest.mark.parametrize("read", ["model", "version", "serving", "state", "age", "last_error", "stats", "wait_ready"])
def test_each_read_begins_to_follow(news: RegisteredModel, read: str) -> None:
    """A probe that reads the state alone follows too."""
    with news.follow(EVERY) as live:
        assert live.wait_ready(10)

        def child() -> str:
            found = getattr(live, read)
            if callable(found):
                found()
            until(lambda: followers(news.name) == 1)
            return f"{live.version} {live.state}"

        assert in_child(child) == "1 READY"


@forks
def test_threads_of_a_forked_process_share_one_follower(news: RegisteredModel) -> None:
    """Threads that read for the first time at the same moment begin to follow once."""
    with news.follow(EVERY) as live:
        assert live.wait_ready(10)

        def child() -> str:
            together = threading.Barrier(8)
            seen: list[int | None] = []

            def read() -> None:
                together.wait()
                seen.append(live.version)

            readers = [threading.Thread(target=read) for _ in range(8)]
            for each in readers:
                each.start()
            for each in readers:
                each.join()
            return f"{set(seen)} {followers(news.name)}"

        assert in_child(child) == "{1} 1"


@forks
def test_the_log_says_that_a_forked_process_follows(news: RegisteredModel, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged by the process that follows from then on."""
    caplog.set_level(logging.INFO, "prodpointer")
    with news.follow(EVERY) as live:
        assert live.wait_ready(10)

        def child() -> str:
            caplog.clear()
            until(lambda: live.version == 1 and bool(caplog.messages))
            return f"{caplog.messages[0].replace(str(os.getpid()), 'PID')}"

        assert in_child(child) == f"{news.name}@production: followed in the forked process PID too"


@forks
def test_a_closed_handle_stays_closed_in_a_forked_process(news: RegisteredModel) -> None:
    """Nothing follows there, and the object that served stays; also where the child closes the handle."""
    with news.follow(EVERY) as live, news.follow(EVERY) as other:
        assert live.wait_ready(10)
        assert other.wait_ready(10)
        live.close()

        def child() -> str:
            other.close()
            return f"{live.version} {other.version} {other.model} {followers(news.name)}"

        assert in_child(child) == "1 1 {'n': 1} 0"


@forks
def test_a_forked_process_uses_no_connection_of_its_parent(news: RegisteredModel) -> None:
    """Two processes that use one connection to a database read each other's answers."""
    with news.follow(60) as live:
        assert live.wait_ready(10)
        store = live._loading._registry.client._get_registry_client().store  # noqa: SLF001  # nothing public shows it
        before = store.engine.pool

        def child() -> str:
            until(lambda: live.version == 1 and live.stats().checks > 1)
            return f"{store.engine.pool is before} {live.state}"

        assert in_child(child) == "False READY"


@forks
def test_following_begins_anew_in_a_forked_process(news: RegisteredModel) -> None:
    """A process that was forked while another handle followed follows by itself, and ends both handles."""
    with news.follow(EVERY) as live:
        assert live.wait_ready(10)

        def child() -> str:
            live.close()
            with news.follow(EVERY) as own:
                return f"{own.wait_ready(10)} {own.version} {own.state}"

        assert in_child(child) == "True 1 READY"


def test_reading_the_model_is_reading_an_attribute(news: RegisteredModel) -> None:
    """What is read for each request of a service is nothing that is computed."""
    with news.follow(EVERY) as live:
        assert live.wait_ready(10)
        assert {"model", "version", "serving"} <= vars(live).keys()
        assert not {"model", "version", "serving"} & vars(Live).keys()
