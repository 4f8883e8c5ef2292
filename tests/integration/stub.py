"""A small server that sends given bytes at a given speed."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    """One request: its method, its path with the query, its headers by lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]


Answers = Callable[[Request], Iterable[bytes]]


@dataclass
class Stub:
    """What a test sees of the server: its address, and what it was asked."""

    uri: str
    requests: list[Request] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)

    @property
    def paths(self) -> list[str]:
        """Return the path of each request, without its query."""
        return [urlsplit(request.path).path for request in self.requests]

    def slowly(self, answer: bytes, seconds: float) -> Iterator[bytes]:
        """Yield an answer byte by byte, with a pause before each."""
        for byte in answer:
            if self.closed.wait(seconds):
                return
            yield bytes([byte])


def document(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a whole answer with a JSON body."""
    return body(json.dumps(value).encode(), status=status, headers=headers)


def body(content: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a whole answer with a body of some bytes."""
    lines = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Status\r\n{head}Connection: close\r\n\r\n".encode() + content


def registry(models: Mapping[str, Any] | None = None, **answers: Any) -> Answers:
    """Return what answers as a registry does: the version, and documents by the last part of the path."""

    def answer(request: Request) -> Iterable[bytes]:
        path = urlsplit(request.path).path
        if path == "/version":
            return [body(b"3.17.2")]
        if path.endswith("registered-models/get") and models is not None:
            return [document({"registered_model": models})]
        name = path.rsplit("/", 1)[-1].replace("-", "_")
        if name in answers:
            return [document(answers[name])]
        return [document({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "there is none"}, status=404)]

    return answer


@contextmanager
def stub(answers: Callable[[Stub, Request], Iterable[bytes]] | None = None) -> Iterator[Stub]:
    """Run a server until the block ends; it closes each connection after one answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    running = Stub(f"http://127.0.0.1:{listener.getsockname()[1]}")
    answering = answers or (lambda _, request: registry()(request))

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            request = _received(connection)
            if request is not None:
                running.requests.append(request)
                for part in answering(running, request):
                    connection.sendall(part)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.closed.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _received(connection: socket.socket) -> Request | None:
    """Return a request once all of it is here."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65536)
        if not part:
            return None
        received += part
    head, _, rest = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    missing = int(headers.get("content-length", 0)) - len(rest)
    while missing > 0 and (part := connection.recv(65536)):
        missing -= len(part)
    method, path, _ = first.split(" ", 2)
    return Request(method, path, headers)
