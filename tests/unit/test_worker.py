"""The time limit for calls without one."""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from queue import SimpleQueue
from urllib.parse import urlsplit

import pytest

from prodpointer.mlflow_client.worker import MOST_ABANDONED, NoAnswer, Worker, worker_for
from tests.integration.stub import Request, Stub, body, stub

SHORT = 0.1


def test_a_call_returns_its_result() -> None:
    """The result comes back as it is."""
    assert Worker().call(lambda: [1, 2], timeout=5) == [1, 2]


def test_a_call_raises_its_exception() -> None:
    """An exception comes back as it is, with the place at which it was raised."""
    with pytest.raises(ZeroDivisionError):
        Worker().call(lambda: 1 / 0, timeout=5)


def test_a_call_knows_the_context_of_its_caller() -> None:
    """What the caller's thread has set for itself is set for the call too."""
    setting = contextvars.ContextVar("setting", default="none")
    setting.set("the caller's")
    assert Worker().call(setting.get, timeout=5) == "the caller's"


def test_a_call_without_an_answer_times_out(gate: threading.Event) -> None:
    """The caller has its error, and the call goes on."""
    worker = Worker()
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="may still succeed"):
        worker.call(gate.wait, timeout=SHORT)
    assert SHORT <= time.monotonic() - began < 1
    assert worker.abandoned


def test_a_second_call_does_not_become_the_second_abandoned(gate: threading.Event) -> None:
    """While one goes on the next waits for it, in time, and does not begin."""
    worker, begun = Worker(), []
    with pytest.raises(NoAnswer):
        worker.call(gate.wait, timeout=SHORT)
    with pytest.raises(NoAnswer, match="earlier call"):
        worker.call(lambda: begun.append(1), timeout=SHORT)
    assert begun == []


def test_after_the_end_of_what_was_abandoned_calls_go_on(gate: threading.Event) -> None:
    """The worker is free as soon as MLflow stops."""
    worker = Worker()
    with pytest.raises(NoAnswer):
        worker.call(gate.wait, timeout=SHORT)
    threading.Timer(SHORT, gate.set).start()
    assert worker.call(lambda: "answer", timeout=5) == "answer"
    assert not worker.abandoned


def ask(server: Stub, path: str) -> bytes:
    """Return what a server answers, read as a store's client does that has no time limit for the whole answer."""
    connection = HTTPConnection(urlsplit(server.uri).netloc, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def trickle(server: Stub, request: Request) -> Iterator[bytes]:
    """Answer at once, slowly, or late."""
    whole = body(b"x" * 30)
    if request.path == "/late":
        server.closed.wait(SHORT * 5)
    if request.path == "/slow":
        yield whole[:-30]
        yield from server.slowly(whole[-30:], 0.2)
    else:
        yield whole


def test_an_answer_that_goes_on_for_ever_does_not_keep_later_calls_waiting() -> None:
    """The connection of an abandoned call is closed once its answer begins."""
    worker = Worker()
    with stub(trickle) as server:
        with pytest.raises(NoAnswer, match="may still succeed"):
            worker.call(lambda: ask(server, "/slow"), timeout=SHORT)
        assert worker.call(lambda: ask(server, "/"), timeout=2) == b"x" * 30


def test_an_answer_that_has_not_begun_is_waited_for() -> None:
    """A client would send the request again, and the server may be busy with it."""
    worker = Worker()
    with stub(trickle) as server:
        answers: SimpleQueue[bytes] = SimpleQueue()
        with pytest.raises(NoAnswer):
            worker.call(lambda: answers.put(ask(server, "/late")), timeout=SHORT)
        assert answers.get(timeout=2) == b"x" * 30


def test_a_server_that_stays_silent_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the time that MLflow gives it."""
    monkeypatch.setattr("prodpointer.mlflow_client.worker._PATIENCE", SHORT)
    worker = Worker()
    with stub(lambda running, _: running.slowly(b"x", 3)) as server:
        with pytest.raises(NoAnswer):
            worker.call(lambda: ask(server, "/"), timeout=SHORT)
        assert worker.call(lambda: 1, timeout=2) == 1


def test_waiting_for_others_that_are_answered_does_not_count() -> None:
    """Many threads whose calls are each in time all have their answer."""
    worker = Worker()
    found: list[None] = []
    callers = [
        threading.Thread(target=lambda: found.append(worker.call(lambda: time.sleep(SHORT / 2), timeout=SHORT * 3)))
        for _ in range(10)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [None] * 10


def test_a_download_with_progress_is_not_cancelled() -> None:
    """A download may take many times its limit, as long as bytes come."""
    arrived: list[int] = []

    def download() -> str:
        for _ in range(10):
            time.sleep(SHORT / 2)
            arrived.append(1)
        return "whole"

    assert Worker().watch(download, timeout=SHORT * 3, progress=lambda: len(arrived)) == "whole"


def test_a_download_without_progress_is_cancelled(gate: threading.Event) -> None:
    """A download without data is cancelled."""
    worker = Worker()
    with pytest.raises(NoAnswer, match="no byte"):
        worker.watch(gate.wait, timeout=SHORT, progress=lambda: 0)
    assert worker.abandoned


def test_a_few_downloads_may_be_abandoned(gate: threading.Event) -> None:
    """One that hangs does not keep the next from beginning, as long as they are few."""
    worker = Worker()
    for _ in range(MOST_ABANDONED):
        with pytest.raises(NoAnswer, match="no byte"):
            worker.watch(gate.wait, timeout=SHORT, progress=lambda: 0)
    with pytest.raises(NoAnswer, match="earlier call"):
        worker.watch(lambda: 1, timeout=SHORT, progress=lambda: 0)
    gate.set()
    assert worker.watch(lambda: 1, timeout=5, progress=lambda: 0) == 1


def test_an_interrupted_download_is_abandoned(gate: threading.Event) -> None:
    """Ctrl-C ends the waiting and not the call, which is still counted."""

    def interrupted() -> int:
        raise KeyboardInterrupt

    worker = Worker()
    with pytest.raises(KeyboardInterrupt):
        worker.watch(gate.wait, timeout=5, progress=interrupted)
    assert worker.abandoned == 1


def test_an_exception_keeps_what_it_came_from() -> None:
    """Also where the call is made while another error is handled, which would take the place of its context."""

    def work() -> None:
        try:
            raise KeyError("the store's own answer")  # noqa: TRY301
        except KeyError:
            raise ValueError("wrapped by context alone")  # noqa: B904 (MLflow does just that)

    def call_while_handling_another() -> None:
        try:
            raise OSError("handled meanwhile")  # noqa: TRY301
        except OSError:
            Worker().call(work, timeout=5)

    with pytest.raises(ValueError, match="wrapped") as caught:
        call_while_handling_another()
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_forked_process_has_its_own_workers(gate: threading.Event) -> None:
    """What the parent abandoned is not in the child, which calls anew."""
    with pytest.raises(NoAnswer):
        worker_for("test://forked").call(gate.wait, timeout=SHORT)
    child = os.fork()
    if child == 0:
        try:
            code = worker_for("test://forked").call(lambda: 7, timeout=5)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
