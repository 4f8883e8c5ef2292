"""Threads with the same request share its answer or failure, and a forked process waits for none of them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

import prodpointer
from prodpointer import RegistryUnavailable
from prodpointer.mlflow_client.capabilities import probe_capabilities
from prodpointer.mlflow_client.registry import Registry
from prodpointer.mlflow_client.uris import Addresses
from prodpointer.mlflow_client.worker import NoAnswer, Worker
from tests.integration.conftest import quiet
from tests.integration.stub import Request, Stub, body, document, registry, stub

pytestmark = pytest.mark.usefixtures("forgetful")

TIMEOUT = 0.4
SLACK = 0.8  # for a machine that is busy
THREADS = 5


@pytest.fixture
def silent() -> Iterator[Stub]:
    """A server that takes every request and says nothing."""

    def answer(running: Stub, _: Request) -> Iterable[bytes]:
        running.closed.wait(5)
        return []

    with stub(answer) as server:
        yield server


def at_once(verb: Callable[[], object]) -> tuple[float, list[BaseException]]:
    """Call something on several threads; return how long the last one took, and what they raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(THREADS)

    def call() -> None:
        start.wait()
        try:
            verb()
        except Exception as error:  # noqa: BLE001  # looked at by the test
            errors.append(error)

    threads = [threading.Thread(target=call) for _ in range(THREADS)]
    with quiet():
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return time.monotonic() - began, errors


def test_threads_share_the_failure_of_a_dead_registry(silent: Stub) -> None:
    """However many threads connect, none waits for the others, and each has an error of its own."""
    with quiet():
        import mlflow.tracking  # noqa: F401  # which takes longer than what is measured
    took, errors = at_once(lambda: prodpointer.connect("news", tracking_uri=silent.uri, timeout=TIMEOUT))
    assert took < 2 * TIMEOUT + SLACK
    assert [type(error) for error in errors] == [RegistryUnavailable] * THREADS
    assert len({id(error) for error in errors}) == THREADS
    assert len(silent.paths) <= 4  # two tries of one question, or of two where a thread came late


def test_threads_share_an_answer() -> None:
    """A registry that answers slowly is asked once."""

    def answer(_: Stub, request: Request) -> Iterable[bytes]:
        time.sleep(0.2)
        return [body(b"3.17.2")] if request.path == "/version" else registry()(request)

    with stub(answer) as server:
        _, errors = at_once(lambda: prodpointer.connect("news", tracking_uri=server.uri, timeout=5))
        assert errors == []
        assert server.paths.count("/version") == 1


def test_a_thread_with_less_time_does_not_wait_longer(silent: Stub) -> None:
    """Who gave a registry less time has the error in that time, also while another thread waits longer."""
    patient = threading.Thread(target=lambda: _asked(silent, 3), daemon=True)
    patient.start()
    time.sleep(0.1)
    began = time.monotonic()
    with pytest.raises(RegistryUnavailable):
        probe_capabilities(Registry(Addresses(silent.uri, silent.uri, chosen=True), timeout=TIMEOUT))
    assert time.monotonic() - began < TIMEOUT + SLACK


def _asked(server: Stub, timeout: float) -> None:
    """Ask a registry what it is, for as long as it takes."""
    with pytest.raises(RegistryUnavailable):
        probe_capabilities(Registry(Addresses(server.uri, server.uri, chosen=True), timeout=timeout))


def test_a_process_that_is_forked_while_a_thread_asks_can_ask() -> None:
    """What a thread of the parent waits for, the child does not."""
    release = threading.Event()

    def answer(_: Stub, request: Request) -> Iterable[bytes]:
        release.wait(3)
        return [body(b"3.17.2")] if request.path == "/version" else registry()(request)

    with stub(answer) as server, quiet():
        asked = Registry(Addresses(server.uri, server.uri, chosen=True), timeout=5)
        asking = threading.Thread(target=lambda: probe_capabilities(asked), daemon=True)
        asking.start()
        while not server.requests:
            time.sleep(0.01)
        child = os.fork()
        if child == 0:  # asks the same, which is answered in a moment
            signal.alarm(3)
            code = 1
            try:
                code = 0 if probe_capabilities(asked).aliases else 2
            finally:
                os._exit(code)
        time.sleep(0.1)
        release.set()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        asking.join()


def test_who_waits_for_a_call_without_an_answer_waits_once() -> None:
    """A call that waits for the turn of one that is given up shares its failure, and waits no second time."""
    worker, gate = Worker(), threading.Event()

    def call() -> None:
        worker.call(gate.wait, timeout=1)

    took, errors = at_once(call)
    gate.set()
    assert [type(error) for error in errors] == [NoAnswer] * THREADS
    assert took < 1.7


HEADS = {"a body without an end": b"HTTP/1.1 200 OK\r\n\r\n", "a head without an end": b"HTTP/1.1 200 OK\r\n"}


@pytest.mark.parametrize("what", HEADS)
def test_a_call_that_was_given_up_ends_with_its_answer(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that no caller waits for is not read, however long, so the next call is made once all is well."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    ill = threading.Event()
    ill.set()

    def answer(running: Stub, _: Request) -> Iterator[bytes]:
        if not ill.is_set():
            yield document({"model_versions": []})
            return
        yield HEADS[what]
        while not running.closed.wait(0.01):
            yield b"x"

    with stub(answer) as server, quiet():
        asked = Registry(Addresses(server.uri, server.uri, chosen=True), timeout=TIMEOUT)
        with pytest.raises(RegistryUnavailable):
            asked.versions("news")
        ill.clear()
        time.sleep(0.1)
        assert asked.versions("news") == []
