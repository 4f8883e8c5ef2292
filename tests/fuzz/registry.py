"""A registry with one model, as server responses, and a server that returns these or others."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prodpointer.history import record
from prodpointer.types import Promotion

API = "/api/2.0/mlflow"
NAME = "churn"
RUN = "0123456789abcdef0123456789abcdef"
_WHEN = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)


def event(number: int, before: int | None, after: int | None, **fields: Any) -> Promotion:
    """Return one event of the model."""
    fields = {"alias": "production", "kind": "promote", "state": "done"} | fields
    return Promotion(
        NAME, before, after, ("alias",), _WHEN, "ada", "weekly retrain", event=f"{number:012d}-0123abcd", **fields
    )


def tags_of(moves: list[Promotion]) -> dict[str, str]:
    """Return the tags that hold events."""
    return {f"{record.EVENT_TAG}{move.event}": record.event_text(move) for move in moves}


def version(number: int, stage: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """Return the JSON of one version."""
    return {
        "name": NAME,
        "version": str(number),
        "creation_timestamp": 1_796_040_000_000,
        "last_updated_timestamp": 1_796_040_000_000 + number,
        "current_stage": stage,
        "source": f"mlflow-artifacts:/1/{RUN}/artifacts/bundle",
        "run_id": RUN,
        "status": "READY",
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
    }


VERSIONS = [
    version(1, "Archived", tags_of([event(1, None, 1)])),
    version(2, "Production", tags_of([event(2, 1, 2), event(3, 2, 2, state="lost")])),
    version(3, "None", {"prodpointer.sha256": "0" * 64}),
]
MODEL = {
    "name": NAME,
    "creation_timestamp": 1_796_040_000_000,
    "last_updated_timestamp": 1_796_040_000_005,
    "latest_versions": VERSIONS,
    "aliases": [{"alias": "production", "version": "2"}, {"alias": "staging", "version": "3"}],
    "tags": [{"key": "prodpointer.pointer", "value": "both"}],
}
ANSWERS: Mapping[str, Any] = {
    f"{API}/registered-models/get": {"registered_model": MODEL},
    f"{API}/registered-models/search": {"registered_models": [MODEL], "next_page_token": ""},
    f"{API}/registered-models/alias": {"model_version": VERSIONS[1]},
    f"{API}/registered-models/get-latest-versions": {"model_versions": VERSIONS[:2]},
    f"{API}/model-versions/get": {"model_version": VERSIONS[1]},
    f"{API}/model-versions/search": {"model_versions": VERSIONS, "next_page_token": ""},
    f"{API}/model-versions/get-download-uri": {"artifact_uri": f"mlflow-artifacts:/1/{RUN}/artifacts/bundle"},
    f"{API}/runs/get": {
        "run": {
            "info": {
                "run_id": RUN,
                "run_uuid": RUN,
                "experiment_id": "1",
                "artifact_uri": f"mlflow-artifacts:/1/{RUN}",
            },
            "data": {"metrics": [{"key": "auc", "value": 0.9, "timestamp": 1, "step": 0}], "tags": [], "params": []},
        }
    },
    "/api/2.0/mlflow-artifacts/artifacts": {
        "files": [
            {"path": "bundle", "is_dir": True},
            {"path": "model.pkl", "is_dir": False, "file_size": 3},
        ]
    },
}
"""What is answered to each question, by its path."""


@dataclass(frozen=True)
class Reply:
    """An answer: status and body."""

    status: int
    body: bytes


@dataclass
class Stub:
    """A server that gives one answer to each path; ``{}`` to all others."""

    uri: str
    replies: dict[str, Reply] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def listening(cls) -> Iterator[Stub]:
        """Listen until the block ends."""
        server = _Server(("127.0.0.1", 0), _Handler)
        server.stub = cls(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.stub
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Server(ThreadingHTTPServer):
    """The server, which knows what to say."""

    daemon_threads = True
    stub: Stub


class _Handler(BaseHTTPRequestHandler):
    """One connection, kept open between questions."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Answer."""
        path = self.path.partition("?")[0]
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        replies = self.server.stub.replies
        below = "/api/2.0/mlflow-artifacts/artifacts"
        reply = replies.get(path) or (Reply(200, b"abc") if path.startswith(below) else Reply(200, b"{}"))
        self.send_response(reply.status)
        body = b"" if reply.status == 204 else reply.body
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PATCH = do_DELETE = do_PUT = do_GET  # noqa: N815  # the names that the library calls

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""
