"""Each request ends within ``timeout``, however slowly a registry answers."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress

import pytest

import prodpointer
from prodpointer import RegistryUnavailable
from prodpointer.connection import registered_model_names
from prodpointer.mlflow_client.deadline import cut_off
from prodpointer.mlflow_client.rest import Rest, send_request
from prodpointer.mlflow_client.uris import Addresses
from prodpointer.mlflow_client.worker import NoAnswer
from tests.integration.conftest import quiet
from tests.integration.stub import Request, Stub, body, document, registry, stub

pytestmark = pytest.mark.usefixtures("forgetful")

ALIAS = "/api/2.0/mlflow/registered-models/alias"
TIMEOUT = 0.4
SLACK = 0.8  # for a machine that is busy
PAUSE = 0.05  # between two bytes, so that no single wait is long
SLOW = ["the head", "the body", "a body without a length"]
LONG = 3.0  # what an answer takes at least


def seconds(verb: Callable[[], object], kind: type[Exception] = RegistryUnavailable) -> float:
    """Return how long a verb takes to find that there is no answer."""
    began = time.monotonic()
    with quiet(), pytest.raises(kind):
        verb()
    return time.monotonic() - began


def slow(what: str, when: str = "") -> Callable[[Stub, Request], Iterable[bytes]]:
    """Return what answers as a registry does, slowly where the path has ``when``."""

    def answer(running: Stub, request: Request) -> Iterable[bytes]:
        if when not in request.path:
            return registry({"name": "news", "latest_versions": []})(request)
        whole = body(b"3.17.2" + b" " * round(LONG / PAUSE))
        head, _, rest = whole.partition(b"\r\n\r\n")
        if what == "the head":
            return running.slowly(whole, PAUSE)
        if what == "a body without a length":
            head = b"HTTP/1.0 200 OK"
        return _then(head + b"\r\n\r\n", running.slowly(rest, PAUSE))

    return answer


def _then(first: bytes, rest: Iterable[bytes]) -> Iterable[bytes]:
    """Yield one part at once and the others as they come."""
    yield first
    yield from rest


@pytest.mark.parametrize("what", SLOW)
def test_connecting_ends_in_time(what: str) -> None:
    """``connect`` to a server that sends a byte now and then ends with the time."""
    with stub(slow(what)) as server:
        took = seconds(lambda: prodpointer.connect("news", tracking_uri=server.uri, timeout=TIMEOUT))
    assert TIMEOUT / 2 < took < 2 * TIMEOUT + SLACK


VERBS: dict[str, Callable[[prodpointer.RegisteredModel], object]] = {
    "live_version": lambda news: news.live_version(),
    "status": lambda news: news.status(),
    "promote": lambda news: news.promote(2),
    "load_production": lambda news: news.load_production(),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_ends_in_time(verb: str) -> None:
    """What a verb asks first ends with the time."""
    with stub(slow("the body", "registered-models/get")) as server:
        news = prodpointer.connect("news", tracking_uri=server.uri, timeout=TIMEOUT)
        assert seconds(lambda: VERBS[verb](news)) < 2 * TIMEOUT + SLACK


def test_a_list_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page has the time of a page, and not the time of each byte."""
    monkeypatch.setattr("prodpointer.mlflow_client.rest._PAGE_PATIENCE", 1.0)
    with stub(slow("the head", "search")) as server:
        took = seconds(lambda: registered_model_names(tracking_uri=server.uri, timeout=TIMEOUT))
    assert took < 2 * TIMEOUT + SLACK


def test_an_answer_in_time_is_whole() -> None:
    """An answer that comes slowly and in time is read to its end."""
    with stub(lambda running, _: running.slowly(body(b"3.17.2"), 0.001)) as server:
        assert rest(server, 5).answer("/version") == (200, "3.17.2")


def test_a_write_says_that_it_may_be_done() -> None:
    """A write without a complete answer may have been executed."""
    with stub(slow("the head")) as server, pytest.raises(NoAnswer, match="may still succeed"):
        rest(server, TIMEOUT).once("POST", ALIAS, json={})


def test_no_thread_stays() -> None:
    """One thread looks after all requests, and ends once their time is over."""
    with stub(slow("the head", "alias")) as server:
        for _ in range(3):
            rest(server, TIMEOUT).answer("/version")
        with pytest.raises(NoAnswer):
            rest(server, TIMEOUT).once("POST", ALIAS, json={})
        assert watching() <= 1
    time.sleep(TIMEOUT + 0.1)
    assert watching() == 0


def watching() -> int:
    """Return how many threads look after requests."""
    return sum(thread.name == "prodpointer-deadline" for thread in threading.enumerate())


def test_a_silent_host_ends_in_time() -> None:
    """A host that takes the connection and says nothing ends with the time too."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert seconds(lambda: prodpointer.connect("news", tracking_uri=address, timeout=TIMEOUT)) < TIMEOUT + SLACK


def test_a_host_of_many_addresses_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is that of the request, and not that of each address of the host's name."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr("socket.getaddrinfo", lambda *asked, **options: resolve(*asked, **options)[:1] * 8)
    with socket.create_server(("127.0.0.1", 0), backlog=1) as full, ExitStack() as waiting:
        for _ in range(4):  # until no connection more is taken
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            with suppress(BlockingIOError):
                caller.connect(full.getsockname())
        address = f"http://127.0.0.1:{full.getsockname()[1]}"
        took = seconds(lambda: prodpointer.connect("news", tracking_uri=address, timeout=TIMEOUT))
    assert TIMEOUT / 2 < took < 2 * TIMEOUT + SLACK


def test_what_is_received_after_the_block_is_not_cut_off() -> None:
    """The limit holds inside the block alone."""
    mine, other = socket.socketpair()
    with mine, other:
        with cut_off(0.01):
            pass
        threading.Timer(0.1, other.sendall, [b"late"]).start()
        assert mine.makefile("rb").read(4) == b"late"


def test_a_forked_process_keeps_its_time() -> None:
    """The thread that looks after requests is not in a forked process, which starts its own."""
    with stub(slow("the head")) as server, cut_off(5):
        child = os.fork()
        if child == 0:
            signal.alarm(5)
            code = 1
            try:
                rest(server, TIMEOUT).answer("/version")
            except NoAnswer:
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_redirects_share_the_time() -> None:
    """A server that sends its caller from place to place has no more time for it."""

    def answer(_: Stub, request: Request) -> Iterable[bytes]:
        time.sleep(TIMEOUT / 4)
        return [document({}, status=302, headers={"Location": f"{request.path}x"})]

    with stub(answer) as server:
        took = seconds(lambda: send_request(server.uri, "GET", "/", timeout=TIMEOUT, workspace=None), NoAnswer)
    assert took < 2 * TIMEOUT + SLACK


def rest(server: Stub, timeout: float) -> Rest:
    """Return direct questions to a stub."""
    return Rest(Addresses(server.uri, server.uri, chosen=True), timeout=timeout)
