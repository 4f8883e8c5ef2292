"""The follower: it serves the live version, and no bad version or failure stops it."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import prodpointer
from prodpointer import AccessDenied, IntegrityError, Live, LoadFailed, ModelNotFound, RegisteredModel, State
from tests.conformance.conftest import Connect, Registry, model_behind
from tests.proxy import Answer, Corrupt, Drip, Hang, Proxy, everything, on_path

EVERY = 0.15


def until(condition: Callable[[], bool], within: float = 20.0) -> None:
    """Wait until a condition holds, and fail where it does not in time."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "in time"
        time.sleep(0.01)


def ranker(live: Live) -> int | None:
    """Return what the object that serves says of itself."""
    return None if live.model is None else int(live.model["ranker"])


@pytest.fixture
def behind(served: Registry, between: Proxy) -> RegisteredModel:
    """A model with three versions, the first of them live, behind the proxy."""
    model = model_behind(between, served, 3, timeout=2)
    model.promote(1)
    return model


@pytest.fixture
def live(behind: RegisteredModel) -> Iterator[Live]:
    """A handle that serves version 1 of it."""
    with behind.follow(EVERY) as handle:
        assert handle.wait_ready(20)
        yield handle


def test_a_promotion_is_followed(news: RegisteredModel) -> None:
    """Each version that goes live is served, by every pointer, and the one before until then."""
    news.promote(1)
    with news.follow(EVERY) as live:
        assert live.wait_ready(20)
        assert (live.version, ranker(live), live.state, live.last_error) == (1, 1, State.READY, None)
        assert live.serving == (live.model, 1)
        for version in (3, 2):
            news.promote(version)
            until(lambda version=version: live.version == version)  # type: ignore[misc]
            assert ranker(live) == version
        news.rollback()
        until(lambda: live.version == 3)


def test_no_live_version_is_not_ready(fresh: Connect) -> None:
    """Before the first promotion there is nothing to serve, and after it there is."""
    news = fresh(3)
    with news.follow(EVERY) as live:
        assert not live.wait_ready(0.5)
        assert (live.model, live.version, live.state) == (None, None, State.NOT_READY)
        news.promote(1)
        assert live.wait_ready(20)
        assert live.state is State.READY


def test_a_model_that_is_not_registered_yet_is_waited_for(fresh: Connect, registry: Registry) -> None:
    """A service may start before the first registration."""
    model = fresh()
    with model.follow(EVERY) as live:
        until(lambda: isinstance(live.last_error, ModelNotFound))
        assert live.state is State.NOT_READY
        model.promote(model.register(registry.runs[0], "bundle", sha256=registry.digests[0]))
        assert live.wait_ready(20)


@pytest.mark.parametrize("on_withdraw", ["none", "keep"])
def test_a_withdrawal_is_followed(fresh: Connect, on_withdraw: str) -> None:
    """After a withdrawal nothing serves, unless the caller keeps what served."""
    news = fresh(1)
    news.promote(1)
    seen: list[tuple[int | None, int | None]] = []
    with news.follow(EVERY, on_withdraw=on_withdraw, on_change=lambda *move: seen.append(move)) as live:  # type: ignore[arg-type]
        assert live.wait_ready(20)
        news.withdraw()
        if on_withdraw == "none":
            until(lambda: live.state is State.NOT_READY)
            assert (live.model, live.version) == (None, None)
            assert seen == [(None, 1), (1, None)]
        else:
            time.sleep(3 * EVERY)
            assert (ranker(live), seen) == (1, [(None, 1)])


def test_a_swap_calls_on_change(fresh: Connect) -> None:
    """``on_change`` is called with the version before and after, and what it raises stops nothing."""
    news = fresh(3)
    news.promote(1)
    seen: list[tuple[int | None, int | None]] = []

    def told(before: int | None, after: int | None) -> None:
        seen.append((before, after))
        raise RuntimeError("the caller's")

    with news.follow(EVERY, on_change=told) as live:
        assert live.wait_ready(20)
        news.promote(2)
        until(lambda: len(seen) == 2)
        assert seen == [(None, 1), (1, 2)]
        until(lambda: live.state is State.READY)  # the next look finds that the version serves


