"""An HTTP/1.1 proxy between client and server: it counts requests and injects faults."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from email.message import Message

CHUNK = 64 * 1024
# About one connection only (RFC 9110, 7.6.1); the body's framing is decided anew on each side.
HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)

Matches = Callable[[str, str], bool]


def on_path(part: str, method: str | None = None) -> Matches:
    """Match requests whose path contains ``part``, of one method or of any."""
    return lambda asked, path: part in path and method in {None, asked}


def everything(method: str, path: str) -> bool:
    """Match every request."""
    return True


def first(count: int, matches: Matches) -> Matches:
    """Match the first requests only of those that match."""
    left = iter(range(count))
    return lambda method, path: matches(method, path) and next(left, None) is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer in the server's place; the server never sees the request."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Hang:
    """Say nothing for a while, then forward the request."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection without an answer; the server sees the request only when it is ``delivered``."""

    delivered: bool = False


@dataclass(frozen=True, slots=True)
class Corrupt:
    """Flip the bits of one byte of the answer's body; its length stays."""

    offset: int = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """Send the first bytes of the answer's body and close the connection."""

    after: int


@dataclass(frozen=True, slots=True)
class Drip:
    """Send the answer's body in pieces of so many bytes, with a pause before each."""

    size: int
    seconds: float


Fault = Answer | Hang | Drop | Corrupt | Cut | Drip


