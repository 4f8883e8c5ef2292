"""A receiver of webhooks in this process, which a test makes answer as it likes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Posted:
    """One request: its headers by lower-case names, and its body."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        """The CloudEvent in the body."""
        return json.loads(self.body)


Answer = Callable[[Posted], "tuple[int, Mapping[str, str]]"]


def take(_: Posted) -> tuple[int, Mapping[str, str]]:
    """Take an event."""
    return 204, {}


@dataclass
class Endpoint:
    """What a test sees of a receiver: where it is, and what it was sent; ``answer`` may be replaced."""

    url: str
    answer: Answer = take
    posted: list[Posted] = field(default_factory=list)
    taken: list[Posted] = field(default_factory=list)


@contextmanager
def endpoint(port: int = 0) -> Iterator[Endpoint]:
    """Receive on a port of this machine until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(length := int(self.headers["Content-Length"]))
            if len(body) < length:  # its sender was killed
                return
            posted = Posted({name.lower(): value for name, value in self.headers.items()}, body)
            receiving.posted.append(posted)
            status, headers = receiving.answer(posted)
            if status < 300:
                receiving.taken.append(posted)
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    receiving = Endpoint(f"http://127.0.0.1:{server.server_address[1]}/events")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiving
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
