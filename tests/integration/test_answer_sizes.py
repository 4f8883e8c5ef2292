"""Responses of a registry have a size limit, and an endless list is an error."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from prodpointer import RegistryError
from prodpointer.mlflow_client.http_artifacts import ServedArtifacts
from prodpointer.mlflow_client.registry import Registry
from prodpointer.mlflow_client.rest import ANSWER_LIMIT, PAGE_LIMIT, Rest
from prodpointer.mlflow_client.uris import Addresses
from prodpointer.mlflow_client.worker import NoAnswer
from tests.integration.conftest import quiet
from tests.integration.stub import Request, Stub, body, document, stub

BOMB = gzip.compress(b"\0" * (2 * ANSWER_LIMIT), compresslevel=1)
MODEL = "/api/2.0/mlflow/registered-models/get?name=news"
LIST = "/api/2.0/mlflow/registered-models/search"
SERVICE = "/api/2.0/mlflow-artifacts/artifacts"


def endless(running: Stub, _: Request) -> Iterator[bytes]:
    """Answer with a body that has no end."""
    yield b"HTTP/1.1 200 OK\r\n\r\n"
    while not running.closed.is_set():
        yield b"x" * 65536


def endless_chunks(running: Stub, _: Request) -> Iterator[bytes]:
    """Answer with a body in chunks that has no end."""
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    while not running.closed.is_set():
        yield b"10000\r\n" + b"x" * 65536 + b"\r\n"


def compressed(_: Stub, __: Request) -> list[bytes]:
    """Answer with little that becomes much."""
    return [body(BOMB, headers={"Content-Encoding": "gzip"})]


def failing(running: Stub, request: Request) -> Iterator[bytes]:
    """Answer with an error whose text has no end."""
    parts = endless(running, request)
    yield next(parts).replace(b"200 OK", b"500 Error")
    yield from parts


@pytest.mark.parametrize("answer", [endless, endless_chunks, compressed, failing])
def test_an_answer_has_a_limit(answer: Callable[[Stub, Request], Iterable[bytes]]) -> None:
    """An endless answer, compressed or not, is an error, and no more of it is kept than the limit."""
    with stub(answer) as server:
        tracemalloc.start()
        try:
            with pytest.raises(RegistryError, match="more than 16 MiB"):
                rest(server).once("GET", MODEL)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 3 * ANSWER_LIMIT


def test_a_compressed_answer_is_read() -> None:
    """What a proxy compresses is decompressed."""
    with stub(lambda *_: [body(gzip.compress(b'{"a": 1}'), headers={"Content-Encoding": "gzip"})]) as server:
        assert rest(server).once("GET", MODEL) == {"a": 1}


def test_an_answer_that_only_claims_to_be_compressed() -> None:
    """What cannot be decompressed is an error of ours."""
    with (
        stub(lambda *_: [body(b'{"a": 1}', headers={"Content-Encoding": "gzip"})]) as server,
        pytest.raises(RegistryError, match="decompressed"),
    ):
        rest(server).once("GET", MODEL)


def test_a_page_may_be_larger_than_one_model() -> None:
    """A page of a thousand models with the record of many moves fits."""
    large = body(b'{"registered_models": []}'.ljust(ANSWER_LIMIT + 1))
    with stub(lambda *_: [large]) as server:
        assert list(rest(server).pages(LIST)) == [{"registered_models": []}]
    assert PAGE_LIMIT > 30_000_000


def pages(name: Callable[[int], str], _: Stub, request: Request) -> list[bytes]:
    """Answer with a page, and name the next one by the number of this one."""
    token = parse_qs(urlsplit(request.path).query).get("page_token", ["0"])[0]
    return [document({"registered_models": [], "model_versions": [], "next_page_token": name(int(token))})]


LISTS: dict[str, Callable[[Stub], Iterable[object]]] = {
    "of anything": lambda server: rest(server).pages(LIST),
    "of a registry, models": lambda server: registry(server).model_pages(),
    "of a registry, versions": lambda server: registry(server).versions("a"),
}


@pytest.mark.parametrize("asked", LISTS)
def test_a_page_that_comes_again_ends_the_list(asked: str) -> None:
    """A token that was named before leads in a circle."""
    with stub(partial(pages, lambda number: str((number + 1) % 3))) as server:
        with quiet(), pytest.raises(RegistryError, match="a page is repeated"):
            list(LISTS[asked](server))
        assert len(server.requests) <= 4


def test_a_list_without_an_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """However new each token is, there are not that many models."""
    monkeypatch.setattr("prodpointer.mlflow_client.rest.MOST_PAGES", 5)
    with stub(partial(pages, lambda number: str(number + 1))) as server:
        with pytest.raises(RegistryError, match="does not end"):
            list(rest(server).pages(LIST))
        assert len(server.requests) == 5


@pytest.mark.parametrize("token", [5, {"a": 1}, ["a"], True])
def test_a_token_is_text(token: object) -> None:
    """A token of another type names no page."""
    with (
        stub(lambda *_: [document({"registered_models": [], "next_page_token": token})]) as server,
        pytest.raises(RegistryError, match="next page"),
    ):
        list(rest(server).pages(LIST))


def test_a_directory_in_itself_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server that lists a directory in each directory has no artifact."""
    monkeypatch.setattr("prodpointer.mlflow_client.http_artifacts._DEEPEST", 4)
    with (
        stub(lambda *_: [document({"files": [{"path": "m", "is_dir": True}]})]) as server,
        pytest.raises(RegistryError, match="more than 4 directories"),
    ):
        artifacts(server).download("m", tmp_path)
    assert len(server.requests) <= 6


