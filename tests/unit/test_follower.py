"""A handle that follows what a stand-in for the registry says: what it logs, and what ends it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from prodpointer import InvalidName, Live, State
from prodpointer.artifacts.fetch import Target
from prodpointer.artifacts.last_known_good import VersionKey
from prodpointer.serving.follow import check_follow
from prodpointer.serving.metrics import Labels

SECRET = "http://ada:s3cret@registry:5000 said no"  # of no account


class Registry:
    """Where a handle asks and loads from: version 1 is live, after some questions that fail."""

    name, label, verify = "news", "news@production", "warn"
    labels = Labels("news", "production", "", "http://registry:5000")

    def __init__(self, failures: Iterable[BaseException]) -> None:
        """Fail with each of them, then answer."""
        self.failures = iter(failures)
        self.delivery = self

    def ask(self) -> tuple[None, None]:
        """Raise the next failure, or answer."""
        for failure in self.failures:
            raise failure
        return None, None

    def find_target(self, *_: object) -> Target:
        """Return version 1."""
        return Target(VersionKey("1", 1), None)

    def note_verified(self, _: VersionKey) -> None:
        """Note nothing."""

    @contextmanager
    def deliver(self, *_: object, **__: object) -> Iterator[Any]:
        """Yield bytes."""
        yield SimpleNamespace(size=21)

    def load(self, _: object) -> str:
        """Return an object."""
        return "the object"


def follow(*failures: BaseException, **options: Callable[..., object]) -> Live:
    """Return a handle that checks often."""
    registry: Any = Registry(failures)
    others: dict[str, Any] = {"warm_up": None, "on_change": None, "on_state": None, **options}
    return Live(registry, registry, every=0.005, on_withdraw="none", max_stale=None, stopped=Event(), **others)


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, and fail where it does not in time."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "in time"
        time.sleep(0.001)


class Unspeakable(Exception):  # as a library may name its own
    """An error that cannot be shown."""

    def __str__(self) -> str:
        """Raise another error."""
        raise RuntimeError("no text")


def raises(*_: object) -> None:
    """Raise an error that names a password."""
    raise ValueError(SECRET)


@pytest.mark.parametrize("called", ["on_change", "on_state"])
def test_what_a_callback_raises_is_logged_without_credentials(called: str, caplog: pytest.LogCaptureFixture) -> None:
    """With its traceback as text."""
    with follow(**{called: raises}) as live:
        until(lambda: f"news@production: {called} failed:\n" in caplog.text)
        assert live.model == "the object"
    assert "in raises" in caplog.text
    assert "***@registry:5000 said no" in caplog.text
    assert all(record.exc_info is None for record in caplog.records)


def test_an_unexpected_error_of_a_check_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """With its traceback, until another kind of error follows, or a check that succeeds."""
    with follow(*[ZeroDivisionError(SECRET)] * 3, KeyError("x"), *[ZeroDivisionError(SECRET)] * 2) as live:
        until(lambda: live.state is State.READY)
    logged = [text for text in caplog.messages if "the check of the pointer failed:\n" in text]
    assert [text.splitlines()[-1].partition(":")[0] for text in logged] == [
        "ZeroDivisionError",
        "KeyError",
        "ZeroDivisionError",
    ]
    assert "in ask" in logged[0]
    assert "s3cret" not in caplog.text


def test_an_error_without_a_text_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Its type is its text."""
    caplog.set_level(logging.WARNING, "prodpointer")
    with follow(Unspeakable()) as live:
        until(lambda: live.state is State.READY)
    assert "Following failed: Unspeakable." in caplog.text


@pytest.mark.parametrize("every", [0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_an_interval_that_no_thread_can_wait_is_refused(every: float) -> None:
    """Before there is a thread."""
    with pytest.raises(InvalidName, match="Invalid every="):
        check_follow(every, "none", None)


@pytest.mark.parametrize("max_stale", [0.0, -1.0, float("nan")])
def test_an_answer_that_is_always_too_old_is_refused(max_stale: float) -> None:
    """No handle would ever be ready."""
    with pytest.raises(InvalidName, match="Invalid max_stale="):
        check_follow(60, "none", max_stale)


def test_an_unknown_on_withdraw_is_refused() -> None:
    """The two that exist are named."""
    with pytest.raises(InvalidName, match=r"Invalid on_withdraw='drop'\. Use 'none' or 'keep'\."):
        check_follow(60, "drop", None)
