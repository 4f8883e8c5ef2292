"""What a follower says of itself: its counts, its changes of state, and the log."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from datetime import datetime, timezone
from pathlib import Path

import pytest

from prodpointer import Live, LiveStats, LoadFailed, ProdpointerError, RegisteredModel, RegistryUnavailable, State
from tests.integration.conftest import Lab, silent

EVERY = 0.05
Change = tuple[State, State, "type[ProdpointerError] | None"]


def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    """Wait until a condition holds, and fail where it does not in time."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "in time"
        time.sleep(0.005)


class Changes(list[Change]):
    """The changes of state that a follower announced."""

    def __call__(self, before: State, after: State, error: ProdpointerError | None) -> None:
        """Keep one."""
        self.append((before, after, None if error is None else type(error)))


@pytest.fixture
def news(lab: Lab, name: str, tmp_path: Path) -> RegisteredModel:
    """A model with two versions, the first of them live."""
    model = lab.model(name, 2, cache_dir=tmp_path / "cache")
    model.promote(1)
    return model


@pytest.fixture
def changes() -> Changes:
    """What on_state was called with."""
    return Changes()


@pytest.fixture
def live(news: RegisteredModel, changes: Changes, caplog: pytest.LogCaptureFixture) -> Iterator[Live]:
    """A handle that serves version 1."""
    caplog.set_level(logging.DEBUG, "prodpointer")
    with news.follow(EVERY, on_state=changes) as handle:
        until(lambda: handle.state is State.READY and handle.stats().checks > 0)
        yield handle


def lines(caplog: pytest.LogCaptureFixture, label: str, *levels: int) -> list[str]:
    """Return what was logged of a model at some levels, without its name."""
    start = f"{label}@production: "
    found = [each for each in caplog.records if each.name == "prodpointer" and each.levelno in levels]
    return [text.removeprefix(start) for each in found if (text := each.getMessage()).startswith(start)]


def broken(lab: Lab, model: RegisteredModel) -> int:
    """Register a version that does not load, and return its number."""
    return model.register(lab.run({"bundle/model.pkl": b"cno_such_module\nThing\n."}), "bundle")


def test_a_swap_is_counted(news: RegisteredModel, live: Live) -> None:
    """The first object is a swap too; the time is in UTC, the size that of the artifact."""
    before = datetime.now(timezone.utc)
    news.promote(2)
    until(lambda: live.version == 2)
    stats = live.stats()
    assert (stats.swaps, stats.state, stats.version) == (2, State.READY, 2)
    assert stats.last_swap is not None
    assert before <= stats.last_swap <= datetime.now(timezone.utc)
    assert stats.bytes == len(pickle.dumps({"n": 2}))


def test_the_load_is_timed_with_its_warm_up(news: RegisteredModel) -> None:
    """Download, verification, loading and warm-up count together."""
    with news.follow(EVERY, warm_up=lambda _: time.sleep(0.2)) as live:
        assert live.wait_ready(10)
        seconds = live.stats().load_seconds
    assert seconds is not None
    assert 0.2 <= seconds < 10


def test_checks_are_counted_and_the_next_one_is_foreseen(news: RegisteredModel) -> None:
    """Nothing failed, and the next check is at most an interval away."""
    with news.follow(60) as live:
        until(lambda: live.stats().checks == 1)
        stats = live.stats()
        assert stats.failures == 0
        assert stats.next_check is not None
        assert 40 < stats.next_check <= 60
        assert stats.age is not None
        assert 0 <= stats.age < 10


def test_a_closed_handle_has_no_next_check(live: Live) -> None:
    """What was counted stays."""
    live.close()
    stats = live.stats()
    assert (stats.next_check, stats.swaps, stats.version) == (None, 1, 1)


def test_a_withdrawal_leaves_no_load(news: RegisteredModel, live: Live) -> None:
    """After it no version serves whose load could be told."""
    news.withdraw()
    until(lambda: live.state is State.NOT_READY)
    stats = live.stats()
    assert (stats.swaps, stats.version, stats.load_seconds, stats.bytes) == (2, None, None, None)


def test_a_check_that_fails_is_counted(lab: Lab, live: Live) -> None:
    """Those of an outage are, until the registry answers again."""
    with silent(lab):
        until(lambda: live.stats().failures >= 2)
    until(lambda: live.state is State.READY)
    stats = live.stats()
    assert 2 <= stats.failures < stats.checks


def test_the_stats_are_a_value(live: Live) -> None:
    """They do not change, and are those of the start before anything happened."""
    stats = live.stats()
    with pytest.raises(FrozenInstanceError):
        stats.swaps = 7  # type: ignore[misc]
    assert LiveStats() == LiveStats(State.NOT_READY, None, None, 0, 0, 0, None, None, None, None)


