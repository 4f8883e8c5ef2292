"""A sender that is killed while it sends: ``nox -s events`` does it longer, with a registry behind it."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from prodpointer.watch.cursor import Known, open_cursor
from tests.receiver import Endpoint, endpoint

KILLS = 2
MODELS = ("a", "b", "c")
EVENTS = 30  # of each model
SENDER = """
import sys, threading
from pathlib import Path
from prodpointer.watch.cursor import open_cursor
from prodpointer.watch.delivery import Delivery
from prodpointer.watch.receivers import Webhook

with open_cursor(Path(sys.argv[1]), {}) as cursor:
    webhook = Webhook(sys.argv[2], ["whsec_" + "c2VjcmV0" * 5], source="http://mlflow:5000", timeout=5)
    Delivery(cursor, webhook, failed=print).send_due(threading.Event(), float("inf"))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a cursor with events to send."""
    at = "2026-11-30T12:00:00+00:00"
    given = {"alias": "production", "at": at, "kind": "promote", "state": "done"}
    with open_cursor(tmp_path / "cursor", {}) as cursor:
        for name in MODELS:
            documents = [{"id": f"{name}-{number:02d}", "name": name, **given} for number in range(EVENTS)]
            cursor.keep(Known(name, None), documents)
    return tmp_path / "cursor"


@pytest.fixture
def receiving() -> Iterator[Endpoint]:
    """Return a receiver."""
    with endpoint() as found:
        yield found


def send(file: Path, receiving: Endpoint, *, kill_after: int | None) -> None:
    """Run a sender, to its end or until so many more requests came."""
    until = len(receiving.posted) + (kill_after or 0)
    with subprocess.Popen([sys.executable, "-c", SENDER, str(file), receiving.url]) as sender:
        while kill_after is not None and len(receiving.posted) < until:
            assert sender.poll() is None
            time.sleep(0.005)
        if kill_after is not None:
            sender.kill()
    assert kill_after is not None or sender.returncode == 0


def test_a_sender_that_is_killed_loses_nothing(file: Path, receiving: Endpoint) -> None:
    """Every event is taken, those of each model in their order; what is sent again has the same id."""
    for _ in range(KILLS):
        send(file, receiving, kill_after=random.randint(1, EVENTS))
    send(file, receiving, kill_after=None)
    taken = [each.event["id"] for each in receiving.taken]
    for name in MODELS:
        first = list(dict.fromkeys(each for each in taken if each.startswith(name)))
        assert first == [f"{name}-{number:02d}" for number in range(EVENTS)]
    assert len(taken) - len(set(taken)) <= KILLS