class Proxy:
    """What a test sees of the proxy: its address, what passed, and the faults it is told to make."""

    def __init__(self, upstream_uri: str, tls: ssl.SSLContext | None = None) -> None:
        upstream = urlsplit(upstream_uri)
        self.upstream = (upstream.hostname or "127.0.0.1", upstream.port or 80)
        self.closed = threading.Event()
        self._lock = threading.Lock()
        self._requests: list[tuple[str, str]] = []
        self._headers: list[dict[str, str]] = []
        self.tls = tls
        self._rules: list[tuple[Matches, Fault]] = []
        self._listener: _Listener | None = None
        self._port = 0
        self.listen()

    @property
    def uri(self) -> str:
        """Return the address to give to the client."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Return method and path, with its query, of every request so far."""
        with self._lock:
            return list(self._requests)

    @property
    def headers(self) -> list[dict[str, str]]:
        """Return the headers of every request so far, by their lower-case names."""
        with self._lock:
            return list(self._headers)

    @property
    def count(self) -> int:
        """Return how many requests came."""
        return len(self.requests)

    def clear(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self._requests.clear()
            self._headers.clear()

    def when(self, matches: Matches, fault: Fault) -> None:
        """Make a fault of every request that matches, until ``heal``; the first rule given wins."""
        with self._lock:
            self._rules.append((matches, fault))

    def heal(self) -> None:
        """Forget every rule."""
        with self._lock:
            self._rules.clear()

    def refuse(self) -> None:
        """Stop listening and cut every connection: the next one is refused."""
        if self._listener is not None:
            listener, self._listener = self._listener, None
            listener.close()

    def listen(self) -> None:
        """Listen on the address the proxy has, or on a free one the first time."""
        if self._listener is None:
            self._listener = _Listener(self, self._port)
            self._port = self._listener.server_address[1]

    def record(self, method: str, path: str, headers: Message) -> Fault | None:
        """Record one request and return the fault to inject."""
        with self._lock:
            self._requests.append((method, path))
            self._headers.append({name.lower(): value for name, value in headers.items()})
            return next((fault for matches, fault in self._rules if matches(method, path)), None)


@contextmanager
def proxy(upstream_uri: str, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """Run a proxy in front of one server until the block ends; with ``tls`` clients reach it by https."""
    running = Proxy(upstream_uri, tls)
    try:
        yield running
    finally:
        running.closed.set()
        running.refuse()


class _Listener(ThreadingHTTPServer):
    """One listening socket with its connections, a thread each."""

    # A connection that hangs must not keep the test process alive.
    daemon_threads = True
    block_on_close = False
    server_address: tuple[str, int]

    def __init__(self, owner: Proxy, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Connection)
        if owner.tls is not None:
            self.socket = owner.tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.owner = owner
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember a new connection, so that ``close`` can cut it."""
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that ends."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet: a client that went away is what faults are about."""

    def close(self) -> None:
        """Stop listening and cut the connections."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Connection(BaseHTTPRequestHandler):
    """One client connection: its requests, one after the other."""

    protocol_version = "HTTP/1.1"
    # Headers and body are two writes; without this the second waits 40 ms for the client's acknowledgement.
    disable_nagle_algorithm = True
    server: _Listener

    def _pass_on(self) -> None:
        """Record one request, make its fault or forward it."""
        self.owner = self.server.owner
        fault = self.owner.record(self.command, self.path, self.headers)
        if isinstance(fault, Hang):
            if self.owner.closed.wait(fault.seconds):
                self.close_connection = True
                return
            fault = None
        if isinstance(fault, Answer):
            self._answer(fault)
        elif fault == Drop(delivered=False):
            self.close_connection = True
        else:
            self._forward(fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _pass_on  # noqa: N815

    def _answer(self, answer: Answer) -> None:
        """Send a made-up answer, once the request's body is out of the way."""
        for _ in self._request_body():
            pass
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _forward(self, fault: Fault | None) -> None:
        """Send the request to the server and its answer back; a server that is down drops the connection."""
        # A connection for each request: one that is kept may be closed by the server just as it is used.
        upstream = http.client.HTTPConnection(*self.owner.upstream)
        try:
            self._send_request(upstream, plain=isinstance(fault, Corrupt | Cut | Drip))
            reply = upstream.getresponse()
            if isinstance(fault, Drop):
                reply.read()
                self.close_connection = True
            else:
                self._send_reply(reply, fault)
        except (OSError, http.client.HTTPException):
            self.close_connection = True
        finally:
            upstream.close()

    def _send_request(self, upstream: http.client.HTTPConnection, *, plain: bool) -> None:
        """Send head and body to the server; ``plain`` asks for an answer without compression."""
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in _end_to_end(self.headers):
            if not (plain and name.lower() == "accept-encoding"):
                upstream.putheader(name, value)
        chunked = _is_chunked(self.headers)
        if chunked:
            upstream.putheader("Transfer-Encoding", "chunked")
        upstream.endheaders()
        for part in self._request_body():
            upstream.send(_as_chunk(part) if chunked else part)
        if chunked:
            upstream.send(_as_chunk(b""))

    def _request_body(self) -> Iterator[bytes]:
        """Yield the request's body as it comes."""
        if _is_chunked(self.headers):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():  # trailers
                pass
            return
        left = int(self.headers.get("Content-Length", 0))
        while left > 0 and (part := self.rfile.read1(min(CHUNK, left))):
            left -= len(part)
            yield part

    def _send_reply(self, reply: http.client.HTTPResponse, fault: Fault | None) -> None:
        """Send the server's answer to the client as it comes."""
        bodiless = self.command == "HEAD" or reply.status in {204, 304} or reply.status < 200
        chunked = not bodiless and reply.getheader("Content-Length") is None
        self.send_response_only(reply.status, reply.reason)
        for name, value in _end_to_end(reply.headers):
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if bodiless:
            return
        parts = iter(lambda: reply.read1(CHUNK), b"")
        for part in self._broken(parts, fault):
            self.wfile.write(_as_chunk(part) if chunked else part)
        if isinstance(fault, Cut):
            self.close_connection = True
            return
        if chunked:
            self.wfile.write(_as_chunk(b""))
        elif reply.length:
            # The server broke off: so must this side, or the client waits for the rest.
            self.close_connection = True

    def _broken(self, parts: Iterator[bytes], fault: Fault | None) -> Iterator[bytes]:
        """Yield an answer's body with its fault."""
        if isinstance(fault, Cut):
            left = fault.after
            for part in parts:
                yield part[:left]
                left -= len(part)
                if left <= 0:  # nothing more, not even an empty chunk, which would say that this was all
                    return
        elif isinstance(fault, Drip):
            for part in parts:
                for start in range(0, len(part), fault.size):
                    self.owner.closed.wait(fault.seconds)
                    yield part[start : start + fault.size]
        else:
            yield from _flipped(parts, fault.offset if isinstance(fault, Corrupt) else None)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Write no access log: ``Proxy.requests`` has it."""


def _end_to_end(headers: Message) -> Iterator[tuple[str, str]]:
    """Yield the headers that concern both ends."""
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    for name, value in headers.items():
        if name.lower() not in HOP_BY_HOP | named:
            yield name, value


def _is_chunked(headers: Message) -> bool:
    """Tell whether the body says its own length as it goes."""
    return "chunked" in headers.get("Transfer-Encoding", "").lower()


def _as_chunk(part: bytes) -> bytes:
    """Return one chunk of a chunked body; the empty one ends it."""
    return b"%x\r\n%s\r\n" % (len(part), part)


def _flipped(parts: Iterator[bytes], offset: int | None) -> Iterator[bytes]:
    """Yield a body with the byte at ``offset`` inverted."""
    start = 0
    for part in parts:
        if offset is not None and start <= offset < start + len(part):
            at = offset - start
            yield part[:at] + bytes([part[at] ^ 0xFF]) + part[at + 1 :]
        else:
            yield part
        start += len(part)