def test_each_change_of_state_is_announced_once(lab: Lab, news: RegisteredModel, live: Live, changes: Changes) -> None:
    """With the state before and after, and why; checks that change nothing call nothing."""
    with silent(lab):
        until(lambda: live.stats().failures >= 3)
    until(lambda: live.state is State.READY)
    news.promote(broken(lab, news))
    until(lambda: live.state is State.ERROR)
    news.rollback()
    until(lambda: live.state is State.READY)
    news.withdraw()
    until(lambda: live.state is State.NOT_READY)
    assert changes == [
        (State.NOT_READY, State.READY, None),
        (State.READY, State.STALE, RegistryUnavailable),
        (State.STALE, State.READY, None),
        (State.READY, State.ERROR, LoadFailed),
        (State.ERROR, State.READY, None),
        (State.READY, State.NOT_READY, None),
    ]


def test_an_answer_that_becomes_too_old_is_announced(lab: Lab, news: RegisteredModel, changes: Changes) -> None:
    """Also between two checks: the registry is silent, and the next check is far away."""
    with news.follow(60, on_state=changes, max_stale=0.3):
        until(lambda: len(changes) == 2)
    assert [each[1] for each in changes] == [State.READY, State.ERROR]
    assert changes[1][2] is not None


@pytest.mark.parametrize("raised", [ValueError, SystemExit, KeyboardInterrupt])
def test_whatever_on_state_raises_ends_nothing(
    news: RegisteredModel, raised: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the state is what it is."""

    def told(*_: object) -> None:
        raise raised("the caller's")

    with news.follow(EVERY, on_state=told) as live:
        assert live.wait_ready(10)
        until(lambda: live.stats().checks > 1)
        assert live.state is State.READY
        news.promote(2)
        until(lambda: live.version == 2)
    logged = [text for text in lines(caplog, news.name, logging.ERROR) if text.startswith("on_state failed:\n")]
    assert len(logged) == 1
    assert raised.__name__ in logged[0]


def test_on_state_may_close_the_handle(news: RegisteredModel) -> None:
    """A service that ends at the first error does so there."""
    handles: list[Live] = []
    begun = threading.Event()

    def told(*_: object) -> None:
        begun.wait(10)
        handles[0].close()

    handles.append(news.follow(EVERY, on_state=told))
    begun.set()
    until(lambda: handles[0].stats().next_check is None)
    assert handles[0].version == 1


def test_a_swap_is_logged(news: RegisteredModel, live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """At INFO, with what served before."""
    news.promote(2)
    until(lambda: live.stats().swaps == 2)
    (swap,) = (each for each in lines(caplog, news.name, logging.INFO) if "serves" in each)
    assert swap.startswith("1 → 2 serves, loaded in ")
    assert swap.endswith(" s (21 bytes)")


def test_a_withdrawal_is_a_warning(news: RegisteredModel, live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """From then on nothing serves."""
    news.withdraw()
    until(lambda: live.state is State.NOT_READY)
    assert lines(caplog, news.name, logging.WARNING) == ["1 → nothing: withdrawn, nothing serves"]


def test_an_outage_and_its_end_are_logged(
    lab: Lab, news: RegisteredModel, live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    """Once each, however many checks fail in between."""
    with silent(lab):
        until(lambda: live.stats().failures >= 3)
    until(lambda: live.state is State.READY)
    (warning,) = lines(caplog, news.name, logging.WARNING)
    assert warning.startswith("STALE, version 1 serves: ")
    recovered = [each for each in lines(caplog, news.name, logging.INFO) if each.startswith("READY after ")]
    assert len(recovered) == 1
    assert recovered[0].endswith(" s, version 1 serves")


def test_the_last_known_good_version_is_logged(
    lab: Lab, news: RegisteredModel, live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    """A service that starts in an outage says what it serves, and why."""
    live.close()
    caplog.clear()
    with silent(lab), news.follow(EVERY) as late:
        assert late.wait_ready(10)
        until(lambda: late.state is State.STALE)
    assert lines(caplog, news.name, logging.INFO)[0].startswith("nothing → 1 serves")
    assert lines(caplog, news.name, logging.WARNING)[0].startswith("STALE, version 1 serves: ")


def test_an_error_without_anything_to_serve_is_an_error(
    lab: Lab, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A version that does not load is a warning where another one serves, and an error where none does."""
    model = lab.model(name, cache_dir=tmp_path / "cache")
    model.promote(broken(lab, model))
    with model.follow(EVERY) as live:
        until(lambda: live.state is State.ERROR)
    (error,) = lines(caplog, name, logging.ERROR)
    assert error.startswith("ERROR, nothing serves: ")