def test_a_version_that_does_not_load_never_serves(fresh: Connect, registry: Registry) -> None:
    """A pickle that raises is an error to be seen; the version before serves until the next good one."""
    model = fresh(2)
    bad = model.register(registry.run_with({"bad.pkl": b"cno_such_module\nThing\n."}), "bad.pkl")
    model.promote(1)
    with model.follow(EVERY) as live:
        assert live.wait_ready(20)
        model.promote(bad)
        until(lambda: live.state is State.ERROR)
        assert isinstance(live.last_error, LoadFailed)
        assert (live.version, ranker(live)) == (1, 1)
        model.promote(2)
        until(lambda: live.version == 2)
        assert str(live.state) == "READY"
        assert live.last_error is None


def test_a_version_that_fails_its_warm_up_never_serves(fresh: Connect) -> None:
    """A new object is tried beside the one that serves, before it serves."""
    news = fresh(3)
    seen: list[tuple[int, int | None]] = []
    handles: list[Live] = []

    def warm_up(model: dict[str, int]) -> None:
        seen.append((model["ranker"], handles[0].version if handles else None))
        if model["ranker"] == 2:
            raise ValueError("no good")

    news.promote(1)
    with news.follow(EVERY, warm_up=warm_up) as live:
        assert live.wait_ready(20)
        handles.append(live)
        news.promote(2)
        until(lambda: live.state is State.ERROR)
        assert (live.version, ranker(live)) == (1, 1)
        assert "no good" in str(live.last_error)
        news.promote(3)
        until(lambda: live.version == 3)
    assert seen[0] == (1, None)
    assert seen[-1] == (3, 1)
    assert set(seen[1:-1]) == {(2, 1)}


def test_changed_bytes_never_serve(fresh: Connect, registry: Registry) -> None:
    """Bytes that are not the registered ones are not loaded, and the version before goes on serving."""
    run_id = registry.run_with({"bundle/newsreco.pkl": pickle.dumps({"ranker": 2})})
    model = fresh(1)
    model.register(run_id, "bundle")
    registry.stored(run_id, "bundle/newsreco.pkl").write_bytes(pickle.dumps({"ranker": 66}))
    model.promote(1)
    with model.follow(EVERY) as live:
        assert live.wait_ready(20)
        model.promote(2)
        until(lambda: isinstance(live.last_error, IntegrityError))
        assert (live.state, ranker(live)) == (State.ERROR, 1)


@pytest.mark.parametrize("how", ["refuses", "hangs", "answers 500"])
def test_an_outage_only_changes_the_state_to_stale(
    live: Live, behind: RegisteredModel, between: Proxy, how: str
) -> None:
    """While the registry is down what served goes on, and says that it is stale and how old; then it follows again."""
    if how == "refuses":
        between.refuse()
    else:
        between.when(everything, Hang(60) if how == "hangs" else Answer(500, b"{}"))
    until(lambda: live.state is State.STALE)
    assert (ranker(live), live.version) == (1, 1)
    first = live.age
    time.sleep(0.3)
    assert first is not None
    assert (live.age or 0) >= first + 0.3
    between.heal()
    between.listen()
    behind.promote(2)
    until(lambda: live.version == 2 and live.state is State.READY, within=2 * EVERY + 3)
    assert (live.age or 0) < 1


def test_a_pause_in_an_outage_is_never_longer_than_the_interval(live: Live, between: Proxy) -> None:
    """The registry is asked soon after it failed, then at longer pauses up to the interval, and for ever."""
    between.when(on_path("registered-models/get"), Answer(500, b"{}"))
    until(lambda: live.state is State.STALE)
    between.clear()
    time.sleep(10 * EVERY)
    assert between.count >= 9


def test_bytes_corrupted_in_transit_are_downloaded_again(live: Live, behind: RegisteredModel, between: Proxy) -> None:
    """What was corrupted on its way here is tried again at the next look."""
    between.when(on_path("newsreco.pkl"), Corrupt(5))
    behind.promote(2)
    until(lambda: isinstance(live.last_error, IntegrityError))
    assert ranker(live) == 1
    between.heal()
    until(lambda: live.version == 2, within=2 * EVERY + 3)


def test_a_service_that_starts_in_an_outage_serves_the_last_known_good(
    live: Live, behind: RegisteredModel, between: Proxy
) -> None:
    """The last verified live version serves, stale, as old as it is, until the registry is back."""
    live.close()
    between.refuse()
    time.sleep(1)
    with prodpointer.connect(behind.name, tracking_uri=between.uri, timeout=2).follow(EVERY) as started:
        assert started.wait_ready(5)
        assert (ranker(started), started.state) == (1, State.STALE)
        assert (started.age or 0) >= 1
        between.listen()
        until(lambda: started.state is State.READY)