def test_a_listing_has_a_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither one directory nor all of them together hold more files than an artifact has."""
    monkeypatch.setattr("prodpointer.mlflow_client.http_artifacts._MOST_ENTRIES", 10)
    files = [{"path": f"d{number}", "is_dir": True} for number in range(6)]
    with (
        stub(lambda *_: [document({"files": [*files, {"path": "m", "is_dir": True}]})]) as server,
        pytest.raises(RegistryError, match="more than 10 files"),
    ):
        artifacts(server).download("m", tmp_path)


def test_a_file_has_the_size_that_is_listed(tmp_path: Path) -> None:
    """A file that goes on after its size is an error, and does not fill the disk."""

    def answer(running: Stub, request: Request) -> Iterable[bytes]:
        if "path=" in request.path:
            return [document({"files": [{"path": "m.pkl", "is_dir": False, "file_size": 100_000}]})]
        return endless(running, request)

    with stub(answer) as server, pytest.raises(RegistryError, match="100000 bytes and sends more"):
        artifacts(server).download("m.pkl", tmp_path)
    assert (tmp_path / "m.pkl").stat().st_size < 300_000


@pytest.mark.parametrize(
    "files",
    [
        5,
        [5],
        [{}],
        [{"path": 5}],
        [{"path": ["a"]}],
        [{"path": "a\0b"}],
        [{"path": "\ud800"}],
        [{"path": "../a"}],
        [{"path": "a", "file_size": "x"}],
        [{"path": "a", "file_size": -1}],
        [{"path": "a", "file_size": True}],
    ],
    ids=repr,
)
def test_a_listing_of_other_types_is_an_error(files: object) -> None:
    """What is no listing is an error of ours, whatever it is."""
    with stub(lambda *_: [document({"files": files})]) as server, pytest.raises(RegistryError):
        artifacts(server).list_directory("")


def test_a_download_that_is_stopped_ends_at_once(tmp_path: Path) -> None:
    """A download ends when the caller stops waiting, also between two bytes."""

    def answer(running: Stub, request: Request) -> Iterable[bytes]:
        if "path=" in request.path:
            return [document({"files": [{"path": "m.pkl", "is_dir": False}]})]
        return slow_file(running)

    def slow_file(running: Stub) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        yield from running.slowly(b"x" * 200, 0.01)

    looks = iter([False, False])
    with stub(answer) as server:
        reading = ServedArtifacts(
            f"{server.uri}{SERVICE}/1", addresses(server), timeout=1, stopped=lambda: next(looks, True)
        )
        with pytest.raises(NoAnswer, match="cancelled"):
            reading.download("m.pkl", tmp_path)


def addresses(server: Stub) -> Addresses:
    """Return the addresses of a stub."""
    return Addresses(server.uri, server.uri, chosen=True)


def rest(server: Stub) -> Rest:
    """Return direct questions to a stub."""
    return Rest(addresses(server), timeout=5)


def registry(server: Stub) -> Registry:
    """Return a stub as a registry."""
    return Registry(addresses(server), timeout=5)


def artifacts(server: Stub) -> ServedArtifacts:
    """Return a directory of a stub's artifacts."""
    return ServedArtifacts(f"{server.uri}{SERVICE}/1", addresses(server), timeout=5, stopped=lambda: False)
