"""Order, pauses and what an event that is not taken holds up."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from prodpointer.watch.cursor import Cursor, Known, open_cursor
from prodpointer.watch.delivery import LONGEST_PAUSE, Delivery, Failure, NotTaken


class Clock:
    """A time that passes when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Picky:
    """A receiver that refuses what it is told to refuse, and notes what it was sent and what it took."""

    one_by_one = True

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.took: list[str] = []
        self.refusals: dict[str, NotTaken] = {}

    def send(self, document: Mapping[str, Any]) -> None:
        """Take an event unless it is refused; ``*`` refuses all."""
        self.sent.append(document["id"])
        if refusal := self.refusals.get("*") or self.refusals.get(document["id"]):
            raise refusal
        self.took.append(document["id"])


class Lab:
    """A delivery of a few events, with a clock."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.clock = Clock()
        self.receiver = Picky()
        self.failures: list[Failure] = []
        self.delivery = Delivery(
            cursor, self.receiver, failed=self.failures.append, clock=self.clock, spread=lambda _, longest: longest
        )

    def add(self, *events: str) -> None:
        """Add events, each named by its model and something else."""
        for each in events:
            self.cursor.keep(Known(each.partition("-")[0], None), [{"id": each}])

    def send(self) -> None:
        """Send what is due now."""
        self.delivery.send_due(threading.Event(), math.inf)

    def wait(self) -> float:
        """Let the time pass until something may be sent again, and return how long that was."""
        until = self.delivery.next_try
        assert until is not None
        waited, self.clock.now = until - self.clock.now, until
        return waited


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Return a delivery that has sent nothing yet."""
    with open_cursor(tmp_path / "cursor", {}) as cursor:
        yield Lab(cursor)


BAD = NotTaken("HTTP 500", by_event=True)
DOWN = NotTaken("refused", by_event=False)


def test_events_of_a_model_are_sent_in_order(lab: Lab) -> None:
    """Each leaves once it is taken."""
    lab.add("a-1", "b-1", "a-2", "b-2", "a-3")
    lab.send()
    assert [each for each in lab.receiver.took if each[0] == "a"] == ["a-1", "a-2", "a-3"]
    assert lab.cursor.count_pending() == 0


def test_an_event_that_is_not_taken_holds_up_its_own_model_alone(lab: Lab) -> None:
    """What comes after it waits, other models do not."""
    lab.add("a-1", "a-2", "b-1", "b-2")
    lab.receiver.refusals["a-1"] = BAD
    lab.send()
    assert (lab.receiver.sent, lab.receiver.took) == (["a-1", "b-1", "b-2"], ["b-1", "b-2"])


def test_it_is_sent_again_after_a_pause(lab: Lab) -> None:
    """Not at once, and then with what waited behind it."""
    lab.add("a-1", "a-2")
    lab.receiver.refusals["a-1"] = BAD
    lab.send()
    lab.receiver.refusals.clear()
    lab.send()
    assert lab.receiver.took == []
    lab.wait()
    lab.send()
    assert lab.receiver.took == ["a-1", "a-2"]


@pytest.mark.parametrize("refusal", [BAD, DOWN], ids=["event", "receiver"])
def test_pauses_double_up_to_five_minutes(lab: Lab, refusal: NotTaken) -> None:
    """1, 2, 4 ... 300 seconds, whether it is about the event or about the receiver."""
    lab.add("a-1")
    lab.receiver.refusals["*"] = refusal
    pauses = []
    for _ in range(11):
        lab.send()
        pauses.append(lab.wait())
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == LONGEST_PAUSE == 300


def test_a_receiver_that_is_down_is_tried_with_one_event(lab: Lab) -> None:
    """A thousand models are not a thousand attempts."""
    lab.add("a-1", "b-1", "c-1")
    lab.receiver.refusals["*"] = DOWN
    lab.send()
    assert len(lab.receiver.sent) == 1


def test_what_a_receiver_fails_at_does_not_keep_other_models(lab: Lab) -> None:
    """The next attempt is with another model."""
    lab.add("a-1", "b-1")
    lab.receiver.refusals["a-1"] = DOWN
    lab.send()
    lab.wait()
    lab.send()
    assert lab.receiver.took == ["b-1"]


def test_a_receiver_says_when_it_wants_to_be_asked_again(lab: Lab) -> None:
    """Its Retry-After counts where it is longer than the pause."""
    lab.add("a-1")
    lab.receiver.refusals["*"] = NotTaken("HTTP 429", by_event=False, after=40)
    lab.send()
    assert lab.wait() == 40


def test_a_failure_says_why_and_when_it_is_sent_again(lab: Lab) -> None:
    """For the line that a person reads."""
    lab.add("a-1")
    lab.receiver.refusals["*"] = BAD
    lab.send()
    assert [(each.document["id"], each.why, each.again_in) for each in lab.failures] == [("a-1", "HTTP 500", 1)]


def test_nothing_is_sent_once_it_is_stopped(lab: Lab) -> None:
    """What is left stays for the next process."""
    lab.add("a-1")
    stopped = threading.Event()
    stopped.set()
    lab.delivery.send_due(stopped, math.inf)
    assert lab.receiver.sent == []


def test_what_was_taken_is_kept_when_the_process_is_interrupted(lab: Lab) -> None:
    """An interrupt in the middle of a batch sends again what it interrupted."""

    class Interrupted(Picky):
        one_by_one = False

        def send(self, document: Mapping[str, Any]) -> None:
            if document["id"] == "a-2":
                raise KeyboardInterrupt
            super().send(document)

    lab.add("a-1", "a-2", "a-3")
    delivery = Delivery(lab.cursor, Interrupted(), failed=lab.failures.append)
    with pytest.raises(KeyboardInterrupt):
        delivery.send_due(threading.Event(), math.inf)
    assert [each.document["id"] for each in lab.cursor.pending("a", 9)] == ["a-2", "a-3"]