def test_refused_access_is_not_an_outage(live: Live, behind: RegisteredModel, between: Proxy) -> None:
    """Who may not ask what is live does not get what was; what serves already goes on, and says so."""
    between.when(on_path("registered-models/get"), Answer(403, b'{"error_code": "PERMISSION_DENIED"}'))
    until(lambda: live.state is State.ERROR)
    assert isinstance(live.last_error, AccessDenied)
    assert ranker(live) == 1
    with behind.follow(EVERY) as started:
        assert not started.wait_ready(3 * EVERY)
        assert (started.model, started.state) == (None, State.ERROR)


def test_too_old_is_an_error(behind: RegisteredModel, between: Proxy) -> None:
    """Beyond ``max_stale`` the state is ``ERROR``, and what served still does."""
    with behind.follow(EVERY, max_stale=1.0) as live:
        assert live.wait_ready(20)
        between.refuse()
        until(lambda: live.state is State.STALE)
        until(lambda: live.state is State.ERROR)
        assert (live.age or 0) > 1.0
        assert ranker(live) == 1


def test_reading_the_model_sends_no_request(live: Live, between: Proxy) -> None:
    """The object that serves is an attribute: no request, however often it is read."""
    between.clear()
    looks = time.monotonic()
    while time.monotonic() - looks < EVERY:
        assert live.model is not None
    assert between.count <= 3


def test_a_poll_costs_one_request(live: Live, behind: RegisteredModel, between: Proxy) -> None:
    """While nothing changes each look at the pointer is one request; the newest version is in its reply."""
    behind.promote(3)
    until(lambda: live.version == 3)
    between.clear()
    time.sleep(5 * EVERY)
    assert {path.partition("?")[0] for _, path in between.requests} == {"/api/2.0/mlflow/registered-models/get"}
    assert 2 <= between.count <= 7


def test_no_thread_is_left(behind: RegisteredModel, between: Proxy) -> None:
    """After the block nothing of it runs any more, also where the registry hangs."""
    for hanging in (False, True):
        with behind.follow(EVERY) as live:
            assert live.wait_ready(20)
            if hanging:
                between.when(everything, Hang(60))
                time.sleep(2 * EVERY)
            leaving = time.monotonic()
        assert time.monotonic() - leaving < 2
        running = [thread.name for thread in threading.enumerate() if thread.name.startswith("prodpointer")]
        # Not of the block: the one that watches requests ends once there are none, and promotions keep a few workers.
        assert set(running) <= {"prodpointer-deadline", "prodpointer-worker"}


def test_an_abandoned_download_ends(behind: RegisteredModel, between: Proxy, served: Registry) -> None:
    """Closing does not wait for the end of a long download, and the download ends too."""
    run_id = served.run_with({"large/newsreco.pkl": b"0" * 20_000_000})
    behind.promote(behind.register(run_id, "large", sha256="0" * 64))
    between.when(on_path("newsreco.pkl"), Drip(500_000, 0.5))
    live = behind.follow(EVERY)
    until(lambda: any("newsreco.pkl" in path for _, path in between.requests))
    began = time.monotonic()
    live.close()
    assert time.monotonic() - began < 5
    assert f"prodpointer-follow-{behind.name}" not in [thread.name for thread in threading.enumerate()]


def test_a_forked_process_follows(behind: RegisteredModel, live: Live) -> None:
    """A process that is forked serves what it inherits, and follows by itself once it reads the handle."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        text = f"{live.state} {ranker(live)}"
        try:
            until(lambda: live.version == 3)
            text += f" {ranker(live)} {live.state}"
        except BaseException as error:  # noqa: BLE001  # told to the parent
            text += f" {error!r} {live.last_error}"
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    behind.promote(3)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    assert text == "READY 1 3 READY"


@pytest.mark.parametrize("options", [{"every": 0}, {"every": -1.0}, {"on_withdraw": "drop"}, {"verify": "always"}])
def test_invalid_options_are_refused(fresh: Connect, options: dict[str, object]) -> None:
    """An interval or an option that is none begins no thread."""
    with pytest.raises(prodpointer.InvalidName):
        fresh(1).follow(**options)  # type: ignore[arg-type]
    assert not any(thread.name.startswith("prodpointer-follow") for thread in threading.enumerate())
